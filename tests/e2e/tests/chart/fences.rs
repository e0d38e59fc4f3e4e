//! What keeps the operator, whose rights reach all Services and pods, from touching what is not a LeaderElection's.

use std::time::{Duration, Instant};

use anyhow::Result;
use elector_crds::ROLE_LABEL;
use elector_harness::cluster::Namespace;
use elector_harness::operators::{Election, OPERATOR};
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt as _};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::release::operated;

const FRONT: &str = "front";
const LABELS: [(&str, &str); 1] = [("leader-elector.io/election", "billing")];

/// Speaks with the operator's own token.
async fn operator(namespace: &Namespace<'_>) -> Result<Client> {
    let cluster = namespace.cluster();
    cluster.client_for(&cluster.service_account_token("leader-elector", OPERATOR, None).await?).await
}

fn refusal<T: std::fmt::Debug>(answer: Result<T, kube::Error>) -> String {
    answer.expect_err("it is refused").to_string()
}

fn service(labels: &Value, spec: &Value) -> Result<Service> {
    Ok(serde_json::from_value(json!({"metadata": {"name": "other", "labels": labels}, "spec": spec}))?)
}

#[tokio::test]
async fn the_operator_changes_no_service_but_those_that_it_made() {
    let namespace = operated().await.unwrap().namespace("fenced-services").await.unwrap();
    let spec = json!({"leaderService": {"name": FRONT, "ports": [{"port": 80}]}});
    let election = Election::create(&namespace, "billing", spec).await.unwrap();
    let begun = Instant::now();
    let made = loop {
        if let Some(made) = namespace.api::<Service>().get_opt(FRONT).await.unwrap() {
            break made;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", election.get().await.unwrap().status);
        sleep(Duration::from_millis(50)).await;
    };

    let client = operator(&namespace).await.unwrap();
    let services: Api<Service> = Api::namespaced(client.clone(), namespace.name());
    let port = json!({"ports": [{"port": 80}], "type": "ClusterIP"});
    let own = json!({"app.kubernetes.io/managed-by": OPERATOR});
    let labelled_only = "labelled as its own and belongs to a LeaderElection";
    for theirs in [service(&json!({}), &port).unwrap(), service(&own, &port).unwrap()] {
        let said = refusal(services.create(&PostParams::default(), &theirs).await);
        assert!(said.contains(labelled_only), "{said}");
    }
    for spec in [
        json!({"ports": [{"port": 80}], "selector": {"app": "shop"}}),
        json!({"ports": [{"port": 80}], "type": "LoadBalancer"}),
        json!({"ports": [{"port": 80}], "type": "NodePort"}),
        json!({"ports": [{"port": 80}], "type": "ClusterIP", "externalIPs": ["192.0.2.7"]}),
    ] {
        let mut bent = service(&own, &spec).unwrap();
        bent.metadata.owner_references = made.metadata.owner_references.clone();
        let said = refusal(services.create(&PostParams::default(), &bent).await);
        assert!(said.contains("has no selector, and is reached in the cluster only"), "{said}");
    }

    let theirs = service(&json!({}), &port).unwrap();
    namespace.api::<Service>().create(&PostParams::default(), &theirs).await.unwrap();
    let mut taken = namespace.api::<Service>().get("other").await.unwrap();
    taken.metadata.labels = made.metadata.labels.clone();
    taken.metadata.owner_references = made.metadata.owner_references.clone();
    let replaced = refusal(services.replace("other", &PostParams::default(), &taken).await);
    let deleted = refusal(services.delete("other", &DeleteParams::default()).await);
    for said in [replaced, deleted] {
        assert!(said.contains("changes only what it made itself"), "{said}");
    }

    let mut exposed = made.clone();
    exposed.spec.as_mut().unwrap().external_ips = Some(vec!["192.0.2.7".to_owned()]);
    let said = refusal(services.replace(FRONT, &PostParams::default(), &exposed).await);
    assert!(said.contains("reached in the cluster only"), "{said}");

    let slices: Api<EndpointSlice> = Api::namespaced(client, namespace.name());
    let mut attached: EndpointSlice = serde_json::from_value(json!({
        "metadata": {"name": "attached", "labels": {"kubernetes.io/service-name": "none"}},
        "addressType": "IPv4",
        "endpoints": [],
    }))
    .unwrap();
    attached.labels_mut().extend(made.labels().clone());
    attached.metadata.owner_references = made.metadata.owner_references.clone();
    let said = refusal(slices.create(&PostParams::default(), &attached).await);
    assert!(said.contains(labelled_only), "a slice is called as its election: {said}");
    let slice: EndpointSlice = serde_json::from_value(json!({
        "metadata": {"name": "other", "labels": {"kubernetes.io/service-name": "none"}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.9.9.9"]}],
    }))
    .unwrap();
    let said = refusal(slices.create(&PostParams::default(), &slice).await);
    assert!(said.contains(labelled_only), "{said}");
    // Anybody else may do as before.
    namespace.api::<EndpointSlice>().create(&PostParams::default(), &slice).await.unwrap();
    namespace.api::<Service>().delete("other", &DeleteParams::default()).await.unwrap();
}

#[tokio::test]
async fn the_operator_changes_nothing_of_a_pod_but_one_label() {
    let namespace = operated().await.unwrap().namespace("fenced-pods").await.unwrap();
    Election::create(&namespace, "billing", json!({"podLabels": "Enabled"})).await.unwrap();
    namespace.create_pod("billing-0", "default", &LABELS).await.unwrap();
    let begun = Instant::now();
    while namespace.api::<Pod>().get("billing-0").await.unwrap().labels().get(ROLE_LABEL).is_none() {
        assert!(begun.elapsed() < Duration::from_secs(20), "it is not labelled");
        sleep(Duration::from_millis(50)).await;
    }

    let pods: Api<Pod> = Api::namespaced(operator(&namespace).await.unwrap(), namespace.name());
    let patch =
        async |patch: Value| pods.patch("billing-0", &PatchParams::default(), &Patch::Strategic(patch)).await.map(drop);
    for other in [
        json!({"metadata": {"labels": {"app": "shop"}}}),
        json!({"metadata": {"labels": {"leader-elector.io/election": null}}}),
        json!({"metadata": {"annotations": {"note": "mine"}}}),
        json!({"metadata": {"finalizers": ["leader-elector.io/keep"]}}),
        json!({"metadata": {"labels": {ROLE_LABEL: "leader"}}, "spec": {"activeDeadlineSeconds": 1}}),
        json!({"spec": {"containers": [{"name": "app", "image": "other"}]}}),
    ] {
        let said = refusal(patch(other.clone()).await);
        assert!(said.contains("changes nothing of a pod but the label leader-elector.io/role"), "{other}: {said}");
    }
    let said = refusal(patch(json!({"metadata": {"labels": {ROLE_LABEL: "boss"}}})).await);
    assert!(said.contains("leader-elector.io/role: leader or standby"), "{said}");
    let ready = Patch::Merge(json!({"status": {"phase": "Failed"}}));
    let said = refusal(pods.patch_status("billing-0", &PatchParams::default(), &ready).await);
    assert!(said.contains("forbidden"), "{said}");
}
