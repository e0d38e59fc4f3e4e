//! What the demo plays on: a control plane, the operator, and an election of three.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use elector_tests::candidate::{AgentOptions, Candidate};
use elector_tests::cluster::{Cluster, Namespace};
use elector_tests::controlplane::ControlPlane;
use elector_tests::kubectl::kubectl;
use elector_tests::process::Process;
use elector_tests::programs::Programs;
use elector_tests::scratch::Scratch;
use elector_tests::witness::Witness;
use k8s_openapi::api::coordination::v1::Lease;

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

pub(crate) struct Stage {
    namespace: Namespace<'static>,
    kubeconfig: PathBuf,
    /// The cluster is somebody's.
    borrowed: bool,
    operator: Process,
    candidates: Vec<Candidate>,
    witness: Witness,
    _scratch: Scratch,
}

impl Stage {
    pub(crate) async fn set(arguments: &Arguments) -> Result<Stage> {
        let programs = Programs::built().await?;
        let cluster = cluster(arguments).await?;
        let kubeconfig = cluster.kubeconfig();
        let namespace = cluster.namespace("demo").await?;
        let scratch = Scratch::new()?;

        say("CustomResourceDefinition");
        kubectl(&kubeconfig, &["apply", "-f", "-"], &elector_crds::manifest::manifest()).await?;
        let established = ["wait", "--for=condition=Established", "crd/leaderelections.leader-elector.io"];
        kubectl(&kubeconfig, &established, "").await?;

        say("operator, and three agents in pods that are labelled for the election");
        let operator = operator(programs, &kubeconfig, namespace.name(), scratch.path());
        operator.start()?;
        let options = AgentOptions { program: arguments.agent.clone(), ..AgentOptions::default() };
        let mut candidates = Vec::new();
        for pod in ["billing-0", "billing-1", "billing-2"] {
            candidates.push(Candidate::start(&namespace, ELECTION, pod, &options).await?);
            namespace.set_pod_ready(pod, true).await?;
        }
        let files = candidates.iter().map(|one| (one.name().to_owned(), one.status_file())).collect();
        let begun = Instant::now();
        let witness = Witness::new(files, move |name, there| {
            let what = if there { "leader_status appeared" } else { "leader_status is gone" };
            println!("  {:7.3} s  {name}: {what}", begun.elapsed().as_secs_f64());
        });

        say("kubectl apply -f billing.yaml");
        println!("{EXAMPLE}");
        kubectl(&kubeconfig, &["-n", namespace.name(), "apply", "-f", "-"], EXAMPLE).await?;
        let borrowed = arguments.kubeconfig.is_some();
        Ok(Stage { namespace, kubeconfig, borrowed, operator, candidates, witness, _scratch: scratch })
    }

    /// Ends the processes, and on somebody's cluster leaves nothing but the CustomResourceDefinition.
    pub(crate) async fn strike(self) -> Result<()> {
        self.operator.kill();
        for candidate in &self.candidates {
            candidate.process().kill();
            if self.borrowed {
                self.namespace.remove_pod(candidate.name()).await?;
            }
        }
        if self.borrowed {
            say(&format!("removing namespace {}", self.namespace.name()));
            self.namespace.delete().await?;
        }
        Ok(())
    }

    pub(crate) fn namespace(&self) -> &Namespace<'static> {
        &self.namespace
    }

    pub(crate) fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
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
        let lease = self.namespace.api::<Lease>().get(ELECTION).await?;
        Ok(lease.spec.and_then(|spec| spec.holder_identity).unwrap_or_default())
    }

    /// `leaseTransitions`, as the API server has it.
    pub(crate) async fn transitions(&self) -> Result<i32> {
        let lease = self.namespace.api::<Lease>().get(ELECTION).await?;
        Ok(lease.spec.and_then(|spec| spec.lease_transitions).unwrap_or_default())
    }

    /// What a user sees.
    pub(crate) async fn table(&self) -> Result<String> {
        kubectl(&self.kubeconfig, &["-n", self.namespace.name(), "get", "leaderelections"], "").await
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
async fn cluster(arguments: &Arguments) -> Result<&'static Cluster> {
    let Some(kubeconfig) = &arguments.kubeconfig else {
        say("control plane");
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
