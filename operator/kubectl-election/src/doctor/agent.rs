//! The agent in a pod: the container that contends, and its settings.

use elector_crds::AGENT_CONTAINER;
use k8s_openapi::api::core::v1::{
    Container, ContainerStatus, EnvVar, EnvVarSource, ObjectFieldSelector, Pod, PodSpec, PodStatus, Volume, VolumeMount,
};
use kube::ResourceExt as _;

/// The default path of the agent's status file.
const STATUS_FILE: &str = "/tmp/leader_status";

/// The container of a pod that contends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Agent<'a> {
    pub(super) pod: &'a Pod,
    pub(super) container: &'a Container,
    pub(super) place: Place,
}

/// The kind of the container that contends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// A native sidecar.
    Sidecar,
    /// An init container, for whose end the other containers wait.
    Init,
    /// A container beside the app's.
    Beside,
    /// The app's own container.
    App,
}

/// The value of a setting, as far as the pod tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Setting {
    Set(String),
    Unset,
    /// The value comes from an object that was not looked at, of this kind.
    Elsewhere(&'static str),
}

impl<'a> Agent<'a> {
    /// The agent of a pod; `None` if no container is known to contend.
    pub(super) fn of(pod: &'a Pod) -> Option<Agent<'a>> {
        let spec = pod.spec.as_ref()?;
        let init = spec.init_containers.iter().flatten().map(|container| (container, true));
        let all: Vec<(&Container, bool)> = init.chain(spec.containers.iter().map(|it| (it, false))).collect();
        let named = all.iter().find(|(container, _)| container.name == AGENT_CONTAINER);
        let (container, place) = match named {
            Some((container, true)) if is_sidecar(container) => (container, Place::Sidecar),
            Some((container, true)) => (container, Place::Init),
            Some((container, false)) => (container, Place::Beside),
            None => {
                let (container, _) = all.iter().find(|(container, is_init)| !is_init && contends(container))?;
                (container, Place::App)
            }
        };
        Some(Agent { pod, container, place })
    }

    /// Whether the agent has a container of its own.
    pub(super) fn is_alone(&self) -> bool {
        self.place != Place::App
    }

    /// The value of a setting as the agent reads it: the flag goes before the variable, and an empty value counts as
    /// unset.
    pub(super) fn setting(&self, variable: &str, flag: &str) -> Setting {
        if let Some(value) = flag_of(self.container, flag) {
            return if value.contains("$(") { Setting::Elsewhere("a variable in its arguments") } else { set(value) };
        }
        self.variable(variable)
    }

    /// The value of a variable in the agent's environment.
    pub(super) fn variable(&self, variable: &str) -> Setting {
        let variables = self.container.env.iter().flatten();
        match variables.rev().find(|known| known.name == variable) {
            Some(EnvVar { value_from: Some(source), .. }) => self.from(source),
            Some(EnvVar { value, .. }) => set(value.as_deref().unwrap_or_default()),
            None if self.container.env_from.iter().flatten().next().is_some() => Setting::Elsewhere("envFrom"),
            None => Setting::Unset,
        }
    }

    fn from(&self, source: &EnvVarSource) -> Setting {
        let EnvVarSource { config_map_key_ref, field_ref, secret_key_ref, .. } = source;
        match (field_ref, config_map_key_ref, secret_key_ref) {
            (Some(ObjectFieldSelector { field_path, .. }), _, _) => self.field(field_path),
            (None, Some(_), _) => Setting::Elsewhere("a ConfigMap"),
            (None, None, Some(_)) => Setting::Elsewhere("a Secret"),
            (None, None, None) => Setting::Elsewhere("valueFrom"),
        }
    }

    fn field(&self, path: &str) -> Setting {
        let key = |kind: &str| path.strip_prefix(kind)?.strip_prefix("['")?.strip_suffix("']");
        let of = |value: Option<&String>| set(value.map(String::as_str).unwrap_or_default());
        match path {
            "metadata.name" => set(&self.pod.name_any()),
            "metadata.namespace" => set(&self.pod.namespace().unwrap_or_default()),
            "metadata.uid" => set(&self.pod.uid().unwrap_or_default()),
            _ => match (key("metadata.labels"), key("metadata.annotations")) {
                (Some(label), _) => of(self.pod.labels().get(label)),
                (None, Some(annotation)) => of(self.pod.annotations().get(annotation)),
                (None, None) => Setting::Elsewhere("a field of the pod"),
            },
        }
    }

    /// The path of the status file, or of the directory that is to hold it. `None` if it comes from an object that was
    /// not looked at.
    pub(super) fn status_path(&self) -> Option<String> {
        match self.setting("STATUS_FILE", "--status-file") {
            Setting::Set(path) => Some(path),
            Setting::Unset => Some(STATUS_FILE.to_owned()),
            Setting::Elsewhere(_) => None,
        }
    }

    /// The volume mount at `path`, or at the nearest directory above it.
    pub(super) fn mount_at(&self, path: &str) -> Option<&'a VolumeMount> {
        let mounts = self.container.volume_mounts.iter().flatten();
        let above = mounts.filter(|mount| is_at_or_below(path, &mount.mount_path));
        above.max_by_key(|mount| mount.mount_path.trim_end_matches('/').len())
    }

    pub(super) fn volume(&self, name: &str) -> Option<&'a Volume> {
        let volumes = self.pod.spec.as_ref()?.volumes.iter().flatten();
        volumes.into_iter().find(|volume| volume.name == name)
    }

    /// The other containers that run at the same time as the agent, and may have work while it leads.
    pub(super) fn others(&self) -> impl Iterator<Item = &'a Container> {
        let spec: Option<&PodSpec> = self.pod.spec.as_ref();
        let containers = spec.map(|spec| spec.containers.as_slice()).unwrap_or_default();
        let init = spec.and_then(|spec| spec.init_containers.as_deref()).unwrap_or_default();
        let sidecars = init.iter().filter(|container| is_sidecar(container));
        let own = &self.container.name;
        containers.iter().chain(sidecars).filter(move |container| container.name != *own)
    }

    /// The status of the agent's container, as kubelet reports it.
    pub(super) fn status(&self) -> Option<&'a ContainerStatus> {
        let PodStatus { container_statuses, init_container_statuses, .. } = self.pod.status.as_ref()?;
        let all = init_container_statuses.iter().flatten().chain(container_statuses.iter().flatten());
        all.into_iter().find(|status| status.name == self.container.name)
    }
}

fn is_sidecar(container: &Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}

/// Whether the container has a setting that names a Lease to contend for.
fn contends(container: &Container) -> bool {
    container.env.iter().flatten().any(|variable| variable.name == "LEASE_NAME")
        || flag_of(container, "--lease-name").is_some()
}

fn flag_of<'a>(container: &'a Container, flag: &str) -> Option<&'a str> {
    let words: Vec<&str> =
        container.command.iter().flatten().chain(container.args.iter().flatten()).map(|it| &**it).collect();
    words.iter().enumerate().find_map(|(at, word)| match word.strip_prefix(flag)? {
        "" => words.get(at + 1).copied(),
        rest => rest.strip_prefix('='),
    })
}

fn set(value: &str) -> Setting {
    if value.is_empty() { Setting::Unset } else { Setting::Set(value.to_owned()) }
}

fn is_at_or_below(path: &str, directory: &str) -> bool {
    let rest = path.strip_prefix(directory.trim_end_matches('/'));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
