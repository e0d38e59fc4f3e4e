//! What was there before the LeaderElection: adopted where its owner lets it be, else never touched.

use std::time::Duration;

use anyhow::Result;
use elector_crds::conditions::{ConditionType, Reason, find};
use elector_crds::{StoredLease, TIMINGS_ANNOTATION};
use elector_harness::candidate::{AgentOptions, Candidate, leader};
use elector_harness::cluster::Namespace;
use elector_harness::controlplane::ControlPlane;
use elector_harness::operators::{Election, OPERATOR, place, shared, short_timings};
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

/// A Lease that somebody else holds, as client-go writes it.
fn foreign(annotations: Value) -> StoredLease {
    serde_json::from_value(json!({
        "metadata": {"name": "billing", "annotations": annotations},
        "spec": {
            "holderIdentity": "host_1234", "leaseDurationSeconds": 15, "leaseTransitions": 7,
            "acquireTime": "2026-11-23T18:00:00.000000Z", "renewTime": "2026-11-23T18:00:00.000000Z",
        },
    }))
    .expect("it is a Lease")
}

async fn make(leases: &Api<StoredLease>, lease: &StoredLease) -> Result<StoredLease> {
    Ok(leases.create(&PostParams::default(), lease).await?)
}

/// As its owner does.
async fn adopt(leases: &Api<StoredLease>) -> Result<()> {
    let adopt = Patch::Merge(json!({"metadata": {"annotations": {"leader-elector.io/adopt": "true"}}}));
    leases.patch("billing", &PatchParams::default(), &adopt).await?;
    Ok(())
}

#[tokio::test]
async fn a_lease_that_an_agent_made_is_adopted_when_its_owner_says_so_while_it_leads() {
    of_agent().await.unwrap();
}

async fn of_agent() -> Result<()> {
    let namespace = place("agents-lease").await?;
    namespace.allow_leases(&["create", "get", "list", "watch", "update"]).await?;
    let options = AgentOptions::default().with_timings([5, 3, 1]);
    let candidates = [Candidate::start(&namespace, "billing", "billing-0", &options).await?];
    let since = leader(&candidates, Duration::from_secs(15)).await?.leads_since()?;
    let before = namespace.api::<StoredLease>().get("billing").await?;

    let spec = json!({"leaseDurationSeconds": 8, "renewDeadlineSeconds": 5, "retryPeriodSeconds": 1});
    let election = Election::create(&namespace, "billing", spec).await?;
    election.until_reason(ConditionType::Ready, Reason::ObjectConflict).await?;
    assert_eq!(election.lease().await?.annotation(TIMINGS_ANNOTATION), None);
    adopt(&namespace.api()).await?;
    let stored = election.until_held_by("billing-0").await?;
    assert_eq!(stored.status.and_then(|status| status.lease_uid), before.uid());
    let lease = election.lease().await?;
    assert_eq!(lease.owner_references(), []);
    assert_eq!(lease.labels(), before.labels());
    assert!(lease.annotation(TIMINGS_ANNOTATION).is_some_and(|timings| !timings.contains("neverHeld")));
    assert_eq!(election.events().await?[1], ("LeaseAdopted".to_owned(), "adopted Lease billing".to_owned()));
    assert_eq!(election.event_reasons().await?, ["ObjectConflict", "LeaseAdopted", "LeaderElected"]);
    // The agent takes the new timings, and its tenure goes on.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let lease = election.lease().await?;
    assert_eq!([&lease.spec["leaseDurationSeconds"], &lease.spec["leaseTransitions"]], [8, 1]);
    assert_eq!(candidates[0].leads_since()?, since);
    Ok(())
}

#[tokio::test]
async fn a_lease_that_nobody_vouches_for_is_untouched_until_somebody_does() {
    refused().await.unwrap();
}

async fn refused() -> Result<()> {
    let namespace = place("foreign").await?;
    let leases: Api<StoredLease> = namespace.api();
    // Only "true" is a yes.
    let before = make(&leases, &foreign(json!({"leader-elector.io/adopt": "yes"}))).await?;
    let election = Election::create(&namespace, "billing", short_timings()).await?;
    let stored = election.until_reason(ConditionType::Ready, Reason::ObjectConflict).await?;
    let status = stored.status.unwrap_or_default();
    let ready = find(&status.conditions, ConditionType::Ready).expect("it was waited for");
    assert_eq!(
        ready.message,
        "Lease billing was made by somebody else; if its holders may be led by this LeaderElection, annotate it with \
         leader-elector.io/adopt=true, else use another name"
    );
    assert_eq!((status.holder, status.lease_uid), (None, None));
    assert_eq!(election.event_reasons().await?, ["ObjectConflict"]);
    // Nobody gets rights on it.
    assert!(namespace.api::<Role>().get_opt("leader-elector-billing").await?.is_none());
    assert!(namespace.api::<RoleBinding>().get_opt("leader-elector-billing").await?.is_none());
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(leases.get("billing").await?, before);

    adopt(&leases).await?;
    election.until_reason(ConditionType::Ready, Reason::Reconciled).await?;
    let lease = leases.get("billing").await?;
    assert_eq!(lease.spec, before.spec);
    assert_eq!(lease.owner_references(), []);
    assert!(lease.annotation(TIMINGS_ANNOTATION).is_some());
    // Silent since it was first seen.
    election.until_reason(ConditionType::LeaderElected, Reason::LeaseExpired).await?;
    assert_eq!(election.event_reasons().await?, ["ObjectConflict", "LeaseAdopted"]);

    // The word is taken back, and nobody keeps rights by the operator.
    let role = async || Ok::<_, anyhow::Error>(namespace.api::<Role>().get("leader-elector-billing").await?);
    assert!(role().await?.rules.is_some_and(|rules| rules.len() == 1));
    let back = Patch::Merge(json!({"metadata": {"annotations": {"leader-elector.io/adopt": null}}}));
    leases.patch("billing", &PatchParams::default(), &back).await?;
    election.until_reason(ConditionType::Ready, Reason::ObjectConflict).await?;
    let emptied = role().await?;
    assert_eq!(emptied.rules.clone().unwrap_or_default(), []);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(role().await?, emptied, "once is enough");
    Ok(())
}

