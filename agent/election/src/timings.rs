//! The four durations of an election, and the inequality that they must satisfy.

use std::fmt;
use std::time::Duration;

/// The longest lease duration that is accepted, and the most that any duration seen in a Lease counts for, in seconds.
pub const MAX_LEASE_DURATION_SECONDS: u32 = 3600;

/// The longest time that any request may take: a candidate that waits for one request sends no other.
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
    /// The defaults of client-go and of the `LeaderElection` API: 15 s, 10 s, 2 s and no release delay.
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

    /// D, the lease duration, in whole seconds as a Lease stores it.
    #[must_use]
    pub fn lease_duration_seconds(&self) -> u32 {
        self.lease_duration_seconds
    }

    /// H, the renew deadline, in whole seconds.
    #[must_use]
    pub fn renew_deadline_seconds(&self) -> u32 {
        self.renew_deadline_seconds
    }

    /// R, the retry period, in whole seconds.
    #[must_use]
    pub fn retry_period_seconds(&self) -> u32 {
        self.retry_period_seconds
    }

    /// The wait between retraction and release, in whole seconds.
    #[must_use]
    pub fn release_delay_seconds(&self) -> u32 {
        self.release_delay_seconds
    }

    /// D, the lease duration: how long a standby waits after the record last changed.
    #[must_use]
    pub fn lease_duration(&self) -> Duration {
        Duration::from_secs(self.lease_duration_seconds.into())
    }

    /// H, the renew deadline: how long a leader may act after a stored write had left.
    #[must_use]
    pub fn renew_deadline(&self) -> Duration {
        Duration::from_secs(self.renew_deadline_seconds.into())
    }

    /// R, the retry period: the time between two attempts.
    #[must_use]
    pub fn retry_period(&self) -> Duration {
        Duration::from_secs(self.retry_period_seconds.into())
    }

    /// The release delay: how long a leader that was told to stop waits between retraction and release (rule R1).
    #[must_use]
    pub fn release_delay(&self) -> Duration {
        Duration::from_secs(self.release_delay_seconds.into())
    }

    /// How long a request may take: (H − R) / 2, so that time for another is left after one that hangs, and 10 s at
    /// most.
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
    /// D, the lease duration.
    LeaseDuration,
    /// H, the renew deadline.
    RenewDeadline,
    /// R, the retry period.
    RetryPeriod,
    /// The release delay, between retraction and release.
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

/// Why four values are no valid [`Timings`]. `Display` says what is wrong and which value would be valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum InvalidTimings {
    /// A value is below its own minimum.
    TooSmall {
        /// Which of the four values it is.
        field: Field,
        /// The value that was given for `field`, in seconds.
        value: i64,
        /// The smallest value that `field` can have, in seconds.
        minimum: i64,
    },
    /// A value is above its own maximum.
    TooLarge {
        /// Which of the four values it is.
        field: Field,
        /// The value that was given for `field`, in seconds.
        value: i64,
        /// The largest value that `field` can have, in seconds.
        maximum: i64,
    },
    /// No renew deadline fits into the lease duration.
    NoRoom {
        /// D, the lease duration.
        lease_duration_seconds: i64,
        /// The release delay, which must fit into the lease duration as well.
        release_delay_seconds: i64,
        /// The smallest valid lease duration.
        minimum: i64,
    },
    /// The renew deadline leaves too little of the lease duration.
    RenewDeadline {
        /// H, the renew deadline.
        renew_deadline_seconds: i64,
        /// D, the lease duration.
        lease_duration_seconds: i64,
        /// The largest valid renew deadline.
        maximum: i64,
    },
    /// Fewer than two attempts fit into the renew deadline.
    RetryPeriod {
        /// R, the retry period.
        retry_period_seconds: i64,
        /// H, the renew deadline.
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
