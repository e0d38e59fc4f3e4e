//! `kubectl election doctor`, where all is well and where one thing is not.

use std::time::Duration;

use anyhow::{Context as _, Result};
use elector_crds::conditions::{ConditionType, Reason};
use elector_harness::candidate::{AgentOptions, Candidate};
use elector_harness::controlplane::{ControlPlane, Namespace, Options};
use elector_harness::kubectl::{kubectl, shell};
use elector_harness::operators::{Election, Operator, Operators, place, short_timings};
use elector_harness::peer::Peer;
use elector_harness::policies::until_in_force;
use elector_harness::release::install_yaml_for;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::api::{DeleteParams, PostParams};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::scene::{Said, election, run};

/// What goes into a pod by hand.
const SIDECAR: &str = include_str!("../../../../agent/src/sidecar.yaml");

const PATIENCE: Duration = Duration::from_secs(30);

/// What the checks say: each with its result, message and mend.
struct Findings(Vec<Value>);

impl Findings {
    fn of(said: &Said) -> Findings {
        Findings(serde_json::from_str(&said.out).unwrap_or_default())
    }

    /// The checks that say so.
    fn that_say(&self, result: &str) -> Vec<&str> {
        self.0.iter().filter(|it| it["result"] == result).filter_map(|it| it["check"].as_str()).collect()
    }

    /// This check says so, in words that have these in them.
    fn has(&self, check: &str, result: &str, message: &str) {
        let is = |it: &Value| {
            let said = it["message"].as_str().unwrap_or_default();
            it["check"] == check && it["result"] == result && said.contains(message)
        };
        assert!(self.0.iter().any(is), "{check} {result} {message:?}: {:#?}", self.0);
    }
}

async fn doctor(namespace: &Namespace<'_>) -> Result<Findings> {
    let said = election(namespace, &["doctor", "billing", "-o", "json"]).await?;
    let findings = Findings::of(&said);
    let code = if findings.that_say("error").is_empty() { 0 } else { 1 };
    assert_eq!((said.code, said.error.as_str()), (Some(code), ""), "{said:?}");
    Ok(findings)
}

/// A control plane with all that the chart makes, policies too, and its operator at work.
async fn installed() -> Result<&'static ControlPlane> {
    static PLANE: OnceCell<ControlPlane> = OnceCell::const_new();
    static OPERATOR: OnceCell<(Operators<'static>, Operator)> = OnceCell::const_new();
    let install = async || {
        let plane = ControlPlane::start(Options::default()).await?;
        kubectl(&plane.kubeconfig(), &["apply", "--filename=-"], &install_yaml_for(&plane).await?).await?;
        let established = ["wait", "--for=condition=Established", "crd/leaderelections.leader-elector.io"];
        kubectl(&plane.kubeconfig(), &established, "").await?;
        until_in_force(&plane).await?;
        anyhow::Ok(plane)
    };
    let plane = PLANE.get_or_try_init(install).await?;
    let operator = async || {
        let operators = Operators::released(plane).await?;
        let operator = operators.leader("chart").await?;
        anyhow::Ok((operators, operator))
    };
    OPERATOR.get_or_try_init(operator).await?;
    Ok(plane)
}

const LABEL: [(&str, &str); 1] = [("leader-elector.io/election", "billing")];

/// What kubelet says of a pod whose containers run.
async fn runs(namespace: &Namespace<'_>, pod: &str) -> Result<()> {
    let running = |name: &str| {
        json!([{"name": name, "image": "i", "imageID": "i", "ready": true, "restartCount": 0,
                "state": {"running": {"startedAt": "2026-11-27T12:00:00Z"}}}])
    };
    let statuses = json!({"initContainerStatuses": running("leader-elector"), "containerStatuses": running("app")});
    namespace.patch_pod_status(pod, statuses).await?;
    namespace.set_pod_ready(pod, true).await?;
    Ok(())
}

