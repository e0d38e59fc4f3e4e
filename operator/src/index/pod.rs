//! What the operator keeps of a pod: little, because it may keep 30,000 pods.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use elector_crds::candidate::{is_candidate, is_finished, service_account};
use elector_crds::{AGENT_CONTAINER, INJECTION_LABEL};
use jiff::Timestamp;

use super::ClockReading;
use super::stored_pod::{Condition, ContainerPort, ContainerStatus, Spec, Status, StoredPod, Terminated};

/// The most named ports of a pod that are kept: more than a pod can sensibly have.
const MAX_NAMED_PORTS: usize = 256;

/// A pod as it was last seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pod {
    /// The pod's name.
    pub name: String,
    /// The pod's uid.
    pub uid: String,
    /// The pod's labels.
    pub labels: BTreeMap<String, String>,
    /// The name of the pod's service account.
    pub service_account: String,
    /// The name of the pod's node.
    pub node: Option<String>,
    /// The time of creation by the API server's clock, in whole seconds.
    pub created: Option<Timestamp>,
    /// Whether the pod should have an agent from the chart's policy and has none: the policy never saw the pod.
    pub lacks_agent: bool,
    /// Whether the deletion of the pod has begun.
    pub terminating: bool,
    /// Whether the pod is in a final phase: it will never run again.
    pub finished: bool,
    /// The time since which no process of the pod is known to live or to be started any more, on the operator's clock
    /// (rule O1).
    pub dead_since: Option<Duration>,
    /// The time since which the pod has been ready, on the operator's clock.
    pub ready_since: Option<Duration>,
    /// The time since which the pod has not been ready, on the operator's clock.
    pub unready_since: Option<Duration>,
    /// The time since which the pod has been able to lead, because all its containers run, on the operator's clock.
    /// Such a pod may not be ready: some apps are ready only on the leader.
    pub able_since: Option<Duration>,
    /// The pod's addresses, one of each family.
    pub addresses: Vec<IpAddr>,
    /// The ports of the containers that have a name.
    pub named_ports: Vec<NamedPort>,
}

/// A port of a container that has a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedPort {
    /// The port's name.
    pub name: String,
    /// The protocol: TCP, UDP or SCTP.
    pub protocol: String,
    /// The port's number.
    pub number: i32,
}

impl Pod {
    /// Takes from `stored` what is kept. `last` is the same pod as it was seen before.
    pub(super) fn new(stored: StoredPod, last: Option<&Pod>, now: ClockReading) -> Pod {
        let StoredPod { metadata, spec, status } = stored;
        let dead = spec.as_ref().zip(status.as_ref()).is_some_and(|(spec, status)| is_dead(spec, status));
        let (spec, status) = (spec.unwrap_or_default(), status.unwrap_or_default());
        let init_containers = || spec.init_containers.iter().flatten();
        let containers = || spec.containers.iter().flatten();
        let has_agent = containers().chain(init_containers()).any(|it| it.name == AGENT_CONTAINER);
        let ports = spec.lasting_containers().flat_map(|container| container.ports.iter().flatten());
        let named_ports = ports.filter_map(NamedPort::new).take(MAX_NAMED_PORTS).collect();
        let has_its_own = metadata.labels.iter().flatten().any(|(label, _)| label == INJECTION_LABEL);
        let uid = metadata.uid.unwrap_or_default();
        let addresses =
            status.pod_ips.iter().flatten().filter_map(|address| address.ip.as_ref()?.parse().ok()).collect();
        let ready = status.conditions.iter().flatten().find(|condition| condition.type_ == "Ready");
        let able = ready.is_some_and(|ready| ready.status == "True" || is_by_kubelet(ready) && runs(&spec, &status));
        let ready = ready.is_some_and(|ready| ready.status == "True");
        let last = last.filter(|last| last.uid == uid);
        let known_ready = last.and_then(|last| last.ready_since);
        let known_unready = last.and_then(|last| last.unready_since);
        let known_able = last.and_then(|last| last.able_since);
        let known_dead = last.and_then(|last| last.dead_since);
        Pod {
            name: metadata.name.unwrap_or_default(),
            uid,
            labels: metadata.labels.unwrap_or_default(),
            service_account: service_account(spec.service_account_name),
            node: spec.node_name,
            created: metadata.creation_timestamp.map(|time| time.0),
            lacks_agent: !has_agent && !has_its_own,
            terminating: metadata.deletion_timestamp.is_some(),
            finished: is_finished(status.phase.as_deref()),
            dead_since: dead.then(|| known_dead.unwrap_or(now.at)),
            ready_since: ready.then(|| known_ready.unwrap_or(now.at)),
            unready_since: (!ready).then(|| known_unready.unwrap_or(now.at)),
            able_since: able.then(|| known_able.unwrap_or(now.at)),
            addresses,
            named_ports,
        }
    }

