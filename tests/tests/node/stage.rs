//! One real node for all tests of this program, and on it the README's Deployment in its variants.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use elector_agent::status::{Standing, Unknown, check};
use elector_tests::acts::Acts;
use elector_tests::cluster::Namespace;
use elector_tests::controlplane::{ControlPlane, Options};
use elector_tests::helm::{chart, helm};
use elector_tests::images::Images;
use elector_tests::kubectl::kubectl;
use elector_tests::node::{Node, container_status};
use elector_tests::operators::{Election, short_timings};
use elector_tests::witness::{Sighting, Witness};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::api::{DeleteParams, ListParams};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tokio::sync::OnceCell;
use tokio::time::{Instant, sleep};

use crate::manifest::App;

/// How long anything may take that real containers have to be started for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// What all tests share.
pub(crate) struct Stage {
    pub(crate) plane: ControlPlane,
    pub(crate) node: Node,
    pub(crate) images: Images,
}

/// The stage, set by the first call. What fails once is not tried again.
pub(crate) async fn stage() -> Result<&'static Stage> {
    static STAGE: OnceCell<Result<Stage, String>> = OnceCell::const_new();
    let set = async || Stage::set().await.map_err(|error| format!("{error:#}"));
    STAGE.get_or_init(set).await.as_ref().map_err(|error| anyhow::anyhow!("{error}"))
}

/// Name of the release of the chart, and of its namespace.
pub(crate) const RELEASE: &str = "leader-elector";

impl Stage {
    async fn set() -> Result<Stage> {
        Node::possible()?;
        let begun = Instant::now();
        let images = Images::packed().await?;
        let packed = begun.elapsed();
        let plane = ControlPlane::start(Options { nodes: true, ..Options::default() }).await?;
        let controlled = begun.elapsed();
        let node = Node::start(&plane, "node").await?;
        node.import(&node.busybox()).await?;
        node.import_archive(&images.agent.archive).await?;
        node.import_archive(&images.operator.archive).await?;
        let ready = begun.elapsed();
        let stage = Stage { plane, node, images };
        stage.release("install", &[]).await?;
        println!(
            "the images took {packed:.1?}, the control plane {:.1?}, the node {:.1?}, the chart {:.1?}",
            controlled - packed,
            ready - controlled,
            begun.elapsed() - ready
        );
        Ok(stage)
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
}

/// The README's Deployment in a namespace of its own, with its election, and all that is watched.
pub(crate) struct Billing {
    pub(crate) node: &'static Node,
    pub(crate) election: Election<'static>,
    pub(crate) witness: Witness,
    app: App,
    replicas: usize,
    acts: PathBuf,
    namespace: Namespace<'static>,
    kubeconfig: PathBuf,
}

impl Billing {
    /// With three pods that run.
    pub(crate) async fn deployed(prefix: &str, app: App) -> Result<Billing> {
        Billing::deployed_with(prefix, app, 3).await
    }

