//! The writes of this process, and which stored record is one of them (rules L1, L2, L5).

use crate::lease::{Lease, ResourceVersion, Write};
use crate::time::{Timestamp, Validity};

/// The tenure that an earlier process left in its status file. That process died in this boot, and no process of it
/// lives (rule L5).
///
/// The caller vouches for that death. The exception holds only if the record in the Lease is exactly this one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Predecessor {
    /// The uid of the Lease.
    pub uid: String,
    /// The identity under which the earlier process led.
    pub identity: String,
    /// The nonce of the earlier process.
    pub start: String,
    /// The time at which the tenure began.
    pub acquire_time: Timestamp,
    /// The transitions of the tenure.
    pub transitions: u32,
}

/// What identifies a tenure as one that this process (or its vouched-for predecessor) wrote.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Own {
    uid: String,
    identity: String,
    start: String,
    acquire_time: Timestamp,
    transitions: u32,
}

impl Own {
    /// Whether `lease` shows this tenure, however often it was renewed.
    pub(crate) fn is(&self, lease: &Lease) -> bool {
        let record = &lease.record;
        record.uid == self.uid
            && record.holder == self.identity
            && record.acquire_time == Some(self.acquire_time)
            && record.transitions == self.transitions
            && lease.agent.as_ref().is_some_and(|agent| agent.start == self.start && agent.release.is_none())
    }

    pub(crate) fn acquire_time(&self) -> Timestamp {
        self.acquire_time
    }

    pub(crate) fn transitions(&self) -> u32 {
        self.transitions
    }

    /// The tenure that `lease` shows, whose holder is an agent of ours.
    pub(crate) fn of(lease: &Lease, write: &Write) -> Own {
        Own {
            uid: lease.record.uid.clone(),
            identity: write.holder.clone(),
            start: write.agent.start.clone(),
            acquire_time: write.acquire_time,
            transitions: write.transitions,
        }
    }
}

impl From<Predecessor> for Own {
    fn from(predecessor: Predecessor) -> Own {
        let Predecessor { uid, identity, start, acquire_time, transitions } = predecessor;
        Own { uid, identity, start, acquire_time, transitions }
    }
}

/// Why a write is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Purpose {
    /// Begins a tenure.
    Acquire,
    /// Prolongs the tenure.
    Renew,
    /// Gives the tenure up.
    Release,
}

/// A write that has been sent, or is about to be, and has not been credited.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Attempt {
    pub(crate) purpose: Purpose,
    /// The uid of the Lease that the write updates.
    pub(crate) uid: String,
    /// The version of the Lease that the write replaces.
    pub(crate) replaces: ResourceVersion,
    pub(crate) write: Write,
    /// The validity that the write earns if it turns out to be stored.
    pub(crate) validity: Validity,
}

impl Attempt {
    /// Whether `lease` shows the tenure that this attempt began or prolonged.
    pub(crate) fn shares_tenure(&self, lease: &Lease) -> bool {
        self.purpose != Purpose::Release && self.uid == lease.record.uid && Own::of(lease, &self.write).is(lease)
    }

    /// Whether `lease` shows this very write, and no later one.
    pub(crate) fn is_shown_by(&self, lease: &Lease) -> bool {
        self.shares_tenure(lease) && lease.record.renew_time == Some(self.write.renew_time)
    }
}
