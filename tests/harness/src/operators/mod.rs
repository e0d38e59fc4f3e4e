//! The operator as a process with the rights that it needs and no others, and elections for it.

mod election;

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use elector_crds::annotations::TimingsAnnotation;
use elector_crds::conditions::{ConditionType, Reason};
use elector_crds::lease::FirstRecord;
use elector_crds::{StoredLease, TIMINGS_ANNOTATION, manifest};
use elector_election::Timings;
use kube::api::{ObjectMeta, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use serde::Deserialize as _;
use serde_json::{Value, json};
use tokio::sync::OnceCell;
use tokio::time::{Instant, sleep};

pub use self::election::Election;
use crate::candidate::{AgentOptions, Candidate};
use crate::controlplane::{ControlPlane, Entry, Namespace};
use crate::http::{self, Answer};
use crate::kubectl::kubectl;
use crate::process::Process;
use elector_xtask::programs::Programs;
use elector_xtask::scratch::Scratch;

/// The operator's service account, and the name of its Lease.
pub const OPERATOR: &str = "leader-elector-operator";

/// All that an operator needs, as it is installed.
const INSTALL: &str = include_str!("../../../../charts/install.yaml");

/// How long anything may take that needs no lease to run out.
const PATIENCE: Duration = Duration::from_secs(20);

/// The shortest of the usual timings, as a spec.
pub fn short_timings() -> Value {
    json!({"leaseDurationSeconds": 5, "renewDeadlineSeconds": 3, "retryPeriodSeconds": 1})
}

/// All replicas of the operator on one control plane.
pub struct Operators<'a> {
    plane: &'a ControlPlane,
    namespace: Namespace<'a>,
    kubeconfig: PathBuf,
}

/// One replica.
#[derive(Debug)]
pub struct Operator {
    process: Process,
    identity: String,
    lease: Api<StoredLease>,
    folder: Scratch,
}

impl<'a> Operators<'a> {
    /// The CustomResourceDefinition as it is shipped, a namespace, and a service account with the operator's rights.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn install(plane: &'a ControlPlane) -> Result<Operators<'a>> {
        Self::install_with(plane, &manifest::manifest()).await
    }

    /// The same with another CustomResourceDefinition.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn install_with(plane: &'a ControlPlane, definition: &str) -> Result<Operators<'a>> {
        let admin = plane.kubeconfig();
        kubectl(&admin, &["apply", "-f", "-"], definition).await?;
        let established = ["wait", "--for=condition=Established", "crd/leaderelections.leader-elector.io"];
        kubectl(&admin, &established, "").await?;
        let namespace = plane.namespace("operator").await?;
        namespace.service_account(OPERATOR).await?;
        allow(&namespace).await?;
        Operators::of_account(plane, namespace).await
    }

    /// Where the chart is installed as release `leader-elector`, in a namespace of that name.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn released(plane: &'a ControlPlane) -> Result<Operators<'a>> {
        Operators::of_account(plane, plane.existing_namespace("leader-elector").await?).await
    }

    async fn of_account(plane: &'a ControlPlane, namespace: Namespace<'a>) -> Result<Operators<'a>> {
        // A Lease that is missing is waited out, as may be seen in the demo; here it would be 5 s for each control plane.
        namespace.api().create(&PostParams::default(), &never_held()?).await?;
        let kubeconfig = namespace.kubeconfig(OPERATOR).await?;
        Ok(Operators { plane, namespace, kubeconfig })
    }

    /// A replica that is not started yet, on the Lease of all, with 5/3/1.
    ///
    /// # Errors
    /// When it can't be built.
    pub async fn replica(&self, identity: &str) -> Result<Operator> {
        self.replica_with(identity, &[]).await
    }

    /// The same with more arguments.
    ///
    /// # Errors
    /// When it can't be built.
    pub async fn replica_with(&self, identity: &str, more: &[&str]) -> Result<Operator> {
        let mut arguments = arguments(self.namespace.name());
        arguments.extend(more.iter().map(|argument| (*argument).to_owned()));
        self.replica_of(identity, Programs::built().await?.operator.clone(), arguments)
    }

    /// The same of another program, with other arguments.
    ///
    /// # Errors
    /// When no folder can be made.
    pub fn replica_of(&self, identity: &str, program: PathBuf, mut arguments: Vec<String>) -> Result<Operator> {
        let folder = Scratch::new()?;
        arguments.push(format!("--identity={identity}"));
        let environment = vec![("KUBECONFIG".to_owned(), self.kubeconfig.display().to_string())];
        let process = Process::new(program, arguments, folder.path().join("operator.log"));
        let process = process.with_environment(environment);
        Ok(Operator { process, identity: identity.to_owned(), lease: self.namespace.api(), folder })
    }

    /// A client with the rights of the operator, and no others.
    ///
    /// # Errors
    /// When its kubeconfig can't be used.
    pub async fn client(&self) -> Result<Client> {
        let kubeconfig = Kubeconfig::read_from(&self.kubeconfig)?;
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        Ok(Client::try_from(config)?)
    }

    /// A replica that runs, has seen everything and leads.
    ///
    /// # Errors
    /// When it does not come so far; with its log.
    pub async fn leader(&self, identity: &str) -> Result<Operator> {
        let operator = self.replica(identity).await?;
        operator.process.start()?;
        operator.until_ready().await?;
        operator.until_leading().await?;
        Ok(operator)
    }

    /// The requests of all replicas so far.
    ///
    /// # Errors
    /// When the audit log can't be read.
    pub fn requests(&self, wanted: impl Fn(&Entry) -> bool) -> Result<Vec<Entry>> {
        let from = |entry: &Entry| entry.is_from(self.namespace.name(), OPERATOR);
        self.plane.audit().requests(|entry| from(entry) && wanted(entry))
    }

    /// Where their Lease is.
    pub fn namespace(&self) -> &Namespace<'a> {
        &self.namespace
    }
}

