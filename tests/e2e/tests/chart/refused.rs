//! Each write of the operator refused, by its rights and by a policy: what is said is so, everything else arrives, and what was
//! refused is in place soon after it is allowed.

mod scene;

use std::time::Duration;

use anyhow::{Context as _, Result};
use elector_harness::controlplane::{ControlPlane, Options};
use elector_harness::kubectl::kubectl;
use elector_harness::operators::{OPERATOR, Operators};
use elector_harness::policies::until_in_force;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule};
use kube::Api;
use kube::api::PostParams;
use serde_json::{Value, json};
use tokio::time::sleep;

use self::scene::{Ask, Scene};
use crate::release::{RELEASE, on};

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

/// How many are tried at a time: a leader must keep its Lease on two busy processors.
const AT_ONCE: usize = 6;

const AMENDED: &str = "pass on to candidates, on the Lease, what they are asked for";

const CASES: [Case; 17] = [
    case(LEASES, "leases", "create", "CREATE", Ask::Election, "create the Lease"),
    case(RBAC, "roles", "create", "CREATE", Ask::Election, "apply the Role"),
    case(RBAC, "rolebindings", "create", "CREATE", Ask::Election, "apply the RoleBinding"),
    case(RBAC, "rolebindings", "patch", "UPDATE", Ask::Account, "apply the RoleBinding"),
    case(LEASES, "leases", "update", "UPDATE", Ask::Pause, AMENDED),
    case(LEASES, "leases", "update", "UPDATE", Ask::Transfer, AMENDED),
    case(LEASES, "leases", "update", "UPDATE", Ask::Preference, AMENDED),
    case(LEASES, "leases", "update", "UPDATE", Ask::Timings, "put the timings on the Lease"),
    case(LEASES, "leases", "update", "UPDATE", Ask::Identity, "put the mark for the check of identities on the Lease"),
    case("", "services", "create", "CREATE", Ask::Service, "create the Service"),
    case("", "services", "update", "UPDATE", Ask::Port, "replace the Service"),
    case("", "services", "delete", "DELETE", Ask::NoService, "delete the Service"),
    case("discovery.k8s.io", "endpointslices", "patch", "CREATE", Ask::Slices, "apply the EndpointSlice"),
    case("", "pods", "patch", "UPDATE", Ask::Labels, "label a pod"),
    case("events.k8s.io", "events", "create", "CREATE", Ask::Event, "create an event"),
    case(ELECTIONS, "leaderelections", "patch", "UPDATE", Ask::Transfer, "remove the request"),
    case(ELECTIONS, "leaderelections/status", "patch", "UPDATE", Ask::Status, ""),
];

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
        until_in_force(&plane).await?;
        scene.ask().await?;
        let told = scene.is_told().await;
        kubectl(&plane.kubeconfig(), &["delete", "-f", "-"], &policy).await?;
        told?;
        scene.is_mended().await
    };
    let tried = stream::iter(&CASES).map(|case| async {
        of_case(case).await.with_context(|| format!("{} {} refused ({})", case.operation, case.resource, case.what))
    });
    let tried = tried.buffer_unordered(AT_ONCE).try_collect::<Vec<()>>().await;
    tried.with_context(|| operator.log())?;
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
