//! Wall-clock times as a Lease stores them: RFC 3339 in UTC with microseconds.
//!
//! The API server stores years that a `jiff::Timestamp` cannot hold (9999-12-31), so the arithmetic is done on civil time.

use elector_election::Timestamp;
use jiff::civil::{DateTime, date};

const EPOCH: DateTime = date(1970, 1, 1).at(0, 0, 0, 0);

/// A time as the API server writes it, such as `2026-11-23T18:00:00.000000Z`.
#[must_use]
pub fn format_timestamp(timestamp: Timestamp) -> String {
    let since_epoch = jiff::SignedDuration::from_micros(timestamp.as_microseconds());
    let civil = EPOCH.checked_add(since_epoch).expect("a Timestamp lies in the years 1 to 9999");
    civil.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

/// Reads a time as the API server writes it; `None` if it is no time.
#[must_use]
pub fn parse_timestamp(text: &str) -> Option<Timestamp> {
    let Some(civil) = text.strip_suffix('Z').and_then(|civil| civil.parse::<DateTime>().ok()) else {
        let with_offset: jiff::Timestamp = text.parse().ok()?;
        return Some(Timestamp::from_microseconds(with_offset.as_microsecond()));
    };
    let microseconds = civil.duration_since(EPOCH).as_micros();
    Some(Timestamp::from_microseconds(i64::try_from(microseconds).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes_to_the_ends_of_the_range() {
        for (microseconds, text) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (-1, "1969-12-31T23:59:59.999999Z"),
            (1_795_456_800_000_001, "2026-11-23T18:00:00.000001Z"),
            (Timestamp::MIN.as_microseconds(), "0001-01-01T00:00:00.000000Z"),
            (Timestamp::MAX.as_microseconds(), "9999-12-31T00:00:00.000000Z"),
        ] {
            let timestamp = Timestamp::from_microseconds(microseconds);
            assert_eq!(format_timestamp(timestamp), text);
            assert_eq!(parse_timestamp(text), Some(timestamp));
        }
    }

    #[test]
    fn brings_times_beyond_the_range_into_it() {
        assert_eq!(parse_timestamp("9999-12-31T23:59:59.999999Z"), Some(Timestamp::MAX));
        assert_eq!(parse_timestamp("0000-01-01T00:00:00.000000Z"), Some(Timestamp::MIN));
    }

    #[test]
    fn reads_other_forms_of_rfc_3339() {
        let eighteen = parse_timestamp("2026-11-23T18:00:00.000000Z");
        for text in ["2026-11-23T18:00:00Z", "2026-11-23T19:00:00+01:00", "2026-11-23T17:00:00.000-01:00"] {
            assert_eq!(parse_timestamp(text), eighteen, "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in ["", "Z", "soon", "2026-13-01T00:00:00Z", "10000-01-01T00:00:00.000000Z", "2026-11-23T18:00:00"] {
            assert_eq!(parse_timestamp(text), None, "{text:?}");
        }
    }
}
