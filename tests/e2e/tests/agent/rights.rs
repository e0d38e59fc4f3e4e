//! Four verbs on one Lease: enough for an agent, and nothing else comes with them.

use std::time::Duration;

use anyhow::Result;
use elector_crds::StoredLease;
use elector_harness::candidate::{AgentOptions, Candidate};
use elector_harness::controlplane::{ControlPlane, Namespace};
use elector_harness::leases::short_timings;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::api::{Api, DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use serde_json::json;

const RIGHTS: &[&str] = &["get", "list", "watch", "update"];

async fn namespace() -> Result<Namespace<'static>> {
    let namespace = ControlPlane::shared().await?.namespace("rights").await?;
    namespace.allow_lease("mine", RIGHTS).await?;
    namespace.create_lease("mine", short_timings()).await?;
    namespace.create_lease("other", short_timings()).await?;
    Ok(namespace)
}

#[tokio::test]
async fn agents_hand_over_with_them() {
    let namespace = namespace().await.unwrap();
    let first = Candidate::start(&namespace, "mine", "a-0", &AgentOptions::default()).await.unwrap();
    first.leads_within(Duration::from_secs(5)).await.unwrap();
    let second = Candidate::start(&namespace, "mine", "a-1", &AgentOptions::default()).await.unwrap();
    second.says_within("observed holder", Duration::from_secs(5)).await.unwrap();
    first.process().stop().await.unwrap();
    second.leads_within(Duration::from_secs(1)).await.unwrap();
    let audit = ControlPlane::shared().await.unwrap().audit();
    let refused = audit.requests(|entry| {
        entry.namespace == namespace.name()
            && entry.pod.is_some()
            && entry.code.is_none_or(|code| [401, 403].contains(&code))
    });
    assert_eq!(refused.unwrap().len(), 0);
}

#[tokio::test]
async fn a_candidates_token_can_do_nothing_else() {
    let namespace = namespace().await.unwrap();
    let pod = namespace.create_pod("a-0", "default", &[]).await.unwrap();
    let token = namespace.pod_token(&pod).await.unwrap();
    let client = namespace.cluster().client_for(&token).await.unwrap();
    let name = namespace.name();
    let leases: Api<StoredLease> = Api::namespaced(client.clone(), name);

    let mine = leases.get("mine").await.unwrap();
    leases.replace("mine", &PostParams::default(), &mine).await.unwrap();
    leases.list(&ListParams::default().fields("metadata.name=mine")).await.unwrap();

    let other = namespace.stored_lease("other").await.unwrap();
    let new = StoredLease::new(ObjectMeta { name: Some("new".to_owned()), ..ObjectMeta::default() });
    let patch = Patch::Merge(json!({"spec": {"holderIdentity": "me"}}));
    let elsewhere: Api<StoredLease> = Api::namespaced(client.clone(), "kube-system");
    let pods: Api<Pod> = Api::namespaced(client.clone(), name);
    let secrets: Api<Secret> = Api::namespaced(client, name);
    for (what, refused) in [
        ("get another", leases.get("other").await.err()),
        ("update another", leases.replace("other", &PostParams::default(), &other).await.err()),
        ("list others", leases.list(&ListParams::default()).await.err()),
        ("list another", leases.list(&ListParams::default().fields("metadata.name=other")).await.err()),
        ("create", leases.create(&PostParams::default(), &new).await.err()),
        ("patch its own", leases.patch("mine", &PatchParams::default(), &patch).await.err()),
        ("delete its own", leases.delete("mine", &DeleteParams::default()).await.err()),
        ("get one elsewhere", elsewhere.get("mine").await.err()),
        ("get pods", pods.get("a-0").await.err()),
        ("list secrets", secrets.list(&ListParams::default()).await.err()),
    ] {
        let forbidden = matches!(&refused, Some(kube::Error::Api(status)) if status.is_forbidden());
        assert!(forbidden, "{what}: {refused:?}");
    }
}
