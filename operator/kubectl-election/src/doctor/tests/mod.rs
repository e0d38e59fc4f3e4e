//! A world in which all is well, and what the checks say when one thing in it is changed.

mod lease;
mod operator;
mod pods;
mod rights;

use elector_crds::StoredLease;
use elector_crds::rbac;
use kube::CustomResourceExt as _;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::facts::{Clock, Facts, Look, Policies, Policy, Review};
use super::*;
use crate::cluster::Unseen;
use crate::lenient::{Lenient, readable};

/// As it is printed for pasting.
const SIDECAR: &str = include_str!("../../../../../agent/src/sidecar.yaml");

/// A change to the world, and what is said of it: check, result, and what message and mend have in them.
type Case<'a> = (&'a dyn Fn(&mut Value), &'a str, Outcome, &'a str, &'a str);

/// All objects by what they are; a string in place of one is the right that is missing.
fn world() -> Value {
    let condition = |type_: &str, reason: &str| {
        json!({"type": type_, "status": "True", "reason": reason, "message": "fine",
               "lastTransitionTime": "2026-11-27T10:00:00Z"})
    };
    let election = json!({
        "apiVersion": "leader-elector.io/v1alpha1", "kind": "LeaderElection",
        "metadata": {"name": "billing", "namespace": "shop", "uid": "e", "generation": 2},
        "spec": {},
        "status": {
            "observedGeneration": 2, "leaseUID": "u", "leaseTransitions": 4,
            "conditions": [condition("Ready", "Reconciled"), condition("LeaderElected", "LeaseHeld"),
                           condition("CandidatesReady", "AllReady")],
        },
    });
    let read: elector_crds::LeaderElection = from(&election);
    json!({
        "election": election,
        "definition": elector_crds::LeaderElection::crd(),
        "operators": [{
            "metadata": {"name": "leader-elector-operator", "namespace": "leader-elector", "uid": "o",
                         "resourceVersion": "5", "managedFields": [renewed("2026-11-27T11:59:59Z")]},
            "spec": {"holderIdentity": "operator-a_1", "leaseDurationSeconds": 15, "leaseTransitions": 1,
                     "renewTime": "2026-11-27T11:59:59.100000Z"},
        }],
        "injection": [{"name": "leader-elector-injection", "created": "2026-11-01T00:00:00Z", "bound": true}],
        "strict": [{"name": "leader-elector-strict-identity", "created": "2026-11-01T00:00:00Z", "bound": true}],
        "role": rbac::role(&read),
        "binding": rbac::role_binding(&read),
        "account": {"metadata": {"name": "default"}},
        "refused": [],
        "pods": [pod("billing-0", "a"), pod("billing-1", "b")],
        "lease": {
            "metadata": {
                "name": "billing", "namespace": "shop", "uid": "u", "resourceVersion": "7",
                "labels": {"app.kubernetes.io/managed-by": "leader-elector-operator",
                           "leader-elector.io/strict-identity": "true"},
                "annotations": {
                    "leader-elector.io/timings": r#"{"leaseDurationSeconds":15,"renewDeadlineSeconds":10,"retryPeriodSeconds":2,"releaseDelaySeconds":0}"#,
                    "leader-elector.io/agent": r#"{"version":"0.1.0","start":"s","transitions":4}"#,
                },
                "managedFields": [renewed("2026-11-27T12:00:00Z")],
            },
            "spec": {"holderIdentity": "billing-0_a", "leaseDurationSeconds": 15, "leaseTransitions": 4,
                     "acquireTime": "2026-11-27T09:00:00.000000Z", "renewTime": "2026-11-27T12:00:00.300000Z"},
        },
        "clock": {"asked": "2026-11-27T12:00:01.200Z", "server": "2026-11-27T12:00:01Z",
                  "answered": "2026-11-27T12:00:01.300Z"},
    })
}

/// What the API server notes of a write.
fn renewed(at: &str) -> Value {
    json!({"manager": "elector-agent", "operation": "Update", "time": at, "fieldsType": "FieldsV1",
           "fieldsV1": {"f:spec": {"f:renewTime": {}}}})
}

