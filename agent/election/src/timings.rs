//! The four durations of an election, and the inequality that they must satisfy.

use std::fmt;
use std::time::Duration;

/// The longest lease duration that is accepted, and the most that any duration seen in a Lease counts for, in seconds.
pub const MAX_LEASE_DURATION_SECONDS: u32 = 3600;

/// Whoever waits for one request sends no other.
const MAX_REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// A set of timings that keeps two leaders apart. One that exists is valid.
///
/// With D the lease duration, H the renew deadline, clocks whose rates lie within 1 ± ρ, `a` the
/// time that a reader of the status file needs to act and `w` the time that its retraction takes, no standby can
/// take over while a reader still believes in the last leader if
///
/// > D ≥ (1 + ρ) · (H / (1 − ρ) + a + w)
///
/// With ρ = 1/12 and a + w = 1 s + release delay that is, in whole seconds,
/// `132·D ≥ 156·H + 143·(1 + release delay)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Timings {
    lease_duration_seconds: u32,
    renew_deadline_seconds: u32,
    retry_period_seconds: u32,
    release_delay_seconds: u32,
}

impl Timings {
    /// 15 s, 10 s, 2 s and no release delay: the defaults of client-go and of the `LeaderElection` API.
    pub const DEFAULT: Timings = Timings {
        lease_duration_seconds: 15,
        renew_deadline_seconds: 10,
        retry_period_seconds: 2,
        release_delay_seconds: 0,
    };

    /// Checks the four values, in seconds.
    ///
    /// # Errors
    /// The first rule that is broken, in the words that the API server uses for a `LeaderElection`.
    pub fn new(
        lease_duration_seconds: i64,
        renew_deadline_seconds: i64,
        retry_period_seconds: i64,
        release_delay_seconds: i64,
    ) -> Result<Timings, InvalidTimings> {
        let at_most = i64::from(MAX_LEASE_DURATION_SECONDS);
        for (field, value, minimum) in [
            (Field::LeaseDuration, lease_duration_seconds, 1),
            (Field::RenewDeadline, renew_deadline_seconds, 1),
            (Field::RetryPeriod, retry_period_seconds, 1),
            (Field::ReleaseDelay, release_delay_seconds, 0),
        ] {
            if value < minimum {
                return Err(InvalidTimings::TooSmall { field, value, minimum });
            }
            if value > at_most {
                return Err(InvalidTimings::TooLarge { field, value, maximum: at_most });
            }
        }
        // The smallest renew deadline is 2: twice a retry period of 1.
        let reading = 143 * (1 + release_delay_seconds);
        if 132 * lease_duration_seconds < 156 * 2 + reading {
            return Err(InvalidTimings::NoRoom {
                lease_duration_seconds,
                release_delay_seconds,
                minimum: (156 * 2 + reading + 131) / 132,
            });
        }
        if 132 * lease_duration_seconds < 156 * renew_deadline_seconds + reading {
            return Err(InvalidTimings::RenewDeadline {
                renew_deadline_seconds,
                lease_duration_seconds,
                maximum: (132 * lease_duration_seconds - reading) / 156,
            });
        }
        if renew_deadline_seconds < 2 * retry_period_seconds {
            return Err(InvalidTimings::RetryPeriod { retry_period_seconds, renew_deadline_seconds });
        }
        // All four lie in 0..=3600 by now.
        Ok(Timings {
            lease_duration_seconds: lease_duration_seconds as u32,
            renew_deadline_seconds: renew_deadline_seconds as u32,
            retry_period_seconds: retry_period_seconds as u32,
            release_delay_seconds: release_delay_seconds as u32,
        })
    }

    /// D, in whole seconds as a Lease stores it.
    #[must_use]
    pub fn lease_duration_seconds(&self) -> u32 {
        self.lease_duration_seconds
    }

    /// H, in whole seconds.
    #[must_use]
    pub fn renew_deadline_seconds(&self) -> u32 {
        self.renew_deadline_seconds
    }

    /// R, in whole seconds.
    #[must_use]
    pub fn retry_period_seconds(&self) -> u32 {
        self.retry_period_seconds
    }

    /// The wait between retraction and release, in whole seconds.
    #[must_use]
    pub fn release_delay_seconds(&self) -> u32 {
        self.release_delay_seconds
    }

    /// D: how long a standby waits after the record last changed.
    #[must_use]
    pub fn lease_duration(&self) -> Duration {
        Duration::from_secs(self.lease_duration_seconds.into())
    }

    /// H: how long a leader may act after a write that was stored had left.
    #[must_use]
    pub fn renew_deadline(&self) -> Duration {
        Duration::from_secs(self.renew_deadline_seconds.into())
    }

    /// R: the time between two attempts.
    #[must_use]
    pub fn retry_period(&self) -> Duration {
        Duration::from_secs(self.retry_period_seconds.into())
    }

    /// How long a leader that was told to stop waits after retraction before it releases (rule R1).
    #[must_use]
    pub fn release_delay(&self) -> Duration {
        Duration::from_secs(self.release_delay_seconds.into())
    }

    /// How long a request may take: (H − R) / 2, so that after one that hangs there is time for another, and 10 s at most.
    #[must_use]
    pub fn request_timeout(&self) -> Duration {
        ((self.renew_deadline() - self.retry_period()) / 2).min(MAX_REQUEST_TIMEOUT)
    }
}

impl Default for Timings {
    fn default() -> Self {
        Timings::DEFAULT
    }
}

