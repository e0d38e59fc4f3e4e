//! What the demo plays on: a control plane, the operator, and an election of three.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use elector_harness::candidate::{AgentOptions, Candidate};
use elector_harness::cluster::{Cluster, Namespace};
use elector_harness::controlplane::{Binary, ControlPlane};
use elector_harness::kubectl::kubectl;
use elector_harness::process::Process;
use elector_harness::witness::Witness;
use elector_xtask::programs::Programs;
use elector_xtask::scratch::Scratch;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::api::ListParams;

use crate::Arguments;

pub(crate) const ELECTION: &str = "billing";

/// The README's example, with the shortest of the usual timings: nobody wants to watch 15 s pass.
const EXAMPLE: &str = "\
apiVersion: leader-elector.io/v1alpha1
kind: LeaderElection
metadata:
  name: billing
spec:
  leaseDurationSeconds: 5
  renewDeadlineSeconds: 3
  retryPeriodSeconds: 1
";

/// Where it is played.
pub(crate) struct Place {
    namespace: Namespace<'static>,
    kubeconfig: PathBuf,
    /// The cluster is somebody's.
    borrowed: bool,
}

impl Place {
    pub(crate) async fn make(cluster: &'static Cluster, borrowed: bool) -> Result<Place> {
        if borrowed {
            is_free(&cluster.kubeconfig()).await?;
        }
        Ok(Place { namespace: cluster.namespace("demo").await?, kubeconfig: cluster.kubeconfig(), borrowed })
    }

    /// On somebody's cluster, leaves nothing but the CustomResourceDefinition.
    pub(crate) async fn leave(self) -> Result<()> {
        if !self.borrowed {
            return Ok(());
        }
        let name = self.namespace.name().to_owned();
        say(&format!("removing namespace {name}; the CustomResourceDefinition stays, others may use it"));
        for pod in self.namespace.api::<Pod>().list(&ListParams::default()).await? {
            self.namespace.remove_pod(&pod.name_any()).await?;
        }
        if let Err(error) = self.namespace.delete().await {
            println!("{error:#}: without kube-controller-manager, which empties it, a cluster removes none");
        }
        Ok(())
    }
}

/// The policies of a release refuse the operator that the demo brings.
async fn is_free(kubeconfig: &Path) -> Result<()> {
    let label = "--selector=app.kubernetes.io/name=leader-elector";
    let kinds = "validatingadmissionpolicies,deployments.apps";
    let found = kubectl(kubeconfig, &["get", kinds, "--all-namespaces", label, "--output=name"], "").await?;
    ensure!(
        found.trim().is_empty(),
        "leader-elector is installed on this cluster ({}), and refuses the operator that the demo brings: apply the README's \
         first election instead, or name another cluster",
        found.split_whitespace().collect::<Vec<_>>().join(", ")
    );
    Ok(())
}

/// What is played with; its processes end when it is dropped.
pub(crate) struct Stage<'a> {
    place: &'a Place,
    operator: Process,
    candidates: Vec<Candidate>,
    witness: Witness,
    silent: Arc<AtomicBool>,
    scratch: Scratch,
}

