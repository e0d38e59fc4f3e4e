//! What a container takes of its node's memory, and what happens when there is no more.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Stdio};

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::Pod;

use super::Node;
use crate::process::spawn;

/// In the cgroup `$0`, until the kernel kills somebody there: the container's own processes first, which kubelet has
/// made likelier to be killed than others.
const HOG: &str = r#"echo $$ > "$0/cgroup.procs" && exec tail /dev/zero"#;

/// Somebody who takes memory, until it is dropped.
#[derive(Debug)]
pub struct Hog(Child);

impl Node {
    /// All that a container is charged for, in bytes.
    ///
    /// # Errors
    /// When it has not started yet, or is gone.
    pub fn memory(&self, pod: &Pod, container: &str) -> Result<u64> {
        let cgroup = self.memory_cgroup(pod, container)?;
        let version_2 = cgroup.join("memory.current");
        let file = if version_2.exists() { version_2 } else { cgroup.join("memory.usage_in_bytes") };
        let text = fs::read_to_string(&file).with_context(|| format!("failed to read {}", file.display()))?;
        Ok(text.trim().parse()?)
    }

    /// Leaves a container nothing of the memory that it is allowed.
    ///
    /// # Errors
    /// When it has not started yet, or is gone.
    pub fn exhaust_memory(&self, pod: &Pod, container: &str) -> Result<Hog> {
        let cgroup = self.memory_cgroup(pod, container)?;
        let child = spawn("sh", |command| {
            command.args(["-c", HOG]).arg(cgroup).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        })?;
        Ok(Hog(child))
    }

    fn memory_cgroup(&self, pod: &Pod, container: &str) -> Result<PathBuf> {
        let first = *self.processes(pod, container)?.first().context("no process")?;
        let cgroups = fs::read_to_string(format!("/proc/{first}/cgroup"))?;
        let of_memory = |line: &str| {
            let mut fields = line.splitn(3, ':');
            let (number, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
            match controllers {
                "memory" => Some(PathBuf::from(format!("/sys/fs/cgroup/memory{path}"))),
                "" if number == "0" => Some(PathBuf::from(format!("/sys/fs/cgroup{path}"))),
                _ => None,
            }
        };
        let mut folders = cgroups.lines().filter_map(of_memory);
        let limits =
            |folder: &PathBuf| ["memory.limit_in_bytes", "memory.max"].iter().any(|file| folder.join(file).exists());
        folders.find(limits).with_context(|| format!("no cgroup that limits memory: {cgroups}"))
    }
}

impl Drop for Hog {
    fn drop(&mut self) {
        // Both fail only for one that is gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
