//! An election of pods in a namespace of its own, and all that is watched.

mod leading;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use elector_harness::acts::{Acts, Run};
use elector_harness::cluster::Namespace;
use elector_harness::kubectl::kubectl;
use elector_harness::node::{Hog, container_status};
use elector_harness::operators::{Election, short_timings};
use elector_harness::witness::Witness;
use k8s_openapi::api::core::v1::{ContainerStateTerminated, Pod};
use kube::ResourceExt as _;
use kube::api::{EvictParams, ListParams};
use leader_elector::status::Report;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::manifest::{App, Edit, deployment};
use crate::processes::kill;
use crate::stage::{PATIENCE, Stage, stage};

/// What is deployed.
pub(crate) struct Setup {
    pub(crate) app: App,
    pub(crate) replicas: usize,
    /// The spec of the election.
    pub(crate) timings: Value,
    pub(crate) edit: Edit,
    /// Enforced.
    pub(crate) pod_security: &'static str,
}

impl Setup {
    /// A Deployment of three, with the shortest of the usual timings.
    pub(crate) fn of(app: App) -> Setup {
        Setup { app, replicas: 3, timings: short_timings(), edit: deployment, pod_security: "restricted" }
    }
}

/// The Deployment of `docs/installing.md` in a namespace of its own, with its election, and all that is watched.
pub(crate) struct Billing<'a> {
    stage: &'a Stage,
    pub(crate) election: Election<'a>,
    pub(crate) witness: Witness,
    pub(crate) namespace: Namespace<'a>,
    setup: Setup,
    manifest: String,
    acts: PathBuf,
    kubeconfig: PathBuf,
}

impl Billing<'static> {
    /// Three pods that run, on the stage of all tests.
    pub(crate) async fn deployed(prefix: &str, app: App) -> Result<Billing<'static>> {
        Billing::deployed_with(prefix, Setup::of(app)).await
    }

    /// The same with other pods.
    pub(crate) async fn deployed_with(prefix: &str, setup: Setup) -> Result<Billing<'static>> {
        let begun = Instant::now();
        let billing = Billing::applied(stage().await?, prefix, setup).await?;
        billing.until_there().await?;
        println!("{prefix}: deployed in {:.1?}", begun.elapsed());
        Ok(billing)
    }
}