    /// Whether the pod counts as a candidate: it may lead, now or later.
    #[must_use]
    pub fn is_candidate(&self) -> bool {
        is_candidate(self.terminating, self.finished)
    }
}

/// Whether kubelet set this condition Ready, because of a probe or a gate. On a lost node other components set it.
fn is_by_kubelet(ready: &Condition) -> bool {
    matches!(ready.reason.as_deref(), Some("ContainersNotReady" | "ReadinessGatesNotReady"))
}

/// Whether each container that is meant to stay runs.
fn runs(spec: &Spec, status: &Status) -> bool {
    let lists = [&status.container_statuses, &status.init_container_statuses];
    let runs = |name: &String| {
        let mut reported = lists.into_iter().flatten().flatten().filter(|status| status.name == *name);
        reported.any(|status| {
            let runs = status.state.as_ref().is_some_and(|state| state.running.is_some());
            // As long as a startup probe has not succeeded it has not.
            runs && status.started != Some(false)
        })
    };
    let mut names = spec.lasting_containers().map(|container| &container.name).peekable();
    names.peek().is_some() && names.all(runs)
}

/// Whether kubelet has reported every container of the pod as terminated for good (rule O1).
///
/// Kubelet gives a pod a final phase once it will start nothing in it again, and states that in the condition Ready
/// too. Other components may set a final phase for a pod on a lost node; they do not state it in that condition.
fn is_dead(spec: &Spec, status: &Status) -> bool {
    let conditions = || status.conditions.iter().flatten();
    let is_final = is_finished(status.phase.as_deref());
    let by_kubelet = conditions().any(|condition| {
        let reason = condition.reason.as_deref();
        condition.type_ == "Ready"
            && condition.status == "False"
            && matches!(reason, Some("PodFailed" | "PodCompleted"))
    });
    let collected = conditions().any(|condition| {
        condition.type_ == "DisruptionTarget" && condition.reason.as_deref() == Some("DeletionByPodGC")
    });
    let lists = [&status.container_statuses, &status.init_container_statuses, &status.ephemeral_container_statuses];
    let reported: Vec<&ContainerStatus> = lists.into_iter().flatten().flatten().collect();
    let has_ended = |name: &String| {
        let state = reported.iter().find(|status| status.name == *name).and_then(|status| status.state.as_ref());
        state.and_then(|state| state.terminated.as_ref()).is_some_and(was_seen_to_end)
    };
    let lists = [&spec.containers, &spec.init_containers, &spec.ephemeral_containers];
    let mut containers = lists.into_iter().flatten().flatten().map(|it| &it.name);
    is_final && by_kubelet && !collected && containers.all(has_ended)
}

/// Whether the container's process was waited for. If a process cannot be found, a runtime reports that it ended now
/// with code 255, and kubelet or its replacements report a reason of their own.
fn was_seen_to_end(ended: &Terminated) -> bool {
    let is_known = matches!(ended.reason.as_deref(), Some("Completed" | "Error" | "OOMKilled"));
    is_known && (0..255).contains(&ended.exit_code) && ended.finished_at.is_some()
}

