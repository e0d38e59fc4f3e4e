//! What a plan needs to know of one election, at one time.

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

/// One look at the clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockReading {
    /// Since some moment in the past, never backwards: this one decides.
    pub at: Duration,
    /// The wall clock: for people.
    pub wall: Timestamp,
}

/// What is known of one election, beside itself.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ElectionSnapshot {
    /// This process watched the election being created.
    pub creation_watched: bool,
    /// This process has seen no Lease and no earlier election of that name.
    pub name_is_new: bool,
    /// What is remembered of Leases of that name.
    pub history: History,
    /// Why the spec is not the one that is stored.
    pub unreadable: Option<Unreadable>,
    /// Something of the namespace is left out for want of room: pods, for instance.
    pub is_partial: bool,
    /// The Lease of that name, made by an operator or by others.
    pub lease: Option<LeaseSeen>,
    /// The Role, if an operator made it.
    pub role: Option<Role>,
    /// The RoleBinding, if an operator made it.
    pub role_binding: Option<RoleBinding>,
    /// Services that operators made for it.
    pub services: Vec<Service>,
    /// EndpointSlices that operators made for it.
    pub slices: Vec<EndpointSlice>,
    /// Pods that it has had labelled and that do not match it any more.
    pub strays: Vec<Arc<Pod>>,
    /// The first election beside this one that has labels put on any of its pods.
    pub labelled_by: Option<String>,
    /// All pods that match the selector, terminating and finished ones too.
    pub pods: Vec<Arc<Pod>>,
    /// The pod that the Lease's holder names.
    pub holder_pod: Option<Arc<Pod>>,
    /// Another leader that the election asks for.
    pub transfer: Option<Transfer>,
    /// What the operator could not write.
    pub failed_writes: FailedWrites,
    /// Events that the API server has refused.
    pub refused_events: Vec<ElectionEvent>,
    /// The names of events that were created for a status that could not be stored.
    pub created_events: Vec<String>,
    /// What the operator does beside elections.
    pub features: Features,
    /// Its Lease is that of the operator's own election.
    pub is_operators_own: bool,
}

/// Why an election is not looked after as its spec asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unreadable {
    /// The spec cannot be read, for the reason given.
    Spec(String),
    /// The objects of its namespace take more memory than the operator gives to one, in bytes.
    NamespaceTooLarge {
        /// What it gives.
        limit_bytes: usize,
    },
}

/// What the operator writes for an election, apart for what has a fate of its own: one part that is refused holds up no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Part {
    /// The Lease, where there is none.
    Lease,
    /// The timings of candidates, on the Lease.
    Timings,
    /// What candidates are asked for, on the Lease: a pause, or another leader.
    Hints,
    /// The mark that says whether holders are checked, on the Lease.
    Mark,
    /// The reference to the election, on the Lease.
    Owner,
    /// The release of a Lease whose holder is dead.
    Release,
    /// A look at a Lease that has fallen silent.
    Look,
    /// The Role of candidates.
    Role,
    /// Its RoleBinding.
    RoleBinding,
    /// The Service.
    Service,
    /// Its EndpointSlices.
    Slice,
    /// The labels of pods.
    Label,
    /// The events.
    Event,
    /// The status.
    Status,
    /// The request for another leader, which is taken back once it is done with.
    Request,
}

/// What could not be written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FailedWrites(BTreeMap<Part, FailedWrite>);

impl FailedWrites {
    /// Notes that the last attempt at `part` has failed.
    pub fn insert(&mut self, part: Part, failed: FailedWrite) {
        self.0.insert(part, failed);
    }

    /// It was written.
    pub fn remove(&mut self, part: Part) {
        self.0.remove(&part);
    }

    /// What of `parts` was forbidden can be tried again at `now`. Returns whether anything was.
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

    /// Forgets what could have been tried again by `now`, and was not, because nothing asks for it any more. Returns whether
    /// there was any.
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

    /// All of them, in the order of parts.
    pub fn all(&self) -> impl Iterator<Item = &FailedWrite> {
        self.0.values()
    }

    /// Whether there are none.
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
    /// On the operator's clock.
    pub since: Duration,
    /// Of the election that had it first.
    pub version: Option<String>,
    /// A tenure that the Lease's hints spoke of by then: they were an earlier request's.
    pub hinted_before: Option<u32>,
}

/// Why something could not be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedWrite {
    /// `ObjectConflict`, `Forbidden` or `ReconcileFailed`.
    pub reason: Reason,
    /// For people.
    pub message: String,
    /// It is not tried before.
    pub retry_at: Duration,
    /// How often in a row it has failed.
    pub failures: u32,
}