/// The operator of the shared control plane, which all tests of a process share.
///
/// # Errors
/// As [`Operators::install`] and [`Operators::leader`].
pub async fn shared() -> Result<&'static Operators<'static>> {
    Ok(&running().await?.0)
}

/// The replica of [`shared`] that writes.
///
/// # Errors
/// As [`shared`].
pub async fn active() -> Result<&'static Operator> {
    Ok(&running().await?.1)
}

async fn running() -> Result<&'static (Operators<'static>, Operator)> {
    static SHARED: OnceCell<(Operators<'static>, Operator)> = OnceCell::const_new();
    let start = async || {
        let operators = Operators::install(ControlPlane::shared().await?).await?;
        let operator = operators.leader("shared").await?;
        anyhow::Ok((operators, operator))
    };
    SHARED.get_or_try_init(start).await
}

/// A namespace on the shared control plane, where the shared operator is at work.
///
/// # Errors
/// As [`shared`].
pub async fn place(prefix: &str) -> Result<Namespace<'static>> {
    shared().await?;
    ControlPlane::shared().await?.namespace(prefix).await
}

/// An election there with three candidates, which are ready; `billing-0` leads.
///
/// # Errors
/// As [`place`], and when it does not come so far.
pub async fn contended(prefix: &str) -> Result<(Namespace<'static>, Election<'static>, Vec<Candidate>)> {
    let namespace = place(prefix).await?;
    let election = Election::create(&namespace, "billing", short_timings()).await?;
    election.until_reason(ConditionType::Ready, Reason::Reconciled).await?;
    let mut candidates = Vec::new();
    for pod in ["billing-0", "billing-1", "billing-2"] {
        candidates.push(Candidate::start(&namespace, "billing", pod, &AgentOptions::default()).await?);
        namespace.set_pod_ready(pod, true).await?;
        candidates[0].leads_within(PATIENCE).await?;
    }
    election.until_held_by("billing-0").await?;
    election.until_reason(ConditionType::CandidatesReady, Reason::AllReady).await?;
    Ok((namespace, election, candidates))
}

/// What an operator needs to be told, beside its kubeconfig and identity.
pub fn arguments(namespace: &str) -> Vec<String> {
    let arguments = [
        "--lease-duration-seconds=5",
        "--renew-deadline-seconds=3",
        "--retry-period-seconds=1",
        "--health-address=127.0.0.1:0",
        "--features=leader-service,pod-labels",
    ];
    let mut arguments: Vec<String> = arguments.map(str::to_owned).to_vec();
    arguments.push(format!("--lease-namespace={namespace}"));
    arguments
}

impl Operator {
    /// Its process.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Who it is.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// What its log says.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("operator.log")).unwrap_or_default()
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When it does not yet.
    pub fn address(&self) -> Result<SocketAddr> {
        let log = self.log();
        let (_, address) = log.rsplit_once("/readyz address=").context("it does not listen yet")?;
        Ok(address.split_whitespace().next().unwrap_or_default().parse()?)
    }

