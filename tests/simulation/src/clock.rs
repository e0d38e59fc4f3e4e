//! The clocks of one simulated machine.

use std::time::Duration;

use elector_election::{Moment, Now, Timestamp};

/// True time, in microseconds since the beginning of a history.
pub type Time = u64;

/// A second.
pub const SECOND: Time = 1_000_000;
/// A millisecond.
pub const MILLISECOND: Time = 1_000;

/// True time passes at this rate; a clock at up to a twelfth less or more (ρ = 1/12).
const TRUE_RATE: u64 = 1_200;
const SLOWEST: u64 = 1_100;
const FASTEST: u64 = 1_300;

/// The least time in which the fastest clock counts `duration`.
pub fn shortest(duration: Duration) -> Time {
    micros(duration) * TRUE_RATE / FASTEST
}

/// The most time in which the slowest clock counts `duration`.
pub fn longest(duration: Duration) -> Time {
    (micros(duration) * TRUE_RATE).div_ceil(SLOWEST)
}

/// Of a duration of at most some hours.
pub fn micros(duration: Duration) -> Time {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX / FASTEST)
}

/// Three clocks, each at its own rate, of which one stops while the machine is suspended.
#[derive(Debug, Clone)]
pub(crate) struct Clock {
    boottime_rate: u64,
    monotonic_raw_rate: u64,
    /// By how much the wall clock is off.
    wall: i64,
    suspended: Time,
}

impl Clock {
    pub(crate) fn new(random: &mut fastrand::Rng) -> Clock {
        let rate = |random: &mut fastrand::Rng| match random.u8(..6) {
            0 => SLOWEST,
            1 => FASTEST,
            2 | 3 => TRUE_RATE,
            _ => random.u64(SLOWEST..=FASTEST),
        };
        Clock {
            boottime_rate: rate(random),
            monotonic_raw_rate: rate(random),
            wall: random.i64(0..1 << 50),
            suspended: 0,
        }
    }

    pub(crate) fn at(&self, time: Time) -> Now {
        let moment = Moment {
            boottime: Duration::from_micros(time * self.boottime_rate / TRUE_RATE),
            monotonic_raw: Duration::from_micros((time - self.suspended) * self.monotonic_raw_rate / TRUE_RATE),
        };
        let wall = self.wall.saturating_add(i64::try_from(time).unwrap_or(i64::MAX));
        Now { moment, wall: Timestamp::from_microseconds(wall) }
    }

    /// When `CLOCK_BOOTTIME` shows `boottime`.
    pub(crate) fn when(&self, boottime: Duration) -> Time {
        (micros(boottime) * TRUE_RATE).div_ceil(self.boottime_rate)
    }

    /// How long a timer on `CLOCK_BOOTTIME` that is set to `wait` takes.
    pub(crate) fn takes(&self, wait: Duration) -> Time {
        (micros(wait) * TRUE_RATE).div_ceil(self.boottime_rate)
    }

    pub(crate) fn jump(&mut self, by: i64) {
        self.wall = self.wall.saturating_add(by);
    }

    pub(crate) fn suspend(&mut self, lasting: Time) {
        self.suspended += lasting;
    }
}
