//! `LeaderElection`: what the user asks for, and what the operator answers.

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

/// The service account whose pods may lead unless others are named.
pub const DEFAULT_SERVICE_ACCOUNT: &str = "default";

/// The generation that the API server fills in before an operator has looked at an election: without one, Helm and others that
/// wait for objects take it for ready.
const NOT_OBSERVED: i64 = -1;

/// What is asked for. `{}` is complete.
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
        description = "LeaseHeld, or what keeps it from being so: Paused, Flapping, LeaderNotReady and others."),
    printcolumn(name = "Ready", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].status"#,
        description = "Whether what was asked for is in place."),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Elected", type_ = "string", priority = 1,
        json_path = r#".status.conditions[?(@.type=="LeaderElected")].status"#,
        description = "Whether somebody leads."),
    printcolumn(name = "Reason", type_ = "string", priority = 1,
        json_path = r#".status.conditions[?(@.type=="LeaderElected")].reason"#,
        description = "Why somebody leads, or nobody does."),
    printcolumn(name = "Node", type_ = "string", priority = 1, json_path = ".status.holder.nodeName",
        description = "Where the holder runs.")
)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = validation::timings, transform = RecursiveTransform(validation::unwrap_description))]
pub struct LeaderElectionSpec {
    /// Who may lead.
    #[serde(default)]
    pub candidates: Candidates,

    /// Whether nobody is to lead. The leader steps down as if told to stop, and nobody contends until this is false again.
    #[serde(default)]
    pub paused: bool,

    /// How long a leader is believed to lead after its last sign of life, in whole seconds, 3600 at most. A standby takes
    /// over that long after the leader has gone silent. Must leave room for the renew deadline:
    /// 132 * leaseDurationSeconds >= 156 * renewDeadlineSeconds + 143 * (1 + releaseDelaySeconds).
    #[serde(default = "default_lease_duration_seconds")]
    #[schemars(extend("format" = "int32"))]
    pub lease_duration_seconds: i64,

    /// How long a leader goes on without a successful renewal before it stops leading, in whole seconds. At least twice
    /// the retry period.
    #[serde(default = "default_renew_deadline_seconds")]
    #[schemars(extend("format" = "int32"))]
    pub renew_deadline_seconds: i64,

    /// How often a leader renews, in whole seconds.
    #[serde(default = "default_retry_period_seconds")]
    #[schemars(extend("format" = "int32"))]
    pub retry_period_seconds: i64,

    /// How long a leader that is told to stop waits between removing its status file and letting others lead, in whole
    /// seconds. For applications that look at the file and then act for a while without looking again.
    #[serde(default = "default_release_delay_seconds")]
    #[schemars(extend("format" = "int32"))]
    pub release_delay_seconds: i64,

    /// Seconds for which the leader's pod can be unready before the operator asks it to hand over to a candidate whose pod is
    /// ready, 86400 at most. After each such handover in a row within an hour they are twice as many, up to an hour. 0: it is
    /// never asked.
    #[serde(default = "default_unready_leader_seconds")]
    #[schemars(range(min = 0, max = 86400), extend("format" = "int32"))]
    pub unready_leader_seconds: i64,

    /// A Service that leads to the leader alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader_service: Option<LeaderService>,

    /// Whether the candidates' pods are labelled leader-elector.io/role=leader or standby. A Service's endpoints change as
    /// soon; labels are for what selects pods and knows nothing of Services.
    #[serde(default)]
    pub pod_labels: PodLabels,
}

/// Whether pods say in a label what they are.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PodLabels {
    /// They do.
    Enabled,
    /// They do not; and whatever a later version adds, lest that make a list of elections unreadable.
    #[default]
    #[serde(other)]
    Disabled,
}

/// Who may lead: pods in the election's namespace that match the selector and run as one of the service accounts.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Candidates {
    /// The candidates' labels. Absent: the label leader-elector.io/election with the election's name. An empty selector is
    /// refused. It decides what the status counts; the right to lead comes from the service account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<CandidateSelector>,

    /// The service accounts that are given the right to contend for the Lease.
    #[serde(default = "default_service_account_names")]
    #[schemars(length(min = 1, max = 32), transform = validation::service_account_names)]
    pub service_account_names: Vec<String>,

    /// Who had better lead: of two candidates the one that matches an earlier selector. A leader to whom another is preferred
    /// hands over to it once all its containers have run for two lease durations; after each such handover in a row, and after each
    /// tenure that the preferred pod has lost, the wait is twice as long, up to an hour.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "atomic"))]
    pub preferred: Vec<CandidateSelector>,

    /// As whom they may contend. Pod: each only as the pod that its token is bound to, which the API server checks where
    /// the Helm chart's policy is in place. Any: as whoever they say, as agents with an identity of their own and
    /// candidates of client-go's do.
    #[serde(default)]
    pub identity: CandidateIdentity,
}

