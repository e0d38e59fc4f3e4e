//! The `LeaderElection` kind: a spec that the user writes, and a status that the operator writes.

use elector_election::{InvalidTimings, Timings};
use kube::CustomResource;
use kube::core::{Expression, Selector};
use schemars::JsonSchema;
use schemars::transform::RecursiveTransform;
use serde::{Deserialize, Serialize};

use crate::annotations::ELECTION_LABEL;
use crate::leader_election_status::{LeaderElectionStatus, NOT_OBSERVED};
use crate::leader_service::LeaderService;
use crate::selector::CandidateSelector;
use crate::validation;

/// The service account whose pods may lead, unless the spec names others.
pub const DEFAULT_SERVICE_ACCOUNT: &str = "default";

/// What the user asks for. `{}` is a complete spec.
// Seconds are 64 bits wide here so that no stored number can make a list of elections unreadable; the schema says int32.
#[derive(CustomResource, JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[kube(
    group = "leader-elector.io",
    version = "v1alpha1",
    kind = "LeaderElection",
    plural = "leaderelections",
    shortname = "le",
    namespaced,
    status = "LeaderElectionStatus",
    derive = "PartialEq",
    doc = "One leader among the pods of one workload. `spec: {}` is complete: the candidates are then the pods labelled \
           leader-elector.io/election=<name>, of the service account \"default\".",
    validation = validation::name_fits_a_label(),
    printcolumn(name = "Holder", type_ = "string", json_path = ".status.holder.name",
        description = "The pod that leads."),
    printcolumn(name = "Candidates", type_ = "integer", json_path = ".status.candidates",
        description = "Pods that may lead."),
    printcolumn(name = "Transitions", type_ = "integer", json_path = ".status.leaseTransitions",
        description = "How many tenures there have been."),
    printcolumn(name = "Held For", type_ = "date", json_path = ".status.holder.acquireTime",
        description = "How long the holder has led."),
    printcolumn(name = "State", type_ = "string", json_path = ".status.state",
        description = "The state as one word: LeaseHeld if all is well, else Paused, Flapping, LeaderNotReady and others."),
    printcolumn(name = "Ready", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].status"#,
        description = "Whether what the spec asks for is in place."),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Elected", type_ = "string", priority = 1,
        json_path = r#".status.conditions[?(@.type=="LeaderElected")].status"#,
        description = "Whether a candidate leads."),
    printcolumn(name = "Reason", type_ = "string", priority = 1,
        json_path = r#".status.conditions[?(@.type=="LeaderElected")].reason"#,
        description = "Why a candidate leads, or none does."),
    printcolumn(name = "Node", type_ = "string", priority = 1, json_path = ".status.holder.nodeName",
        description = "The node of the pod that leads.")
)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = validation::timings, transform = RecursiveTransform(validation::unwrap_description))]
pub struct LeaderElectionSpec {
    /// The pods that may lead.
    #[serde(default)]
    pub candidates: Candidates,

    /// Whether no candidate is to lead. The leader steps down as if it were told to stop, and no candidate contends
    /// until this is false again.
    #[serde(default)]
    pub paused: bool,

    /// How long a standby waits for a silent leader before it takes over, in whole seconds; 3600 at most. It must leave
    /// room for the renew deadline: 132 * leaseDurationSeconds >= 156 * renewDeadlineSeconds + 143 * (1 +
    /// releaseDelaySeconds).
    #[serde(default = "default_lease_duration_seconds")]
    #[schemars(extend("format" = "int32"))]
    pub lease_duration_seconds: i64,

    /// How long a leader goes on without a successful renewal before it stops leading, in whole seconds; at least twice
    /// the retry period.
    #[serde(default = "default_renew_deadline_seconds")]
    #[schemars(extend("format" = "int32"))]
    pub renew_deadline_seconds: i64,

    /// How often a leader renews, in whole seconds.
    #[serde(default = "default_retry_period_seconds")]
    #[schemars(extend("format" = "int32"))]
    pub retry_period_seconds: i64,

    /// How long a leader that is told to stop waits between removing its status file and letting others lead, in whole
    /// seconds. It is for applications that look at the file and then act for a while without looking again.
    #[serde(default = "default_release_delay_seconds")]
    #[schemars(extend("format" = "int32"))]
    pub release_delay_seconds: i64,

    /// Seconds for which the leader's pod can be unready before the operator asks it to hand over to a candidate whose
    /// pod is ready; 86400 at most. The time doubles after each such handover in a row within an hour, up to an hour.
    /// With 0 the leader is never asked.
    #[serde(default = "default_unready_leader_seconds")]
    #[schemars(range(min = 0, max = 86400), extend("format" = "int32"))]
    pub unready_leader_seconds: i64,

    /// A Service whose only endpoint is the leader's pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader_service: Option<LeaderService>,

    /// Whether the operator labels the candidates' pods leader-elector.io/role=leader or standby. The endpoints of a
    /// leaderService change just as fast; labels are for programs that select pods and do not use Services.
    #[serde(default)]
    pub pod_labels: PodLabels,
}