/// One of the four values, named as in the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Field {
    /// D.
    LeaseDuration,
    /// H.
    RenewDeadline,
    /// R.
    RetryPeriod,
    /// Between retraction and release.
    ReleaseDelay,
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Field::LeaseDuration => "leaseDurationSeconds",
            Field::RenewDeadline => "renewDeadlineSeconds",
            Field::RetryPeriod => "retryPeriodSeconds",
            Field::ReleaseDelay => "releaseDelaySeconds",
        })
    }
}

/// Why four values are no [`Timings`]. `Display` says what is wrong and what would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum InvalidTimings {
    /// Below the field's own minimum.
    TooSmall {
        /// Which value.
        field: Field,
        /// What it is.
        value: i64,
        /// What it must at least be.
        minimum: i64,
    },
    /// Above the field's own maximum.
    TooLarge {
        /// Which value.
        field: Field,
        /// What it is.
        value: i64,
        /// What it can at most be.
        maximum: i64,
    },
    /// No renew deadline fits into the lease duration.
    NoRoom {
        /// D.
        lease_duration_seconds: i64,
        /// The release delay that must fit in as well.
        release_delay_seconds: i64,
        /// The smallest D that would do.
        minimum: i64,
    },
    /// The renew deadline leaves too little of the lease duration.
    RenewDeadline {
        /// H.
        renew_deadline_seconds: i64,
        /// D.
        lease_duration_seconds: i64,
        /// The largest H that would do.
        maximum: i64,
    },
    /// Less than two attempts fit into the renew deadline.
    RetryPeriod {
        /// R.
        retry_period_seconds: i64,
        /// H.
        renew_deadline_seconds: i64,
    },
}

impl fmt::Display for InvalidTimings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            InvalidTimings::TooSmall { field, value, minimum } => {
                write!(f, "{field} is {value}; it must be {minimum} at least")
            }
            InvalidTimings::TooLarge { field, value, maximum } => {
                write!(f, "{field} is {value}; it can be {maximum} at most")
            }
            InvalidTimings::NoRoom { lease_duration_seconds, release_delay_seconds, minimum } => write!(
                f,
                "leaseDurationSeconds is {lease_duration_seconds}; with releaseDelaySeconds \
                 {release_delay_seconds} it must be {minimum} at least"
            ),
            InvalidTimings::RenewDeadline { renew_deadline_seconds, lease_duration_seconds, maximum } => write!(
                f,
                "renewDeadlineSeconds is {renew_deadline_seconds}; with leaseDurationSeconds \
                 {lease_duration_seconds} it can be {maximum} at most"
            ),
            InvalidTimings::RetryPeriod { retry_period_seconds, renew_deadline_seconds } => write!(
                f,
                "retryPeriodSeconds is {retry_period_seconds}; with renewDeadlineSeconds \
                 {renew_deadline_seconds} it can be {} at most",
                renew_deadline_seconds / 2
            ),
        }
    }
}

impl std::error::Error for InvalidTimings {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_what_the_inequality_accepts() {
        for (lease_duration, renew_deadline, retry_period) in [(15, 10, 2), (5, 3, 1), (137, 107, 26)] {
            assert!(Timings::new(lease_duration, renew_deadline, retry_period, 0).is_ok());
        }
        assert_eq!(Timings::new(15, 10, 2, 0), Ok(Timings::DEFAULT));
    }

    #[test]
    fn says_what_it_was_given_and_what_is_wrong() {
        let timings = Timings::new(40, 30, 5, 3).unwrap_or_default();
        assert_eq!((timings.lease_duration_seconds(), timings.renew_deadline_seconds()), (40, 30));
        assert_eq!((timings.retry_period_seconds(), timings.release_delay_seconds()), (5, 3));
        assert_eq!(Field::RetryPeriod.to_string(), "retryPeriodSeconds");
        let refused = |invalid: Result<Timings, InvalidTimings>| invalid.err().map(|invalid| invalid.to_string());
        let said = refused(Timings::new(15, 12, 2, 0)).unwrap_or_default();
        assert_eq!(said, "renewDeadlineSeconds is 12; with leaseDurationSeconds 15 it can be 11 at most");
    }

    #[test]
    fn the_largest_renew_deadline_that_the_message_names_is_accepted_and_one_more_is_not() {
        for lease_duration in 4..=3600 {
            for release_delay in [0, 1, 7] {
                let Err(InvalidTimings::RenewDeadline { maximum, .. }) =
                    Timings::new(lease_duration, 3600, 1, release_delay)
                else {
                    continue;
                };
                assert!(Timings::new(lease_duration, maximum, 1, release_delay).is_ok());
                assert!(Timings::new(lease_duration, maximum + 1, 1, release_delay).is_err());
            }
        }
    }

    #[test]
    fn the_whole_second_form_implies_the_inequality() {
        let rho = 1.0 / 12.0;
        for lease_duration in 1..200 {
            for renew_deadline in 2..lease_duration {
                for release_delay in 0..5 {
                    if Timings::new(lease_duration, renew_deadline, 1, release_delay).is_ok() {
                        let (d, h, aw) = (lease_duration as f64, renew_deadline as f64, 1.0 + release_delay as f64);
                        assert!(d + 1e-9 >= (1.0 + rho) * (h / (1.0 - rho) + aw));
                    }
                }
            }
        }
    }

    #[test]
    fn two_requests_that_hang_fit_between_a_renewal_and_its_deadline() {
        let timings = Timings::DEFAULT;
        assert_eq!(timings.request_timeout(), Duration::from_secs(4));
        assert!(timings.retry_period() + 2 * timings.request_timeout() <= timings.renew_deadline());
    }
}
