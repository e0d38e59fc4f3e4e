//! A real node, or several, with the control plane, the images and the chart as they are shipped.

use std::time::Duration;

use anyhow::{Context as _, Result};
use elector_harness::controlplane::{ControlPlane, Options};
use elector_harness::kubectl::kubectl;
use elector_harness::node::Node;
use elector_xtask::helm::{chart, helm};
use elector_xtask::images::Images;
use k8s_openapi::api::core::v1::Pod;
use tokio::sync::OnceCell;
use tokio::time::Instant;

/// How long anything may take that real containers have to be started for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Name of the release of the chart, and of its namespace.
pub(crate) const RELEASE: &str = "leader-elector";

/// Where tests are played.
pub(crate) struct Stage {
    // In the order of drop: a node's last words are for its control plane.
    pub(crate) nodes: Vec<Node>,
    pub(crate) plane: ControlPlane,
}

/// The stage of one node that all tests of this program share, set by the first call. What fails once is not tried again.
pub(crate) async fn stage() -> Result<&'static Stage> {
    static STAGE: OnceCell<Result<Stage, String>> = OnceCell::const_new();
    let set = async || Stage::set(1).await.map_err(|error| format!("{error:#}"));
    STAGE.get_or_init(set).await.as_ref().map_err(|error| anyhow::anyhow!("{error}"))
}

/// What is shipped, packed by the first call.
pub(crate) async fn images() -> Result<&'static Images> {
    static IMAGES: OnceCell<Images> = OnceCell::const_new();
    IMAGES.get_or_try_init(Images::packed).await
}

impl Stage {
    /// One with so many nodes, for a test that stops what others need.
    pub(crate) async fn set(nodes: usize) -> Result<Stage> {
        Node::possible()?;
        let begun = Instant::now();
        let images = images().await?;
        let packed = begun.elapsed();
        let plane = ControlPlane::start(Options { nodes: true, ..Options::default() }).await?;
        let controlled = begun.elapsed();
        let mut stage = Stage { nodes: Vec::new(), plane };
        for number in 1..=nodes {
            let node = Node::start(&stage.plane, &format!("node-{number}")).await?;
            node.import(&node.busybox()).await?;
            node.import_archive(&images.agent.archive).await?;
            node.import_archive(&images.operator.archive).await?;
            stage.nodes.push(node);
        }
        let ready = begun.elapsed();
        stage.release("install", &[]).await?;
        println!(
            "the images took {packed:.1?}, the control plane {:.1?}, nodes {:.1?}, the chart {:.1?}",
            controlled - packed,
            ready - controlled,
            begun.elapsed() - ready
        );
        Ok(stage)
    }

    /// The node that a pod is on; before it is on one, any.
    pub(crate) fn node(&self, pod: &Pod) -> &Node {
        let name = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
        self.nodes.iter().find(|node| Some(node.name()) == name).unwrap_or(&self.nodes[0])
    }

    /// `helm VERB` of the chart as it is shipped, with an operator that elects in five seconds; until all of it runs.
    pub(crate) async fn release(&self, verb: &str, more: &[&str]) -> Result<()> {
        let chart = chart();
        let chart = chart.to_str().context("a path that is no text")?;
        let timings = "operator.leaseDurationSeconds=5,operator.renewDeadlineSeconds=3,operator.retryPeriodSeconds=1";
        let release = [verb, RELEASE, chart, "--namespace", RELEASE, "--create-namespace", "--set", timings];
        let kubeconfig = self.plane.kubeconfig();
        helm(Some(&kubeconfig), &[&release[..], more].concat()).await?;
        let enforce = ["label", "--overwrite", "namespace", RELEASE, "pod-security.kubernetes.io/enforce=restricted"];
        kubectl(&kubeconfig, &enforce, "").await?;
        let status = ["-n", RELEASE, "rollout", "status", "deployment/leader-elector-operator", "--timeout=50s"];
        kubectl(&kubeconfig, &status, "").await.map(drop)
    }
    /// `helm uninstall`; until nothing of it runs.
    pub(crate) async fn uninstall(&self) -> Result<()> {
        let kubeconfig = self.plane.kubeconfig();
        helm(Some(&kubeconfig), &["uninstall", RELEASE, "--namespace", RELEASE]).await?;
        let gone = ["-n", RELEASE, "wait", "--for=delete", "pods", "--all", "--timeout=50s"];
        kubectl(&kubeconfig, &gone, "").await.map(drop)
    }
}
