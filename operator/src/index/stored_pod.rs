//! A pod as it is stored, read as far as the operator uses it.

use std::borrow::Cow;

use elector_crds::untrusted::{FromUntrusted, JsonFields};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde::Deserialize;
use serde::de::IgnoredAny;

/// A `v1` Pod. Reading it does not fail: parts that cannot be read are absent.
#[derive(Debug, Clone, Default)]
pub struct StoredPod {
    pub(super) metadata: ObjectMeta,
    /// The spec; `None` if any container cannot be read: then nothing is known of any container.
    pub(super) spec: Option<Spec>,
    /// The status; `None` if the state of any container cannot be read.
    pub(super) status: Option<Status>,
}

#[derive(Deserialize, Debug, Clone, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Spec {
    pub(super) service_account_name: Option<String>,
    pub(super) node_name: Option<String>,
    pub(super) containers: Option<Vec<Container>>,
    pub(super) init_containers: Option<Vec<Container>>,
    pub(super) ephemeral_containers: Option<Vec<Container>>,
}

#[derive(Deserialize, Debug, Clone)]
#[serde(rename_all = "camelCase")]
pub(super) struct Container {
    pub(super) name: String,
    pub(super) restart_policy: Option<String>,
    pub(super) ports: Option<Vec<ContainerPort>>,
}

#[derive(Deserialize, Debug, Clone)]
#[serde(rename_all = "camelCase")]
pub(super) struct ContainerPort {
    pub(super) name: Option<String>,
    pub(super) protocol: Option<String>,
    pub(super) container_port: i32,
}

#[derive(Deserialize, Debug, Clone, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Status {
    pub(super) phase: Option<String>,
    #[serde(rename = "podIPs")]
    pub(super) pod_ips: Option<Vec<PodIp>>,
    pub(super) conditions: Option<Vec<Condition>>,
    pub(super) container_statuses: Option<Vec<ContainerStatus>>,
    pub(super) init_container_statuses: Option<Vec<ContainerStatus>>,
    pub(super) ephemeral_container_statuses: Option<Vec<ContainerStatus>>,
}

#[derive(Deserialize, Debug, Clone)]
pub(super) struct PodIp {
    pub(super) ip: Option<String>,
}

#[derive(Deserialize, Debug, Clone)]
pub(super) struct Condition {
    #[serde(rename = "type")]
    pub(super) type_: String,
    pub(super) status: String,
    pub(super) reason: Option<String>,
}

#[derive(Deserialize, Debug, Clone)]
pub(super) struct ContainerStatus {
    pub(super) name: String,
    pub(super) started: Option<bool>,
    pub(super) state: Option<ContainerState>,
}

#[derive(Deserialize, Debug, Clone)]
pub(super) struct ContainerState {
    /// Whether the container runs: nothing more is read.
    pub(super) running: Option<IgnoredAny>,
    pub(super) terminated: Option<Terminated>,
}

/// The end of a container.
#[derive(Deserialize, Debug, Clone)]
#[serde(rename_all = "camelCase")]
pub(super) struct Terminated {
    pub(super) reason: Option<String>,
    pub(super) exit_code: i32,
    /// Whether the container has an end time: nothing more is read.
    pub(super) finished_at: Option<IgnoredAny>,
}

impl Spec {
    /// The containers that last as long as the pod: the app's and sidecars, not those that prepare the pod.
    pub(super) fn lasting_containers(&self) -> impl Iterator<Item = &Container> {
        let sidecars = self.init_containers.iter().flatten();
        let sidecars = sidecars.filter(|it| it.restart_policy.as_deref() == Some("Always"));
        self.containers.iter().flatten().chain(sidecars)
    }
}

impl FromUntrusted for StoredPod {
    fn from_untrusted(json: &str) -> StoredPod {
        let fields = JsonFields::of(json);
        StoredPod { metadata: fields.metadata(), spec: fields.read("spec"), status: fields.read("status") }
    }
}

impl Resource for StoredPod {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        core::Pod::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        core::Pod::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        core::Pod::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        core::Pod::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}
