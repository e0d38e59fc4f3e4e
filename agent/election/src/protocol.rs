//! The inputs and outputs of an [`Election`](crate::Election): plain data, to be compared and recorded.

use std::fmt;
use std::time::Duration;

use crate::attempt::Predecessor;
use crate::lease::{Lease, ResourceVersion, Write};
use crate::time::{Timestamp, Validity};
use crate::timings::Timings;

/// A candidate: its identity, and how it contends.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Candidate {
    /// The identity under which the candidate contends (`holderIdentity`); not empty.
    pub identity: String,
    /// A nonce that no other process has ever used.
    pub start: String,
    /// The timings that are used until the Lease carries a valid set.
    pub timings: Timings,
    /// The tenure of an earlier process that is proven dead (rule L5).
    pub predecessor: Option<Predecessor>,
}

/// An event of the watch. A watch is only a hint: it may lag, repeat or stay silent.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[expect(clippy::large_enum_variant, reason = "one lives at a time, on the stack")]
pub enum WatchEvent {
    /// A version of the Lease.
    Present(Lease),
    /// The Lease with this uid was deleted.
    Deleted {
        /// The uid of the deleted Lease.
        uid: String,
    },
    /// The watch began, and there was no Lease. That is no proof: the election reads the Lease to know.
    Empty,
    /// The API server refuses to list or to watch: the Lease is read every retry period instead, until an event comes.
    Refused,
}

/// A request to send. The time given to [`Election::poll_request`](crate::Election::poll_request) is the attempt's
/// `t0`, so the driver reads the clocks right before that call and then sends at once.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Request {
    /// Read the Lease, without a resourceVersion: from the store, not from a cache.
    Get,
    /// Create the Lease, held by [`UNKNOWN_HOLDER`](crate::UNKNOWN_HOLDER): a creation begins no tenure.
    Create(Write),
    /// Replace exactly this version of exactly this object.
    Update {
        /// The uid of the Lease to replace.
        uid: String,
        /// The version to replace.
        resource_version: ResourceVersion,
        /// The fields to set.
        write: Write,
    },
}

/// The fate of a [`Request`]. Every request gets an answer, within
/// [`Election::request_timeout`](crate::Election::request_timeout).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Answer {
    /// 200 to a get.
    Found(Lease),
    /// 200 to an update or 201 to a create, with the object as it is stored.
    Stored(Lease),
    /// 404: there is no such Lease.
    NotFound,
    /// 409: the Lease was changed or created in between.
    Conflict,
    /// The API server answered and stored nothing: 400, 401, 403, 422, 429 …
    Refused {
        /// How long the server asks to wait, from `Retry-After`.
        retry_after: Option<Duration>,
    },
    /// There was no answer in time, a broken connection, or 5xx: the write may have been stored, or may yet be.
    Unknown,
}

/// An action for the driver. Actions are done in this order, each to its end before the next call of
/// [`Election::poll_request`](crate::Election::poll_request).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Action {
    /// A tenure began: publish it, unless its validity has expired by now.
    Acquire(Tenure),
    /// The validity of the tenure has changed: it ends later, or earlier.
    Extend(Tenure),
    /// The tenure is over: stop the work and take back what was published. Try until it is done, then call [`Election::handle_retracted`](crate::Election::handle_retracted).
    Retract(Loss),
    /// A read has shown what the watch should have shown: open a new one.
    Rewatch,
    /// The election asks for nothing more: the process may end.
    Finish,
}

/// One unbroken holding of the Lease by one process.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Tenure {
    /// The uid of the Lease.
    pub uid: String,
    /// The resourceVersion of the write that began the tenure or, if its answer was lost, of the first read that showed it.
    /// It grows from tenure to tenure, also when the Lease is deleted in between.
    pub fencing_token: ResourceVersion,
    /// The time at which the tenure began, as written to the Lease.
    pub acquire_time: Timestamp,
    /// The number of the tenure (`leaseTransitions`), as written to the Lease.
    pub transitions: u32,
    /// How long the holder may act.
    pub validity: Validity,
}

/// Why a tenure ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Loss {
    /// No write was stored in time (rule L4).
    DeadlinePassed,
    /// The record names another holder, or this process in a write that it did not make.
    HeldByAnother {
        /// The holder that the record names.
        holder: String,
    },
    /// The record names no holder.
    Emptied,
    /// The Lease was deleted.
    Deleted,
    /// The Lease was deleted and made again.
    Replaced,
    /// The store holds an older version than this process wrote: the store was restored from a backup.
    RolledBack,
    /// This process was told to leave the Lease to others.
    SteppedDown,
    /// The Lease asks that no candidate leads.
    Paused,
    /// The Lease asks that another candidate leads.
    HandedOver,
    /// This process was told to stop.
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
    /// No candidate has ever held the Lease.
    NeverHeld,
    /// The holder gave the Lease up.
    Released,
    /// This process, or its dead predecessor, is the holder, and does not lead (rule L5).
    Own,
    /// The holder, known or not, has been silent for too long.
    Expired,
}

/// What an [`Election`](crate::Election) is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// The candidate does not lead, and contends.
    Candidate,
    /// The candidate leads.
    Leading,
    /// The candidate waits for [`Election::handle_retracted`](crate::Election::handle_retracted).
    Retracting,
    /// The candidate gives the Lease up.
    Releasing,
    /// The candidacy is over.
    Finished,
}
