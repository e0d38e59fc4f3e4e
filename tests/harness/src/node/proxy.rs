//! kube-proxy, by which the node leads what is sent to a Service on to a pod.

use std::env;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::debian::Packaged;
use super::{Node, PATIENCE, settings};
use crate::controlplane::{Binary, ControlPlane};
use crate::process::Process;

/// The least time between two changes of kube-proxy's rules, unless it is told another.
pub const PACE: Duration = Duration::from_secs(1);

/// What kube-proxy tells the kernel by.
const NFT: Packaged = Packaged {
    package: "nftables",
    with: &[
        "libnftables1",
        "libnftnl11",
        "libmnl0",
        "libjansson4",
        "libedit2",
        "libbsd0",
        "libmd0",
        "libgmp10",
        "libxtables12",
    ],
    path: "/usr/sbin/nft",
};

impl Node {
    /// kube-proxy's process, started by the first call; between two changes of its rules it lets `pace` pass, for which its own
    /// default is [`PACE`]. From then on Services can be reached, on the node and from its pods.
    ///
    /// # Errors
    /// When a program is missing and can't be had, or it does not come so far in two minutes; with the end of its log.
    pub async fn start_proxy(&self, plane: &ControlPlane, pace: Duration) -> Result<&Process> {
        self.proxy
            .get_or_try_init(|| async {
                let program = Binary::KubeProxy.ready().await?;
                let nft = tokio::task::spawn_blocking(|| NFT.root()).await??;
                announce(plane).await?;
                let url = format!("https://{}", plane.service());
                let kubeconfig = plane.kubeconfig_as("system:kube-proxy", &[], &url)?;
                let config = self.folder().join("proxy.json");
                std::fs::write(&config, settings::proxy(self.name(), &kubeconfig, pace))?;
                let arguments = vec![format!("--config={}", config.display())];
                let process = Process::new(program, arguments, self.folder().join("kube-proxy.log"))
                    .wrapped(self.world.entrance())
                    .with_environment(environment(&nft)?);
                process.start()?;
                self.until_leading_on(&process, &nft, plane).await?;
                Ok(process)
            })
            .await
    }

    async fn until_leading_on(&self, proxy: &Process, nft: &Path, plane: &ControlPlane) -> Result<()> {
        let service = plane.service();
        let wanted = format!("{} . tcp . {}", service.ip(), service.port());
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut list = self.world.command(nft.join("usr/sbin/nft"));
            list.args(["list", "map", "ip", "kube-proxy", "service-ips"]).envs(environment(nft)?);
            let output = list.output().context("failed to run nft")?;
            if String::from_utf8_lossy(&output.stdout).contains(&wanted) {
                return Ok(());
            }
            self.still_runs(proxy)?;
            if Instant::now() > deadline {
                let said = String::from_utf8_lossy(&output.stderr);
                bail!("kube-proxy does not lead to {service} after {PATIENCE:?}: {said}\n{}", proxy.log_tail());
            }
            sleep(Duration::from_millis(50)).await;
        }
    }
}

/// It takes over the address of service `kubernetes`, and drops what is sent to a Service that nobody answers for. Each node
/// has the way to the API server at the same address of its own.
async fn announce(plane: &ControlPlane) -> Result<()> {
    let slices: Api<EndpointSlice> = Api::namespaced(plane.client().await?, "default");
    let name = "kubernetes-on-nodes";
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": name, "labels": {"kubernetes.io/service-name": "kubernetes"}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [settings::ADDRESS]}],
        "ports": [{"name": "https", "port": plane.service().port()}],
    });
    slices.patch(name, &PatchParams::apply("node").force(), &Patch::Apply(slice)).await?;
    Ok(())
}

/// With which nft is found, and finds its libraries.
fn environment(root: &Path) -> Result<Vec<(String, String)>> {
    let path = env::var("PATH").context("no PATH")?;
    let (programs, libraries) = (root.join("usr/sbin"), root.join("usr/lib"));
    let libraries = libraries.join(format!("{}-linux-gnu", env::consts::ARCH));
    Ok(vec![
        ("PATH".to_owned(), format!("{}:{path}", programs.display())),
        ("LD_LIBRARY_PATH".to_owned(), libraries.display().to_string()),
    ])
}
