//! What the users of a namespace may do with its elections, by the roles that they have.

use std::time::Duration;

use anyhow::{Context as _, Result};
use elector_tests::cluster::Namespace;
use elector_tests::kubectl::kubectl;
use k8s_openapi::api::authorization::v1::SubjectAccessReview;
use kube::Api;
use kube::api::PostParams;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::release::installed;

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
