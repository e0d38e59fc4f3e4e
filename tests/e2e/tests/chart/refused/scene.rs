//! One election, and what becomes of something that is asked of it while a write is refused.

use std::process::{Command, Output};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use elector_crds::conditions::{ConditionType, Reason, Status, find};
use elector_crds::{LeaderElection, STRICT_IDENTITY_LABEL, TRANSFER_ANNOTATION};
use elector_harness::candidate::{AgentOptions, Candidate, leader};
use elector_harness::controlplane::{ControlPlane, Namespace};
use elector_harness::operators::{Election, short_timings};
use elector_xtask::programs::Programs;
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::ResourceExt as _;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::Case;

/// Until what was refused is in place once it is allowed; the API server takes a while to learn that it is.
const SOON: Duration = Duration::from_secs(20);

/// Of objects that the operator makes for an election.
const RBAC_NAME: &str = "leader-elector-billing";

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Ask {
    /// A new election.
    Election,
    /// Another service account may contend.
    Account,
    Pause,
    Transfer,
    /// The pod that does not lead is preferred.
    Preference,
    Timings,
    /// Nobody is checked any more.
    Identity,
    Service,
    /// Another port of the Service.
    Port,
    /// No Service any more.
    NoService,
    Slices,
    Labels,
    Event,
    Status,
}

impl Ask {
    /// What takes two candidates, the first of which leads.
    fn is_of_leader(self) -> bool {
        matches!(self, Ask::Pause | Ask::Transfer | Ask::Preference | Ask::Slices | Ask::Labels)
    }
}

/// A namespace with an election, two candidates of it, and one thing that is asked for while one write is refused.
pub(super) struct Scene<'a> {
    pub(super) namespace: Namespace<'a>,
    election: Election<'a>,
    candidates: Vec<Candidate>,
    case: &'a Case,
}

fn service(port: u16) -> Value {
    json!({"name": "front", "ports": [{"port": port}]})
}

fn ready(election: &LeaderElection) -> Option<(&str, &str, &str)> {
    let ready = find(&election.status.as_ref()?.conditions, ConditionType::Ready)?;
    Some((&ready.status, &ready.reason, &ready.message))
}

