//! Readings of clocks, taken by the caller: this crate never looks at a clock itself.

use std::time::Duration;

/// One reading of all clocks, taken together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Now {
    /// The clocks that the election decides by.
    pub moment: Moment,
    /// The wall clock: written to the Lease for people to read, and never compared with anything.
    pub wall: Timestamp,
}

/// A point in time on two clocks of one machine since its boot.
///
/// `CLOCK_BOOTTIME` counts suspend and is slewed by NTP; `CLOCK_MONOTONIC_RAW` is never slewed and stops in
/// suspend. Each caller takes the difference that is safe for it, so that one clock gone wrong
/// costs time, never safety.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Moment {
    /// A reading of `CLOCK_BOOTTIME`.
    pub boottime: Duration,
    /// A reading of `CLOCK_MONOTONIC_RAW`.
    pub monotonic_raw: Duration,
}

impl Moment {
    /// The most that can have passed since `earlier`: what a leader must assume.
    #[must_use]
    pub fn longest_since(&self, earlier: Moment) -> Duration {
        let (boottime, monotonic_raw) = self.since(earlier);
        boottime.max(monotonic_raw)
    }

    /// The least that can have passed since `earlier`: what a standby may assume.
    #[must_use]
    pub fn shortest_since(&self, earlier: Moment) -> Duration {
        let (boottime, monotonic_raw) = self.since(earlier);
        boottime.min(monotonic_raw)
    }

    fn since(&self, earlier: Moment) -> (Duration, Duration) {
        (self.boottime.saturating_sub(earlier.boottime), self.monotonic_raw.saturating_sub(earlier.monotonic_raw))
    }
}

/// A time during which a leader may act: from just before a write left, for the renew deadline of that write (rule L1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Validity {
    /// `t0`: the time just before the write that earned this validity left.
    pub since: Moment,
    /// The renew deadline of the write that earned this validity.
    pub lasting: Duration,
}

impl Validity {
    /// The time that is left, zero once the validity has passed on either clock.
    #[must_use]
    pub fn remaining(&self, now: Moment) -> Duration {
        self.lasting.saturating_sub(now.longest_since(self.since))
    }

    /// Whether the validity has passed, so that the leader must not act any more.
    #[must_use]
    pub fn has_expired(&self, now: Moment) -> bool {
        self.remaining(now).is_zero()
    }

    /// The end of the validity on `CLOCK_BOOTTIME`, for readers that look at that clock alone.
    #[must_use]
    pub fn until_boottime(&self) -> Duration {
        self.since.boottime.saturating_add(self.lasting)
    }
}

/// A wall-clock time as a Lease stores it: microseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The earliest time that a Lease can hold, 0001-01-01T00:00:00Z.
    pub const MIN: Timestamp = Timestamp(-62_135_596_800_000_000);
    /// The latest time that is used, 9999-12-31T00:00:00Z: a day before the latest that a Lease can hold, as room to
    /// count up.
    pub const MAX: Timestamp = Timestamp(253_402_214_400_000_000);

    /// The time that is `microseconds` after 1970, brought into the range that a Lease can hold.
    #[must_use]
    pub fn from_microseconds(microseconds: i64) -> Timestamp {
        Timestamp(microseconds.clamp(Timestamp::MIN.0, Timestamp::MAX.0))
    }

    /// The time as microseconds since 1970.
    #[must_use]
    pub fn as_microseconds(self) -> i64 {
        self.0
    }

    /// The next time that a Lease can tell from this one.
    #[must_use]
    pub fn next(self) -> Timestamp {
        Timestamp(self.0.saturating_add(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(boottime: u64, monotonic_raw: u64) -> Moment {
        Moment { boottime: Duration::from_secs(boottime), monotonic_raw: Duration::from_secs(monotonic_raw) }
    }

    #[test]
    fn a_leader_takes_the_larger_difference_and_a_standby_the_smaller() {
        let (earlier, later) = (moment(100, 50), moment(130, 60));
        assert_eq!(later.longest_since(earlier), Duration::from_secs(30));
        assert_eq!(later.shortest_since(earlier), Duration::from_secs(10));
    }

    #[test]
    fn a_clock_that_went_backwards_counts_as_nothing_passed() {
        let (earlier, later) = (moment(100, 50), moment(90, 57));
        assert_eq!(later.longest_since(earlier), Duration::from_secs(7));
        assert_eq!(later.shortest_since(earlier), Duration::ZERO);
    }

    #[test]
    fn validity_ends_on_the_faster_clock() {
        let validity = Validity { since: moment(0, 0), lasting: Duration::from_secs(10) };
        assert_eq!(validity.remaining(moment(3, 4)), Duration::from_secs(6));
        assert!(validity.has_expired(moment(3, 10)));
        assert!(validity.has_expired(moment(10, 0)));
        let later = Validity { since: moment(7, 4), lasting: Duration::from_secs(10) };
        assert_eq!(later.until_boottime(), Duration::from_secs(17));
    }
}
