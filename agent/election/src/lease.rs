//! A Lease as the election sees it: one version of the object, reduced to what decides.

use crate::time::Timestamp;
use crate::timings::{MAX_LEASE_DURATION_SECONDS, Timings};

/// The transitions after which counting starts again at 1: the largest that a Lease can hold.
pub const MAX_TRANSITIONS: u32 = i32::MAX as u32;

/// Whom a Lease names that was made because there was none: who held the last one is not known to be gone. The operator's
/// word too. Whoever calls itself that is still told apart, by the rest of the record.
pub const UNKNOWN_HOLDER: &str = "unknown";

/// The version of a stored object. Versions of Leases are ordered, across objects too: the API server hands out the store's revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceVersion(pub u64);

/// One stored version of the Lease.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Lease {
    /// Which version.
    pub resource_version: ResourceVersion,
    /// Who holds it, and since when.
    pub record: Record,
    /// How long the holder asked others to wait, in seconds; 0 where the Lease holds nothing usable.
    pub lease_duration_seconds: u32,
    /// What the operator asks for; `None` where there is no valid set.
    pub timings: Option<Timings>,
    /// The operator's word, given at creation, that nobody can have held this election before.
    pub never_held: bool,
    /// For how long everybody waits, by the operator's word, as long as no agent has written this Lease, in seconds: until
    /// the operator has confirmed that what it made is up to date, the most that there is (rule O2).
    pub least_wait_seconds: u32,
    /// What the operator would like to happen (rule F4).
    pub hints: Hints,
    /// What an agent of ours wrote beside the record.
    pub agent: Option<AgentMark>,
}

/// What somebody would like to happen: each only delays a takeover or ends a tenure, and ignoring it is safe (rule F4).
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Hints {
    /// Nobody should lead.
    pub paused: bool,
    /// The tenure with these transitions should end, and another than its holder begin the next.
    pub end_tenure: Option<u32>,
    /// Who should begin the next tenure: the others leave it some time to do so.
    pub successor: Option<String>,
}

/// The part of a Lease whose change is a sign of life (rule F1).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Record {
    /// Of the Lease: one deleted and made again is another.
    pub uid: String,
    /// Empty: nobody.
    pub holder: String,
    /// When the tenure began, by the holder's wall clock.
    pub acquire_time: Option<Timestamp>,
    /// When it was last renewed, by the holder's wall clock.
    pub renew_time: Option<Timestamp>,
    /// How many tenures there have been.
    pub transitions: u32,
}

/// What an agent writes beside the record: who exactly wrote it, and whether it was given up.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AgentMark {
    /// The nonce of the process that wrote it: tells apart two of one identity.
    pub start: String,
    /// The transitions of the tenure that it speaks of. Another number in the record: somebody else has held it since.
    pub transitions: u32,
    /// Present if that tenure was released by its holder.
    pub release: Option<ReleaseMark>,
}

/// Proof that an empty holder means *released*: it matches only the very record that the release wrote.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ReleaseMark {
    /// Of the Lease.
    pub uid: String,
    /// Of the tenure that ended.
    pub transitions: u32,
    /// Of the releasing write.
    pub renew_time: Timestamp,
}

impl ReleaseMark {
    /// Whether it speaks of the very write that `record` shows.
    #[must_use]
    pub fn is_of(&self, record: &Record) -> bool {
        self.uid == record.uid && self.transitions == record.transitions && Some(self.renew_time) == record.renew_time
    }
}

impl Lease {
    /// Whether the holder gave it up in the way of our agents.
    pub(crate) fn is_released_by_agent(&self) -> bool {
        let Some(release) = self.agent.as_ref().and_then(|agent| agent.release.as_ref()) else {
            return false;
        };
        self.looks_released() && release.is_of(&self.record)
    }

    /// An empty holder and a duration of one second: what a release looks like, client-go's too.
    pub(crate) fn looks_released(&self) -> bool {
        self.record.holder.is_empty() && self.lease_duration_seconds == 1
    }

    /// Whether an agent of ours wrote the tenure that the record shows.
    pub(crate) fn is_written_by_agent(&self) -> bool {
        self.agent.as_ref().is_some_and(|agent| agent.transitions >= self.record.transitions)
    }

    /// Whether an agent began a tenure since `last`. An edited record proves no new holder, who would have waited: only an
    /// agent's word counts.
    #[must_use]
    pub fn begins_tenure_after(&self, last: &Lease) -> bool {
        let begun_by_agent = self.agent != last.agent
            && self.agent.as_ref().is_some_and(|agent| agent.transitions == self.record.transitions);
        self.record.uid == last.record.uid
            && !self.record.holder.is_empty()
            && begun_by_agent
            && self.record.transitions > last.record.transitions
    }

    /// For how long whoever finds it waits, whatever it has seen before.
    #[must_use]
    pub fn least_wait_seconds(&self) -> u32 {
        if self.agent.is_none() { self.least_wait_seconds } else { 0 }
    }

    /// Whether it says, to those who only tell of it, that its last holder gave it up: as rule F3 has it, but a mark is not asked
    /// for where no agent of ours has held it last.
    #[must_use]
    pub fn tells_of_release(&self) -> bool {
        self.looks_released() && (!self.is_written_by_agent() || self.is_released_by_agent())
    }

    /// Whether it shows no tenure. When one began may be left of a candidate that counts no tenures and takes its renewals back.
    #[must_use]
    pub fn is_blank(&self) -> bool {
        self.record.holder.is_empty()
            && self.record.renew_time.is_none()
            && self.record.transitions == 0
            && self.agent.is_none()
    }

    /// Whether nothing at all has happened to it since the operator made it as never held.
    pub(crate) fn is_untouched(&self) -> bool {
        self.never_held && self.least_wait_seconds == 0 && self.record.acquire_time.is_none() && self.is_blank()
    }
}

/// `D_eff`, how long a silent holder is waited for: the largest of the longest duration that was seen in this tenure, one's own, and
/// the operator's word (rule F2).
#[must_use]
pub fn effective_duration_seconds(longest_seconds: u32, own_seconds: u32, least_wait_seconds: u32) -> u32 {
    longest_seconds.max(own_seconds).max(least_wait_seconds).min(MAX_LEASE_DURATION_SECONDS)
}

/// The fields of a Lease that a write sets; everything else is kept as it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Write {
    /// Empty: the Lease is released.
    pub holder: String,
    /// In seconds.
    pub lease_duration_seconds: u32,
    /// Of the tenure; a release sets it to its own time, as client-go does.
    pub acquire_time: Timestamp,
    /// Of this very write: no two of a process are equal (rule L2).
    pub renew_time: Timestamp,
    /// Of the tenure.
    pub transitions: u32,
    /// Beside the record.
    pub agent: AgentMark,
}