#[tokio::test]
async fn in_kube_namespaces_nothing_is_adopted() {
    kube_namespace().await.unwrap();
}

async fn kube_namespace() -> Result<()> {
    shared().await?;
    let namespace = ControlPlane::shared().await?.namespace("kube-like").await?;
    let leases: Api<StoredLease> = namespace.api();
    let before = make(&leases, &foreign(json!({"leader-elector.io/adopt": "true"}))).await?;
    let election = Election::create(&namespace, "billing", short_timings()).await?;
    election.until_reason(ConditionType::Ready, Reason::ObjectConflict).await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(leases.get("billing").await?, before);
    // Those whose Lease the operator makes are served there as everywhere.
    let own = Election::create(&namespace, "own", short_timings()).await?;
    own.until_reason(ConditionType::Ready, Reason::Reconciled).await?;
    assert!(core_namespaces(&namespace).await?.contains(&"kube-system".to_owned()));
    Ok(())
}

/// Whoever may create LeaderElections could stop the operator for good.
#[tokio::test]
async fn the_lease_of_the_operators_own_election_is_steered_by_nobody() {
    own_lease().await.unwrap();
}

async fn own_lease() -> Result<()> {
    // By a client of this test's own runtime.
    let home = ControlPlane::shared().await?.existing_namespace(shared().await?.namespace().name()).await?;
    let leases: Api<StoredLease> = home.api();
    // Even of a person who may write it.
    let hints = r#"{"paused":true}"#;
    let marks =
        json!({"metadata": {"annotations": {"leader-elector.io/adopt": "true", "leader-elector.io/hints": hints}}});
    leases.patch(OPERATOR, &PatchParams::default(), &Patch::Merge(marks)).await?;
    let mut spec = short_timings();
    spec["paused"] = json!(true);
    let election = Election::create(&home, OPERATOR, spec).await?;
    let stored = election.until_reason(ConditionType::Ready, Reason::ObjectConflict).await?;
    let status = stored.status.unwrap_or_default();
    let ready = find(&status.conditions, ConditionType::Ready).expect("it was waited for");
    assert!(ready.message.contains("the operator's own election"), "{}", ready.message);
    tokio::time::sleep(Duration::from_secs(6)).await;
    let lease = leases.get(OPERATOR).await?;
    assert_eq!(lease.spec["holderIdentity"], "shared");
    assert_eq!(lease.owner_references(), []);
    election.delete().await
}

async fn core_namespaces(namespace: &Namespace<'_>) -> Result<Vec<String>> {
    let namespaces = Api::<core::Namespace>::all(namespace.client()).list(&Default::default()).await?;
    Ok(namespaces.items.iter().map(ResourceExt::name_any).collect())
}

#[tokio::test]
async fn a_role_or_binding_of_somebody_else_is_untouched_until_it_is_gone() {
    foreign_role().await.unwrap();
}

async fn foreign_role() -> Result<()> {
    let namespace = place("foreign-role").await?;
    let metadata = |name: &str| ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
    let roles: Api<Role> = namespace.api();
    let role = Role { metadata: metadata("leader-elector-billing"), rules: None };
    let before = roles.create(&PostParams::default(), &role).await?;
    let bindings: Api<RoleBinding> = namespace.api();
    let binding: RoleBinding = serde_json::from_value(json!({
        "metadata": metadata("leader-elector-other"),
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "theirs"},
    }))?;
    let binding = bindings.create(&PostParams::default(), &binding).await?;

    let election = Election::create(&namespace, "billing", short_timings()).await?;
    let other = Election::create(&namespace, "other", short_timings()).await?;
    for (election, kind) in [(&election, "Role"), (&other, "RoleBinding")] {
        let stored = election.until_reason(ConditionType::Ready, Reason::ObjectConflict).await?;
        let status = stored.status.unwrap_or_default();
        let message = &find(&status.conditions, ConditionType::Ready).expect("it was waited for").message;
        let start = format!("{kind} leader-elector-{} exists and was not made for this", election.name());
        assert!(message.starts_with(&start), "{message}");
        assert_eq!(election.event_reasons().await?, ["ObjectConflict"]);
    }
    // What keeps the rights from being written does not keep anybody from leading who has them otherwise.
    namespace.allow_leases(&["get", "list", "watch", "update"]).await?;
    let agents = [Candidate::start(&namespace, "billing", "billing-0", &AgentOptions::default()).await?];
    leader(&agents, Duration::from_secs(10)).await?;
    election.until_held_by("billing-0").await?;
    assert_eq!(roles.get("leader-elector-billing").await?, before);
    assert_eq!(bindings.get("leader-elector-other").await?, binding);

    roles.delete("leader-elector-billing", &Default::default()).await?;
    bindings.delete("leader-elector-other", &Default::default()).await?;
    for election in [election, other] {
        election.until_reason(ConditionType::Ready, Reason::Reconciled).await?;
    }
    Ok(())
}
