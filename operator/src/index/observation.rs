//! What the API server says, in events of watches and in answers to the operator's own requests.

use elector_crds::StoredLease;
use elector_crds::untrusted::StoredElection;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::runtime::watcher::Event;

use super::StoredPod;
use super::role_label::RoleLabel;
use crate::key::Key;

/// An event of one of the watches.
#[derive(Debug)]
pub enum Observation {
    /// An event of the watch of elections.
    Election(Event<StoredElection>),
    /// An event of the watch of Leases.
    Lease(Event<StoredLease>),
    /// An event of the watch of pods.
    Pod(Event<StoredPod>),
    /// An event of the watch of Roles that operators made.
    Role(Event<Role>),
    /// An event of the watch of RoleBindings that operators made.
    RoleBinding(Event<RoleBinding>),
    /// An event of the watch of Services that operators made.
    Service(Event<Service>),
    /// An event of the watch of EndpointSlices that operators made.
    Slice(Event<EndpointSlice>),
}

impl Observation {
    /// Whether this event ends a list.
    pub(super) fn ends_list(&self) -> bool {
        match self {
            Observation::Election(event) => matches!(event, Event::InitDone),
            Observation::Lease(event) => matches!(event, Event::InitDone),
            Observation::Pod(event) => matches!(event, Event::InitDone),
            Observation::Role(event) => matches!(event, Event::InitDone),
            Observation::RoleBinding(event) => matches!(event, Event::InitDone),
            Observation::Service(event) => matches!(event, Event::InitDone),
            Observation::Slice(event) => matches!(event, Event::InitDone),
        }
    }
}

/// What the API server answered about one object.
#[derive(Debug, Clone, PartialEq)]
pub enum WriteAnswer {
    /// The election as it is stored.
    Election(Box<StoredElection>),
    /// The Lease as it was stored by a write.
    Lease(Box<StoredLease>),
    /// The Lease as it was read from the store.
    LeaseRead(Box<StoredLease>),
    /// There is no Lease of that name.
    NoLease(Key),
    /// The Role as it is stored.
    Role(Box<Role>),
    /// The RoleBinding as it is stored.
    RoleBinding(Box<RoleBinding>),
    /// The Service as it is stored.
    Service(Box<Service>),
    /// The EndpointSlice as it is stored.
    Slice(Box<EndpointSlice>),
    /// The role label of a pod as it is stored.
    Label(Key, RoleLabel),
    /// The Service was deleted.
    NoService(Box<Service>),
    /// The EndpointSlice was deleted.
    NoSlice(Box<EndpointSlice>),
}
