//! What can be done with the operator's token: what SECURITY.md's table says, and nothing else.
//!
//! Every verb on every resource that the API server has is asked for, and each that is allowed is tried on objects of
//! somebody else's.

mod grants;
mod leases;
mod others;
mod rights;
mod scene;

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Result;
use elector_crds::conditions::{ConditionType, Reason};
use elector_harness::controlplane::{ControlPlane, Options};
use elector_harness::kubectl::kubectl;
use elector_harness::operators::{Election, OPERATOR, Operators, short_timings};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::{Client, ResourceExt as _};
use tokio::time::Instant;

use self::rights::{Right, rights_of, table};
use self::scene::Scene;
use crate::release::{RELEASE, on};

/// The release with these values, on a control plane of its own; the client has the operator's token.
async fn released(plane: &ControlPlane, verb: &str, values: &[&str]) -> Result<Client> {
    on(plane, verb, values).await?;
    let established = ["wait", "--for=condition=Established", "crd/leaderelections.leader-elector.io"];
    kubectl(&plane.kubeconfig(), &established, "").await?;
    plane.client_for(&plane.service_account_token(RELEASE, OPERATOR, None).await?).await
}

/// What is granted in `namespace` is what the table says of a release with `features`, and none of it reaches what is
/// somebody else's.
async fn is_held(plane: &ControlPlane, client: &Client, namespace: &str, features: &[&str]) -> Result<()> {
    let expected = table(features)?;
    let begun = Instant::now();
    // The API server learns of rights as it does of policies.
    let granted = loop {
        let granted = rights_of(plane, client, namespace).await?;
        if granted == expected || begun.elapsed() > Duration::from_secs(20) {
            break granted;
        }
    };
    assert_eq!(granted, expected, "{features:?}");
    let scene = Scene::set(plane, client, namespace).await?;
    let tried = scene.try_all(features).await?;
    let mut untried = BTreeSet::new();
    for right in granted.difference(&tried) {
        if !scene.reads(right).await? {
            untried.insert(right.clone());
        }
    }
    // What OpenShift asks for beside the creation itself.
    let restricted = Right::new("endpointslices/restricted.discovery.k8s.io", "create");
    let expected = features.contains(&"leaderService.enabled").then_some(restricted);
    assert_eq!(untried, expected.into_iter().collect());
    Ok(())
}

#[tokio::test]
async fn the_operators_token_does_what_the_table_says() {
    let plane = ControlPlane::start(Options::default()).await.unwrap();
    let client = released(&plane, "install", &[]).await.unwrap();
    let theirs = plane.namespace("theirs").await.unwrap();
    is_held(&plane, &client, theirs.name(), &["leaderService.enabled"]).await.unwrap();

    let client = released(&plane, "upgrade", &["--set=podLabels.enabled=true"]).await.unwrap();
    let theirs = plane.namespace("theirs").await.unwrap();
    let features = ["leaderService.enabled", "podLabels.enabled"];
    is_held(&plane, &client, theirs.name(), &features).await.unwrap();

    // In some namespaces only, and with as little as there can be.
    let [watched, other] = [plane.namespace("theirs").await.unwrap(), plane.namespace("other").await.unwrap()];
    let watches = format!("--set=watchNamespaces={{{}}},leaderService.enabled=false", watched.name());
    let client = released(&plane, "upgrade", &[&watches]).await.unwrap();
    is_held(&plane, &client, watched.name(), &[]).await.unwrap();
    assert_eq!(rights_of(&plane, &client, other.name()).await.unwrap(), BTreeSet::new());
    let own = rights_of(&plane, &client, RELEASE).await.unwrap();
    assert_eq!(own, BTreeSet::from([Right::new("leases.coordination.k8s.io", "create")]));
}

#[tokio::test]
async fn an_election_that_is_made_again_takes_over_what_its_predecessor_left() {
    let plane = ControlPlane::start(Options::default()).await.unwrap();
    released(&plane, "install", &[]).await.unwrap();
    let operators = Operators::released(&plane).await.unwrap();
    let _operator = operators.leader("again").await.unwrap();
    let namespace = plane.namespace("again").await.unwrap();
    let first = Election::create(&namespace, "billing", short_timings()).await.unwrap();
    first.until_reason(ConditionType::Ready, Reason::Reconciled).await.unwrap();
    // Nobody collects what it leaves.
    first.delete().await.unwrap();
    let again = Election::create(&namespace, "billing", short_timings()).await.unwrap();
    let uid = again.get().await.unwrap().uid().unwrap();
    again.until_reason(ConditionType::Ready, Reason::Reconciled).await.unwrap();
    let role: Role = namespace.api().get("leader-elector-billing").await.unwrap();
    let binding: RoleBinding = namespace.api().get("leader-elector-billing").await.unwrap();
    let lease = again.lease().await.unwrap();
    for owners in [lease.owner_references(), role.owner_references(), binding.owner_references()] {
        assert_eq!(owners.iter().map(|owner| &*owner.uid).collect::<Vec<_>>(), [&*uid]);
    }
}
