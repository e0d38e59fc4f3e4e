#![doc = include_str!("../README.md")]
//!
//! # Where to look
//!
//! - [`LeaderElection`] has a [`LeaderElectionSpec`] and a [`LeaderElectionStatus`]; [`conditions`] and [`event`] have the reasons
//!   that operators give.
//! - [`StoredLease`] and [`lease::read`] are about a Lease, [`annotations`] about what is beside its record.
//! - [`manifest`] has the definition for the API server. `cargo crdgen` generates its YAML from the types here; it is never edited
//!   by hand.

/// A name in the project's group. The group is written down only here.
macro_rules! group {
    () => {
        "leader-elector.io"
    };
    ($name:literal) => {
        concat!(group!(), "/", $name)
    };
}

pub mod annotations;
pub mod candidate;
pub mod conditions;
pub mod display_text;
pub mod event;
pub mod flapping;
pub mod identity;
mod leader_election;
mod leader_election_status;
mod leader_service;
pub mod leader_slice;
pub mod lease;
pub mod manifest;
pub mod ownership;
mod parse_warning;
pub mod rbac;
mod selector;
mod timestamp;
pub mod timings_cases;
pub mod untrusted;
mod validation;

pub use annotations::{
    ADOPT_ANNOTATION, AGENT_ANNOTATION, AGENT_CONTAINER, ELECTION_LABEL, HINTS_ANNOTATION, INJECTION_LABEL, ROLE_LABEL,
    ReleaseReason, STRICT_IDENTITY_LABEL, TIMINGS_ANNOTATION, TRANSFER_ANNOTATION,
};
pub use leader_election::{
    CandidateIdentity, Candidates, DEFAULT_SERVICE_ACCOUNT, LeaderElection, LeaderElectionSpec, PodLabels,
};
pub use leader_election_status::{Holder, LeaderElectionStatus, PastTenure, TenureEnd};
pub use leader_service::{LeaderService, LeaderServicePort, Protocol, TargetPort};
pub use lease::StoredLease;
pub use parse_warning::ParseWarning;
pub use selector::{CandidateSelector, SelectorOperator, SelectorRequirement, selector_query, selector_text};
pub use timestamp::{format_timestamp, parse_timestamp};

/// The API group, and the prefix of every label and annotation.
pub const GROUP: &str = group!();
