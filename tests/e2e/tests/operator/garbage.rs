//! What goes with a LeaderElection, and with its namespace: kube-controller-manager collects by owner references.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use elector_crds::StoredLease;
use elector_crds::conditions::{ConditionType, Reason};
use elector_harness::candidate::{AgentOptions, Candidate};
use elector_harness::controlplane::{ControlPlane, Namespace, Options};
use elector_harness::operators::{Election, Operators, short_timings};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::PostParams;
use serde_json::json;

#[tokio::test]
async fn what_the_operator_made_goes_with_the_election_and_what_it_adopted_stays() {
    collected().await.unwrap();
}

/// Which of Lease, Role and RoleBinding there are.
async fn there(namespace: &Namespace<'_>, name: &str) -> Result<[bool; 3]> {
    let owned = format!("leader-elector-{name}");
    Ok([
        namespace.api::<StoredLease>().get_opt(name).await?.is_some(),
        namespace.api::<Role>().get_opt(&owned).await?.is_some(),
        namespace.api::<RoleBinding>().get_opt(&owned).await?.is_some(),
    ])
}

async fn until_there(namespace: &Namespace<'_>, name: &str, expected: [bool; 3]) -> Result<()> {
    let begun = Instant::now();
    loop {
        let there = there(namespace, name).await?;
        if there == expected {
            return Ok(());
        }
        ensure!(begun.elapsed() < Duration::from_secs(30), "{name}: {there:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn collected() -> Result<()> {
    let plane = ControlPlane::start(Options::default()).await?;
    let operators = Operators::install(&plane).await?;
    // It learns at its start which kinds there are.
    plane.controller_manager().await?;
    let operator = operators.leader("one").await?;
    let namespace = plane.namespace("garbage").await?;

    let election = Election::create(&namespace, "billing", short_timings()).await?;
    election.until_reason(ConditionType::Ready, Reason::Reconciled).await?;
    let candidate = Candidate::start(&namespace, "billing", "billing-0", &AgentOptions::default()).await?;
    election.until_held_by("billing-0").await?;
    let adopted: StoredLease = serde_json::from_value(json!({
        "metadata": {"name": "adopted", "annotations": {"leader-elector.io/adopt": "true"}},
        "spec": {"holderIdentity": "host", "leaseDurationSeconds": 15},
    }))?;
    namespace.api().create(&PostParams::default(), &adopted).await?;
    let of_adopted = Election::create(&namespace, "adopted", short_timings()).await?;
    of_adopted.until_reason(ConditionType::Ready, Reason::Reconciled).await?;

    // Somebody still leads by that Lease: the next election of its name must not forget it.
    let transitions = election.lease().await?.spec["leaseTransitions"].clone();
    election.delete().await?;
    of_adopted.delete().await?;
    until_there(&namespace, "billing", [false, false, false]).await?;
    until_there(&namespace, "adopted", [true, false, false]).await?;
    candidate.process().kill();
    election.apply(short_timings()).await?;
    election.until_reason(ConditionType::LeaderElected, Reason::WaitingOutUnknownHolder).await?;
    let lease = election.lease().await?;
    assert_eq!(lease.spec["holderIdentity"], candidate.identity());
    assert_eq!(lease.spec["leaseTransitions"], transitions);
    until_there(&namespace, "billing", [true, true, true]).await?;

    // A namespace that ends takes everything along, and the operator does not get in its way.
    let doomed = plane.namespace("doomed").await?;
    let election = Election::create(&doomed, "billing", short_timings()).await?;
    election.until_reason(ConditionType::Ready, Reason::Reconciled).await?;
    let name = doomed.name().to_owned();
    drop(election);
    doomed.delete().await?;
    let after = operators.requests(|entry| entry.namespace == name && entry.is_write())?;
    ensure!(after.len() < 20, "{after:#?}");
    assert_eq!(operator.answer("/readyz").await?.0, 200);
    Ok(())
}
