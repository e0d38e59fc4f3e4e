//! Each write of the operator refused, by its rights and by a policy: what is said is so, everything else arrives, and what was
//! refused is in place soon after it is allowed.

use std::process::{Command, Output};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use elector_crds::conditions::{ConditionType, Reason, Status, find};
use elector_crds::{LeaderElection, TRANSFER_ANNOTATION};
use elector_tests::candidate::{AgentOptions, Candidate, leader};
use elector_tests::controlplane::{ControlPlane, Namespace, Options};
use elector_tests::kubectl::kubectl;
use elector_tests::operators::{Election, OPERATOR, Operators, short_timings};
use elector_tests::programs::Programs;
use futures::future::try_join_all;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule, Role, RoleBinding};
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::release::{RELEASE, on};

/// Until what was refused is in place once it is allowed; the API server takes a while to learn that it is.
const SOON: Duration = Duration::from_secs(20);

/// A write, what of an election asks for it, and what is said while it is refused.
struct Case {
    group: &'static str,
    resource: &'static str,
    /// Of the API server's rights.
    verb: &'static str,
    /// Of admission.
    operation: &'static str,
    asks: Ask,
    /// What Ready says that the operator may not do.
    what: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Ask {
    /// A new election.
    Election,
    Pause,
    Transfer,
    Service,
    Slices,
    Labels,
    Event,
    Status,
}

const fn case(
    group: &'static str,
    resource: &'static str,
    verb: &'static str,
    operation: &'static str,
    asks: Ask,
    what: &'static str,
) -> Case {
    Case { group, resource, verb, operation, asks, what }
}

const RBAC: &str = "rbac.authorization.k8s.io";
const LEASES: &str = "coordination.k8s.io";
const ELECTIONS: &str = "leader-elector.io";

const CASES: [Case; 11] = [
    case(LEASES, "leases", "create", "CREATE", Ask::Election, "create the Lease"),
    case(RBAC, "roles", "create", "CREATE", Ask::Election, "apply the Role"),
    case(RBAC, "rolebindings", "create", "CREATE", Ask::Election, "apply the RoleBinding"),
    case(
        LEASES,
        "leases",
        "update",
        "UPDATE",
        Ask::Pause,
        "pass on to candidates, on the Lease, what they are asked for",
    ),
    case(
        LEASES,
        "leases",
        "update",
        "UPDATE",
        Ask::Transfer,
        "pass on to candidates, on the Lease, what they are asked for",
    ),
    case("", "services", "create", "CREATE", Ask::Service, "create the Service"),
    case("discovery.k8s.io", "endpointslices", "patch", "CREATE", Ask::Slices, "apply the EndpointSlice"),
    case("", "pods", "patch", "UPDATE", Ask::Labels, "label a pod"),
    case("events.k8s.io", "events", "create", "CREATE", Ask::Event, "create an event"),
    case(ELECTIONS, "leaderelections", "patch", "UPDATE", Ask::Transfer, "remove the request"),
    case(ELECTIONS, "leaderelections/status", "patch", "UPDATE", Ask::Status, ""),
];

/// A namespace with an election, two candidates of it, and one thing that is asked for while one write is refused.
struct Scene<'a> {
    namespace: Namespace<'a>,
    election: Election<'a>,
    candidates: Vec<Candidate>,
    case: &'a Case,
}

fn ready(election: &LeaderElection) -> Option<(&str, &str, &str)> {
    let ready = find(&election.status.as_ref()?.conditions, ConditionType::Ready)?;
    Some((&ready.status, &ready.reason, &ready.message))
}

impl<'a> Scene<'a> {
    /// All that must be there before something is refused.
    async fn set(plane: &'a ControlPlane, case: &'a Case) -> Result<Scene<'a>> {
        let namespace = plane.namespace(&format!("refused-{}", case.resource.replace('/', "-"))).await?;
        let mut candidates = Vec::new();
        if case.asks == Ask::Election {
            let election = Election::named(&namespace, "billing");
            return Ok(Scene { namespace, election, candidates, case });
        }
        let election = Election::create(&namespace, "billing", short_timings()).await?;
        election.until_reason(ConditionType::Ready, Reason::Reconciled).await?;
        if matches!(case.asks, Ask::Pause | Ask::Transfer | Ask::Slices | Ask::Labels) {
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
            Ask::Pause => spec["paused"] = json!(true),
            Ask::Service | Ask::Slices => spec["leaderService"] = json!({"name": "front", "ports": [{"port": 80}]}),
            Ask::Labels => spec["podLabels"] = json!("Enabled"),
            Ask::Election | Ask::Transfer | Ask::Event | Ask::Status => {}
        }
        spec
    }

    async fn ask(&mut self) -> Result<()> {
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
            Ask::Pause | Ask::Service | Ask::Slices | Ask::Labels => drop(self.election.apply(self.spec()).await?),
        }
        Ok(())
    }

    /// Nothing is said to be so that is not, and everything else is there.
    async fn is_told(&self) -> Result<()> {
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
                let name = "leader-elector-billing";
                let is_there = (
                    namespace.lease("billing").await.is_ok(),
                    namespace.api::<Role>().get_opt(name).await?.is_some(),
                    namespace.api::<RoleBinding>().get_opt(name).await?.is_some(),
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
            Ask::Service => {
                ensure!(self.namespace.api::<Service>().get_opt("front").await?.is_none(), "there is a Service");
            }
            Ask::Slices => {
                self.namespace.api::<Service>().get("front").await?;
            }
            Ask::Labels | Ask::Event | Ask::Status => {}
        }
        Ok(())
    }

    /// Once it is allowed.
    async fn is_mended(&self) -> Result<()> {
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
            Ask::Transfer | Ask::Election | Ask::Service | Ask::Slices | Ask::Labels => {}
        }
        Ok(())
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

