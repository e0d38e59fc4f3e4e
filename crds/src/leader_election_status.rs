//! What the operator answers: the status of a `LeaderElection`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::JsonSchema;
use schemars::transform::RecursiveTransform;
use serde::{Deserialize, Serialize};

use crate::annotations::ReleaseReason;
use crate::conditions::names;
use crate::display_text::{MAX_IDENTITY, MAX_NAME, MAX_SELECTOR};
use crate::validation;

/// The observed generation that the API server fills in before an operator has looked at an election. Without it, Helm
/// and others that wait for objects would take the election for ready.
pub(crate) const NOT_OBSERVED: i64 = -1;

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
