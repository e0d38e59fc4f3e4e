//! What the users of a namespace may do with its elections, by the roles that they have.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use elector_crds::STRICT_IDENTITY_LABEL;
use elector_crds::conditions::{ConditionType, Reason};
use elector_harness::cluster::Namespace;
use elector_harness::kubectl::kubectl;
use elector_harness::operators::{Election, short_timings};
use k8s_openapi::api::authorization::v1::SubjectAccessReview;
use kube::api::PostParams;
use kube::{Api, ResourceExt as _};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::release::{installed, operated};

/// Whether a user of that name may.
async fn may(namespace: &Namespace<'_>, user: &str, verb: &str) -> Result<bool> {
    let review: SubjectAccessReview = serde_json::from_value(json!({
        "metadata": {},
        "spec": {
            "user": user,
            "resourceAttributes": {
                "namespace": namespace.name(),
                "group": "leader-elector.io",
                "resource": "leaderelections",
                "verb": verb,
            },
        },
    }))?;
    let reviews: Api<SubjectAccessReview> = Api::all(namespace.client());
    let review = reviews.create(&PostParams::default(), &review).await?;
    Ok(review.status.context("it was not answered")?.allowed)
}

/// Tokens of the accounts are theirs to make, and whether names are checked is theirs to say.
#[tokio::test]
async fn who_may_edit_writes_leases_as_the_candidates_do() {
    let plane = operated().await.unwrap();
    plane.controller_manager().await.unwrap();
    let namespace = plane.namespace("editor").await.unwrap();
    let bind = ["-n", namespace.name(), "create", "rolebinding", "edit", "--clusterrole=edit", "--user=editor"];
    kubectl(&plane.kubeconfig(), &bind, "").await.unwrap();
    let election = Election::create(&namespace, "billing", short_timings()).await.unwrap();
    election.until_reason(ConditionType::Ready, Reason::Reconciled).await.unwrap();
    let pod = namespace.create_pod("billing-0", "default", &[]).await.unwrap();

    let editor = plane.kubeconfig_as("editor", &[], &plane.url()).unwrap();
    let run = async |kubeconfig: &Path, arguments: &[&str]| {
        kubectl(kubeconfig, &[&["-n", namespace.name()], arguments].concat(), "")
            .await
            .map_err(|error| error.to_string())
    };
    let hold = |holder: &str, transitions: u32| {
        let spec = json!({
            "holderIdentity": holder, "leaseDurationSeconds": 5, "leaseTransitions": transitions,
            "acquireTime": "2026-11-27T10:00:00.000000Z", "renewTime": "2026-11-27T10:00:00.000000Z",
        });
        format!("--patch={}", json!({"spec": spec}))
    };
    let patch = async |kubeconfig: &Path, holder: &str, transitions| {
        run(kubeconfig, &["patch", "lease", "billing", "--type=merge", &hold(holder, transitions)]).await
    };
    let is_not_theirs = async || {
        let annotated =
            run(&editor, &["annotate", "lease", "billing", "leader-elector.io/adopt=true"]).await.unwrap_err();
        assert!(annotated.contains("denied request"), "{annotated}");
        let deleted = run(&editor, &["delete", "lease", "billing"]).await.unwrap_err();
        assert!(deleted.contains("it goes with it"), "{deleted}");
    };
    let refused = patch(&editor, "editor", 1).await.unwrap_err();
    assert!(refused.contains("bound to no pod"), "{refused}");
    is_not_theirs().await;

    let uid = pod.uid().unwrap();
    let bound = ["--bound-object-kind=Pod", "--bound-object-name=billing-0", "--bound-object-uid", &uid];
    let token = run(&editor, &[&["create", "token", "default"][..], &bound].concat()).await.unwrap();
    let candidate = plane.kubeconfig_for(token.trim()).unwrap();
    namespace.allow_lease("billing", &["get", "patch"]).await.unwrap();
    patch(&candidate, &format!("billing-0_{uid}"), 1).await.unwrap();

    let identity = |identity: &str| format!("--patch={}", json!({"spec": {"candidates": {"identity": identity}}}));
    let until_marked = async |strict: &str| {
        let change = [
            "patch",
            "leaderelection",
            "billing",
            "--type=merge",
            &identity(if strict == "true" { "Pod" } else { "Any" }),
        ];
        run(&editor, &change).await.unwrap();
        let begun = Instant::now();
        while election.lease().await.unwrap().labels()[STRICT_IDENTITY_LABEL] != strict {
            assert!(begun.elapsed() < Duration::from_secs(10));
            sleep(Duration::from_millis(50)).await;
        }
    };
    until_marked("false").await;
    patch(&editor, "editor", 7).await.unwrap();
    is_not_theirs().await;
    until_marked("true").await;
    assert_eq!(election.lease().await.unwrap().spec["holderIdentity"], "editor", "what was written stays");
    let refused = patch(&editor, "", 7).await.unwrap_err();
    assert!(refused.contains("bound to no pod"), "{refused}");
}

#[tokio::test]
async fn who_may_view_sees_them_and_who_may_edit_changes_them() {
    let plane = installed().await.unwrap();
    // It adds roles up.
    plane.controller_manager().await.unwrap();
    let namespace = plane.namespace("users").await.unwrap();
    for role in ["view", "edit", "admin"] {
        let bind = ["-n", namespace.name(), "create", "rolebinding", role, "--clusterrole", role, "--user", role];
        kubectl(&plane.kubeconfig(), &bind, "").await.unwrap();
    }
    let begun = Instant::now();
    while !may(&namespace, "admin", "delete").await.unwrap() {
        assert!(begun.elapsed() < Duration::from_secs(30), "roles are not added up");
        sleep(Duration::from_millis(200)).await;
    }
    for (user, verb, allowed) in [
        ("view", "get", true),
        ("view", "list", true),
        ("view", "watch", true),
        ("view", "create", false),
        ("view", "update", false),
        ("view", "delete", false),
        ("edit", "get", true),
        ("edit", "create", true),
        ("edit", "update", true),
        ("edit", "patch", true),
        ("edit", "delete", true),
        ("edit", "deletecollection", true),
        ("admin", "create", true),
        ("somebody", "get", false),
    ] {
        assert_eq!(may(&namespace, user, verb).await.unwrap(), allowed, "{user} {verb}");
    }
}