impl NamedPort {
    fn new(port: &ContainerPort) -> Option<NamedPort> {
        let protocol = port.protocol.clone().unwrap_or_else(|| "TCP".to_owned());
        Some(NamedPort { name: port.name.clone()?, protocol, number: port.container_port })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use elector_crds::untrusted::FromUntrusted as _;
    use serde_json::{Value, json};

    #[test]
    fn a_pod_that_is_not_ready_can_lead_while_all_that_is_to_stay_in_it_runs() {
        let running = || json!({"running": {"startedAt": "2026-11-27T10:00:00Z"}});
        let able = |app: Value, agent: Value, condition: Value| {
            let status = |name: &str, state: Value| json!({"name": name, "state": state});
            let stored = json!({
                "metadata": {"name": "billing-0", "uid": "u"},
                "spec": {
                    "containers": [{"name": "app"}],
                    "initContainers": [{"name": "prepare"}, {"name": "leader-elector", "restartPolicy": "Always"}],
                },
                "status": {
                    "conditions": [condition],
                    "containerStatuses": [status("app", app)],
                    "initContainerStatuses": [status("prepare", json!({"terminated": {"exitCode": 0}})), status("leader-elector", agent)],
                },
            });
            let stored = StoredPod::from_untrusted(&stored.to_string());
            Pod::new(stored, None, ClockReading { at: Duration::from_secs(7), wall: Timestamp::UNIX_EPOCH }).able_since
        };
        let ready = |status: &str, reason: &str| json!({"type": "Ready", "status": status, "reason": reason});
        let now = Some(Duration::from_secs(7));
        assert_eq!(able(json!({}), json!({}), ready("True", "")), now);
        for reason in ["ContainersNotReady", "ReadinessGatesNotReady"] {
            assert_eq!(able(running(), running(), ready("False", reason)), now);
        }
        let crashing = || json!({"waiting": {"reason": "CrashLoopBackOff"}});
        for (app, agent, condition) in [
            (crashing(), running(), ready("False", "ContainersNotReady")),
            (running(), crashing(), ready("False", "ContainersNotReady")),
            (running(), json!(null), ready("False", "ContainersNotReady")),
            // Of a node that is lost.
            (running(), running(), ready("False", "")),
            (running(), running(), ready("Unknown", "NodeStatusUnknown")),
            (running(), running(), json!({"type": "Initialized", "status": "True"})),
        ] {
            assert_eq!(able(app.clone(), agent.clone(), condition.clone()), None, "{app} {agent} {condition}");
        }
    }

    /// Whether a pod with an app and an agent is dead, if kubelet reports this phase, these states and these
    /// conditions.
    fn dead(phase: &str, app: Value, agent: Value, conditions: Value) -> bool {
        let status = |name: &str, state: Value| {
            json!({
                "name": name, "state": state, "image": "i", "imageID": "i", "ready": false, "restartCount": 0,
            })
        };
        let stored = json!({
            "metadata": {"name": "billing-0", "uid": "u", "deletionTimestamp": "2026-11-27T10:00:00Z"},
            "spec": {
                "containers": [{"name": "app"}],
                "initContainers": [{"name": "leader-elector", "restartPolicy": "Always"}],
            },
            "status": {
                "phase": phase,
                "conditions": conditions,
                "containerStatuses": [status("app", app)],
                "initContainerStatuses": if agent.is_null() { json!([]) } else { json!([status("leader-elector", agent)]) },
            },
        });
        let now = ClockReading { at: Duration::from_secs(7), wall: Timestamp::UNIX_EPOCH };
        let dead_since = Pod::new(StoredPod::from_untrusted(&stored.to_string()), None, now).dead_since;
        assert!(dead_since.is_none_or(|since| since == now.at));
        dead_since.is_some()
    }

    fn ended(reason: &str, exit_code: i32) -> Value {
        json!({"terminated": {"exitCode": exit_code, "finishedAt": "2026-11-27T10:00:01Z", "reason": reason}})
    }

    fn killed() -> Value {
        ended("Error", 137)
    }

    fn not_ready(reason: &str) -> Value {
        json!([{"type": "Ready", "status": "False", "reason": reason}])
    }

    #[test]
    fn a_pod_is_dead_when_its_kubelet_has_reported_each_container_terminated_for_good() {
        assert!(dead("Failed", killed(), killed(), not_ready("PodFailed")));
        assert!(dead("Succeeded", ended("Completed", 0), ended("OOMKilled", 137), not_ready("PodCompleted")));
        let evicted = json!([
            {"type": "DisruptionTarget", "status": "True", "reason": "TerminationByKubelet"},
            {"type": "Ready", "status": "False", "reason": "PodFailed"},
        ]);
        assert!(dead("Failed", killed(), killed(), evicted));
    }

    #[test]
    fn nothing_less_proves_it() {
        let failed = || not_ready("PodFailed");
        for state in [
            json!({"running": {"startedAt": "2026-11-27T10:00:00Z"}}),
            json!({"waiting": {"reason": "CrashLoopBackOff"}}),
            json!({"terminated": {"exitCode": 137, "reason": "Error"}}),
            json!({}),
            // Of what could not be found: kubelet's word, containerd's, its shim's, and a virtual kubelet's.
            ended("ContainerStatusUnknown", 137),
            ended("Unknown", 255),
            ended("Error", 255),
            ended("NotFound", -137),
        ] {
            assert!(!dead("Failed", killed(), state.clone(), failed()), "{state}");
            assert!(!dead("Failed", state.clone(), killed(), failed()), "{state}");
        }
        assert!(!dead("Failed", killed(), Value::Null, failed()), "of the agent nothing is said");
        // Between two lives of its containers, and where only its deletion has begun.
        for phase in ["Running", "Pending", "Unknown", ""] {
            assert!(!dead(phase, killed(), killed(), failed()), "{phase}");
        }
        // A final phase that somebody else has written.
        for conditions in [json!([]), not_ready("ContainersNotReady"), json!([{"type": "Ready", "status": "True"}])] {
            assert!(!dead("Failed", killed(), killed(), conditions.clone()), "{conditions}");
        }
        let collected = json!([
            {"type": "DisruptionTarget", "status": "True", "reason": "DeletionByPodGC"},
            {"type": "Ready", "status": "False", "reason": "PodFailed"},
        ]);
        assert!(!dead("Failed", killed(), killed(), collected));
    }

    #[test]
    fn a_container_that_cannot_be_read_may_live() {
        let unreadable =
            json!({"terminated": {"exitCode": "0", "reason": "Error", "finishedAt": "2026-11-27T10:00:01Z"}});
        assert!(!dead("Failed", killed(), unreadable, not_ready("PodFailed")));
        let stored = StoredPod::from_untrusted(r#"{"spec": {"containers": [{"name": "app"}, {"name": 7}]}}"#);
        assert!(stored.spec.is_none());
    }

    #[test]
    fn what_is_not_used_is_not_read() {
        let far = "9999-12-31T23:59:59Z";
        let stored = json!({
            "metadata": {"name": "billing-0", "managedFields": [{"time": far}]},
            "spec": {"containers": [{"name": "app", "env": 7}], "tolerations": "none"},
            "status": {
                "startTime": far,
                "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": far, "lastProbeTime": far}],
                "containerStatuses": [{"name": "app", "state": {"running": {"startedAt": far}}}],
            },
        });
        let now = ClockReading { at: Duration::from_secs(7), wall: Timestamp::UNIX_EPOCH };
        let pod = Pod::new(StoredPod::from_untrusted(&stored.to_string()), None, now);
        assert_eq!((pod.name.as_str(), pod.ready_since), ("billing-0", Some(now.at)));
    }
}
