//! One real node for all tests of this program, and on it the Deployment that the README shows.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use elector_tests::cluster::Namespace;
use elector_tests::controlplane::{ControlPlane, Options};
use elector_tests::kubectl::kubectl;
use elector_tests::node::{Image, Node, container_status};
use elector_tests::operators::{Election, Operator, Operators, short_timings};
use elector_tests::programs::Programs;
use elector_tests::witness::Witness;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::api::ListParams;
use serde_json::{Value, json};
use tokio::sync::OnceCell;
use tokio::time::{Instant, sleep};

const README: &str = include_str!("../../../README.md");

/// How long anything may take that real containers have to be started for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// What all tests share.
pub(crate) struct Stage {
    plane: ControlPlane,
    pub(crate) node: Node,
}

/// The stage, set by the first call, and an operator at work.
pub(crate) async fn stage() -> Result<&'static Stage> {
    static STAGE: OnceCell<Stage> = OnceCell::const_new();
    static OPERATOR: OnceCell<(Operators<'static>, Operator)> = OnceCell::const_new();
    let stage = STAGE.get_or_try_init(Stage::set).await?;
    let start = async || {
        let operators = Operators::install(&stage.plane).await?;
        let operator = operators.leader("node").await?;
        anyhow::Ok((operators, operator))
    };
    OPERATOR.get_or_try_init(start).await?;
    Ok(stage)
}

impl Stage {
    async fn set() -> Result<Stage> {
        let agent = Programs::static_agent().await?;
        let plane = ControlPlane::start(Options { nodes: true, ..Options::default() }).await?;
        let node = Node::start(&plane, "node").await?;
        node.import(&node.busybox()).await?;
        node.import(&Image::of("leader-elector/agent:0.1.0", &agent)).await?;
        Ok(Stage { plane, node })
    }
}

/// The README's Deployment and its election, in a namespace of their own.
pub(crate) struct Billing {
    pub(crate) node: &'static Node,
    pub(crate) election: Election<'static>,
    namespace: Namespace<'static>,
}

impl Billing {
    /// With three pods that are ready.
    pub(crate) async fn deployed(prefix: &str) -> Result<Billing> {
        let stage = stage().await?;
        let namespace = stage.plane.namespace(prefix).await?;
        let election = Election::create(&namespace, "billing", short_timings()).await?;
        let apply = ["-n", namespace.name(), "apply", "-f", "-"];
        kubectl(&stage.plane.kubeconfig(), &apply, &manifest()?.to_string()).await?;
        let billing = Billing { node: &stage.node, election, namespace };
        billing.until("three pods are ready", async || Ok(billing.ready_pods().await?.len() == 3)).await?;
        Ok(billing)
    }

    /// Those that are ready and not about to go, by name.
    pub(crate) async fn ready_pods(&self) -> Result<Vec<Pod>> {
        let pods = self.namespace.api::<Pod>().list(&ListParams::default().labels("app=billing")).await?;
        let mut pods: Vec<Pod> = pods.into_iter().filter(is_ready).collect();
        pods.sort_by_key(|pod| pod.name_any());
        Ok(pods)
    }

    /// As it is now.
    pub(crate) async fn pod(&self, name: &str) -> Result<Pod> {
        Ok(self.namespace.api().get(name).await?)
    }

    /// Deletes it as a user does; containers get their time.
    pub(crate) async fn delete(&self, pod: &Pod) -> Result<()> {
        self.namespace.terminate_pod(&pod.name_any()).await
    }

    /// Where the pod's status file is, or would be.
    pub(crate) fn status_file(&self, pod: &Pod) -> PathBuf {
        self.node.empty_dir(pod, "leader-election").join("leader_status")
    }

    /// The one pod that has the file, once there is one.
    ///
    /// # Errors
    /// When there are two, or none in time.
    pub(crate) async fn leader(&self) -> Result<Pod> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let pods = self.ready_pods().await?;
            let mut leaders: Vec<Pod> = pods.into_iter().filter(|pod| self.status_file(pod).exists()).collect();
            ensure!(leaders.len() < 2, "{} pods have the file", leaders.len());
            if let Some(leader) = leaders.pop() {
                return Ok(leader);
            }
            ensure!(Instant::now() < deadline, "no pod has the file after {PATIENCE:?}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Looks at the files of `pods` from now on.
    pub(crate) fn witness(&self, pods: &[Pod]) -> Witness {
        Witness::new(pods.iter().map(|pod| (pod.name_any(), self.status_file(pod))).collect(), |_, _| {})
    }

    /// How often the agent's container was started anew.
    pub(crate) async fn restarts(&self, pod: &Pod) -> Result<i32> {
        let pod = self.pod(&pod.name_any()).await?;
        Ok(container_status(&pod, "leader-elector").context("no status of the agent")?.restart_count)
    }

    /// Waits until it is so.
    pub(crate) async fn until(&self, what: &str, mut holds: impl AsyncFnMut() -> Result<bool>) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !holds().await? {
            if Instant::now() > deadline {
                let pods = self.namespace.api::<Pod>().list(&ListParams::default()).await?;
                let states: Vec<_> = pods.iter().map(|pod| (pod.name_any(), &pod.status)).collect();
                bail!("not in {PATIENCE:?}: {what}\n{}", serde_json::to_string_pretty(&states)?);
            }
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    pod.metadata.deletion_timestamp.is_none()
        && conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// As the README shows it, but nothing is pulled, and the app ends when it is told to: sh as a container's first process
/// would use up the grace period.
fn manifest() -> Result<Value> {
    let (_, rest) = README.split_once("<!-- manifest:").context("the README has a manifest")?;
    let (_, rest) = rest.split_once("```yaml\n").context("it is a block of YAML")?;
    let (text, _) = rest.split_once("```").context("the block ends")?;
    let mut manifest: Value = serde_yaml_ng::from_str(text)?;
    let app = &mut manifest["spec"]["template"]["spec"]["containers"][0];
    app["imagePullPolicy"] = json!("Never");
    let script = app["command"][2].as_str().context("the app is a script")?;
    app["command"][2] = json!(format!("trap exit TERM; {}", script.replace("sleep 1;", "sleep 1 & wait $!;")));
    Ok(manifest)
}