impl<'a> Stage<'a> {
    pub(crate) async fn set(place: &'a Place, arguments: &Arguments) -> Result<Stage<'a>> {
        let Place { namespace, kubeconfig, .. } = place;
        let programs = Programs::built().await?;
        let scratch = Scratch::new()?;

        say("CustomResourceDefinition");
        kubectl(kubeconfig, &["apply", "-f", "-"], &elector_crds::manifest::manifest()).await?;
        let established = ["wait", "--for=condition=Established", "crd/leaderelections.leader-elector.io"];
        kubectl(kubeconfig, &established, "").await?;

        say("operator, and three agents in pods that are labelled for the election");
        let operator = operator(programs, kubeconfig, namespace.name(), scratch.path());
        operator.start()?;
        let options = AgentOptions { program: arguments.agent.clone(), ..AgentOptions::default() };
        let mut candidates = Vec::new();
        for pod in ["billing-0", "billing-1", "billing-2"] {
            candidates.push(Candidate::start(namespace, ELECTION, pod, &options).await?);
            namespace.set_pod_ready(pod, true).await?;
        }
        let files = candidates.iter().map(|one| (one.name().to_owned(), one.status_file())).collect();
        let begun = Instant::now();
        let silent = Arc::new(AtomicBool::new(false));
        let is_silent = Arc::clone(&silent);
        let witness = Witness::new(files, move |name, there| {
            let what = if there { "leader_status appeared" } else { "leader_status is gone" };
            if !is_silent.load(Ordering::SeqCst) {
                println!("  {:7.3} s  {name}: {what}", begun.elapsed().as_secs_f64());
            }
        });

        say("kubectl apply -f billing.yaml");
        println!("{EXAMPLE}");
        kubectl(kubeconfig, &["-n", namespace.name(), "apply", "-f", "-"], EXAMPLE).await?;
        Ok(Stage { place, operator, candidates, witness, silent, scratch })
    }

    /// Says nothing more of files: what becomes of them now is no part of the play.
    pub(crate) fn fall_silent(&self) {
        self.silent.store(true, Ordering::SeqCst);
    }

    /// Has all run that was killed, and says how to look at it.
    pub(crate) async fn keep(&self) -> Result<()> {
        for (index, candidate) in self.candidates.iter().enumerate() {
            self.witness.set_dead(index, false);
            candidate.process().start()?;
        }
        let kubectl = Binary::Kubectl.ready().await?;
        println!("\nIt stays up until Ctrl-C, the operator and three agents:");
        println!("  export KUBECONFIG={}", self.place.kubeconfig.display());
        println!("  alias kubectl={}", kubectl.display());
        println!("  kubectl -n {} get leaderelections,leases,roles,pods", self.place.namespace.name());
        println!("  {}", self.scratch.path().join("operator.log").display());
        for candidate in &self.candidates {
            let (status, process) = (candidate.status_file(), candidate.process().id().unwrap_or_default());
            println!("  {} is process {process}; its status file, if it leads, and its log:", candidate.name());
            println!("    {}  {}", status.display(), status.with_file_name("agent.log").display());
        }
        Ok(())
    }

    pub(crate) fn operator(&self) -> &Process {
        &self.operator
    }

    pub(crate) fn candidates(&self) -> &[Candidate] {
        &self.candidates
    }

    pub(crate) fn witness(&self) -> &Witness {
        &self.witness
    }

    /// `holderIdentity`, as the API server has it.
    pub(crate) async fn holder(&self) -> Result<String> {
        let lease = self.place.namespace.api::<Lease>().get(ELECTION).await?;
        Ok(lease.spec.and_then(|spec| spec.holder_identity).unwrap_or_default())
    }

    /// `leaseTransitions`, as the API server has it.
    pub(crate) async fn transitions(&self) -> Result<i32> {
        let lease = self.place.namespace.api::<Lease>().get(ELECTION).await?;
        Ok(lease.spec.and_then(|spec| spec.lease_transitions).unwrap_or_default())
    }

    /// What a user sees.
    pub(crate) async fn table(&self) -> Result<String> {
        kubectl(&self.place.kubeconfig, &["-n", self.place.namespace.name(), "get", "leaderelections"], "").await
    }

    /// Waits until the table names `holder`, and shows it.
    pub(crate) async fn show_table(&self, holder: &str, patience: Duration) -> Result<()> {
        let deadline = Instant::now() + patience;
        loop {
            let table = self.table().await?;
            if table.lines().nth(1).is_some_and(|row| row.split_whitespace().nth(1) == Some(holder)) {
                println!("\n$ kubectl get leaderelections\n{table}");
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "the table does not name {holder} after {patience:?}:\n{table}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// The cluster that was asked for, if its owner agrees; else one of our own.
pub(crate) async fn cluster(arguments: &Arguments) -> Result<&'static Cluster> {
    say("programs");
    Programs::built().await?;
    let Some(kubeconfig) = &arguments.kubeconfig else {
        say("control plane; the first time, Kubernetes is built from source, which takes minutes");
        return Ok(ControlPlane::shared().await?);
    };
    // For as long as the process lives, as the shared control plane does.
    let cluster = &*Box::leak(Box::new(Cluster::new(kubeconfig.clone())?));
    if !arguments.yes && !cluster.is_local().await? {
        print!("This plays on {}. Go on? [y/N] ", cluster.server().await?);
        std::io::stdout().flush()?;
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer)?;
        ensure!(answer.trim().eq_ignore_ascii_case("y"), "not agreed to; --yes answers for you");
    }
    Ok(cluster)
}

fn operator(programs: &Programs, kubeconfig: &Path, namespace: &str, folder: &Path) -> Process {
    let arguments = [
        "--identity=demo-operator",
        "--lease-duration-seconds=5",
        "--renew-deadline-seconds=3",
        "--retry-period-seconds=1",
        "--health-address=127.0.0.1:0",
    ];
    let mut arguments: Vec<String> = arguments.map(str::to_owned).to_vec();
    arguments.push(format!("--lease-namespace={namespace}"));
    // On somebody's cluster, the elections of others are not ours to reconcile.
    arguments.push(format!("--watch-namespaces={namespace}"));
    let environment = vec![("KUBECONFIG".to_owned(), kubeconfig.display().to_string())];
    Process::new(programs.operator.clone(), arguments, folder.join("operator.log")).with_environment(environment)
}

pub(crate) fn say(what: &str) {
    println!("\n=== {what}");
}