impl<'a> Billing<'a> {
    /// Does not wait for anything.
    pub(crate) async fn applied(stage: &'a Stage, prefix: &str, setup: Setup) -> Result<Billing<'a>> {
        let namespace = stage.plane.namespace(prefix).await?;
        let election = Election::create(&namespace, "billing", setup.timings.clone()).await?;
        let folder = stage.nodes[0].folder().join(namespace.name());
        fs::create_dir(&folder)?;
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o777))?;
        let mut manifest = setup.app.deployment()?;
        manifest["spec"]["replicas"] = json!(setup.replicas);
        (setup.edit)(&mut manifest);
        let billing = Billing {
            stage,
            election,
            witness: Witness::new(Vec::new(), |_, _| {}),
            setup,
            manifest: manifest.to_string(),
            acts: folder.join("log"),
            kubeconfig: stage.plane.kubeconfig(),
            namespace,
        };
        let enforce = format!("pod-security.kubernetes.io/enforce={}", billing.setup.pod_security);
        billing.kubectl(&["label", "namespace", billing.namespace.name(), &enforce], "").await?;
        let volume = volume(billing.namespace.name(), &folder);
        billing.kubectl(&["apply", "-f", "-"], &volume.to_string()).await?;
        billing.kubectl(&["apply", "-f", "-"], &billing.manifest).await?;
        Ok(billing)
    }

    /// Waits until all is as it should be after whatever was done.
    pub(crate) async fn until_there(&self) -> Result<()> {
        self.until("all pods run, and those are ready that should be", async || {
            let pods = self.pods().await?;
            let run = pods
                .iter()
                .all(|pod| pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Running"));
            Ok(pods.len() == self.setup.replicas
                && run
                && self.ready().await?.len() == self.setup.app.ready(self.setup.replicas))
        })
        .await
    }

    /// The namespace's.
    pub(crate) fn name(&self) -> &str {
        self.namespace.name()
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
        // One that has no node yet would be looked for on another, for ever.
        for pod in pods.iter().filter(|pod| pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some())) {
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

    /// Has the API server evict it.
    pub(crate) async fn evict(&self, pod: &Pod) -> Result<()> {
        self.namespace.api::<Pod>().evict(&pod.name_any(), &EvictParams::default()).await?;
        Ok(())
    }

    /// The processes of a container as `pod` names it; the first is the one that it began with.
    pub(crate) fn processes(&self, pod: &Pod, container: &str) -> Result<Vec<u32>> {
        self.stage.node(pod).processes(pod, container)
    }

    /// All that a container is charged for, in bytes.
    pub(crate) fn memory(&self, pod: &Pod, container: &str) -> Result<u64> {
        self.stage.node(pod).memory(pod, container)
    }

    /// Leaves the agent's container nothing of the memory that it is allowed, until the hog is dropped.
    pub(crate) async fn exhaust_agent(&self, pod: &Pod) -> Result<Hog> {
        self.stage.node(pod).exhaust_memory(&self.pod(pod).await?, self.setup.app.agent())
    }

    /// Has the app of the pod take all memory that it can get, once it acts.
    pub(crate) fn exhaust_app(&self, pod: &Pod) -> Result<()> {
        Ok(fs::write(with_suffix(&self.acts, &format!(".exhaust.{}", pod.name_any())), "")?)
    }

    /// Has the app of the pod crash each time that it acts.
    pub(crate) fn crash_app(&self, pod: &Pod) -> Result<()> {
        Ok(fs::write(with_suffix(&self.acts, &format!(".crash.{}", pod.name_any())), "")?)
    }

    /// Kills the first process of the agent's container, and so the container: the file stays.
    pub(crate) async fn kill_supervisor(&self, pod: &Pod) -> Result<std::time::Instant> {
        kill(self.supervisor(pod).await?)
    }

    /// Kills the process that contends, alone.
    pub(crate) async fn kill_electing(&self, pod: &Pod) -> Result<std::time::Instant> {
        let id = self.supervisor(pod).await?;
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children"))?;
        kill(children.split_whitespace().next().context("it supervises nobody")?.parse()?)
    }

    /// Once kubelet has told which container it is.
    async fn supervisor(&self, pod: &Pod) -> Result<u32> {
        let mut first = None;
        self.until("the agent's container has a process", async || {
            first = self.processes(&self.pod(pod).await?, self.setup.app.agent()).unwrap_or_default().first().copied();
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
        Ok(container_status(&pod, self.setup.app.agent()).context("no status of the agent")?.restart_count)
    }

    /// How the container ended before it was started anew.
    pub(crate) async fn last_end(&self, pod: &Pod, container: &str) -> Result<Option<ContainerStateTerminated>> {
        let pod = self.pod(pod).await?;
        let status = container_status(&pod, container).context("no status of that container")?;
        Ok(status.last_state.clone().and_then(|state| state.terminated))
    }

    /// What a container of the pod has written.
    pub(crate) fn container_log(&self, pod: &Pod, container: &str) -> String {
        self.stage.node(pod).log(pod, container)
    }

    /// What the agent in the pod has logged.
    pub(crate) fn log(&self, pod: &Pod) -> String {
        self.container_log(pod, self.setup.app.agent())
    }

    /// What all containers have written.
    fn logs(&self) -> String {
        self.stage.nodes.iter().map(|node| node.logs(self.name())).collect()
    }

    /// What apps did so far.
    pub(crate) fn acts(&self) -> Result<Acts> {
        if self.acts.exists() { Acts::read(&self.acts) } else { Ok(Acts::default()) }
    }

    /// Waits until the app of this pod has acted three times from now on, in its present tenure.
    pub(crate) async fn until_acting(&self, pod: &Pod) -> Result<()> {
        let report = with_suffix(&self.status_file(pod), ".json");
        let before = self.acts()?.len();
        self.until("the app acts", async || {
            let Ok(report) = fs::read(&report) else { return Ok(false) };
            let report: Report = serde_json::from_slice(&report)?;
            let acted =
                |run: &Run| run.by == pod.name_any() && run.fencing_token == report.fencing_token && run.acts >= 3;
            Ok(self.acts()?.after(before).runs().iter().any(acted))
        })
        .await
    }

    /// Waits until it is so.
    pub(crate) async fn until(&self, what: &str, holds: impl AsyncFnMut() -> Result<bool>) -> Result<()> {
        self.until_within(PATIENCE, what, holds).await
    }

    /// The same for what takes longer.
    pub(crate) async fn until_within(
        &self,
        patience: Duration,
        what: &str,
        mut holds: impl AsyncFnMut() -> Result<bool>,
    ) -> Result<()> {
        let deadline = Instant::now() + patience;
        while !holds().await? {
            if Instant::now() > deadline {
                let pods = self.namespace.api::<Pod>().list(&ListParams::default()).await?;
                let states: Vec<_> = pods.iter().map(|pod| (pod.name_any(), &pod.status)).collect();
                bail!("not in {patience:?}: {what}\n{}\n{}", serde_json::to_string_pretty(&states)?, self.logs());
            }
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// The end of a test: nobody ever acted beside another, nor were there two files of agents that lived at once.
    pub(crate) async fn end(self) -> Result<Acts> {
        let acts = self.acts()?;
        let clashes: Vec<String> = acts.clashes().iter().map(ToString::to_string).collect();
        ensure!(clashes.is_empty(), "{} clashes in {} acts: {clashes:?}\n{}", clashes.len(), acts.len(), self.logs());
        let overlaps = self.witness.overlaps();
        ensure!(overlaps.is_empty(), "{overlaps:?}\n{}", self.logs());
        self.kubectl(&["delete", "--ignore-not-found", "--wait=false", "-f", "-"], &self.manifest).await?;
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
            Ok(all == self.setup.replicas
                && pods.len() == self.setup.replicas
                && pods.iter().all(|pod| !before.contains(&pod.uid())))
        })
        .await?;
        self.until_there().await
    }
}

/// A folder of the node's, and the claim to it: Pod Security "restricted" lets no pod name the folder itself.
fn volume(namespace: &str, folder: &Path) -> Value {
    let (size, modes) = (json!({"storage": "1Gi"}), json!(["ReadWriteMany"]));
    json!({"apiVersion": "v1", "kind": "List", "items": [
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": namespace},
            "spec": {
                "capacity": size,
                "accessModes": modes,
                "storageClassName": "",
                "hostPath": {"path": folder},
                "claimRef": {"namespace": namespace, "name": "acts"},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "acts", "namespace": namespace},
            "spec": {
                "accessModes": modes,
                "storageClassName": "",
                "volumeName": namespace,
                "resources": {"requests": size},
            },
        },
    ]})
}

/// Two elections whose pods run, one of sidecars and one of commands.
pub(crate) async fn both<'a>(stage: &'a Stage, change: impl Fn(&mut Setup)) -> Result<[Billing<'a>; 2]> {
    let applied = async |prefix, app| {
        let mut setup = Setup::of(app);
        change(&mut setup);
        let billing = Billing::applied(stage, prefix, setup).await?;
        billing.until_there().await?;
        anyhow::Ok(billing)
    };
    Ok([applied("sidecars", App::Injected).await?, applied("commands", App::Exec).await?])
}

/// Waits until the apps of all leaders act; those leaders.
pub(crate) async fn acting(elections: &[Billing<'_>]) -> Result<Vec<Pod>> {
    let mut leaders = Vec::new();
    for billing in elections {
        let leader = billing.leader().await.with_context(|| billing.name().to_owned())?;
        billing.until_acting(&leader).await?;
        leaders.push(leader);
    }
    Ok(leaders)
}

/// Their names.
pub(crate) fn names(pods: &[Pod]) -> Vec<String> {
    pods.iter().map(|pod| pod.name_any()).collect()
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
