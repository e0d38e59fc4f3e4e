//! A Lease as the election sees it: one version of the object, reduced to what the election decides on.

use crate::time::Timestamp;
use crate::timings::{MAX_LEASE_DURATION_SECONDS, Timings};

/// The transitions after which counting starts again at 1: the largest that a Lease can hold.
pub const MAX_TRANSITIONS: u32 = i32::MAX as u32;

/// The holder of a Lease that was created because there was none, by an agent or by the operator: the last holder may
/// still believe that it leads. A candidate that calls itself this is told apart by the rest of the record.
pub const UNKNOWN_HOLDER: &str = "unknown";

/// The version of a stored object. Versions of Leases are ordered, across objects too: the API server hands out the store's revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceVersion(pub u64);

/// One stored version of the Lease.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Lease {
    /// The version of the object.
    pub resource_version: ResourceVersion,
    /// Who holds it, and since when.
    pub record: Record,
    /// How long the holder asked others to wait, in seconds; 0 if the Lease holds no usable value.
    pub lease_duration_seconds: u32,
    /// The timings that the operator asks for; `None` if there is no valid set.
    pub timings: Option<Timings>,
    /// Whether the operator said, when it created the Lease, that no candidate can have held this election before.
    pub never_held: bool,
    /// The wait that the operator asks of every candidate, in seconds, as long as no agent has written this Lease. It
    /// is the longest possible until the operator has confirmed that the Lease is up to date (rule O2).
    pub least_wait_seconds: u32,
    /// What the operator would like to happen (rule F4).
    pub hints: Hints,
    /// The mark that an agent of ours wrote beside the record.
    pub agent: Option<AgentMark>,
}

/// What the operator would like to happen. Each hint only delays a takeover or ends a tenure, and ignoring it is safe
/// (rule F4).
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Hints {
    /// Whether no candidate should lead.
    pub paused: bool,
    /// The transitions of a tenure that should end, so that another candidate than its holder begins the next.
    pub end_tenure: Option<u32>,
    /// The identity that should begin the next tenure; the other candidates leave it some time to do so.
    pub successor: Option<String>,
}

/// The part of a Lease whose change is a sign of life (rule F1).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Record {
    /// The uid of the Lease: a Lease that is deleted and created again is another one.
    pub uid: String,
    /// The holder's identity; empty if the record names no holder.
    pub holder: String,
    /// The time at which the tenure began, by the holder's wall clock.
    pub acquire_time: Option<Timestamp>,
    /// The time of the last renewal, by the holder's wall clock.
    pub renew_time: Option<Timestamp>,
    /// How many tenures there have been.
    pub transitions: u32,
}

/// What an agent writes beside the record: which process wrote it, and whether the tenure was given up.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AgentMark {
    /// The nonce of the process that wrote the record: it tells apart two processes of one identity.
    pub start: String,
    /// The transitions of the tenure that the mark speaks of. If the record has another number, another candidate has
    /// held the Lease since.
    pub transitions: u32,
    /// The mark of the release, if the holder has released that tenure.
    pub release: Option<ReleaseMark>,
}

/// Proof that an empty holder means *released*: it matches only the very record that the release wrote.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ReleaseMark {
    /// The uid of the Lease.
    pub uid: String,
    /// The transitions of the tenure that ended.
    pub transitions: u32,
    /// The renewTime of the releasing write.
    pub renew_time: Timestamp,
}

impl ReleaseMark {
    /// Whether this mark was written with `record`.
    #[must_use]
    pub fn is_of(&self, record: &Record) -> bool {
        self.uid == record.uid && self.transitions == record.transitions && Some(self.renew_time) == record.renew_time
    }
}

impl Lease {
    /// Whether the holder has released this Lease in the way of our agents.
    pub(crate) fn is_released_by_agent(&self) -> bool {
        let Some(release) = self.agent.as_ref().and_then(|agent| agent.release.as_ref()) else {
            return false;
        };
        self.looks_released() && release.is_of(&self.record)
    }

    /// Whether the Lease looks released: an empty holder and a duration of one second, as client-go's releases also
    /// have.
    pub(crate) fn looks_released(&self) -> bool {
        self.record.holder.is_empty() && self.lease_duration_seconds == 1
    }

    /// Whether an agent of ours wrote the tenure that the record shows.
    pub(crate) fn is_written_by_agent(&self) -> bool {
        self.agent.as_ref().is_some_and(|agent| agent.transitions >= self.record.transitions)
    }

    /// Whether an agent began a tenure since `last`. A record that was edited proves no new holder that has waited, so
    /// only an agent's mark counts.
    #[must_use]
    pub fn begins_tenure_after(&self, last: &Lease) -> bool {
        let begun_by_agent = self.agent != last.agent
            && self.agent.as_ref().is_some_and(|agent| agent.transitions == self.record.transitions);
        self.record.uid == last.record.uid
            && !self.record.holder.is_empty()
            && begun_by_agent
            && self.record.transitions > last.record.transitions
    }

    /// How long every candidate that finds this Lease waits at least, in seconds, whatever it has seen before.
    #[must_use]
    pub fn least_wait_seconds(&self) -> u32 {
        if self.agent.is_none() { self.least_wait_seconds } else { 0 }
    }

    /// Whether the Lease says that its last holder gave it up, for reports only. As in rule F3, except that a Lease
    /// which no agent of ours held last needs no mark.
    #[must_use]
    pub fn tells_of_release(&self) -> bool {
        self.looks_released() && (!self.is_written_by_agent() || self.is_released_by_agent())
    }

    /// Whether the Lease shows no tenure. The time at which one began may be left of a candidate that counts no tenures
    /// and takes its renewals back.
    #[must_use]
    pub fn is_blank(&self) -> bool {
        self.record.holder.is_empty()
            && self.record.renew_time.is_none()
            && self.record.transitions == 0
            && self.agent.is_none()
    }

    /// Whether nothing has happened to the Lease since the operator created it as never held.
    pub(crate) fn is_untouched(&self) -> bool {
        self.never_held && self.least_wait_seconds == 0 && self.record.acquire_time.is_none() && self.is_blank()
    }
}

/// `D_eff`, how long a silent holder is waited for: the longest of the durations seen in this tenure, the candidate's
/// own, and the operator's (rule F2).
#[must_use]
pub fn effective_duration_seconds(longest_seconds: u32, own_seconds: u32, least_wait_seconds: u32) -> u32 {
    longest_seconds.max(own_seconds).max(least_wait_seconds).min(MAX_LEASE_DURATION_SECONDS)
}

/// The fields of a Lease that a write sets; everything else is kept as it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Write {
    /// The identity to store as holder; empty to release the Lease.
    pub holder: String,
    /// The lease duration, in seconds.
    pub lease_duration_seconds: u32,
    /// The beginning of the tenure; a release sets it to the time of the release, as client-go does.
    pub acquire_time: Timestamp,
    /// The time of this write, different for each write of a process (rule L2).
    pub renew_time: Timestamp,
    /// The transitions of the tenure.
    pub transitions: u32,
    /// The mark that is written beside the record.
    pub agent: AgentMark,
}
