//! Checks of the folder of the status file: the app must see it, and no other pod's agent may.

use k8s_openapi::api::core::v1::{Container, Pod, Volume, VolumeMount};

use crate::doctor::agent::{Agent, Setting};
use crate::doctor::finding::Flaw;

/// The name of the status file.
const STATUS: &str = "leader_status";

/// What is wrong with the folder of `agent`; `pods` are all candidates.
pub(super) fn flaws(agent: &Agent<'_>, pods: &[&Pod]) -> Vec<Flaw> {
    // An app in the same container, as with exec, sees whatever the agent writes.
    if !agent.is_alone() {
        return Vec::new();
    }
    let container = &agent.container.name;
    let Some(path) = agent.status_path() else {
        return vec![Flaw::unknown("STATUS_FILE comes from an object that was not looked at")];
    };
    let Some(mount) = agent.mount_at(&path) else {
        if tells_otherwise(agent) || agent.others().next().is_none() {
            return Vec::new();
        }
        return vec![Flaw::error(
            format!("no volume is mounted at {path} in container {container}: no other container sees the file"),
            "an emptyDir of medium Memory, mounted at the folder of STATUS_FILE here and in the app's container",
        )];
    };
    let mut flaws = Vec::new();
    if mount.read_only == Some(true) {
        let said = format!("volume {} is read-only in container {container}, which has to write to it", mount.name);
        flaws.push(Flaw::error(said, format!("no readOnly at volumeMount {} of container {container}", mount.name)));
    }
    if is_file_path(&path) && mount.mount_path.trim_end_matches('/') == path {
        flaws.push(Flaw::warning(
            format!(
                "volume {} is mounted at {path} itself, which makes that a folder: the file is {path}/{STATUS}",
                mount.name
            ),
            format!(
                "mount it at a folder, and set STATUS_FILE to a file in it; or have the app look at {path}/{STATUS}"
            ),
        ));
    }
    if mount.sub_path.is_some() || mount.sub_path_expr.is_some() {
        let said = format!("volume {} is mounted by subPath in container {container}", mount.name);
        flaws.push(Flaw::warning(said, "mount the volume whole: with another subPath the app sees another folder"));
    }
    flaws.extend(agent.volume(&mount.name).and_then(|volume| kind(agent, volume, pods)));
    flaws.extend(unshared(agent, mount));
    flaws
}

/// Whether the app has another way than the file to learn that its pod leads.
fn tells_otherwise(agent: &Agent<'_>) -> bool {
    let is_set = |(variable, flag)| agent.setting(variable, flag) != Setting::Unset;
    [("HTTP_ADDRESS", "--http-address"), ("ON_ACQUIRED", "--on-acquired")].into_iter().any(is_set)
}

/// Whether a path names the file, and not the folder that holds it.
fn is_file_path(path: &str) -> bool {
    path.rsplit('/').next() == Some(STATUS)
}

/// What is wrong with the kind of a volume. The best volume is the pod's own and in memory: it goes with the pod, and
/// always answers.
fn kind(agent: &Agent<'_>, volume: &Volume, pods: &[&Pod]) -> Option<Flaw> {
    let name = &volume.name;
    let mend = format!("emptyDir: {{medium: Memory, sizeLimit: 1Mi}} for volume {name}");
    if let Some(empty) = &volume.empty_dir {
        let on_disk = empty.medium.as_deref().unwrap_or_default().is_empty();
        let said =
            format!("volume {name} lies on the node's disk: while that does not answer, the file cannot be removed");
        return on_disk.then(|| Flaw::warning(said, mend));
    }
    if volume.ephemeral.is_some() {
        let said = format!("volume {name} lies on a disk: while that does not answer, the file cannot be removed");
        return Some(Flaw::warning(said, mend));
    }
    let is_shared =
        is_persistent(volume) && pods.iter().any(|pod| !is_same(pod, agent.pod) && has_same(pod, volume, agent));
    if is_shared {
        let said = format!("volume {name} is shared with other candidates: each removes or locks the others' file");
        return Some(Flaw::error(said, mend));
    }
    Some(Flaw::warning(format!("volume {name} is no emptyDir, and outlives the pod"), mend))
}

fn is_persistent(volume: &Volume) -> bool {
    volume.persistent_volume_claim.is_some() || volume.host_path.is_some() || volume.nfs.is_some()
}

fn is_same(one: &Pod, other: &Pod) -> bool {
    one.metadata.uid == other.metadata.uid && one.metadata.name == other.metadata.name
}

/// Whether `pod` uses the same storage as this volume of `agent`'s pod.
fn has_same(pod: &Pod, volume: &Volume, agent: &Agent<'_>) -> bool {
    let Some(spec) = &pod.spec else { return false };
    let node = agent.pod.spec.as_ref().and_then(|spec| spec.node_name.as_ref());
    spec.volumes.iter().flatten().any(|other| {
        other.persistent_volume_claim == volume.persistent_volume_claim
            && other.nfs == volume.nfs
            && other.host_path == volume.host_path
            // The same path of another node is another folder.
            && (volume.host_path.is_none() || spec.node_name.as_ref() == node)
    })
}

/// Reports a volume that no other container of the pod mounts, if the app needs the file.
fn unshared(agent: &Agent<'_>, mount: &VolumeMount) -> Option<Flaw> {
    let others: Vec<&Container> = agent.others().collect();
    let mounts = |container: &&Container| {
        container.volume_mounts.iter().flatten().any(|other| {
            other.name == mount.name && other.sub_path == mount.sub_path && other.sub_path_expr == mount.sub_path_expr
        })
    };
    if others.is_empty() || others.iter().any(mounts) || tells_otherwise(agent) {
        return None;
    }
    let names: Vec<&str> = others.iter().map(|container| container.name.as_str()).collect();
    Some(Flaw::error(
        format!(
            "volume {} is mounted in no other container, so that {} cannot see who leads",
            mount.name,
            names.join(", ")
        ),
        format!(
            "volumeMounts: [{{name: {}, mountPath: {}, readOnly: true}}] in the app's container",
            mount.name, mount.mount_path
        ),
    ))
}
