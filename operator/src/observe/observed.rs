//! What a plan needs to know of one election, at one time.

use std::sync::Arc;
use std::time::Duration;

use elector_crds::conditions::Reason;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};

use super::{History, LeaseSeen, Pod};
use crate::settings::Features;

/// One look at the clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Since some moment in the past, never backwards: this one decides.
    pub at: Duration,
    /// The wall clock: for people.
    pub wall: Timestamp,
}

/// What is known of one election, beside itself.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Observed {
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
    /// The Lease of that name, whoever made it.
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
    /// What keeps the operator from writing.
    pub troubles: Troubles,
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

/// What keeps the operator from writing, apart for what does not wait for each other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Troubles {
    /// Lease, Role and RoleBinding.
    pub objects: Option<Trouble>,
    /// What leads traffic to the leader.
    pub traffic: Option<Trouble>,
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
pub struct Trouble {
    /// `ObjectConflict`, `Forbidden` or `ReconcileFailed`.
    pub reason: Reason,
    /// For people.
    pub message: String,
    /// Nothing is tried before.
    pub retry_at: Duration,
}
