//! The facts about an election that the checks judge.

use elector_crds::candidate::is_candidate;
use elector_crds::conditions::{ConditionType, find};
use elector_crds::{AGENT_ANNOTATION, LeaderElection, ParseWarning, StoredLease, identity, lease};
use elector_election::{AgentMark, Lease, UNKNOWN_HOLDER};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ManagedFieldsEntry, ObjectMeta};
use kube::ResourceExt as _;

use crate::cluster::Unseen;
use crate::status::is_finished;

/// What was read from the cluster, or why it could not be read.
pub(super) type Look<T> = Result<T, Unseen>;

/// All facts that the checks need.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    pub(super) election: LeaderElection,
    pub(super) definition: Look<Option<CustomResourceDefinition>>,
    /// The Leases by which the replicas of each operator elect the one that writes.
    pub(super) operators: Look<Vec<StoredLease>>,
    /// The chart's policies that add agents to pods.
    pub(super) injection: Look<Policies>,
    /// The chart's policies that check under which identity candidates write.
    pub(super) strict_identity: Look<Policies>,
    pub(super) role: Look<Option<Role>>,
    pub(super) role_binding: Look<Option<RoleBinding>>,
    /// The listed service accounts, by name.
    pub(super) accounts: Vec<(String, Look<Option<ServiceAccount>>)>,
    /// The API server's judgement of the service accounts' rights on the Lease.
    pub(super) reviews: Look<Vec<Review>>,
    /// All pods that match the selector.
    pub(super) pods: Look<Vec<Pod>>,
    pub(super) lease: Look<Option<StoredLease>>,
    pub(super) clock: Look<Clock>,
}

/// Policies of the chart; `None` if the API server has no such kind.
pub(super) type Policies = Option<Vec<Policy>>;

/// A policy of the chart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Policy {
    pub(super) name: String,
    pub(super) created: Option<Timestamp>,
    /// Whether a binding puts the policy into force.
    pub(super) bound: bool,
}

/// Whether the API server allows a service account a verb on the Lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Review {
    pub(super) account: String,
    pub(super) verb: &'static str,
    pub(super) allowed: bool,
}

/// A reading of the API server's clock, in whole seconds, between two readings of this machine's clock.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    pub(super) asked: Timestamp,
    pub(super) server: Timestamp,
    pub(super) answered: Timestamp,
}

/// A Lease, as it is stored and as it reads.
pub(super) struct LeaseRead<'a> {
    pub(super) stored: &'a StoredLease,
    pub(super) lease: Lease,
    pub(super) warnings: Vec<ParseWarning>,
}

impl Facts {
    pub(super) fn name(&self) -> String {
        self.election.name_any()
    }

    pub(super) fn namespace(&self) -> String {
        self.election.namespace().unwrap_or_default()
    }

    /// The pods that may lead, now or later.
    ///
    /// # Errors
    /// Why the pods could not be listed.
    pub(super) fn candidates(&self) -> Result<Vec<&Pod>, &Unseen> {
        let may_lead = |pod: &&Pod| is_candidate(pod.metadata.deletion_timestamp.is_some(), is_finished(pod));
        self.pods.as_ref().map(|pods| pods.iter().filter(may_lead).collect())
    }

    /// The Lease of the election.
    ///
    /// # Errors
    /// Why there is no Lease to look at: it could not be read, does not exist, or cannot take part in an election.
    pub(super) fn lease(&self) -> Result<LeaseRead<'_>, String> {
        let stored = self.lease.as_ref().map_err(Unseen::to_string)?;
        let stored = stored.as_ref().ok_or_else(|| format!("there is no Lease {}", self.name()))?;
        let (lease, warnings) = lease::read(stored).map_err(|unusable| unusable.to_string())?;
        Ok(LeaseRead { stored, lease, warnings })
    }

    pub(super) fn condition(&self, type_: ConditionType) -> Option<&Condition> {
        find(&self.election.status.as_ref()?.conditions, type_)
    }
}

impl LeaseRead<'_> {
    /// The identity of the holder; empty if there is none.
    pub(super) fn holder(&self) -> &str {
        &self.lease.record.holder
    }

    /// Whether the Lease names a holder that is known.
    pub(super) fn is_held(&self) -> bool {
        !self.holder().is_empty() && self.holder() != UNKNOWN_HOLDER
    }

    /// Whether an agent of ours wrote the tenure that the Lease shows. A candidate that does not count tenures leaves
    /// an agent's mark and number as they are: then one manager has written the record and another the mark.
    pub(super) fn is_held_by_agent(&self) -> bool {
        let is_of_tenure = |agent: &AgentMark| {
            agent.transitions == self.lease.record.transitions && (agent.release.is_none() || self.holder().is_empty())
        };
        let mark = ["metadata", "annotations", AGENT_ANNOTATION];
        let entries = || self.stored.metadata.managed_fields.iter().flatten();
        let by_another = entries().any(|entry| has(entry, &mark))
            && entries().any(|entry| has(entry, &["spec", "renewTime"]) && !has(entry, &mark));
        self.lease.agent.as_ref().is_some_and(is_of_tenure) && !by_another
    }

    /// When the record was last written, by the API server's clock, in whole seconds.
    pub(super) fn renewed_at(&self) -> Option<Timestamp> {
        written_at(&self.stored.metadata, &["spec", "renewTime"])
    }

    /// For how many whole seconds of the API server's clock the record has not been renewed.
    pub(super) fn silent_for(&self, clock: &Clock) -> Option<i64> {
        self.renewed_at().map(|at| clock.server.duration_since(at).as_secs())
    }

    /// The longest time that a Lease which is renewed in time can seem silent, in whole seconds.
    pub(super) fn lasts(&self) -> i64 {
        i64::from(self.lease.lease_duration_seconds) + 2
    }
}

/// When the field at `path` was last changed, by the API server's clock, in whole seconds.
pub(super) fn written_at(metadata: &ObjectMeta, path: &[&str]) -> Option<Timestamp> {
    let writes = metadata.managed_fields.iter().flatten().filter(|entry| has(entry, path));
    writes.filter_map(|entry| entry.time.as_ref()).map(|time| time.0).max()
}

/// Whether the manager of `entry` was the last to set the field at `path`.
fn has(entry: &ManagedFieldsEntry, path: &[&str]) -> bool {
    let Some(fields) = &entry.fields_v1 else { return false };
    path.iter().try_fold(&fields.0, |fields, name| fields.get(format!("f:{name}"))).is_some()
}

/// The identity of a pod, `<pod>_<pod uid>`.
pub(super) fn identity_of(pod: &Pod) -> String {
    identity::of_pod(&pod.name_any(), &pod.uid().unwrap_or_default())
}