    /// Status and body of what it answers to GET `path`.
    ///
    /// # Errors
    /// When it does not listen yet, or does not answer.
    pub async fn answer(&self, path: &str) -> Result<(u16, String)> {
        let Answer { status, body, .. } = http::get(self.address()?, path).await?;
        Ok((status, body))
    }

    /// Waits until it has seen everything.
    ///
    /// # Errors
    /// When it has not in time; with its log.
    pub async fn until_ready(&self) -> Result<()> {
        let ready = async || Ok(self.answer("/readyz").await.is_ok_and(|(status, _)| status == 200));
        self.until("it is ready", ready).await
    }

    /// Waits until its Lease names it.
    ///
    /// # Errors
    /// When it does not in time; with its log.
    pub async fn until_leading(&self) -> Result<()> {
        self.until("it leads", async || Ok(self.leads().await?)).await
    }

    /// Whether its Lease names it.
    ///
    /// # Errors
    /// When the Lease can't be read.
    pub async fn leads(&self) -> Result<bool> {
        let lease = self.lease.get_opt(OPERATOR).await?;
        Ok(lease.is_some_and(|lease| lease.spec.get("holderIdentity") == Some(&json!(self.identity))))
    }

    async fn until(&self, what: &str, mut holds: impl AsyncFnMut() -> Result<bool>) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !holds().await? {
            if let Some(status) = self.process.exited()? {
                bail!("operator {} ended with {status}\n{}", self.identity, self.log());
            }
            if Instant::now() > deadline {
                bail!("operator {}: not in {PATIENCE:?}: {what}\n{}", self.identity, self.log());
            }
            sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }
}

fn never_held() -> Result<StoredLease> {
    let timings = Timings::new(5, 3, 1, 0)?;
    let metadata = ObjectMeta { name: Some(OPERATOR.to_owned()), ..ObjectMeta::default() };
    let mut lease = StoredLease::new(metadata);
    lease.set_annotation(
        TIMINGS_ANNOTATION,
        TimingsAnnotation { timings: Some(timings), never_held: true, ..TimingsAnnotation::default() }.to_json(),
    );
    FirstRecord::NeverHeld { lease_duration_seconds: timings.lease_duration_seconds() }.apply(&mut lease);
    Ok(lease)
}

/// The rights that the chart gives, and the policies that hold them, for the service account of this namespace.
async fn allow(namespace: &Namespace<'_>) -> Result<()> {
    let mut granted = Vec::new();
    for document in serde_yaml_ng::Deserializer::from_str(INSTALL) {
        let object = Value::deserialize(document)?;
        let kind = object["kind"].as_str().unwrap_or_default().to_owned();
        let is_named = |prefix| object["metadata"]["name"].as_str().is_some_and(|name| name.starts_with(prefix));
        let grants = ["ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"].contains(&kind.as_str());
        let holds = kind.starts_with("ValidatingAdmissionPolicy");
        if !(is_named(OPERATOR) && (grants || holds) || is_named("leader-elector-leader-service") && holds) {
            continue;
        }
        // As the chart's templates name the account and its namespace.
        let object = object.to_string();
        let account = format!("system:serviceaccount:{}:", namespace.name());
        let object = object.replace("system:serviceaccount:leader-elector:", &account);
        let is_own = |namespace: &str| format!(r#"request.namespace == \"{namespace}\""#);
        let mut object: Value =
            serde_json::from_str(&object.replace(&is_own("leader-elector"), &is_own(namespace.name())))?;
        if ["Role", "RoleBinding"].contains(&kind.as_str()) {
            object["metadata"]["namespace"] = json!(namespace.name());
        }
        // What the chart grants with podLabels.enabled.
        if kind == "ClusterRole" {
            let label = json!({"apiGroups": [""], "resources": ["pods"], "verbs": ["patch"]});
            object["rules"].as_array_mut().context("a ClusterRole without rules")?.push(label);
        }
        for subject in object["subjects"].as_array_mut().into_iter().flatten() {
            subject["namespace"] = json!(namespace.name());
        }
        granted.push(object);
    }
    ensure!(granted.len() == 14, "charts/install.yaml grants {granted:?}");
    let list = json!({"apiVersion": "v1", "kind": "List", "items": granted});
    kubectl(&namespace.cluster().kubeconfig(), &["apply", "-f", "-"], &list.to_string()).await?;
    Ok(())
}
