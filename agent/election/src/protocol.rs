//! What goes into an [`Election`](crate::Election) and what comes out of it: plain data, to be compared and recorded.

use std::fmt;
use std::time::Duration;

use crate::attempt::Predecessor;
use crate::lease::{Lease, ResourceVersion, Write};
use crate::time::{Timestamp, Validity};
use crate::timings::Timings;

/// Who contends, and how.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Candidate {
    /// As whom: `holderIdentity`. Not empty.
    pub identity: String,
    /// A nonce that no other process has ever used.
    pub start: String,
    /// Used until the Lease carries a valid set.
    pub timings: Timings,
    /// The tenure of an earlier process that is proven dead (rule L5).
    pub predecessor: Option<Predecessor>,
}

/// What is seen through the watch. A hint: it may lag, repeat or stay silent.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[expect(clippy::large_enum_variant, reason = "one lives at a time, on the stack")]
pub enum WatchEvent {
    /// A version of the Lease.
    Present(Lease),
    /// The Lease with this uid was deleted.
    Deleted {
        /// Of the deleted Lease.
        uid: String,
    },
    /// The watch began, and there was no Lease. Not a proof: it is looked up.
    Empty,
    /// The API server refuses to list or to watch: the Lease is read every retry period instead, until an event comes.
    Refused,
}

/// What to send. The time given to [`Election::poll_request`](crate::Election::poll_request) is the attempt's `t0`: send only what came from a fresh look at the clocks.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Request {
    /// Read the Lease, without a resourceVersion: from the store, not from a cache.
    Get,
    /// Create it, held by [`UNKNOWN_HOLDER`](crate::UNKNOWN_HOLDER): it begins no tenure.
    Create(Write),
    /// Replace exactly this version of exactly this object.
    Update {
        /// Of the object.
        uid: String,
        /// Of the version.
        resource_version: ResourceVersion,
        /// What to set.
        write: Write,
    },
}

/// What became of a [`Request`]. Every request gets one, within [`Election::request_timeout`](crate::Election::request_timeout).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Answer {
    /// 200 to a get.
    Found(Lease),
    /// 200 to an update or 201 to a create, with the object as it is stored.
    Stored(Lease),
    /// 404.
    NotFound,
    /// 409.
    Conflict,
    /// The API server answered and stored nothing: 400, 401, 403, 422, 429 …
    Refused {
        /// `Retry-After`.
        retry_after: Option<Duration>,
    },
    /// No answer in time, a broken connection, 5xx: it may have been stored, or may yet be.
    Unknown,
}

/// What the driver must do, in this order, each to the end before the next call of [`Election::poll_request`](crate::Election::poll_request).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Action {
    /// A tenure began: publish it, unless its validity has expired by now.
    Acquire(Tenure),
    /// The validity of the tenure moved, forward or back.
    Extend(Tenure),
    /// The tenure is over: stop the work and take back what was published. Try until it is done, then call [`Election::handle_retracted`](crate::Election::handle_retracted).
    Retract(Loss),
    /// A read has shown what the watch should have shown: open a new one.
    Rewatch,
    /// Nothing more will be asked for: the process may end.
    Finish,
}

/// One unbroken holding.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Tenure {
    /// Of the Lease.
    pub uid: String,
    /// The resourceVersion of the write that began the tenure or, if its answer was lost, of the first read that showed it.
    /// It grows from tenure to tenure, also when the Lease is deleted in between.
    pub fencing_token: ResourceVersion,
    /// As written to the Lease.
    pub acquire_time: Timestamp,
    /// As written to the Lease.
    pub transitions: u32,
    /// How long the holder may act.
    pub validity: Validity,
}

/// Why a tenure ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Loss {
    /// No write was stored in time (rule L4).
    DeadlinePassed,
    /// The record names somebody else, or us in a write that is not ours.
    HeldByAnother {
        /// Who the record names.
        holder: String,
    },
    /// The record names nobody.
    Emptied,
    /// The Lease was deleted.
    Deleted,
    /// The Lease was deleted and made again.
    Replaced,
    /// The store holds an older version than was written: it was restored.
    RolledBack,
    /// We were told to leave the Lease to others.
    SteppedDown,
    /// Nobody is to lead.
    Paused,
    /// Another is to lead.
    HandedOver,
    /// We were told to stop.
    Stopped,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Loss::DeadlinePassed => f.write_str("renew deadline passed"),
            Loss::HeldByAnother { holder } => write!(f, "lease is held by {holder}"),
            Loss::Emptied => f.write_str("holder was removed from the lease"),
            Loss::Deleted => f.write_str("lease was deleted"),
            Loss::Replaced => f.write_str("lease was deleted and created again"),
            Loss::RolledBack => f.write_str("lease went back to an older version"),
            Loss::SteppedDown => f.write_str("stepped down"),
            Loss::Paused => f.write_str("election is paused"),
            Loss::HandedOver => f.write_str("told to hand over"),
            Loss::Stopped => f.write_str("told to stop"),
        }
    }
}

/// Why a Lease can be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Vacancy {
    /// Nobody ever held it.
    NeverHeld,
    /// Its holder gave it up.
    Released,
    /// This process, or the one before, is who holds it, and does not lead (rule L5).
    Own,
    /// Its holder, known or not, has been silent for too long.
    Expired,
}

/// What an [`Election`](crate::Election) is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// It does not lead, and would.
    Candidate,
    /// It leads.
    Leading,
    /// It waits for [`Election::handle_retracted`](crate::Election::handle_retracted).
    Retracting,
    /// It gives the Lease up.
    Releasing,
    /// It is done.
    Finished,
}
