//! What is to be seen of a pod on its node, from outside: its volumes, its processes, its logs.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::ResourceExt as _;

use super::Node;
use super::world::hierarchies;

impl Node {
    /// An emptyDir of the pod, as its containers have it now.
    pub fn empty_dir(&self, pod: &Pod, volume: &str) -> PathBuf {
        let uid = pod.uid().unwrap_or_default();
        let pods = self.scratch.path().join("kubelet/pods");
        self.world.path(&pods.join(uid).join("volumes/kubernetes.io~empty-dir").join(volume))
    }

    /// What its container wrote, since the first start that kubelet remembers.
    pub fn log(&self, pod: &Pod, container: &str) -> String {
        let (namespace, name, uid) = (pod.namespace(), pod.name_any(), pod.uid());
        let folder = format!("{}_{name}_{}", namespace.unwrap_or_default(), uid.unwrap_or_default());
        let folder = self.scratch.path().join("logs").join(folder).join(container);
        children(&folder).iter().map(|file| fs::read_to_string(file).unwrap_or_default()).collect()
    }

    /// What all containers wrote of all pods that a namespace has had here lately.
    pub fn logs(&self, namespace: &str) -> String {
        let of_namespace = |pod: &Path| {
            let name = pod.file_name().unwrap_or_default().to_string_lossy();
            name.split_once('_').is_some_and(|(of, _)| of == namespace)
        };
        let pods = children(&self.scratch.path().join("logs")).into_iter().filter(|pod| of_namespace(pod));
        let files = pods.flat_map(|pod| children(&pod)).flat_map(|container| children(&container));
        let logs =
            files.map(|file| format!("--- {}\n{}", file.display(), fs::read_to_string(&file).unwrap_or_default()));
        logs.collect()
    }

    /// The processes of a container as `pod` names it, by our own ids, in the order of those that they have in there.
    ///
    /// # Errors
    /// When it has not started yet, or is gone.
    pub fn processes(&self, pod: &Pod, container: &str) -> Result<Vec<u32>> {
        let status = container_status(pod, container).context("no status of that container")?;
        let id = status.container_id.as_deref().and_then(|id| id.split_once("://")).context("no container yet")?.1;
        let of_node = hierarchies()?.into_iter().map(|hierarchy| hierarchy.join(self.world.cgroup()));
        let cgroup = of_node.filter_map(|folder| below(&folder, id)).next();
        let file = cgroup.with_context(|| format!("container {id} has no cgroup"))?.join("cgroup.procs");
        let processes = fs::read_to_string(file)?;
        let processes = processes.lines().map(str::parse).collect::<Result<Vec<u32>, _>>()?;
        // Those that have ended meanwhile have none.
        let mut processes: Vec<(u32, u32)> =
            processes.into_iter().filter_map(|process| Some((inner_id(process)?, process))).collect();
        processes.sort_unstable();
        Ok(processes.into_iter().map(|(_, process)| process).collect())
    }
}

/// Of a folder that may be gone, in the order of their names.
fn children(folder: &Path) -> Vec<PathBuf> {
    let mut children: Vec<PathBuf> =
        fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    children.sort();
    children
}

/// As the process itself sees it, in the innermost of its namespaces.
fn inner_id(process: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("NSpid:"))?.split_whitespace().last()?.parse().ok()
}

/// The folder of that name, at any depth.
fn below(folder: &Path, name: &str) -> Option<PathBuf> {
    let folders = children(folder).into_iter().filter(|path| path.is_dir());
    let found = folders.map(|path| if path.ends_with(name) { Some(path) } else { below(&path, name) });
    found.flatten().next()
}

/// What kubelet says of a container, sidecars included.
pub fn container_status<'a>(pod: &'a Pod, container: &str) -> Option<&'a ContainerStatus> {
    let status = pod.status.as_ref()?;
    let all = status.init_container_statuses.iter().chain(&status.container_statuses).flatten();
    all.into_iter().find(|status| status.name == container)
}
