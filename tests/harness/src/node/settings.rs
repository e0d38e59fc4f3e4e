//! How containerd and kubelet are run.

use std::path::Path;
use std::time::Duration;

use serde_json::json;

use super::binaries::Binaries;

/// What keeps a pod's namespaces: the kubelet never names it, containerd does.
pub(super) const PAUSE: &str = "local/pause:1";

/// What lies elsewhere by default lies in `folder`. Where the kernel grants no CAP_SYS_RESOURCE, no container
/// could have a better score than we have.
pub(super) fn containerd(folder: &Path, binaries: &Binaries) -> String {
    let folder = folder.display();
    let cni = binaries.cni.display();
    let runc = binaries.runc.display();
    format!(
        r#"version = 3
root = "{folder}/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.nri.v1.nri"]
[grpc]
address = "{folder}/containerd.sock"
[plugins.'io.containerd.cri.v1.images']
snapshotter = "overlayfs"
[plugins.'io.containerd.cri.v1.images'.pinned_images]
sandbox = "docker.io/{PAUSE}"
[plugins.'io.containerd.cri.v1.runtime']
restrict_oom_score_adj = true
[plugins.'io.containerd.cri.v1.runtime'.cni]
bin_dirs = ["{cni}"]
conf_dir = "{folder}/cni"
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
BinaryName = "{runc}"
"#
    )
}

/// Pods reach the node and each other, and nothing else; by a Service, also themselves.
pub(super) fn network() -> String {
    json!({
        "cniVersion": "1.0.0",
        "name": "pods",
        "plugins": [
            {
                "type": "bridge",
                "bridge": "cni0",
                "isGateway": true,
                "hairpinMode": true,
                "ipMasq": false,
                "ipam": {"type": "host-local", "subnet": "10.88.0.0/24", "routes": [{"dst": "0.0.0.0/0"}]},
            },
            {"type": "loopback"},
        ],
    })
    .to_string()
}

/// With nobody in its network but us, it asks nobody who they are.
pub(super) fn kubelet(folder: &Path, cgroup: &str) -> String {
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "containerRuntimeEndpoint": format!("unix://{}", folder.join("containerd.sock").display()),
        "podLogsDir": folder.join("logs"),
        "volumePluginDir": folder.join("plugins"),
        "resolvConf": "",
        "cgroupRoot": format!("/{cgroup}"),
        "cgroupDriver": "cgroupfs",
        "cgroupsPerQOS": true,
        "enforceNodeAllocatable": [],
        "failCgroupV1": false,
        "failSwapOn": false,
        "localStorageCapacityIsolation": false,
        "evictionHard": {"memory.available": "10Mi"},
        "address": ADDRESS,
        "authentication": {"anonymous": {"enabled": true}, "webhook": {"enabled": false}},
        "authorization": {"mode": "AlwaysAllow"},
    })
    .to_string()
}

/// On the machine it changes nothing but its own network: how many connections there may be is said for all networks
/// together. An answer comes back by the node, whatever the bridge of the pods does.
pub(super) fn proxy(name: &str, kubeconfig: &Path, pace: Duration) -> String {
    json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "hostnameOverride": name,
        "clientConnection": {"kubeconfig": kubeconfig},
        "conntrack": {"maxPerCore": 0},
        "nftables": {"masqueradeAll": true, "minSyncPeriod": format!("{}ms", pace.as_millis())},
    })
    .to_string()
}

/// The node's own, in its network: each node has one to itself.
pub(super) const ADDRESS: &str = "10.0.1.1";
