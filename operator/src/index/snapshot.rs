//! A snapshot: what a plan needs to know of one election at one time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use elector_crds::conditions::Reason;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};

use super::{History, LeaseSeen, Pod};
use crate::features::Features;
use elector_crds::event::ElectionEvent;

/// One reading of the clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockReading {
    /// The time that decides: it counts from some moment in the past and never goes back.
    pub at: Duration,
    /// The time of the wall clock, for people.
    pub wall: Timestamp,
}

/// What is known of one election, beside the election itself.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ElectionSnapshot {
    /// Whether this process watched the election being created.
    pub creation_watched: bool,
    /// Whether this process has seen no Lease and no earlier election of that name.
    pub name_is_new: bool,
    /// What is remembered of Leases of that name.
    pub history: History,
    /// Why the spec is not the one that is stored, if so.
    pub unreadable: Option<Unreadable>,
    /// Whether objects of the namespace, such as pods, are left out for want of room.
    pub is_partial: bool,
    /// The Lease of that name, made by an operator or by others.
    pub lease: Option<LeaseSeen>,
    /// The Role, if an operator made it.
    pub role: Option<Role>,
    /// The RoleBinding, if an operator made it.
    pub role_binding: Option<RoleBinding>,
    /// The Services that operators made for the election.
    pub services: Vec<Service>,
    /// The EndpointSlices that operators made for the election.
    pub slices: Vec<EndpointSlice>,
    /// The pods that the election has labelled and that do not match it any more.
    pub strays: Vec<Arc<Pod>>,
    /// The first other election that labels any of these pods.
    pub labelled_by: Option<String>,
    /// All pods that match the selector, including terminating and finished ones.
    pub pods: Vec<Arc<Pod>>,
    /// The pod that the Lease names as holder.
    pub holder_pod: Option<Arc<Pod>>,
    /// The request for another leader, if the election has one.
    pub transfer: Option<Transfer>,
    /// The parts that the operator could not write.
    pub failed_writes: FailedWrites,
    /// The events that the API server has refused.
    pub refused_events: Vec<ElectionEvent>,
    /// The names of events that were created while the status could not be stored.
    pub created_events: Vec<String>,
    /// The optional features of the operator.
    pub features: Features,
    /// Whether the election's Lease would be that of the operator's own election.
    pub is_operators_own: bool,
}

/// Why an election is not handled as its spec asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unreadable {
    /// The spec cannot be read, for the reason given.
    Spec(String),
    /// The objects of the election's namespace take more memory than the operator gives to one namespace.
    NamespaceTooLarge {
        /// The memory for one namespace, in bytes.
        limit_bytes: usize,
    },
}

/// A part of what the operator writes for an election. Each part has a fate of its own: one that is refused holds up no
/// other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Part {
    /// The creation of a Lease.
    Lease,
    /// The candidates' timings on the Lease.
    Timings,
    /// The hints on the Lease: a pause, or another leader.
    Hints,
    /// The mark on the Lease that says whether the API server's policy checks the holder.
    Mark,
    /// The owner reference to the election, on the Lease.
    Owner,
    /// The release of a Lease whose holder is dead.
    Release,
    /// A read of a Lease whose holder has fallen silent.
    Look,
    /// The Role of the candidates.
    Role,
    /// The RoleBinding of the candidates.
    RoleBinding,
    /// The Service that leads to the leader.
    Service,
    /// The EndpointSlices of the Service.
    Slice,
    /// The role labels of pods.
    Label,
    /// The events about the election.
    Event,
    /// The status of the election.
    Status,
    /// The removal of a request for another leader that is done or refused.
    Request,
}

/// The parts that could not be written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FailedWrites(BTreeMap<Part, FailedWrite>);

impl FailedWrites {
    /// Notes that the last attempt at `part` has failed.
    pub fn insert(&mut self, part: Part, failed: FailedWrite) {
        self.0.insert(part, failed);
    }

    /// Notes that `part` was written.
    pub fn remove(&mut self, part: Part) {
        self.0.remove(&part);
    }

    /// Lets those of `parts` that were forbidden be tried again at `now`. Returns whether there were any.
    pub fn retry(&mut self, parts: &[Part], now: Duration) -> bool {
        let mut any = false;
        for part in parts {
            if let Some(failed) = self.0.get_mut(part).filter(|failed| failed.reason == Reason::Forbidden) {
                failed.retry_at = failed.retry_at.min(now);
                any = true;
            }
        }
        any
    }

    /// Forgets the failed parts that could have been tried again by `now` and were not, because nothing asks for them
    /// any more. Returns whether there were any.
    pub fn forget_over(&mut self, now: Duration) -> bool {
        let before = self.0.len();
        self.0.retain(|_, failed| now < failed.retry_at);
        self.0.len() < before
    }

    /// Why `part` could not be written.
    #[must_use]
    pub fn of(&self, part: Part) -> Option<&FailedWrite> {
        self.0.get(&part)
    }

    /// Whether `part` may be written at `now`.
    #[must_use]
    pub fn allow(&self, part: Part, now: Duration) -> bool {
        self.of(part).is_none_or(|failed| now >= failed.retry_at)
    }

    /// All failures, in the order of the parts.
    pub fn all(&self) -> impl Iterator<Item = &FailedWrite> {
        self.0.values()
    }

    /// Whether no part has failed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A request for another leader, as it was first seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Transfer {
    /// The pod that is to lead, or `*`.
    pub target: String,
    /// The time at which the request was first seen, on the operator's clock.
    pub since: Duration,
    /// The resourceVersion of the first election that had the request.
    pub version: Option<String>,
    /// The tenure that the Lease's hints named when the request was first seen: they belonged to an earlier request.
    pub hinted_before: Option<u32>,
}

/// The last failure to write a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedWrite {
    /// The reason: `ObjectConflict`, `Forbidden` or `ReconcileFailed`.
    pub reason: Reason,
    /// The message for people.
    pub message: String,
    /// The time before which the part is not tried again.
    pub retry_at: Duration,
    /// How often in a row the part has failed.
    pub failures: u32,
}