    /// With so many.
    pub(crate) async fn deployed_with(prefix: &str, app: App, replicas: usize) -> Result<Billing> {
        let stage = stage().await?;
        let namespace = stage.plane.namespace(prefix).await?;
        let election = Election::create(&namespace, "billing", short_timings()).await?;
        let folder = stage.node.folder().join(namespace.name());
        fs::create_dir(&folder)?;
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o777))?;
        let billing = Billing {
            node: &stage.node,
            election,
            witness: Witness::new(Vec::new(), |_, _| {}),
            app,
            replicas,
            acts: folder.join("log"),
            namespace,
            kubeconfig: stage.plane.kubeconfig(),
        };
        let begun = Instant::now();
        let mut deployment = app.deployment(folder.to_str().context("a folder whose name is no text")?)?;
        deployment["spec"]["replicas"] = json!(replicas);
        billing.kubectl(&["apply", "-f", "-"], &deployment.to_string()).await?;
        billing.until_there().await?;
        println!("{prefix}: deployed in {:.1?}", begun.elapsed());
        Ok(billing)
    }

    /// Waits until all is as it should be after whatever was done.
    pub(crate) async fn until_there(&self) -> Result<()> {
        self.until("all pods run, and those are ready that should be", async || {
            let pods = self.pods().await?;
            let run = pods
                .iter()
                .all(|pod| pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Running"));
            Ok(pods.len() == self.replicas && run && self.ready().await?.len() == self.app.ready(self.replicas))
        })
        .await
    }

    /// Runs kubectl in the namespace.
    pub(crate) async fn kubectl(&self, arguments: &[&str], input: &str) -> Result<String> {
        kubectl(&self.kubeconfig, &[&["-n", self.namespace.name()], arguments].concat(), input).await
    }

    /// Those that are not about to go, by name; their files are watched from now on.
    pub(crate) async fn pods(&self) -> Result<Vec<Pod>> {
        let pods = self.namespace.api::<Pod>().list(&ListParams::default().labels("app=billing")).await?;
        let mut pods: Vec<Pod> = pods.into_iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()).collect();
        pods.sort_by_key(|pod| pod.name_any());
        for pod in &pods {
            self.watch(pod);
        }
        Ok(pods)
    }

    /// The names of those that are ready.
    pub(crate) async fn ready(&self) -> Result<Vec<String>> {
        let pods = self.pods().await?;
        Ok(pods.iter().filter(|pod| is(pod, "Ready")).map(|pod| pod.name_any()).collect())
    }

    /// As it is now.
    async fn pod(&self, pod: &Pod) -> Result<Pod> {
        Ok(self.namespace.api().get(&pod.name_any()).await?)
    }

    /// Deletes it as a user does; containers get their time.
    pub(crate) async fn delete(&self, pod: &Pod) -> Result<()> {
        self.namespace.terminate_pod(&pod.name_any()).await
    }

    /// Where the pod's status file is, or would be.
    pub(crate) fn status_file(&self, pod: &Pod) -> PathBuf {
        self.node.empty_dir(pod, "leader-election").join("leader_status")
    }

    /// What `elector-agent check` finds in the pod.
    pub(crate) fn leads(&self, pod: &Pod) -> Result<bool, Unknown> {
        check(&self.status_file(pod)).map(|standing| matches!(standing, Standing::Leads { .. }))
    }

    /// The number of the pod's file, for the witness.
    pub(crate) fn watch(&self, pod: &Pod) -> usize {
        self.witness.add(&pod.name_any(), self.status_file(pod))
    }

    /// What the witness saw of the pod's file since.
    pub(crate) fn sightings(&self, pod: &Pod, since: std::time::Instant) -> Vec<Sighting> {
        let file = self.watch(pod);
        self.witness.sightings(since).into_iter().filter(|sighting| sighting.file == file).collect()
    }

    /// When the witness first saw the pod's file come, or go, since; it may be a moment behind.
    pub(crate) async fn sighting(&self, pod: &Pod, since: std::time::Instant, there: bool) -> Result<Sighting> {
        let mut sighting = None;
        self.until("the witness has seen it", async || {
            sighting = self.sightings(pod, since).into_iter().find(|sighting| sighting.there == there);
            Ok(sighting.is_some())
        })
        .await?;
        sighting.context("it was found")
    }

    /// The one pod that leads, once there is one.
    ///
    /// # Errors
    /// When there are two, or none in time.
    pub(crate) async fn leader(&self) -> Result<Pod> {
        let mut leader = None;
        self.until("a pod leads", async || {
            leader = self.leaders().await?.pop();
            Ok(leader.is_some())
        })
        .await?;
        leader.context("it was found")
    }

    /// The same, once it is another than `old`.
    pub(crate) async fn next_leader(&self, old: &Pod) -> Result<Pod> {
        let mut next = None;
        self.until("another pod leads", async || {
            next = self.leaders().await?.pop().filter(|pod| pod.uid() != old.uid());
            Ok(next.is_some())
        })
        .await?;
        next.context("it was found")
    }

    /// Those that lead now by what `elector-agent check` finds: one, or none.
    ///
    /// # Errors
    /// When there are two.
    pub(crate) async fn leaders(&self) -> Result<Vec<Pod>> {
        let look = |pods: Vec<Pod>| -> Vec<Pod> {
            pods.into_iter().filter(|pod| self.leads(pod).is_ok_and(|leads| leads)).collect()
        };
        let mut leaders = look(self.pods().await?);
        if leaders.len() > 1 {
            // They were looked at one after the other: who lost it meanwhile does not lead at a second look.
            leaders = look(leaders);
        }
        ensure!(leaders.len() < 2, "{} pods lead", leaders.len());
        Ok(leaders)
    }

    /// Kills the first process of the agent's container, and so the container: the file stays.
    pub(crate) async fn kill_supervisor(&self, pod: &Pod) -> Result<Killed> {
        kill(self.supervisor(pod).await?)
    }

    /// Kills the process that contends, alone.
    pub(crate) async fn kill_electing(&self, pod: &Pod) -> Result<Killed> {
        let id = self.supervisor(pod).await?;
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children"))?;
        kill(children.split_whitespace().next().context("it supervises nobody")?.parse()?)
    }

    /// Once kubelet has told which container it is.
    async fn supervisor(&self, pod: &Pod) -> Result<u32> {
        let mut first = None;
        self.until("the agent's container has a process", async || {
            let processes = self.node.processes(&self.pod(pod).await?, self.app.agent());
            first = processes.ok().and_then(|processes| processes.first().copied());
            Ok(first.is_some())
        })
        .await?;
        let first = first.context("it was found")?;
        let name = fs::read_to_string(format!("/proc/{first}/comm"))?;
        ensure!(name.starts_with("elector-agent"), "the first process is {name}");
        Ok(first)
    }

    /// How often the agent's container was started anew.
    pub(crate) async fn restarts(&self, pod: &Pod) -> Result<i32> {
        let pod = self.pod(pod).await?;
        Ok(container_status(&pod, self.app.agent()).context("no status of the agent")?.restart_count)
    }

    /// The code with which the agent's container ended before it was started anew.
    pub(crate) async fn last_exit_code(&self, pod: &Pod) -> Result<Option<i32>> {
        let pod = self.pod(pod).await?;
        let status = container_status(&pod, self.app.agent()).context("no status of the agent")?;
        let last = status.last_state.as_ref().and_then(|state| state.terminated.as_ref());
        Ok(last.map(|ended| ended.exit_code))
    }

    /// What the agent in the pod has logged.
    pub(crate) fn log(&self, pod: &Pod) -> String {
        self.node.log(pod, self.app.agent())
    }

    /// What apps did so far.
    pub(crate) fn acts(&self) -> Result<Acts> {
        if self.acts.exists() { Acts::read(&self.acts) } else { Ok(Acts::default()) }
    }

    /// Waits until the app of this pod has acted in its present tenure.
    pub(crate) async fn until_acting(&self, pod: &Pod) -> Result<()> {
        let report = with_suffix(&self.status_file(pod), ".json");
        self.until("the app acts", async || {
            let Ok(report) = fs::read(&report) else { return Ok(false) };
            let report: elector_agent::status::Report = serde_json::from_slice(&report)?;
            let acted = |run: &elector_tests::acts::Run| {
                run.by == pod.name_any() && run.fencing_token == report.fencing_token && run.acts >= 3
            };
            Ok(self.acts()?.runs().iter().any(acted))
        })
        .await
    }

    /// Waits until it is so.
    pub(crate) async fn until(&self, what: &str, mut holds: impl AsyncFnMut() -> Result<bool>) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !holds().await? {
            if Instant::now() > deadline {
                let pods = self.namespace.api::<Pod>().list(&ListParams::default()).await?;
                let states: Vec<_> = pods.iter().map(|pod| (pod.name_any(), &pod.status)).collect();
                let logs: String =
                    pods.iter().map(|pod| format!("--- {}\n{}", pod.name_any(), self.log(pod))).collect();
                bail!("not in {PATIENCE:?}: {what}\n{}\n{logs}", serde_json::to_string_pretty(&states)?);
            }
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// The end of a test: nobody ever acted beside another, nor were there two files of agents that lived at once.
    pub(crate) async fn end(self) -> Result<Acts> {
        let acts = self.acts()?;
        let clashes: Vec<String> = acts.clashes().iter().map(ToString::to_string).collect();
        ensure!(clashes.is_empty(), "{} clashes in {} acts: {clashes:?}", clashes.len(), acts.len());
        let overlaps = self.witness.overlaps();
        ensure!(overlaps.is_empty(), "{overlaps:?}");
        self.namespace.api::<Deployment>().delete("billing", &DeleteParams::default()).await?;
        Ok(acts)
    }

    /// Patches the Deployment's pods, so that all are replaced, one after the other; and waits for that.
    pub(crate) async fn roll(&self) -> Result<()> {
        let annotation = json!({"spec": {"template": {"metadata": {"annotations": {"rolled": "once"}}}}}).to_string();
        let before: Vec<_> = self.pods().await?.iter().map(Pod::uid).collect();
        self.kubectl(&["patch", "deployment", "billing", "--patch", &annotation], "").await?;
        self.until("all pods are others", async || {
            let pods = self.pods().await?;
            let all = self.namespace.api::<Pod>().list(&ListParams::default()).await?.items.len();
            Ok(all == self.replicas
                && pods.len() == self.replicas
                && pods.iter().all(|pod| !before.contains(&pod.uid())))
        })
        .await?;
        self.until_there().await
    }
}

/// When a process was.
pub(crate) type Killed = std::time::Instant;

fn kill(id: u32) -> Result<Killed> {
    let id = i32::try_from(id).ok().and_then(Pid::from_raw).context("no process id")?;
    let at = Killed::now();
    kill_process(id, Signal::KILL)?;
    Ok(at)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn is(pod: &Pod, condition: &str) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    conditions.iter().any(|found| found.type_ == condition && found.status == "True")
}