/// A policy that refuses the operator one write in one namespace.
fn policy(case: &Case, namespace: &str) -> String {
    let (resource, _) = case.resource.split_once('/').unwrap_or((case.resource, ""));
    let operator = format!("system:serviceaccount:{RELEASE}:{OPERATOR}");
    let condition = format!("request.userInfo.username == '{operator}' && request.namespace == '{namespace}'");
    let rule = json!({"apiGroups": [case.group], "apiVersions": ["*"], "operations": [case.operation], "resources": [case.resource]});
    let name = format!("refused-{namespace}");
    let kind = |kind: &str, spec: Value| json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": {"name": name}, "spec": spec});
    let policy = kind(
        "ValidatingAdmissionPolicy",
        json!({
            "matchConstraints": {"resourceRules": [rule]},
            "matchConditions": [{"name": "by-operator", "expression": condition}],
            "validations": [{"expression": "false", "message": format!("no {resource} here")}],
        }),
    );
    let binding = kind("ValidatingAdmissionPolicyBinding", json!({"policyName": name, "validationActions": ["Deny"]}));
    format!("{policy}\n---\n{binding}\n")
}

async fn released(plane: &ControlPlane) -> Result<()> {
    on(plane, "install", &["--set=podLabels.enabled=true"]).await?;
    let established = ["wait", "--for=condition=Established", "crd/leaderelections.leader-elector.io"];
    kubectl(&plane.kubeconfig(), &established, "").await.map(drop)
}

#[tokio::test]
async fn what_a_policy_refuses_is_said_and_holds_up_nothing_else() {
    by_policies().await.unwrap();
}

async fn by_policies() -> Result<()> {
    let plane = ControlPlane::start(Options::default()).await?;
    released(&plane).await?;
    let operators = Operators::released(&plane).await?;
    let operator = operators.leader("refused").await?;
    let of_case = async |case: &Case| {
        let mut scene = Scene::set(&plane, case).await?;
        let policy = policy(case, scene.namespace.name());
        kubectl(&plane.kubeconfig(), &["apply", "-f", "-"], &policy).await?;
        // The API server learns of policies as anybody does.
        sleep(Duration::from_secs(3)).await;
        scene.ask().await?;
        let told = scene.is_told().await;
        kubectl(&plane.kubeconfig(), &["delete", "-f", "-"], &policy).await?;
        told?;
        scene.is_mended().await
    };
    try_join_all(CASES.iter().map(async |case| {
        of_case(case).await.with_context(|| format!("{} {} refused ({})", case.operation, case.resource, case.what))
    }))
    .await
    .with_context(|| operator.log())?;
    Ok(())
}

#[tokio::test]
async fn what_the_rights_do_not_allow_is_said_and_holds_up_nothing_else() {
    by_rights().await.unwrap();
}

async fn by_rights() -> Result<()> {
    let plane = ControlPlane::start(Options::default()).await?;
    released(&plane).await?;
    let operators = Operators::released(&plane).await?;
    let operator = operators.replica_with("refused", &["--log-level=elector_operator=debug"]).await?;
    operator.process().start()?;
    operator.until_ready().await?;
    operator.until_leading().await?;
    let roles: Api<ClusterRole> = Api::all(plane.client().await?);
    let whole = roles.get(OPERATOR).await?;
    for case in &CASES {
        let of_case = async {
            let mut scene = Scene::set(&plane, case).await?;
            replace(&roles, &without(&whole, case)).await?;
            // The API server learns of rights as it does of policies.
            sleep(Duration::from_secs(1)).await;
            scene.ask().await?;
            let told = scene.is_told().await;
            replace(&roles, &whole).await?;
            told?;
            scene.is_mended().await
        };
        let told = of_case.await.with_context(|| format!("{} {} refused ({})", case.verb, case.resource, case.what));
        told.with_context(|| operator.log())?;
    }
    Ok(())
}

fn without(role: &ClusterRole, case: &Case) -> ClusterRole {
    let mut role = role.clone();
    let mut alone = Vec::new();
    for rule in role.rules.iter_mut().flatten() {
        let resources = rule.resources.get_or_insert_default();
        if resources.iter().any(|resource| resource == case.resource) {
            resources.retain(|resource| resource != case.resource);
            let verbs = rule.verbs.iter().filter(|verb| *verb != case.verb).cloned().collect();
            alone.push(PolicyRule { resources: Some(vec![case.resource.to_owned()]), verbs, ..rule.clone() });
        }
    }
    let rules = role.rules.get_or_insert_default();
    rules.extend(alone);
    rules.retain(|rule| !rule.verbs.is_empty() && rule.resources.iter().flatten().next().is_some());
    role
}

async fn replace(roles: &Api<ClusterRole>, role: &ClusterRole) -> Result<()> {
    let mut stored = roles.get(OPERATOR).await?;
    stored.rules.clone_from(&role.rules);
    roles.replace(OPERATOR, &PostParams::default(), &stored).await?;
    Ok(())
}
