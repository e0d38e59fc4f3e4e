//! A Lease that is gone while somebody may lead: made again with what was known, so that everybody waits.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use elector_crds::annotations::TimingsAnnotation;
use elector_crds::conditions::{ConditionType, Reason};
use elector_crds::lease::FirstRecord;
use elector_crds::{StoredLease, TIMINGS_ANNOTATION};
use elector_harness::candidate::{AgentOptions, Candidate, leader};
use elector_harness::controlplane::{ControlPlane, Options};
use elector_harness::operators::{Election, Operators, place, short_timings};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, PostParams};
use serde_json::{Value, json};
use tokio::time::sleep;

fn fencing_token(candidate: &Candidate) -> Result<u64> {
    let text = std::fs::read(candidate.status_file().with_extension("json"))?;
    let value: Value = serde_json::from_slice(&text)?;
    let token = &value["fencingToken"];
    Ok(token.as_u64().or_else(|| token.as_str()?.parse().ok()).unwrap_or_default())
}

#[tokio::test]
async fn a_lease_that_is_deleted_while_it_is_led_is_waited_out() {
    led().await.unwrap();
}

async fn led() -> Result<()> {
    let namespace = place("restored").await?;
    let election = Election::create(&namespace, "billing", short_timings()).await?;
    election.until_reason(ConditionType::Ready, Reason::Reconciled).await?;
    let mut candidates = Vec::new();
    for pod in ["billing-0", "billing-1"] {
        candidates.push(Candidate::start(&namespace, "billing", pod, &AgentOptions::default()).await?);
    }
    let first = leader(&candidates, Duration::from_secs(5)).await?;
    election.until_held_by(first.name()).await?;
    let (identity, token) = (first.identity(), fencing_token(first)?);
    assert!(token > 0);
    let before = election.lease().await?;

    let deleted = Instant::now();
    namespace.api::<StoredLease>().delete("billing", &DeleteParams::default()).await?;
    election.until_reason(ConditionType::LeaderElected, Reason::WaitingOutUnknownHolder).await?;
    let restored = election.lease().await?;
    assert_ne!(restored.uid(), before.uid());
    let mut spec = restored.spec.clone();
    let times = ["acquireTime", "renewTime"].map(|field| spec.remove(field).unwrap_or_default());
    assert_eq!(times[0], times[1]);
    assert_eq!(
        json!(spec),
        json!({"holderIdentity": identity, "leaseDurationSeconds": 5, "leaseTransitions": before.spec["leaseTransitions"]})
    );
    assert_eq!(restored.owner_references(), before.owner_references());
    let status = election.get().await?.status.unwrap_or_default();
    assert_eq!((status.lease_uid, status.lease_transitions), (restored.uid(), Some(1)));

    // The old one stops, and nobody leads before the lease duration is over.
    while first.leads() {
        assert!(deleted.elapsed() < Duration::from_secs(4), "{}", first.log());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let next = leader(&candidates, Duration::from_secs(10)).await?;
    assert!(deleted.elapsed() >= Duration::from_millis(4900), "{:?}", deleted.elapsed());
    assert!(fencing_token(next)? > token);
    let stored = election.until_held_by(next.name()).await?;
    assert_eq!(stored.status.and_then(|status| status.lease_transitions), Some(2));
    let events = election.events().await?;
    let reasons: Vec<&str> = events.iter().map(|(reason, _)| reason.as_str()).collect();
    assert_eq!(reasons, ["LeaderElected", "LeaseRestored", "LeaderLost", "LeaderElected"]);
    assert!(events[1].1.starts_with("made Lease billing anew; candidates wait 5 s in case"), "{events:?}");
    Ok(())
}

#[tokio::test]
async fn a_lease_that_was_made_too_late_is_confirmed_with_what_is_known_by_then() {
    made_late().await.unwrap();
}

/// A create that nobody waits for any more arrives after somebody has led for longer than was known when it was sent.
async fn made_late() -> Result<()> {
    let plane = ControlPlane::start(Options::default()).await?;
    let operators = Operators::install(&plane).await?;
    let operator = operators.leader("one").await?;
    let namespace = plane.namespace("late").await?;
    let timings = json!({"leaseDurationSeconds": 20, "renewDeadlineSeconds": 10, "retryPeriodSeconds": 2});
    let election = Election::create(&namespace, "billing", timings).await?;
    election.until_reason(ConditionType::Ready, Reason::Reconciled).await?;
    let candidate = Candidate::start(&namespace, "billing", "billing-0", &AgentOptions::default()).await?;
    candidate.leads_within(Duration::from_secs(5)).await?;
    election.until_held_by(candidate.name()).await?;
    candidate.process().kill();
    election.apply(short_timings()).await?;
    let asked = StoredLease::timings_annotation;
    let leases = namespace.api::<StoredLease>();
    let held =
        until(&leases, |lease| asked(lease).timings.is_some_and(|set| set.lease_duration_seconds() == 5)).await?;

    let mut late =
        StoredLease::new(ObjectMeta { uid: None, resource_version: None, annotations: None, ..held.metadata.clone() });
    let unconfirmed = TimingsAnnotation { unconfirmed: true, ..asked(&held) };
    late.set_annotation(TIMINGS_ANNOTATION, unconfirmed.to_json());
    FirstRecord::NeverHeld { lease_duration_seconds: 5 }.apply(&mut late);
    operator.process().pause()?;
    leases.delete("billing", &DeleteParams::default()).await?;
    leases.create(&PostParams::default(), &late).await?;
    operator.process().resume()?;

    let confirmed = until(&leases, |lease| !asked(lease).unconfirmed).await?;
    assert_eq!(asked(&confirmed), TimingsAnnotation { unconfirmed: false, wait_seconds: 20, ..unconfirmed });
    // The operator never writes that (rule O1).
    assert_eq!(confirmed.spec, late.spec);
    Ok(())
}

/// Waits until Lease billing is so.
async fn until(leases: &Api<StoredLease>, holds: impl Fn(&StoredLease) -> bool) -> Result<StoredLease> {
    let begun = Instant::now();
    loop {
        let lease = leases.get("billing").await?;
        if holds(&lease) {
            return Ok(lease);
        }
        ensure!(begun.elapsed() < Duration::from_secs(20), "{lease:?}");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_lease_that_is_deleted_before_anybody_led_is_not_called_never_held_again() {
    unled().await.unwrap();
}

async fn unled() -> Result<()> {
    let namespace = place("restored-free").await?;
    let election = Election::create(&namespace, "billing", short_timings()).await?;
    election.until_reason(ConditionType::LeaderElected, Reason::NeverHeld).await?;
    namespace.api::<StoredLease>().delete("billing", &DeleteParams::default()).await?;
    election.until_reason(ConditionType::LeaderElected, Reason::WaitingOutUnknownHolder).await?;
    let lease = election.lease().await?;
    assert_eq!(lease.spec["holderIdentity"], "unknown");
    assert_eq!(lease.spec["leaseDurationSeconds"], 5);
    election.until_reason(ConditionType::LeaderElected, Reason::LeaseExpired).await?;
    assert_eq!(election.event_reasons().await?, ["LeaseRestored"]);
    Ok(())
}

#[tokio::test]
async fn a_pod_that_is_older_than_its_election_may_have_led() {
    older().await.unwrap();
}

async fn older() -> Result<()> {
    let namespace = place("older-pod").await?;
    namespace.create_pod("billing-0", "default", &[("leader-elector.io/election", "billing")]).await?;
    // Both times have whole seconds.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let election = Election::create(&namespace, "billing", short_timings()).await?;
    election.until_reason(ConditionType::LeaderElected, Reason::WaitingOutUnknownHolder).await?;
    assert_eq!(election.lease().await?.spec["holderIdentity"], "unknown");
    Ok(())
}

#[tokio::test]
async fn a_leader_election_that_is_made_again_keeps_the_lease_and_its_record() {
    made_again().await.unwrap();
}

/// Without garbage collection, as in the moment before it comes.
async fn made_again() -> Result<()> {
    let namespace = place("made-again").await?;
    let election = Election::create(&namespace, "billing", short_timings()).await?;
    election.until_reason(ConditionType::Ready, Reason::Reconciled).await?;
    let candidates = [Candidate::start(&namespace, "billing", "billing-0", &AgentOptions::default()).await?];
    let since = leader(&candidates, Duration::from_secs(5)).await?.leads_since()?;
    let first = election.until_held_by("billing-0").await?;
    let before = election.lease().await?;

    election.delete().await?;
    election.apply(short_timings()).await?;
    let second = election.until_held_by("billing-0").await?;
    assert_ne!(first.uid(), second.uid());
    let lease = election.lease().await?;
    assert_eq!(lease.uid(), before.uid());
    assert_eq!(lease.owner_references().len(), 1);
    assert_eq!(Some(&lease.owner_references()[0].uid), second.uid().as_ref());
    for field in ["holderIdentity", "acquireTime", "leaseTransitions"] {
        assert_eq!(lease.spec[field], before.spec[field]);
    }
    election.until_reason(ConditionType::Ready, Reason::Reconciled).await?;
    assert_eq!(candidates[0].leads_since()?, since);
    Ok(())
}

#[tokio::test]
async fn a_lease_from_a_backup_is_taken_over_and_its_holder_of_then_is_waited_out() {
    from_backup().await.unwrap();
}

/// Without its owner, as Velero restores it, where no policy refuses that.
async fn from_backup() -> Result<()> {
    let namespace = place("backup").await?;
    let labels = json!({"app.kubernetes.io/managed-by": "leader-elector-operator", "leader-elector.io/election": "billing",
                        "leader-elector.io/strict-identity": "true"});
    let of_then = json!({"holderIdentity": "billing-0_of-then", "leaseDurationSeconds": 5, "leaseTransitions": 7,
                         "acquireTime": "2026-11-01T10:00:00.000000Z", "renewTime": "2026-11-01T12:00:00.000000Z"});
    let lease = serde_json::from_value(json!({"metadata": {"name": "billing", "labels": labels}, "spec": of_then}))?;
    namespace.api::<StoredLease>().create(&PostParams::default(), &lease).await?;
    let begun = Instant::now();
    let election = Election::create(&namespace, "billing", short_timings()).await?;
    let candidate = Candidate::start(&namespace, "billing", "billing-0", &AgentOptions::default()).await?;
    candidate.leads_within(Duration::from_secs(20)).await?;
    ensure!(begun.elapsed() >= Duration::from_secs(5), "{:?}", begun.elapsed());
    let held = election.until_held_by("billing-0").await?;
    election.until_reason(ConditionType::Ready, Reason::Reconciled).await?;
    ensure!(held.status.and_then(|status| status.lease_transitions) == Some(8));
    ensure!(election.lease().await?.owner_references().len() == 1);
    Ok(())
}