/// As whom candidates may contend.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CandidateIdentity {
    /// As the pod of the token, `<pod>_<pod uid>`.
    #[default]
    Pod,
    /// As whoever they say; and whatever a later version adds, lest that make a list of elections unreadable.
    #[serde(other)]
    Any,
}

impl LeaderElection {
    /// What an operator has said of it, if one has looked at it.
    #[must_use]
    pub fn observed(&self) -> Option<&LeaderElectionStatus> {
        self.status.as_ref().filter(|status| status.observed_generation != Some(NOT_OBSERVED))
    }
}

/// What the operator sees.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[schemars(
    transform = RecursiveTransform(validation::unwrap_description),
    extend("default" = {"observedGeneration": NOT_OBSERVED})
)]
pub struct LeaderElectionStatus {
    /// The generation of the election that this status speaks of. -1: no operator has looked at it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// The candidates' label selector, as kubectl takes it. One that is too long to be shown is cut, and ends with `…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = MAX_SELECTOR))]
    pub selector: Option<String>,

    /// The uid of the Lease.
    #[serde(default, rename = "leaseUID", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub lease_uid: Option<String>,

    /// What matters most of the conditions, as one word, for the column STATE: LeaseHeld where somebody leads and all is well with
    /// that; Paused; Flapping; LeaderNotReady; AdviceIgnored; or the reason of LeaderElected, why nobody is known to lead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub state: Option<String>,

    /// Who leads. Absent: nobody, as the operator sees it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<Holder>,

    /// How many tenures there have been, as the Lease counts them; candidates that are not agents may not count theirs. Kept
    /// when the Lease is deleted.
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

    /// The last tenures, the latest first: ten, as far as the operator has seen them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub history: Vec<PastTenure>,

    /// Ready: what was asked for is in place. LeaderElected: somebody leads. CandidatesReady: those who may lead can.
    /// AdviceFollowed: the leader does what it is asked for, if it ever was. LeaderStable: tenures do not end all the time, if they
    /// ever did.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = validation::conditions)]
    pub conditions: Vec<Condition>,
}

/// Who leads.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Holder {
    /// The pod that leads; the identity itself if it names no pod.
    #[schemars(length(max = MAX_NAME))]
    pub name: String,

    /// The Lease's holderIdentity, cut if it is longer than 512 bytes, and with `\u{202e}` in place of such a character that is
    /// not seen. That of a pod is always whole.
    #[schemars(length(max = MAX_IDENTITY))]
    pub identity: String,

    /// The node of that pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = MAX_NAME))]
    pub node_name: Option<String>,

    /// When it began to lead, by its own clock: the Lease's acquireTime.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub acquire_time: Option<String>,
}

/// A tenure that is under way, or over.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct PastTenure {
    /// The pod that led; the identity itself if it names no pod.
    #[schemars(length(max = MAX_NAME))]
    pub holder: String,

    /// The Lease's holderIdentity, as that of the holder has it.
    #[schemars(length(max = MAX_IDENTITY))]
    pub identity: String,

    /// Which tenure it was, as the Lease counts them. Absent: its holder did not count it, and the Lease had the number of an
    /// earlier one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "int32"))]
    pub lease_transitions: Option<i64>,

    /// When it began, by the holder's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub from: Option<String>,

    /// When the operator saw that it was over, by its own clock. Absent: it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub until: Option<String>,

    /// Why it ended: Released, Stopped, AppUnhealthy, CommandEnded, PublishFailed, Transferred, Preferred, Unready, Paused,
    /// PodTerminated, Expired, Replaced or LeaseDeleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub reason: Option<String>,
}

names! {
    /// Why a tenure ended, as [`PastTenure::reason`] has it.
    TenureEnd {
        /// Its holder gave it up, and did not say why.
        Released,
        /// The same, for its process was told to stop.
        Stopped,
        /// The same, for its app was not healthy.
        AppUnhealthy,
        /// The same, for the command that it ran had ended, or could not be run.
        CommandEnded,
        /// The same, for it could not show that it led.
        PublishFailed,
        /// The same, for another was asked for.
        Transferred,
        /// The same, for a candidate that is preferred.
        Preferred,
        /// The same, for its pod was not ready.
        Unready,
        /// The same, for the election is paused.
        Paused,
        /// Its holder's pod had ended, as its kubelet reported.
        PodTerminated,
        /// Its holder was silent for too long.
        Expired,
        /// Somebody else's name, or nobody's, or another tenure of the same holder is in the Lease.
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
    /// For an event that says of a leader that it no longer leads.
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
    /// The timings that are asked for.
    ///
    /// # Errors
    /// The rule that they break; the API server refuses such a spec in the same words.
    pub fn timings(&self) -> Result<Timings, InvalidTimings> {
        Timings::new(
            self.lease_duration_seconds,
            self.renew_deadline_seconds,
            self.retry_period_seconds,
            self.release_delay_seconds,
        )
    }

    /// What the candidates of the election called `name` are recognised by.
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
