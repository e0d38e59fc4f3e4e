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

impl NamedPort {
    fn new(port: &core::ContainerPort) -> Option<NamedPort> {
        let protocol = port.protocol.clone().unwrap_or_else(|| "TCP".to_owned());
        Some(NamedPort { name: port.name.clone()?, protocol, number: port.container_port })
    }
}
