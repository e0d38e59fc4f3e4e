//! The `LeaderElection` kind: a spec that the user writes, and a status that the operator writes.

use elector_election::{InvalidTimings, Timings};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use kube::core::{Expression, Selector};
use schemars::JsonSchema;
use schemars::transform::RecursiveTransform;
use serde::{Deserialize, Serialize};

use crate::annotations::{ELECTION_LABEL, ReleaseReason};
use crate::conditions::names;
use crate::display_text::{MAX_IDENTITY, MAX_NAME, MAX_SELECTOR};
use crate::leader_service::LeaderService;
use crate::selector::CandidateSelector;
use crate::validation;

/// The service account whose pods may lead, unless the spec names others.
pub const DEFAULT_SERVICE_ACCOUNT: &str = "default";

/// The observed generation that the API server fills in before an operator has looked at an election. Without it, Helm
/// and others that wait for objects would take the election for ready.
const NOT_OBSERVED: i64 = -1;

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

/// What the operator sees of the election.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[schemars(
    transform = RecursiveTransform(validation::unwrap_description),
    extend("default" = {"observedGeneration": NOT_OBSERVED})
)]
pub struct LeaderElectionStatus {
    /// The generation of the election that this status describes. -1: no operator has looked at the election.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// The candidates' label selector, as kubectl takes it. A selector that is too long to be shown is cut, and ends
    /// with `…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = MAX_SELECTOR))]
    pub selector: Option<String>,

    /// The uid of the Lease.
    #[serde(default, rename = "leaseUID", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub lease_uid: Option<String>,

    /// The state of the election as one word, for the column STATE. It is LeaseHeld if a candidate leads and all is
    /// well; Paused, Flapping, LeaderNotReady or AdviceIgnored; or the reason why no leader is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub state: Option<String>,

    /// The leader. Absent: the operator knows of no leader.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<Holder>,

    /// How many tenures there have been, as the Lease counts them; candidates that are not agents may not count theirs.
    /// The number is kept when the Lease is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "int32"))]
    pub lease_transitions: Option<i64>,

    /// How many pods match the selector, terminating and finished ones not counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "int32"))]
    pub candidates: Option<i64>,

    /// How many of the candidates are ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "int32"))]
    pub ready_candidates: Option<i64>,

    /// The last ten tenures that the operator has seen, the latest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub history: Vec<PastTenure>,

    /// The conditions of the election. Ready: what the spec asks for is in place. LeaderElected: a candidate leads.
    /// CandidatesReady: the pods that may lead are able to. AdviceFollowed: the leader does what it is asked for;
    /// absent until something was asked. LeaderStable: tenures do not end all the time; absent until they have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = validation::conditions)]
    pub conditions: Vec<Condition>,
}

/// The leader.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Holder {
    /// The name of the pod that leads, or the identity if it names no pod.
    #[schemars(length(max = MAX_NAME))]
    pub name: String,

    /// The leader's identity, from the Lease's holderIdentity. It is cut if it is longer than 512 bytes, and a
    /// character that cannot be seen is replaced by its code, such as `\u{202e}`. The identity of a pod is always
    /// whole.
    #[schemars(length(max = MAX_IDENTITY))]
    pub identity: String,

    /// The node of the leader's pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = MAX_NAME))]
    pub node_name: Option<String>,

    /// The time at which the leader began to lead, by its own clock: the Lease's acquireTime.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub acquire_time: Option<String>,
}

/// A tenure that goes on, or is over.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct PastTenure {
    /// The name of the pod that led, or the identity if it names no pod.
    #[schemars(length(max = MAX_NAME))]
    pub holder: String,

    /// The identity of the holder, as it can be shown.
    #[schemars(length(max = MAX_IDENTITY))]
    pub identity: String,

    /// The number of the tenure, as the Lease counts them. Absent: the holder did not count its tenure, so that the
    /// Lease had the number of an earlier one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "int32"))]
    pub lease_transitions: Option<i64>,

    /// The time at which the tenure began, by the holder's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub from: Option<String>,

    /// The time at which the operator saw that the tenure was over, by the operator's clock. Absent: the tenure goes
    /// on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub until: Option<String>,

    /// Why the tenure ended: Released, Stopped, AppUnhealthy, CommandEnded, PublishFailed, Transferred, Preferred,
    /// Unready, Paused, PodTerminated, Expired, Replaced or LeaseDeleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub reason: Option<String>,
}

names! {
    /// Why a tenure ended, in the words of [`PastTenure::reason`].
    TenureEnd {
        /// The holder gave the Lease up, and did not say why.
        Released,
        /// The holder gave the Lease up because its process was told to stop.
        Stopped,
        /// The holder gave the Lease up because its app was not healthy.
        AppUnhealthy,
        /// The holder gave the Lease up because its command had ended, or could not be run.
        CommandEnded,
        /// The holder gave the Lease up because it could not publish that it leads.
        PublishFailed,
        /// The holder handed over because another leader was requested.
        Transferred,
        /// The holder handed over to a preferred candidate.
        Preferred,
        /// The holder handed over because its pod was not ready.
        Unready,
        /// The holder gave the Lease up because the election is paused.
        Paused,
        /// The holder's pod had ended, as its kubelet reported.
        PodTerminated,
        /// The holder was silent for too long.
        Expired,
        /// The Lease shows another holder, no holder, or another tenure of the same holder.
        Replaced,
        /// The Lease was deleted.
        LeaseDeleted,
    }
}

impl From<ReleaseReason> for TenureEnd {
    fn from(reason: ReleaseReason) -> TenureEnd {
        match reason {
            ReleaseReason::Stopped => TenureEnd::Stopped,
            ReleaseReason::AppUnhealthy => TenureEnd::AppUnhealthy,
            ReleaseReason::CommandEnded => TenureEnd::CommandEnded,
            ReleaseReason::PublishFailed => TenureEnd::PublishFailed,
            ReleaseReason::Paused => TenureEnd::Paused,
            ReleaseReason::HandedOver => TenureEnd::Transferred,
            ReleaseReason::PodTerminated => TenureEnd::PodTerminated,
        }
    }
}

impl TenureEnd {
    /// The end of a sentence that says why the leader ("it") no longer leads.
    #[must_use]
    pub fn in_words(self) -> &'static str {
        match self {
            TenureEnd::Released => "it gave the Lease up",
            TenureEnd::Stopped => "it was told to stop",
            TenureEnd::AppUnhealthy => "its app was not healthy",
            TenureEnd::CommandEnded => "its command had ended, or could not be run",
            TenureEnd::PublishFailed => "it could not write its status file, or not start its command",
            TenureEnd::Transferred => "it handed over, as was asked for",
            TenureEnd::Preferred => "it handed over to a preferred candidate",
            TenureEnd::Unready => "it handed over, as its pod was not ready",
            TenureEnd::Paused => "the election is paused",
            TenureEnd::PodTerminated => "its pod has ended",
            TenureEnd::Expired => "it was silent for too long",
            TenureEnd::Replaced => "the Lease no longer names it",
            TenureEnd::LeaseDeleted => "the Lease was deleted",
        }
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
