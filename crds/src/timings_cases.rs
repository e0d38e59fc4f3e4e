//! Cases of valid and invalid timings with their messages: the one table by which CEL, the agent's settings and the API
//! server are tested.

/// Four values, and the message that refuses them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimingsCase {
    /// The value of `leaseDurationSeconds`.
    pub lease_duration: i64,
    /// The value of `renewDeadlineSeconds`.
    pub renew_deadline: i64,
    /// The value of `retryPeriodSeconds`.
    pub retry_period: i64,
    /// The value of `releaseDelaySeconds`.
    pub release_delay: i64,
    /// The whole message of the refusal; `None` if the values are valid.
    pub refusal: Option<&'static str>,
}

/// All cases of valid and invalid timings.
pub const TIMINGS_CASES: &[TimingsCase] = &[
    accepted(15, 10, 2, 0),
    accepted(5, 3, 1, 0),
    accepted(137, 107, 26, 0),
    accepted(60, 40, 5, 0),
    accepted(3600, 3045, 1522, 0),
    accepted(4, 2, 1, 0),
    accepted(15, 11, 5, 0),
    accepted(15, 9, 2, 2),
    accepted(3600, 2, 1, 3319),
    refused(15, 12, 2, 0, "renewDeadlineSeconds is 12; with leaseDurationSeconds 15 it can be 11 at most"),
    refused(5, 3, 2, 0, "retryPeriodSeconds is 2; with renewDeadlineSeconds 3 it can be 1 at most"),
    refused(5, 4, 1, 0, "renewDeadlineSeconds is 4; with leaseDurationSeconds 5 it can be 3 at most"),
    refused(15, 11, 2, 2, "renewDeadlineSeconds is 11; with leaseDurationSeconds 15 it can be 9 at most"),
    refused(15, 10, 6, 0, "retryPeriodSeconds is 6; with renewDeadlineSeconds 10 it can be 5 at most"),
    refused(15, 1, 1, 0, "retryPeriodSeconds is 1; with renewDeadlineSeconds 1 it can be 0 at most"),
    refused(15, 3600, 1, 0, "renewDeadlineSeconds is 3600; with leaseDurationSeconds 15 it can be 11 at most"),
    refused(3, 2, 1, 0, "leaseDurationSeconds is 3; with releaseDelaySeconds 0 it must be 4 at least"),
    refused(15, 10, 2, 12, "leaseDurationSeconds is 15; with releaseDelaySeconds 12 it must be 17 at least"),
    refused(3600, 2, 1, 3320, "leaseDurationSeconds is 3600; with releaseDelaySeconds 3320 it must be 3601 at least"),
    refused(0, 10, 2, 0, "leaseDurationSeconds is 0; it must be 1 at least"),
    refused(-1, 10, 2, 0, "leaseDurationSeconds is -1; it must be 1 at least"),
    refused(3601, 10, 2, 0, "leaseDurationSeconds is 3601; it can be 3600 at most"),
    refused(2_147_483_647, 10, 2, 0, "leaseDurationSeconds is 2147483647; it can be 3600 at most"),
    refused(15, 0, 2, 0, "renewDeadlineSeconds is 0; it must be 1 at least"),
    refused(15, 3601, 2, 0, "renewDeadlineSeconds is 3601; it can be 3600 at most"),
    refused(15, 10, 0, 0, "retryPeriodSeconds is 0; it must be 1 at least"),
    refused(15, 10, 3601, 0, "retryPeriodSeconds is 3601; it can be 3600 at most"),
    refused(15, 10, 2, -1, "releaseDelaySeconds is -1; it must be 0 at least"),
    refused(15, 10, 2, 3601, "releaseDelaySeconds is 3601; it can be 3600 at most"),
    // Several faults: the first one only.
    refused(0, 0, 0, -1, "leaseDurationSeconds is 0; it must be 1 at least"),
    refused(3601, 0, 0, 0, "leaseDurationSeconds is 3601; it can be 3600 at most"),
    refused(15, 3601, 0, 0, "renewDeadlineSeconds is 3601; it can be 3600 at most"),
    refused(3, 12, 12, 0, "leaseDurationSeconds is 3; with releaseDelaySeconds 0 it must be 4 at least"),
    refused(15, 12, 12, 0, "renewDeadlineSeconds is 12; with leaseDurationSeconds 15 it can be 11 at most"),
];

const fn accepted(lease_duration: i64, renew_deadline: i64, retry_period: i64, release_delay: i64) -> TimingsCase {
    TimingsCase { lease_duration, renew_deadline, retry_period, release_delay, refusal: None }
}

const fn refused(
    lease_duration: i64,
    renew_deadline: i64,
    retry_period: i64,
    release_delay: i64,
    refusal: &'static str,
) -> TimingsCase {
    TimingsCase { lease_duration, renew_deadline, retry_period, release_delay, refusal: Some(refusal) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use elector_election::Timings;

    #[test]
    fn timings_obey_the_table() {
        for case in TIMINGS_CASES {
            let timings = Timings::new(case.lease_duration, case.renew_deadline, case.retry_period, case.release_delay);
            let refusal = timings.err().map(|invalid| invalid.to_string());
            assert_eq!(refusal.as_deref(), case.refusal, "{case:?}");
        }
    }
}
