//! The arguments for timings, which the agent and the operator share.

use clap::Args;
use elector_election::{InvalidTimings, Timings};

/// The arguments for the timings of an election. Timings that stand on its Lease replace them.
#[derive(Debug, Clone, Args)]
pub struct TimingOptions {
    /// Seconds that standbys wait for a silent leader, if the Lease has no timings
    #[arg(
        long,
        env = "LEASE_DURATION_SECONDS",
        value_name = "SECONDS",
        default_value_t = 15,
        allow_negative_numbers = true,
        value_parser = seconds
    )]
    lease_duration_seconds: i64,
    /// Seconds that a leader acts on after its last renewal left, if the Lease has no timings
    #[arg(
        long,
        env = "RENEW_DEADLINE_SECONDS",
        value_name = "SECONDS",
        default_value_t = 10,
        allow_negative_numbers = true,
        value_parser = seconds
    )]
    renew_deadline_seconds: i64,
    /// Seconds between two renewals, and after a failure until the next attempt, if the Lease has no timings
    #[arg(
        long,
        env = "RETRY_PERIOD_SECONDS",
        value_name = "SECONDS",
        default_value_t = 2,
        allow_negative_numbers = true,
        value_parser = seconds
    )]
    retry_period_seconds: i64,
}

impl TimingOptions {
    /// The timings, with this release delay.
    ///
    /// # Errors
    /// The first rule that they break.
    pub fn timings(&self, release_delay_seconds: i64) -> Result<Timings, InvalidTimings> {
        let TimingOptions { lease_duration_seconds, renew_deadline_seconds, retry_period_seconds } = *self;
        Timings::new(lease_duration_seconds, renew_deadline_seconds, retry_period_seconds, release_delay_seconds)
    }
}

/// Parses a number of seconds. [`Timings`] checks its range, together with the other numbers.
///
/// # Errors
/// When `value` is no whole number.
pub fn seconds(value: &str) -> Result<i64, String> {
    value.trim().parse().map_err(|_| "a number of whole seconds is needed, such as 15".to_owned())
}