/// Whether the operator labels the candidates' pods with their role.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PodLabels {
    /// The operator sets the labels.
    Enabled,
    /// The operator sets no labels. Values that a later version adds are read as this one, so that they do not make a
    /// list of elections unreadable.
    #[default]
    #[serde(other)]
    Disabled,
}

/// The pods that may lead: those in the election's namespace that match the selector and run as one of the service
/// accounts.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Candidates {
    /// The label selector of the candidates' pods; without it, the label leader-elector.io/election with the election's
    /// name. An empty selector is refused. The selector decides which pods the status counts; the right to lead comes
    /// from the service account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<CandidateSelector>,

    /// The service accounts that are given the right to contend for the Lease.
    #[serde(default = "default_service_account_names")]
    #[schemars(length(min = 1, max = 32), transform = validation::service_account_names)]
    pub service_account_names: Vec<String>,

    /// Label selectors of preferred pods, the most preferred first. A leader hands over to a pod that matches an
    /// earlier selector, once all containers of that pod have run for two lease durations. This wait doubles after each
    /// such handover in a row, and after each tenure that the preferred pod has lost, up to an hour.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "atomic"))]
    pub preferred: Vec<CandidateSelector>,

    /// The identities under which candidates may contend. Pod: each candidate only as the pod that its token is bound
    /// to; the API server checks that if the Helm chart's policy is in place. Any: as any identity, as agents with an
    /// identity of their own and candidates with client-go do.
    #[serde(default)]
    pub identity: CandidateIdentity,
}

/// The identities under which candidates may contend.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CandidateIdentity {
    /// Each candidate contends as the pod of its token, `<pod>_<pod uid>`.
    #[default]
    Pod,
    /// Candidates contend under any identity. Values that a later version adds are read as this one, so that they do
    /// not make a list of elections unreadable.
    #[serde(other)]
    Any,
}

impl LeaderElection {
    /// The status, if an operator has looked at the election.
    #[must_use]
    pub fn observed(&self) -> Option<&LeaderElectionStatus> {
        self.status.as_ref().filter(|status| status.observed_generation != Some(NOT_OBSERVED))
    }
}

impl LeaderElectionSpec {
    /// The timings of the spec.
    ///
    /// # Errors
    /// The rule that the timings break, in the words in which the API server refuses such a spec.
    pub fn timings(&self) -> Result<Timings, InvalidTimings> {
        Timings::new(
            self.lease_duration_seconds,
            self.renew_deadline_seconds,
            self.retry_period_seconds,
            self.release_delay_seconds,
        )
    }

    /// The selector of the candidates of the election called `name`.
    #[must_use]
    pub fn selector(&self, name: &str) -> Selector {
        match &self.candidates.selector {
            Some(selector) => selector.to_selector(),
            None => Expression::Equal(ELECTION_LABEL.to_owned(), name.to_owned()).into(),
        }
    }
}

impl Default for LeaderElectionSpec {
    fn default() -> Self {
        LeaderElectionSpec {
            candidates: Candidates::default(),
            paused: false,
            lease_duration_seconds: default_lease_duration_seconds(),
            renew_deadline_seconds: default_renew_deadline_seconds(),
            retry_period_seconds: default_retry_period_seconds(),
            release_delay_seconds: default_release_delay_seconds(),
            unready_leader_seconds: default_unready_leader_seconds(),
            leader_service: None,
            pod_labels: PodLabels::default(),
        }
    }
}

impl Default for Candidates {
    fn default() -> Self {
        Candidates {
            selector: None,
            service_account_names: default_service_account_names(),
            preferred: Vec::new(),
            identity: CandidateIdentity::default(),
        }
    }
}

fn default_service_account_names() -> Vec<String> {
    vec![DEFAULT_SERVICE_ACCOUNT.to_owned()]
}

fn default_lease_duration_seconds() -> i64 {
    Timings::DEFAULT.lease_duration_seconds().into()
}

fn default_renew_deadline_seconds() -> i64 {
    Timings::DEFAULT.renew_deadline_seconds().into()
}

fn default_retry_period_seconds() -> i64 {
    Timings::DEFAULT.retry_period_seconds().into()
}

fn default_unready_leader_seconds() -> i64 {
    60
}

fn default_release_delay_seconds() -> i64 {
    Timings::DEFAULT.release_delay_seconds().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::GROUP;
    use kube::Resource;

    #[test]
    fn an_empty_spec_is_complete() {
        let spec: LeaderElectionSpec = serde_json::from_str("{}").unwrap();
        assert_eq!(spec, LeaderElectionSpec::default());
        assert_eq!(spec.timings(), Ok(Timings::DEFAULT));
        assert_eq!(spec.selector("billing").to_string(), "leader-elector.io/election=billing");
    }

    #[test]
    fn the_group_is_the_constant() {
        assert_eq!(LeaderElection::group(&()), GROUP);
    }

    #[test]
    fn seconds_beyond_32_bits_are_read_and_refused_with_words() {
        let spec: LeaderElectionSpec = serde_json::from_str(r#"{"leaseDurationSeconds": 2147483648}"#).unwrap();
        let refusal = spec.timings().unwrap_err().to_string();
        assert_eq!(refusal, "leaseDurationSeconds is 2147483648; it can be 3600 at most");
    }
}