/// A pod with the sidecar, as a kubelet runs it.
fn pod(name: &str, uid: &str) -> Value {
    let mut spec: Value = serde_yaml_ng::from_str(SIDECAR).unwrap();
    spec["containers"] = json!([{
        "name": "app", "image": "busybox",
        "volumeMounts": [{"name": "leader-election", "mountPath": "/run/leader-election", "readOnly": true}],
    }]);
    spec["nodeName"] = json!("node-1");
    spec["serviceAccountName"] = json!("default");
    spec["terminationGracePeriodSeconds"] = json!(30);
    json!({
        "metadata": {"name": name, "namespace": "shop", "uid": uid, "creationTimestamp": "2026-11-26T00:00:00Z",
                     "labels": {"leader-elector.io/election": "billing"}},
        "spec": spec,
        "status": {
            "phase": "Running",
            "initContainerStatuses": [{"name": "leader-elector", "image": "", "imageID": "", "ready": true,
                                       "restartCount": 0, "state": {"running": {}}}],
        },
    })
}

fn from<T: DeserializeOwned>(value: &Value) -> T {
    serde_json::from_value(value.clone()).unwrap()
}

fn look<T>(world: &Value, key: &str, read: impl Fn(&Value) -> T) -> Look<T> {
    match &world[key] {
        Value::String(right) => Err(Unseen::Forbidden(right.clone())),
        value => Ok(read(value)),
    }
}

/// Null: the API server has no such kind.
fn policies(value: &Value) -> Policies {
    let policy = |policy: &Value| Policy {
        name: from(&policy["name"]),
        created: policy["created"].as_str().and_then(|time| time.parse().ok()),
        bound: policy["bound"] == true,
    };
    value.as_array().map(|policies| policies.iter().map(policy).collect())
}

/// Without what is null, which is how a change takes something away.
fn pruned(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let kept = fields.iter().filter(|(_, field)| !field.is_null());
            kept.map(|(name, field)| (name.clone(), pruned(field))).collect()
        }
        Value::Array(items) => items.iter().map(pruned).collect(),
        other => other.clone(),
    }
}

fn facts(world: &Value) -> Facts {
    let world = &pruned(world);
    let election: elector_crds::LeaderElection = from(&world["election"]);
    let accounts = &election.spec.candidates.service_account_names;
    let time = |value: &Value| value.as_str().unwrap().parse().unwrap();
    let review = |account: &String, verb| Review {
        account: account.clone(),
        verb,
        allowed: !world["refused"].as_array().unwrap().contains(&json!(verb)),
    };
    let reviews = || accounts.iter().flat_map(|account| rbac::VERBS.map(|verb| review(account, verb))).collect();
    Facts {
        definition: look(world, "definition", from),
        operators: look(world, "operators", |leases| readable(from::<Vec<Lenient<StoredLease>>>(leases))),
        injection: look(world, "injection", policies),
        strict_identity: look(world, "strict", policies),
        role: look(world, "role", from),
        role_binding: look(world, "binding", from),
        accounts: accounts.iter().map(|account| (account.clone(), look(world, "account", from))).collect(),
        reviews: look(world, "refused", |_| reviews()),
        pods: look(world, "pods", from),
        lease: look(world, "lease", |lease| {
            from::<Option<Lenient<StoredLease>>>(lease).and_then(Lenient::into_readable)
        }),
        clock: look(world, "clock", |clock| Clock {
            asked: time(&clock["asked"]),
            server: time(&clock["server"]),
            answered: time(&clock["answered"]),
        }),
        election,
    }
}

/// What the checks say of the world so changed.
fn said(change: impl Fn(&mut Value)) -> Vec<Finding> {
    let mut world = world();
    change(&mut world);
    findings(&facts(&world))
}

