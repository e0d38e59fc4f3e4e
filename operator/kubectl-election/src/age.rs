//! Durations as kubectl prints them: the shorter, the more precise.

use jiff::{SignedDuration, Timestamp};

/// The age at `now` of something that began at `then`. Two clocks that differ by less than two seconds count as the
/// same.
pub(crate) fn age(then: Timestamp, now: Timestamp) -> String {
    human(now.duration_since(then))
}

/// A time as most of the API writes it.
pub(crate) fn seconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Reads a time as the API writes it; `None` if it is no time, or a time that no clock shows.
pub(crate) fn time(text: &str) -> Option<Timestamp> {
    text.parse().ok()
}

fn human(duration: SignedDuration) -> String {
    let seconds = duration.as_secs();
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    let (days, years) = (hours / 24, hours / 24 / 365);
    let two = |larger: i64, unit: &str, smaller: i64, rest: &str| match smaller {
        0 => format!("{larger}{unit}"),
        _ => format!("{larger}{unit}{smaller}{rest}"),
    };
    match seconds {
        ..-1 => "<invalid>".to_owned(),
        -1 => "0s".to_owned(),
        _ if seconds < 120 => format!("{seconds}s"),
        _ if minutes < 10 => two(minutes, "m", seconds % 60, "s"),
        _ if minutes < 180 => format!("{minutes}m"),
        _ if hours < 8 => two(hours, "h", minutes % 60, "m"),
        _ if hours < 48 => format!("{hours}h"),
        _ if days < 8 => two(days, "d", hours % 24, "h"),
        _ if years < 2 => format!("{days}d"),
        _ if years < 8 => two(years, "y", days % 365, "d"),
        _ => format!("{years}y"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The cases are those of `HumanDuration` in k8s.io/apimachinery, and of its tests.
    #[test]
    fn an_age_is_as_kubectl_prints_it() {
        const MINUTE: i64 = 60;
        const HOUR: i64 = 60 * MINUTE;
        const DAY: i64 = 24 * HOUR;
        const YEAR: i64 = 365 * DAY;
        for (seconds, printed) in [
            (-2, "<invalid>"),
            (-1, "0s"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (3 * MINUTE + 1, "3m1s"),
            (10 * MINUTE + 1, "10m"),
            (179 * MINUTE, "179m"),
            (3 * HOUR + 5, "3h"),
            (7 * HOUR + 59 * MINUTE, "7h59m"),
            (8 * HOUR + 59 * MINUTE, "8h"),
            (47 * HOUR, "47h"),
            (48 * HOUR, "2d"),
            (7 * DAY + 23 * HOUR, "7d23h"),
            (8 * DAY + 23 * HOUR, "8d"),
            (2 * YEAR - HOUR, "729d"),
            (2 * YEAR + HOUR, "2y"),
            (2 * YEAR + 23 * DAY, "2y23d"),
            (8 * YEAR + DAY, "8y"),
        ] {
            assert_eq!(human(SignedDuration::from_secs(seconds)), printed, "{seconds}");
        }
    }
}
