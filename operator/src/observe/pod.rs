//! What the operator keeps of a pod: 30,000 of them must fit.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use elector_crds::{AGENT_CONTAINER, INJECTION_LABEL};
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
    /// It should have an agent of its own, and has no container of that name: the chart's policy never saw it.
    pub lacks_agent: bool,
    /// Its deletion has begun.
    pub terminating: bool,
    /// It will never run again.
    pub finished: bool,
    /// None of its processes lives, and none will (rule O1).
    pub dead: bool,
    /// On the operator's clock: since when it has been ready.
    pub ready_since: Option<Duration>,
    /// Where it is reached, one of a family.
    pub addresses: Vec<IpAddr>,
    /// The ports of its containers that have a name.
    pub named_ports: Vec<NamedPort>,
}

/// A port of a container, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedPort {
    /// Its name.
    pub name: String,
    /// TCP, UDP or SCTP.
    pub protocol: String,
    /// Its number.
    pub number: i32,
}

impl Pod {
    /// Takes from `stored` what is needed; `last` is the same pod as it was seen before.
    pub(super) fn new(stored: core::Pod, last: Option<&Pod>, now: Now) -> Pod {
        let core::Pod { metadata, spec, status } = stored;
        let spec = spec.unwrap_or_default();
        let init_containers = || spec.init_containers.iter().flatten();
        let has_agent = spec.containers.iter().chain(init_containers()).any(|it| it.name == AGENT_CONTAINER);
        let sidecars = init_containers().filter(|it| it.restart_policy.as_deref() == Some("Always"));
        let ports = spec.containers.iter().chain(sidecars).flat_map(|container| container.ports.iter().flatten());
        let named_ports = ports.filter_map(NamedPort::new).collect();
        let has_its_own = metadata.labels.iter().flatten().any(|(label, _)| label == INJECTION_LABEL);
        let status = status.unwrap_or_default();
        let dead = is_dead(&spec, &status);
        let uid = metadata.uid.unwrap_or_default();
        let addresses = status.pod_ips.iter().flatten().filter_map(|address| address.ip.parse().ok()).collect();
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
            lacks_agent: !has_agent && !has_its_own,
            terminating: metadata.deletion_timestamp.is_some(),
            finished: matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")),
            dead,
            ready_since: ready.then(|| known_ready.unwrap_or(now.at)),
            addresses,
            named_ports,
        }
    }

    /// Whether it counts: it may lead, now or later.
    #[must_use]
    pub fn is_candidate(&self) -> bool {
        !self.terminating && !self.finished
    }
}

/// Whether its kubelet has reported every container terminated, for good (rule O1).
///
/// A phase that is terminal is kubelet's word that it starts none of them again, unless whoever collects the pods of lost
/// nodes has set it. A container that kubelet could not find is reported as terminated, too, and proves nothing.
fn is_dead(spec: &core::PodSpec, status: &core::PodStatus) -> bool {
    let is_final = matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"));
    let collected = status.conditions.iter().flatten().any(|condition| {
        condition.type_ == "DisruptionTarget" && condition.reason.as_deref() == Some("DeletionByPodGC")
    });
    let lists = [&status.container_statuses, &status.init_container_statuses, &status.ephemeral_container_statuses];
    let reported: Vec<&core::ContainerStatus> = lists.into_iter().flatten().flatten().collect();
    let has_ended = |name: &String| {
        let state = reported.iter().find(|status| status.name == *name).and_then(|status| status.state.as_ref());
        let ended = state.and_then(|state| state.terminated.as_ref());
        ended.is_some_and(|ended| {
            ended.finished_at.is_some() && ended.reason.as_deref() != Some("ContainerStatusUnknown")
        })
    };
    let containers = spec.containers.iter().chain(spec.init_containers.iter().flatten()).map(|it| &it.name);
    let ephemeral = spec.ephemeral_containers.iter().flatten().map(|it| &it.name);
    is_final && !collected && containers.chain(ephemeral).all(has_ended)
}

impl NamedPort {
    fn new(port: &core::ContainerPort) -> Option<NamedPort> {
        let protocol = port.protocol.clone().unwrap_or_else(|| "TCP".to_owned());
        Some(NamedPort { name: port.name.clone()?, protocol, number: port.container_port })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// A pod with an app and an agent, of which kubelet says that.
    fn dead(phase: &str, app: Value, agent: Value, more: Value) -> bool {
        let mut status = json!({
            "phase": phase,
            "containerStatuses": [{"name": "app", "state": app}],
            "initContainerStatuses": [{"name": "leader-elector", "state": agent}],
        });
        status.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        for list in ["containerStatuses", "initContainerStatuses"] {
            for status in status[list].as_array_mut().unwrap() {
                let defaults = json!({"image": "i", "imageID": "i", "ready": false, "restartCount": 0});
                status.as_object_mut().unwrap().extend(defaults.as_object().unwrap().clone());
            }
        }
        let stored = json!({
            "metadata": {"name": "billing-0", "uid": "u", "deletionTimestamp": "2026-11-27T10:00:00Z"},
            "spec": {
                "containers": [{"name": "app"}],
                "initContainers": [{"name": "leader-elector", "restartPolicy": "Always"}],
            },
            "status": status,
        });
        let now = Now { at: Duration::ZERO, wall: Timestamp::UNIX_EPOCH };
        Pod::new(serde_json::from_value(stored).unwrap(), None, now).dead
    }

    fn ended() -> Value {
        json!({"terminated": {"exitCode": 137, "finishedAt": "2026-11-27T10:00:01Z", "reason": "Error"}})
    }

    #[test]
    fn a_pod_is_dead_when_its_kubelet_has_reported_each_container_terminated_for_good() {
        for phase in ["Failed", "Succeeded"] {
            assert!(dead(phase, ended(), ended(), json!({})));
        }
        let evicted = json!({"conditions": [
            {"type": "DisruptionTarget", "status": "True", "reason": "TerminationByKubelet"},
        ]});
        assert!(dead("Failed", ended(), ended(), evicted));
    }

    #[test]
    fn nothing_less_proves_it() {
        let running = json!({"running": {"startedAt": "2026-11-27T10:00:00Z"}});
        let waiting = json!({"waiting": {"reason": "CrashLoopBackOff"}});
        let lost = json!({"terminated": {
            "exitCode": 137, "finishedAt": "2026-11-27T10:00:01Z", "reason": "ContainerStatusUnknown",
        }});
        let timeless = json!({"terminated": {"exitCode": 137}});
        for state in [running, waiting, lost, timeless, json!({})] {
            assert!(!dead("Failed", ended(), state.clone(), json!({})), "{state}");
            assert!(!dead("Failed", state.clone(), ended(), json!({})), "{state}");
        }
        // Between two lives of its containers, and where only its deletion has begun.
        for phase in ["Running", "Pending", "Unknown", ""] {
            assert!(!dead(phase, ended(), ended(), json!({})), "{phase}");
        }
        let collected = json!({"conditions": [
            {"type": "DisruptionTarget", "status": "True", "reason": "DeletionByPodGC"},
        ]});
        assert!(!dead("Failed", ended(), ended(), collected));
        assert!(!dead("Failed", ended(), ended(), json!({"initContainerStatuses": []})));
    }
}
