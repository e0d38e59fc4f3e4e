//! What the API server accepts as a LeaderElection, in which words it refuses, and what it explains.

use std::path::Path;
use std::time::{Duration, Instant};

use elector_crds::LeaderElection;
use elector_crds::timings_cases::TIMINGS_CASES;
use elector_tests::cluster::Namespace;
use elector_tests::controlplane::ControlPlane;
use elector_tests::kubectl::kubectl;
use kube::Api;
use kube::api::{ApiResource, DynamicObject, PostParams};
use serde_json::{Value, json};
use tokio::time::sleep;

async fn namespace(prefix: &str) -> Namespace<'static> {
    let plane = ControlPlane::shared().await.expect("a control plane");
    let kubeconfig = plane.kubeconfig();
    kubectl(&kubeconfig, &["apply", "--server-side", "-f", "-"], &elector_crds::manifest::manifest())
        .await
        .expect("it is accepted");
    let established = ["wait", "--for=condition=Established", "crd/leaderelections.leader-elector.io"];
    kubectl(&kubeconfig, &established, "").await.expect("it is established");
    plane.namespace(prefix).await.expect("a namespace")
}

/// What the API server says to one of this name and spec; nothing is stored.
async fn said_of(namespace: &Namespace<'_>, name: &str, spec: Value) -> Result<Value, String> {
    let kind = ApiResource::erase::<LeaderElection>(&());
    let elections: Api<DynamicObject> = Api::namespaced_with(namespace.client(), namespace.name(), &kind);
    let election = DynamicObject::new(name, &kind).data(json!({"spec": spec}));
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    elections
        .create(&dry_run, &election)
        .await
        .map(|stored| stored.data["spec"].clone())
        .map_err(|error| error.to_string())
}

#[tokio::test]
async fn timings_are_refused_in_the_words_of_the_agent_one_at_a_time() {
    let namespace = namespace("timings").await;
    for case in TIMINGS_CASES {
        let spec = json!({
            "leaseDurationSeconds": case.lease_duration,
            "renewDeadlineSeconds": case.renew_deadline,
            "retryPeriodSeconds": case.retry_period,
            "releaseDelaySeconds": case.release_delay,
        });
        let said = said_of(&namespace, "a", spec).await;
        match (case.refusal, said) {
            (None, Ok(_)) => {}
            (Some(refusal), Err(said)) => assert!(said.contains(refusal), "{case:?}: {said}"),
            (_, said) => assert!(said.is_ok() == case.refusal.is_none(), "{case:?}: {said:?}"),
        }
    }
    let said = said_of(&namespace, "a", json!({"leaseDurationSeconds": 2_147_483_648_i64})).await.unwrap_err();
    assert!(said.contains("int32"), "{said}");
}

#[tokio::test]
async fn an_empty_spec_is_complete_and_odd_ones_are_refused() {
    let namespace = namespace("specs").await;
    let defaults = said_of(&namespace, "a", json!({})).await.unwrap();
    assert_eq!(defaults["leaseDurationSeconds"], 15);
    assert_eq!(defaults["renewDeadlineSeconds"], 10);
    assert_eq!(defaults["retryPeriodSeconds"], 2);
    assert_eq!(defaults["releaseDelaySeconds"], 0);
    assert_eq!(defaults["candidates"]["serviceAccountNames"], json!(["default"]));
    for (spec, why) in [
        (json!({"candidates": {"selector": {}}}), "selector is empty"),
        (json!({"candidates": {"serviceAccountNames": []}}), "serviceAccountNames"),
        (json!({"candidates": {"serviceAccountNames": ["a", "a"]}}), "Duplicate"),
        (json!({"candidates": {"serviceAccountNames": ["A"]}}), "serviceAccountNames"),
    ] {
        let said = said_of(&namespace, "a", spec).await.unwrap_err();
        assert!(said.contains(why), "{said}");
    }
    let said = said_of(&namespace, &"a".repeat(64), json!({})).await.unwrap_err();
    assert!(said.contains("metadata.name is 64 characters long; it can be 63 at most"), "{said}");
    said_of(&namespace, &"a".repeat(63), json!({})).await.unwrap();
}

/// The description of a new kind is published a little after the kind itself.
async fn explained(kubeconfig: &Path, field: &str) -> String {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        match kubectl(kubeconfig, &["explain", field], "").await {
            Ok(explained) => return explained,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test]
async fn every_field_is_explained_and_le_is_its_short_name() {
    let namespace = namespace("explain").await;
    let kubeconfig = namespace.cluster().kubeconfig();
    for field in ["", ".spec.leaseDurationSeconds", ".spec.candidates.serviceAccountNames", ".status.holder.nodeName"] {
        let explained = explained(&kubeconfig, &format!("leaderelections{field}")).await;
        let described = explained.split_once("DESCRIPTION:").unwrap().1.trim_start();
        assert!(!described.starts_with("<empty>"), "{explained}");
    }
    let listed = kubectl(&kubeconfig, &["-n", namespace.name(), "get", "le"], "").await.unwrap();
    assert_eq!(listed, "");
}