/// Each change is found by its check.
fn are_found(cases: &[Case<'_>]) {
    for (change, check, result, message, mend) in cases {
        let findings = said(change);
        let found = findings.iter().any(|finding| {
            let has_mend = finding.mend.as_deref().unwrap_or_default().contains(mend);
            finding.check == *check && finding.result == *result && finding.message.contains(message) && has_mend
        });
        let same: Vec<&Finding> = findings.iter().filter(|finding| finding.check == *check).collect();
        assert!(found, "{check} {result:?} {message:?} {mend:?}: {same:#?}");
        assert!(findings.iter().all(|finding| finding.message.lines().count() == 1), "{findings:#?}");
    }
}

#[test]
fn all_is_well() {
    let findings = said(|_| {});
    let is_well = |it: &Finding| matches!(it.result, Outcome::Ok | Outcome::NotApplicable) && it.mend.is_none();
    assert!(findings.iter().all(is_well), "{findings:#?}");
    let idle = findings.iter().filter(|it| it.result == Outcome::NotApplicable).map(|it| it.check);
    assert_eq!(idle.collect::<Vec<_>>(), ["paused", "transfer"]);
    let checks: Vec<&str> = findings.iter().map(|finding| finding.check).collect();
    // From cause to symptom.
    let order = [
        "definition",
        "operator",
        "reconciled",
        "timings",
        "paused",
        "injection",
        "strict-identity",
        "role",
        "role-binding",
        "service-accounts",
        "rights",
        "pods",
        "pod-accounts",
        "agents",
        "settings",
        "tokens",
        "volumes",
        "containers",
        "versions",
        "grace-periods",
        "lease",
        "told-timings",
        "transfer",
        "changes",
        "holder",
        "renewal",
        "clocks",
        "ready",
        "leader-elected",
        "candidates-ready",
    ];
    assert_eq!(checks, order);
}

#[test]
fn whoever_may_see_nothing_but_the_election_is_told_which_rights_are_missing() {
    let blind = |world: &mut Value| {
        for (look, right) in [
            ("definition", "get customresourcedefinitions"),
            ("operators", "list leases in all namespaces"),
            ("injection", "list mutatingadmissionpolicies"),
            ("strict", "list validatingadmissionpolicies"),
            ("role", "get roles in namespace shop"),
            ("binding", "get rolebindings in namespace shop"),
            ("account", "get serviceaccounts in namespace shop"),
            ("refused", "create localsubjectaccessreviews in namespace shop"),
            ("pods", "list pods in namespace shop"),
            ("lease", "get leases in namespace shop"),
        ] {
            world[look] = json!(right);
        }
    };
    let findings = said(blind);
    assert!(
        findings.iter().all(|it| matches!(it.result, Outcome::Ok | Outcome::NotApplicable | Outcome::Unknown)),
        "{findings:#?}"
    );
    for (check, right) in [
        ("operator", "you may not list leases in all namespaces"),
        ("injection", "you may not list mutatingadmissionpolicies"),
        ("strict-identity", "you may not list validatingadmissionpolicies"),
        ("role", "you may not get roles in namespace shop"),
        ("role-binding", "you may not get rolebindings in namespace shop"),
        ("service-accounts", "you may not get serviceaccounts in namespace shop"),
        ("rights", "you may not create localsubjectaccessreviews in namespace shop"),
        ("agents", "you may not list pods in namespace shop"),
        ("grace-periods", "you may not list pods in namespace shop"),
        ("lease", "you may not get leases in namespace shop"),
        ("holder", "you may not get leases in namespace shop"),
    ] {
        let found = findings.iter().find(|finding| finding.check == check).unwrap();
        assert_eq!((found.result, found.message.as_str()), (Outcome::Unknown, right), "{check}");
    }
}

#[test]
fn a_line_is_a_check_and_below_them_is_what_to_do() {
    let findings = [
        Finding::ok("definition", "v1alpha1 is served"),
        Finding::error("role", "there is no Role", "kubectl get pods"),
        Finding::unseen("lease", &Unseen::Forbidden("get leases".to_owned())),
        Finding::not_applicable("paused", "no pause is asked for"),
    ];
    assert_eq!(
        text(&findings, Style::new(false)),
        "\
CHECK        RESULT           MESSAGE
definition   ok               v1alpha1 is served
role         error            there is no Role
lease        unknown          you may not get leases
paused       not-applicable   no pause is asked for
Mend:
  role: kubectl get pods
"
    );
    let coloured = text(&findings, Style::new(true));
    for toned in ["\x1b[32mok\x1b[0m", "\x1b[31merror\x1b[0m", "\x1b[33munknown\x1b[0m"] {
        assert!(coloured.contains(toned), "{coloured:?}");
    }
    assert!(!text(&findings[..1], Style::new(false)).contains("Mend"));
    let documents = serde_json::to_value(&findings).unwrap();
    let role = json!({"check": "role", "result": "error", "message": "there is no Role", "mend": "kubectl get pods"});
    assert_eq!(documents[1], role);
    assert_eq!(documents[2].get("mend"), None);
    assert_eq!(documents[3]["result"], "not-applicable");
}