/// Two candidates with the agent that the policy has added; `billing-0` leads.
async fn healthy(prefix: &str) -> Result<(Namespace<'static>, Election<'static>, Vec<Candidate>)> {
    let namespace = installed().await?.namespace(prefix).await?;
    let election = Election::create(&namespace, "billing", short_timings()).await?;
    election.until_reason(ConditionType::Ready, Reason::Reconciled).await?;
    let mut candidates = Vec::new();
    for pod in ["billing-0", "billing-1"] {
        candidates.push(Candidate::start(&namespace, "billing", pod, &AgentOptions::default()).await?);
        runs(&namespace, pod).await?;
        candidates[0].leads_within(PATIENCE).await?;
    }
    election.until_held_by("billing-0").await?;
    election.until_reason(ConditionType::CandidatesReady, Reason::AllReady).await?;
    Ok((namespace, election, candidates))
}

/// A pod with an agent that somebody has put into it; `change` is made to the pod before.
async fn pasted(namespace: &Namespace<'_>, pod: &str, change: impl Fn(&mut Value)) -> Result<()> {
    let mut spec: Value = serde_yaml_ng::from_str(SIDECAR)?;
    spec["nodeName"] = json!("node-1");
    let mount = json!([{"name": "leader-election", "mountPath": "/run/leader-election", "readOnly": true}]);
    spec["containers"] = json!([{"name": "app", "image": "none", "volumeMounts": mount}]);
    let (label, election) = LABEL[0];
    let mut object = json!({"metadata": {"name": pod, "labels": {label: election}}, "spec": spec});
    change(&mut object);
    let object: Pod = serde_json::from_value(object)?;
    namespace.api().create(&PostParams::default(), &object).await?;
    Ok(())
}

#[tokio::test]
async fn where_all_is_well_each_check_says_so_from_1_34() {
    let (namespace, _, _candidates) = healthy("doctor-well").await.unwrap();
    let findings = doctor(&namespace).await.unwrap();
    assert_eq!(findings.that_say("not-applicable"), ["paused", "transfer"], "{:#?}", findings.0);
    assert_eq!(findings.that_say("ok").len(), findings.0.len() - 2, "{:#?}", findings.0);
    findings.has("operator", "ok", "is active, in namespace leader-elector");
    findings.has("strict-identity", "ok", "policy leader-elector-strict-identity checks who writes the Lease");
    findings.has("rights", "ok", "service accounts may get, list, watch, update the Lease");
    findings.has("holder", "ok", "billing-0 leads, and is an agent");
    findings.has("renewal", "ok", "billing-0 has renewed the Lease ");

    let table = election(&namespace, &["doctor", "billing"]).await.unwrap().done().out;
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), findings.0.len() + 1, "{table}");
    assert_eq!(lines[0], "CHECK              RESULT           MESSAGE");
    assert!(
        lines[1]
            .starts_with("definition         ok               leaderelections.leader-elector.io v1alpha1 is served")
    );
    let yaml = election(&namespace, &["doctor", "billing", "-o", "yaml"]).await.unwrap().done().out;
    assert_eq!(serde_yaml_ng::from_str::<Vec<Value>>(&yaml).unwrap().len(), findings.0.len());
}

