//! What the API server says: by the watches, and in answers to the operator's own requests.

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
    /// Of elections.
    Election(Event<StoredElection>),
    /// Of Leases.
    Lease(Event<StoredLease>),
    /// Of pods.
    Pod(Event<StoredPod>),
    /// Of Roles that operators made.
    Role(Event<Role>),
    /// Of RoleBindings that operators made.
    RoleBinding(Event<RoleBinding>),
    /// Of Services that operators made.
    Service(Event<Service>),
    /// Of EndpointSlices that operators made.
    Slice(Event<EndpointSlice>),
}

impl Observation {
    /// Whether with it a list has shown everything.
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

/// What the API server said of one object.
#[derive(Debug, Clone, PartialEq)]
pub enum WriteAnswer {
    /// It is so.
    Election(Box<StoredElection>),
    /// It is so.
    Lease(Box<StoredLease>),
    /// It was read from the store, not written.
    LeaseRead(Box<StoredLease>),
    /// There is no Lease of that name.
    NoLease(Key),
    /// It is so.
    Role(Box<Role>),
    /// It is so.
    RoleBinding(Box<RoleBinding>),
    /// It is so.
    Service(Box<Service>),
    /// It is so.
    Slice(Box<EndpointSlice>),
    /// A pod is labelled so.
    Label(Key, RoleLabel),
    /// It is gone.
    NoService(Box<Service>),
    /// It is gone.
    NoSlice(Box<EndpointSlice>),
}
