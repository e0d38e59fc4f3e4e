//! What the operator keeps of a pod: 30,000 of them must fit.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1 as core;

use super::Now;

/// A pod as it was last seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pod {
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// As whom it runs.
    pub service_account: String,
    /// Where it runs.
    pub node: Option<String>,
    /// By the API server's clock, in whole seconds.
    pub created: Option<Timestamp>,
    /// Its deletion has begun.
    pub terminating: bool,
    /// It will never run again.
    pub finished: bool,
    /// On the operator's clock: since when it has been ready.
    pub ready_since: Option<Duration>,
}

impl Pod {
    /// Takes from `stored` what is needed; `last` is the same pod as it was seen before.
    pub(super) fn new(stored: core::Pod, last: Option<&Pod>, now: Now) -> Pod {
        let core::Pod { metadata, spec, status } = stored;
        let spec = spec.unwrap_or_default();
        let status = status.unwrap_or_default();
        let uid = metadata.uid.unwrap_or_default();
        let ready = status.conditions.iter().flatten().any(|condition| {
            let core::PodCondition { type_, status, .. } = condition;
            type_ == "Ready" && status == "True"
        });
        let known_ready = last.filter(|last| last.uid == uid).and_then(|last| last.ready_since);
        Pod {
            name: metadata.name.unwrap_or_default(),
            uid,
            labels: metadata.labels.unwrap_or_default(),
            service_account: spec.service_account_name.unwrap_or_else(|| "default".to_owned()),
            node: spec.node_name,
            created: metadata.creation_timestamp.map(|time| time.0),
            terminating: metadata.deletion_timestamp.is_some(),
            finished: matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")),
            ready_since: ready.then(|| known_ready.unwrap_or(now.at)),
        }
    }

    /// Whether it counts: it may lead, now or later.
    #[must_use]
    pub fn is_candidate(&self) -> bool {
        !self.terminating && !self.finished
    }
}
