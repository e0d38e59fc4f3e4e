//! `leader_status.json`: the tenure as its holder knows it.

use std::fs;
use std::io::{self, Read as _};
use std::path::Path;
use std::time::Duration;

use elector_crds::{format_timestamp, parse_timestamp};
use elector_election::{Now, Predecessor, Tenure, Timestamp};
use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use super::Author;
use super::folder::open_to_read;

/// In bytes: no report is longer.
const MAX_REPORT_BYTES: u64 = 64 * 1024;

/// What the file says. Times named `…Boottime…` are of `CLOCK_BOOTTIME` since the boot that `boot_id` names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// `holderIdentity` in the Lease.
    pub identity: String,
    /// Of the Lease.
    pub namespace: String,
    /// Name of the Lease.
    pub lease: String,
    /// Of the Lease.
    pub uid: String,
    /// `leaseTransitions` of the tenure.
    pub transitions: u32,
    /// Grows from tenure to tenure. Pass it along with every write, and refuse a lower one than was seen.
    pub fencing_token: u64,
    /// The kernel's, so that what an earlier boot left behind is not believed.
    pub boot_id: String,
    /// The nonce of the electing process.
    pub start: String,
    /// `acquireTime` in the Lease, RFC 3339.
    pub acquired_at: String,
    /// The holder may not act any more once this has come, in nanoseconds.
    pub valid_until_boottime_ns: u64,
    /// The same by the wall clock at the time of writing, RFC 3339: for people.
    pub valid_until: String,
}

impl Report {
    pub(super) fn new(author: &Author, boot_id: &str, tenure: &Tenure, now: Now) -> Report {
        let remaining = i64::try_from(tenure.validity.remaining(now.moment).as_micros()).unwrap_or(i64::MAX);
        let valid_until = Timestamp::from_microseconds(now.wall.as_microseconds().saturating_add(remaining));
        Report {
            identity: author.identity.clone(),
            namespace: author.namespace.clone(),
            lease: author.lease.clone(),
            uid: tenure.uid.clone(),
            transitions: tenure.transitions,
            fencing_token: tenure.fencing_token.0,
            boot_id: boot_id.to_owned(),
            start: author.start.clone(),
            acquired_at: format_timestamp(tenure.acquire_time),
            valid_until_boottime_ns: nanoseconds(tenure.validity.until_boottime()),
            valid_until: format_timestamp(valid_until),
        }
    }

    /// Fails with `NotFound` if there is none, with `InvalidData` if what is there is no report.
    pub(super) fn read(path: &Path) -> io::Result<Report> {
        let file = open_to_read(path)?;
        let mut text = Vec::new();
        file.take(MAX_REPORT_BYTES).read_to_end(&mut text)?;
        Ok(serde_json::from_slice(&text)?)
    }

    pub(super) fn to_json(&self) -> io::Result<Vec<u8>> {
        let mut json = serde_json::to_vec(self)?;
        json.push(b'\n');
        Ok(json)
    }

    /// For how long its writer may lead if it is never renewed, as far as the running kernel's clock tells.
    pub(super) fn remaining(&self) -> io::Result<Duration> {
        Ok(Duration::from_nanos(self.valid_until_boottime_ns).saturating_sub(boottime()?))
    }

    /// Whether nobody leads by it any more.
    pub(super) fn is_over(&self) -> io::Result<bool> {
        Ok(self.boot_id != boot_id()? || self.remaining()?.is_zero())
    }

    /// The tenure that the report speaks of, if it was written in this boot.
    pub(super) fn predecessor(self, boot_id: &str) -> Option<Predecessor> {
        (self.boot_id == boot_id).then_some(())?;
        Some(Predecessor {
            acquire_time: parse_timestamp(&self.acquired_at)?,
            uid: self.uid,
            identity: self.identity,
            start: self.start,
            transitions: self.transitions,
        })
    }
}

/// The running kernel's identity, new at each boot.
///
/// # Errors
/// If `/proc` is not mounted.
pub fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

pub(super) fn boottime() -> io::Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_BOOTTIME)?.into())
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
