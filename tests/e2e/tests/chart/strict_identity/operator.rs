//! What the operator may write to a Lease under that policy, and what it does.

use std::time::Duration;

use elector_crds::{STRICT_IDENTITY_LABEL, StoredLease};
use elector_harness::operators::short_timings;
use kube::ResourceExt as _;
use kube::api::{DeleteParams, PostParams};
use serde_json::{Value, json};

use super::{LATER, Scene, acquire, said};

#[tokio::test]
async fn the_operator_makes_it_and_looks_after_it_and_does_not_lead() {
    let scene = Scene::set("operator", short_timings()).await.unwrap();
    let operator = scene.operator().await.unwrap();
    let refused = said(scene.write(&operator, &|scene, lease| acquire(0)(scene, lease)).await);
    assert!(refused.contains("the spec of a Lease is its candidates'"), "{refused}");
    // Other timings reach it.
    let spec = json!({"leaseDurationSeconds": 8, "renewDeadlineSeconds": 3, "retryPeriodSeconds": 1});
    scene.election.apply(spec).await.unwrap();
    let eight =
        |lease: &StoredLease| lease.annotation("leader-elector.io/timings").is_some_and(|it| it.contains(":8,"));
    let begun = tokio::time::Instant::now();
    while !eight(&scene.election.lease().await.unwrap()) {
        assert!(begun.elapsed() < Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // One that has lost its owner is its own by the label. Tenures begin again after the last number.
    let mut lease = scene.election.lease().await.unwrap();
    scene.leases(&operator).delete("billing", &DeleteParams::default()).await.unwrap_err();
    lease.metadata.name = Some("wrapped".to_owned());
    lease.metadata.uid = None;
    lease.metadata.resource_version = None;
    lease.metadata.owner_references = None;
    lease.labels_mut().remove(STRICT_IDENTITY_LABEL);
    lease.spec.insert("leaseTransitions".to_owned(), json!(2_147_483_647));
    lease.spec.insert("holderIdentity".to_owned(), json!("unknown"));
    let admin = scene.leases(&scene.namespace.client());
    let mut lease = admin.create(&PostParams::default(), &lease).await.unwrap();
    lease.labels_mut().insert(STRICT_IDENTITY_LABEL.to_owned(), "true".to_owned());
    scene.leases(&operator).replace("wrapped", &PostParams::default(), &lease).await.unwrap();
    let first = scene.leases(&scene.pod(0).await.unwrap());
    let stored = first.get("wrapped").await.unwrap();
    let mut taken = serde_json::to_value(&stored).unwrap();
    acquire(0)(&scene, &mut taken);
    taken["spec"]["leaseDurationSeconds"] = json!(8);
    let taken: StoredLease = serde_json::from_value(taken).unwrap();
    let taken = first.replace("wrapped", &PostParams::default(), &taken).await.unwrap();
    assert_eq!(taken.spec["leaseTransitions"], 1);
}

#[tokio::test]
async fn the_operator_releases_it_for_who_is_dead_and_writes_nothing_else() {
    let scene = Scene::set("released", short_timings()).await.unwrap();
    let operator = scene.operator().await.unwrap();
    scene.write(&scene.pod(0).await.unwrap(), &acquire(0)).await.unwrap();
    let release = |duration: u32, transitions: u32| {
        move |_: &Scene, lease: &mut Value| {
            let time = json!(LATER);
            lease["spec"] = json!({
                "leaseDurationSeconds": duration, "acquireTime": time, "renewTime": time, "leaseTransitions": transitions,
            });
        }
    };
    for (duration, transitions) in [(5, 1), (1, 2), (1, 0)] {
        let refused = said(scene.write(&operator, &release(duration, transitions)).await);
        assert!(refused.contains("but for the release of one that is dead"), "{refused}");
    }
    scene.write(&operator, &release(1, 1)).await.unwrap();
    let held = said(scene.write(&operator, &|scene, lease| acquire(0)(scene, lease)).await);
    assert!(held.contains("the spec of a Lease is its candidates'"), "{held}");
}

/// A candidate may write the time 0001-01-01, which is stored, and which every reader of the Lease sees as null.
#[tokio::test]
async fn what_a_candidate_writes_does_not_keep_the_operator_from_its_metadata() {
    let scene = Scene::set("year-one", short_timings()).await.unwrap();
    let early = |scene: &Scene, lease: &mut Value| {
        acquire(0)(scene, lease);
        lease["spec"]["acquireTime"] = json!("0001-01-01T00:00:00.000000Z");
    };
    scene.write(&scene.pod(0).await.unwrap(), &early).await.unwrap();
    assert_eq!(scene.election.lease().await.unwrap().spec.get("acquireTime").filter(|time| !time.is_null()), None);
    let spec = json!({"leaseDurationSeconds": 8, "renewDeadlineSeconds": 3, "retryPeriodSeconds": 1});
    scene.election.apply(spec).await.unwrap();
    let begun = tokio::time::Instant::now();
    while !scene.election.lease().await.unwrap().annotation("leader-elector.io/timings").unwrap().contains(":8,") {
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", scene.election.get().await.unwrap().status);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