/// What cannot be looked at is no error.
#[tokio::test]
async fn whoever_may_see_little_is_told_which_rights_are_missing_from_1_34() {
    let (namespace, _, _candidates) = healthy("doctor-viewer").await.unwrap();
    let (name, admin) = (namespace.name(), namespace.cluster().kubeconfig());
    namespace.service_account("viewer").await.unwrap();
    let viewer = format!("{name}:viewer");
    for grant in [
        &["role", "viewer", "--verb=get", "--resource=leaderelections.leader-elector.io"][..],
        &["rolebinding", "viewer", "--role=viewer", "--serviceaccount", &viewer],
    ] {
        kubectl(&admin, &[&["-n", name, "create"], grant].concat(), "").await.unwrap();
    }
    let kubeconfig = namespace.kubeconfig("viewer").await.unwrap();
    let look = async || run(&kubeconfig, &["doctor", "billing", "-n", name, "-o", "json"]).await.unwrap().done();
    let findings = Findings::of(&look().await);
    for (check, right) in [
        ("operator", "you may not list leases in all namespaces".to_owned()),
        ("injection", "you may not list mutatingadmissionpolicies".to_owned()),
        ("strict-identity", "you may not list validatingadmissionpolicies".to_owned()),
        ("role", format!("you may not get roles in namespace {name}")),
        ("role-binding", format!("you may not get rolebindings in namespace {name}")),
        ("service-accounts", format!("you may not get serviceaccounts in namespace {name}")),
        ("rights", format!("you may not create localsubjectaccessreviews in namespace {name}")),
        ("volumes", format!("you may not list pods in namespace {name}")),
        ("lease", format!("you may not get leases in namespace {name}")),
    ] {
        findings.has(check, "unknown", &right);
    }
    let seen =
        ["definition", "reconciled", "timings", "changes", "clocks", "ready", "leader-elected", "candidates-ready"];
    assert_eq!(findings.that_say("ok"), seen);
    assert_eq!(findings.that_say("not-applicable"), ["paused", "transfer"]);

    // With rights in the namespace alone it sees all but what is the cluster's.
    let resources = "leases,pods,serviceaccounts,roles,rolebindings,localsubjectaccessreviews";
    for grant in [
        &["role", "looker", "--verb=get,list,create", "--resource", resources][..],
        &["rolebinding", "looker", "--role=looker", "--serviceaccount", &viewer],
    ] {
        kubectl(&admin, &[&["-n", name, "create"], grant].concat(), "").await.unwrap();
    }
    let findings = Findings::of(&look().await);
    assert_eq!(findings.that_say("unknown"), ["operator", "injection", "strict-identity"], "{:#?}", findings.0);
}

#[tokio::test]
async fn pods_that_cannot_lead_or_cannot_say_so_are_named_from_1_34() {
    let (namespace, election, _candidates) = healthy("doctor-pods").await.unwrap();
    namespace.service_account("other").await.unwrap();
    pasted(&namespace, "app-blind", |pod| pod["spec"]["containers"][0]["volumeMounts"] = json!([])).await.unwrap();
    pasted(&namespace, "elsewhere", |pod| {
        pod["spec"]["initContainers"][0]["env"][0] = json!({"name": "LEASE_NAME", "value": "shipping"});
    })
    .await
    .unwrap();
    pasted(&namespace, "unlisted", |pod| pod["spec"]["serviceAccountName"] = json!("other")).await.unwrap();
    pasted(&namespace, "without", |pod| {
        pod["metadata"]["labels"]["leader-elector.io/injection"] = json!("disabled");
        pod["spec"]["initContainers"] = json!([]);
    })
    .await
    .unwrap();
    election.until_reason(ConditionType::CandidatesReady, Reason::ServiceAccountNotListed).await.unwrap();

    let findings = doctor(&namespace).await.unwrap();
    findings.has("pod-accounts", "error", "unlisted: service account other is not in spec.candidates");
    findings.has("agents", "error", "without: no agent: label leader-elector.io/injection is disabled");
    findings.has("settings", "error", "elsewhere: contends elsewhere: LEASE_NAME is \"shipping\", not \"billing\"");
    findings.has("volumes", "error", "app-blind: volume leader-election is mounted in no other container");
    findings.has("candidates-ready", "error", "pod unlisted runs as service account other, which may not contend");
    let errors = ["pod-accounts", "agents", "settings", "volumes", "candidates-ready"];
    assert_eq!(findings.that_say("error"), errors, "{:#?}", findings.0);

    // What it says mends it.
    let mend = findings.0.iter().find(|it| it["check"] == "pod-accounts").unwrap()["mend"].as_str().unwrap();
    shell(&namespace.cluster().kubeconfig(), mend).await.unwrap();
    election.until_reason(ConditionType::CandidatesReady, Reason::SomeNotReady).await.unwrap();
    doctor(&namespace).await.unwrap().has("pod-accounts", "ok", "all candidates run as listed service accounts");

    let table = run(&namespace.cluster().kubeconfig(), &["doctor", "billing", "-n", namespace.name()]).await.unwrap();
    assert_eq!((table.code, table.error.as_str()), (Some(1), ""), "{table:?}");
    assert!(table.out.contains("\nMend:\n  agents: "), "{}", table.out);
}

