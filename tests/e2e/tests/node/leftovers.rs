//! A machine within the machine is gone when its owner is, whatever was on it.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use elector_harness::kubectl::kubectl;
use elector_harness::process;
use elector_xtask::programs::Programs;
use tokio::time::{Instant, sleep};

const POD: &str = r#"{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, "spec": {
    "containers": [{"name": "app", "image": "busybox:1.37", "imagePullPolicy": "Never", "args": ["-c", "sleep 3600"]}]}}"#;

#[tokio::test]
async fn nothing_on_a_node_outlives_a_process_that_is_killed() {
    let program = &Programs::built().await.unwrap().controlplane;
    let mut owner = process::spawn(program, |command| {
        command.arg("--node").stdout(Stdio::piped());
    })
    .unwrap();
    let mut lines = BufReader::new(owner.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut folder = PathBuf::new();
    let kubeconfig = loop {
        let line = lines.next().unwrap();
        if let Some((_, path)) = line.split_once(" has its files in ") {
            folder = PathBuf::from(path);
        }
        if let Some(kubeconfig) = line.strip_prefix("export KUBECONFIG=") {
            break PathBuf::from(kubeconfig);
        }
    };
    // Nobody has made it yet where the controller has just begun.
    eventually("the service account", async || {
        kubectl(&kubeconfig, &["get", "serviceaccount", "default"], "").await.is_ok()
    })
    .await;
    kubectl(&kubeconfig, &["apply", "-f", "-"], POD).await.unwrap();
    kubectl(&kubeconfig, &["wait", "--for=condition=Ready", "pod/pod"], "").await.unwrap();
    let name = folder.file_name().unwrap();
    let cgroups: Vec<PathBuf> = fs::read_dir("/sys/fs/cgroup")
        .unwrap()
        .map(|entry| entry.unwrap().path().join(name))
        .chain([Path::new("/sys/fs/cgroup").join(name)])
        .filter(|cgroup| cgroup.exists())
        .collect();
    let processes: Vec<String> = cgroups.iter().flat_map(|cgroup| processes(cgroup)).collect();
    assert!(processes.len() >= 2, "the pod's sandbox and its app: {processes:?}");

    owner.kill().unwrap();
    owner.wait().unwrap();
    eventually("its processes end", async || !processes.iter().any(|id| Path::new("/proc").join(id).exists())).await;
    eventually("its cgroups are gone", async || !cgroups.iter().any(|cgroup| cgroup.exists())).await;
    eventually("its folder is gone", async || !folder.exists()).await;
}

/// Of a cgroup and all below it.
fn processes(cgroup: &Path) -> Vec<String> {
    let own = fs::read_to_string(cgroup.join("cgroup.procs")).unwrap_or_default();
    let below = fs::read_dir(cgroup).into_iter().flatten().flatten().map(|entry| entry.path());
    let below = below.filter(|path| path.is_dir()).flat_map(|path| processes(&path));
    own.lines().map(str::to_owned).chain(below).collect()
}

async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds().await {
        assert!(Instant::now() < deadline, "not in 30 s: {what}");
        sleep(Duration::from_millis(50)).await;
    }
}
