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

/// The longest report, in bytes.
const MAX_REPORT_BYTES: u64 = 64 * 1024;

/// The content of `leader_status.json`. Times named `…Boottime…` are on `CLOCK_BOOTTIME`, since the boot that `boot_id`
/// names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The identity of the holder (`holderIdentity` in the Lease).
    pub identity: String,
    /// The namespace of the Lease.
    pub namespace: String,
    /// The name of the Lease.
    pub lease: String,
    /// The uid of the Lease.
    pub uid: String,
    /// The number of the tenure (`leaseTransitions` in the Lease).
    pub transitions: u32,
    /// A number that grows from tenure to tenure. Send it with every write to a store, and have the store refuse a
    /// lower number than it has seen.
    pub fencing_token: u64,
    /// The boot id of the kernel: a report that an earlier boot left behind is not believed.
    pub boot_id: String,
    /// The nonce of the electing process.
    pub start: String,
    /// The beginning of the tenure, RFC 3339 (`acquireTime` in the Lease).
    pub acquired_at: String,
    /// The time from which the holder may not act any more, in nanoseconds on `CLOCK_BOOTTIME`.
    pub valid_until_boottime_ns: u64,
    /// The same time by the wall clock when the report was written, RFC 3339. It is for people.
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

    /// Reads the report at `path`. Fails with `NotFound` if there is none, and with `InvalidData` if the file is no
    /// report.
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

    /// For how long the writer may lead if the tenure is never renewed, by the running kernel's clock.
    pub(super) fn remaining(&self) -> io::Result<Duration> {
        Ok(Duration::from_nanos(self.valid_until_boottime_ns).saturating_sub(boottime()?))
    }

    /// Whether the time of the report has passed.
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