/// Its container is named, and what it said last.
#[tokio::test]
async fn an_agent_that_kubelet_gave_up_on_is_named_with_its_last_words_from_1_34() {
    let (namespace, _, _candidates) = healthy("doctor-state").await.unwrap();
    let said = "error: LEASE_NAME \"Billing\" is no DNS subdomain";
    let status = json!({"initContainerStatuses": [{
        "name": "leader-elector", "image": "i", "imageID": "i", "ready": false, "restartCount": 4,
        "state": {"running": null, "waiting": {"reason": "CrashLoopBackOff"}},
        "lastState": {"terminated": {"exitCode": 2, "reason": "Error", "message": said}},
    }]});
    namespace.patch_pod_status("billing-1", status).await.unwrap();
    let findings = doctor(&namespace).await.unwrap();
    findings.has("containers", "error", &format!("ended with exit code 2, for settings that cannot work: {said}"));
    assert_eq!(findings.that_say("error"), ["containers"]);
}

/// No policy keeps it from the Lease on this control plane, and none is there to check.
#[tokio::test]
async fn a_holder_that_is_no_agent_is_named() {
    let namespace = place("doctor-client-go").await.unwrap();
    namespace.allow_leases(&["create", "get", "list", "watch", "update"]).await.unwrap();
    let billing = Election::create(&namespace, "billing", short_timings()).await.unwrap();
    billing.until_reason(ConditionType::Ready, Reason::Reconciled).await.unwrap();
    let peer = Peer::client_go().await.unwrap().start(&namespace, "billing", "billing-0", [5, 3, 1]).await.unwrap();
    peer.leads_within(PATIENCE).await.unwrap();
    billing.until_held_by("billing-0").await.unwrap();
    let findings = doctor(&namespace).await.unwrap();
    findings.has("holder", "error", &format!("{} holds the Lease, and is no agent of leader-elector", peer.identity()));
    findings.has("agents", "error", "billing-0: no container leader-elector");
    findings.has("containers", "not-applicable", "there is no agent to look at");
    findings.has("strict-identity", "warning", "no policy of the chart checks");
    findings.has("renewal", "ok", "billing-0 has renewed the Lease ");
    findings.has("clocks", "ok", "the leader's clock and this machine's agree");
    let (result, message) = if ControlPlane::shared().await.unwrap().has_mutating_policies() {
        ("warning", "no policy of the chart adds the agent to pods")
    } else {
        ("not-applicable", "this API server has no MutatingAdmissionPolicy")
    };
    findings.has("injection", result, message);
}

/// Of an operator that was there, and of one that never was.
pub(crate) async fn without_operator(operators: &Operators<'_>, namespace: &Namespace<'_>) -> Result<()> {
    let billing = Election::named(namespace, "billing");
    let annotate = ["-n", namespace.name(), "annotate", "leaderelection", "billing", "leader-elector.io/transfer-to=*"];
    kubectl(&namespace.cluster().kubeconfig(), &annotate, "").await?;
    let findings = doctor(namespace).await?;
    findings.has("transfer", "ok", "* was asked for ");
    findings.has("operator", "error", "no replica of the operator in namespace operator-");
    findings.has("reconciled", "error", "the operator has not looked at this LeaderElection yet");
    findings.has("role", "error", "there is no Role leader-elector-billing");
    findings.has("rights", "error", "service account default may not get, list, watch, update Lease billing");
    findings.has("lease", "error", "there is no Lease billing");

    let operator = operators.leader("late").await?;
    billing.apply(short_timings()).await?;
    billing.until_reason(ConditionType::Ready, Reason::Reconciled).await?;
    operator.process().stop().await?;
    let name = "leader-elector-billing";
    namespace.api::<RoleBinding>().delete(name, &DeleteParams::default()).await.context("there is none")?;
    billing.apply(json!({"leaseDurationSeconds": 30})).await?;
    let findings = doctor(namespace).await?;
    findings.has("operator", "error", "no replica of the operator in namespace operator-");
    findings.has("reconciled", "error", "the operator has seen generation ");
    findings.has("role", "ok", "Role leader-elector-billing is in place");
    findings.has("role-binding", "error", "there is no RoleBinding leader-elector-billing");
    findings.has("rights", "error", "service account default may not get, list, watch, update Lease billing");
    findings.has("lease", "ok", "the Lease is this election's");
    findings.has("told-timings", "warning", "candidates go by 5/3/1 s");
    Ok(())
}