impl<'a> Scene<'a> {
    /// All that must be there before something is refused.
    pub(super) async fn set(plane: &'a ControlPlane, case: &'a Case) -> Result<Scene<'a>> {
        let namespace = plane.namespace(&format!("refused-{}", case.resource.replace('/', "-"))).await?;
        let mut candidates = Vec::new();
        if case.asks == Ask::Election {
            let election = Election::named(&namespace, "billing");
            return Ok(Scene { namespace, election, candidates, case });
        }
        let mut spec = short_timings();
        match case.asks {
            Ask::Port | Ask::NoService => spec["leaderService"] = service(80),
            _ => {}
        }
        let election = Election::create(&namespace, "billing", spec).await?;
        election.until_reason(ConditionType::Ready, Reason::Reconciled).await?;
        if case.asks.is_of_leader() {
            for pod in ["billing-0", "billing-1"] {
                candidates.push(Candidate::start(&namespace, "billing", pod, &AgentOptions::default()).await?);
                namespace.patch_pod_status(pod, json!({"podIP": "10.1.2.3", "podIPs": [{"ip": "10.1.2.3"}]})).await?;
                namespace.set_pod_ready(pod, true).await?;
                leader(&candidates, SOON).await?;
            }
            election.until_held_by("billing-0").await?;
        }
        Ok(Scene { namespace, election, candidates, case })
    }

    fn spec(&self) -> Value {
        let mut spec = short_timings();
        match self.case.asks {
            Ask::Account => spec["candidates"] = json!({"serviceAccountNames": ["default", "other"]}),
            Ask::Pause => spec["paused"] = json!(true),
            Ask::Preference => spec["candidates"] = json!({"preferred": [{"matchLabels": {"size": "large"}}]}),
            Ask::Timings => spec["leaseDurationSeconds"] = json!(20),
            Ask::Identity => spec["candidates"] = json!({"identity": "Any"}),
            Ask::Service | Ask::Slices => spec["leaderService"] = service(80),
            Ask::Port => spec["leaderService"] = service(81),
            Ask::Labels => spec["podLabels"] = json!("Enabled"),
            Ask::Election | Ask::NoService | Ask::Transfer | Ask::Event | Ask::Status => {}
        }
        spec
    }

    pub(super) async fn ask(&mut self) -> Result<()> {
        match self.case.asks {
            Ask::Election => drop(Election::create(&self.namespace, "billing", self.spec()).await?),
            Ask::Transfer => {
                let request = json!({"metadata": {"annotations": {TRANSFER_ANNOTATION: "billing-1"}}});
                let api = self.namespace.api::<LeaderElection>();
                api.patch("billing", &PatchParams::default(), &Patch::Merge(request)).await?;
            }
            Ask::Event | Ask::Status => {
                let first = Candidate::start(&self.namespace, "billing", "billing-0", &AgentOptions::default()).await?;
                first.leads_within(SOON).await?;
                self.candidates.push(first);
            }
            Ask::Preference => {
                let labels = json!({"metadata": {"labels": {"size": "large"}}});
                let api = self.namespace.api::<Pod>();
                api.patch("billing-1", &PatchParams::default(), &Patch::Merge(labels)).await?;
                self.election.apply(self.spec()).await?;
            }
            Ask::Account
            | Ask::Pause
            | Ask::Timings
            | Ask::Identity
            | Ask::Service
            | Ask::Port
            | Ask::NoService
            | Ask::Slices
            | Ask::Labels => drop(self.election.apply(self.spec()).await?),
        }
        Ok(())
    }

    /// Nothing is said to be so that is not, and everything else is there.
    pub(super) async fn is_told(&self) -> Result<()> {
        let Case { what, asks, .. } = *self.case;
        if asks == Ask::Status {
            // What it would say cannot be said; events can.
            return self.until("an event", async || Ok(!self.election.events().await?.is_empty())).await;
        }
        let told = |election: &LeaderElection| {
            ready(election).is_some_and(|(_, _, message)| message.contains(&format!("the operator may not {what}: ")))
        };
        let election = self.election.until("Ready says what is refused", told).await?;
        let (status, reason, message) = ready(&election).context("no Ready")?;
        ensure!(
            (status, reason) == (Status::False.as_str(), Reason::Forbidden.as_str()),
            "{status} {reason}: {message}"
        );
        ensure!(message.contains("; "), "no mend: {message}");
        let status = election.status.clone().unwrap_or_default();
        let elected = find(&status.conditions, ConditionType::LeaderElected).context("no LeaderElected")?;
        match asks {
            Ask::Election => {
                let namespace = &self.namespace;
                let is_there = (
                    namespace.lease("billing").await.is_ok(),
                    namespace.api::<Role>().get_opt(RBAC_NAME).await?.is_some(),
                    namespace.api::<RoleBinding>().get_opt(RBAC_NAME).await?.is_some(),
                );
                let expected = match what {
                    "create the Lease" => (false, true, true),
                    // Nobody is bound to a Role that there is not.
                    "apply the Role" => (true, false, false),
                    _ => (true, true, false),
                };
                ensure!(is_there == expected, "Lease, Role, RoleBinding: {is_there:?}");
            }
            Ask::Pause => {
                ensure!(elected.reason == Reason::LeaseHeld.as_str(), "{elected:?}");
                ensure!(elected.message.contains("spec.paused is true, which candidates do not know"), "{elected:?}");
                ensure!(leader(&self.candidates, SOON).await?.name() == "billing-0", "somebody else leads");
                let said = plugin(&self.namespace, &["pause", "billing", "--timeout", "3s"]).await?;
                ensure!(said.0 == Some(1) && said.1.contains(message), "{said:?} does not say {message}");
            }
            Ask::Transfer if what == "remove the request" => {
                let events = self.election.event_reasons().await?;
                ensure!(events.contains(&"TransferCompleted".to_owned()), "{events:?}");
            }
            Ask::Transfer => {
                let said =
                    plugin(&self.namespace, &["transfer", "billing", "--to", "billing-1", "--timeout", "3s"]).await?;
                ensure!(said.0 == Some(1) && said.1.contains(message), "{said:?} does not say {message}");
                let events = self.election.event_reasons().await?;
                ensure!(!events.contains(&"TransferCompleted".to_owned()), "{events:?}");
                ensure!(leader(&self.candidates, SOON).await?.name() == "billing-0", "somebody else leads");
            }
            Ask::Preference => {
                ensure!(elected.message.contains("billing-0"), "{elected:?}");
                let advice = find(&status.conditions, ConditionType::AdviceFollowed);
                ensure!(advice.is_none(), "nothing was asked of the leader: {advice:?}");
                ensure!(leader(&self.candidates, SOON).await?.name() == "billing-0", "somebody else leads");
            }
            Ask::Account => ensure!(!self.is_bound("other").await?, "the account is bound"),
            Ask::Service => ensure!(self.port().await?.is_none(), "there is a Service"),
            Ask::Slices | Ask::Port | Ask::NoService => {
                ensure!(self.port().await? == Some(80), "{:?}", self.port().await?);
            }
            Ask::Timings | Ask::Identity | Ask::Labels | Ask::Event | Ask::Status => {}
        }
        Ok(())
    }

    /// Once it is allowed.
    pub(super) async fn is_mended(&self) -> Result<()> {
        self.election.until_reason(ConditionType::Ready, Reason::Reconciled).await?;
        match self.case.asks {
            Ask::Pause => {
                self.election.until_reason(ConditionType::LeaderElected, Reason::Paused).await?;
                let leads = async || Ok(self.candidates.iter().all(|candidate| !candidate.leads()));
                self.until("nobody leads", leads).await?;
            }
            Ask::Event => {
                let told = async || Ok(self.election.event_reasons().await? == ["LeaderElected"]);
                self.until("the event is there", told).await?;
            }
            Ask::Status => drop(self.election.until_held_by("billing-0").await?),
            Ask::Preference => {
                let election = self.election.until_held_by("billing-1").await?;
                let history = election.status.unwrap_or_default().history;
                ensure!(history.iter().any(|tenure| tenure.reason.as_deref() == Some("Preferred")), "{history:?}");
            }
            Ask::Account => ensure!(self.is_bound("other").await?, "the account is not bound"),
            Ask::Timings => {
                let lease = self.election.lease().await?;
                let told = lease.annotations().values().any(|value| value.contains("\"leaseDurationSeconds\":20"));
                ensure!(told, "{:?}", lease.annotations());
            }
            Ask::Identity => {
                let lease = self.election.lease().await?;
                ensure!(lease.labels().get(STRICT_IDENTITY_LABEL).is_none_or(|it| it == "false"), "{lease:?}");
            }
            Ask::Port => ensure!(self.port().await? == Some(81), "{:?}", self.port().await?),
            Ask::NoService => {
                let is_gone = async || Ok(self.port().await?.is_none());
                self.until("the Service is gone", is_gone).await?;
            }
            Ask::Transfer | Ask::Election | Ask::Service | Ask::Slices | Ask::Labels => {}
        }
        Ok(())
    }

    /// Of the Service, if there is one.
    async fn port(&self) -> Result<Option<i32>> {
        let service = self.namespace.api::<Service>().get_opt("front").await?;
        Ok(service.and_then(|service| Some(service.spec?.ports?.first()?.port)))
    }

    async fn is_bound(&self, account: &str) -> Result<bool> {
        let binding = self.namespace.api::<RoleBinding>().get(RBAC_NAME).await?;
        Ok(binding.subjects.iter().flatten().any(|subject| subject.name == account))
    }

    async fn until(&self, what: &str, holds: impl AsyncFn() -> Result<bool>) -> Result<()> {
        let begun = Instant::now();
        while !holds().await? {
            ensure!(begun.elapsed() < SOON, "not in {SOON:?}: {what}");
            sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }
}

async fn plugin(namespace: &Namespace<'_>, arguments: &[&str]) -> Result<(Option<i32>, String)> {
    let mut command = Command::new(&Programs::built().await?.plugin);
    command.env_clear().env("KUBECONFIG", namespace.cluster().kubeconfig()).args(arguments);
    command.args(["-n", namespace.name()]);
    let Output { status, stderr, .. } = spawn_blocking(move || command.output()).await??;
    Ok((status.code(), String::from_utf8(stderr)?))
}
