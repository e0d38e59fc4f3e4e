//! Which pods count, and what is said of those that cannot lead. The pods are real; the test plays their kubelet.

use anyhow::Result;
use elector_crds::LeaderElection;
use elector_crds::conditions::{ConditionType, Reason, find};
use elector_harness::candidate::{AgentOptions, Candidate, leader};
use elector_harness::operators::{Election, place, short_timings};
use serde_json::json;
use std::time::Duration;

const LABEL: [(&str, &str); 1] = [("leader-elector.io/election", "billing")];

fn counts(election: &LeaderElection) -> [Option<i64>; 2] {
    election.status.as_ref().map_or([None, None], |status| [status.candidates, status.ready_candidates])
}

async fn until_counts(election: &Election<'_>, candidates: i64, ready: i64) -> Result<LeaderElection> {
    let what = format!("{candidates} candidates, {ready} of them ready");
    election.until(&what, |election| counts(election) == [Some(candidates), Some(ready)]).await
}

fn candidates_ready(election: &LeaderElection) -> (String, String) {
    let conditions = election.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    let condition = find(conditions, ConditionType::CandidatesReady);
    condition.map(|found| (found.reason.clone(), found.message.clone())).unwrap_or_default()
}

#[tokio::test]
async fn pods_count_while_they_may_lead() {
    counted().await.unwrap();
}

async fn counted() -> Result<()> {
    let namespace = place("pods").await?;
    let elsewhere = place("pods-elsewhere").await?;
    let election = Election::create(&namespace, "billing", short_timings()).await?;
    until_counts(&election, 0, 0).await?;

    // Of another namespace, and of another election.
    elsewhere.create_pod("billing-9", "default", &LABEL).await?;
    elsewhere.set_pod_ready("billing-9", true).await?;
    namespace.create_pod("other-0", "default", &[("leader-elector.io/election", "other")]).await?;
    namespace.create_pod("billing-0", "default", &LABEL).await?;
    let stored = until_counts(&election, 1, 0).await?;
    let (reason, message) = candidates_ready(&stored);
    assert_eq!(reason, "SomeNotReady");
    assert_eq!(message, "pod billing-0 is not ready; see kubectl describe pod");

    namespace.set_pod_ready("billing-0", true).await?;
    assert_eq!(candidates_ready(&until_counts(&election, 1, 1).await?).0, "AllReady");
    namespace.create_pod("billing-1", "default", &LABEL).await?;
    until_counts(&election, 2, 1).await?;
    namespace.set_pod_ready("billing-1", true).await?;
    until_counts(&election, 2, 2).await?;
    namespace.set_pod_ready("billing-1", false).await?;
    assert_eq!(candidates_ready(&until_counts(&election, 2, 1).await?).0, "SomeNotReady");
    namespace.set_pod_ready("billing-1", true).await?;

    // Terminating pods may still hold the Lease, but they are no candidates any more.
    namespace.terminate_pod("billing-1").await?;
    until_counts(&election, 1, 1).await?;
    namespace.remove_pod("billing-1").await?;
    namespace.create_pod("billing-1", "default", &LABEL).await?;
    until_counts(&election, 2, 1).await?;

    for phase in ["Succeeded", "Failed"] {
        namespace.patch_pod_status("billing-1", json!({"phase": phase})).await?;
        until_counts(&election, 1, 1).await?;
        namespace.remove_pod("billing-1").await?;
        namespace.create_pod("billing-1", "default", &LABEL).await?;
        until_counts(&election, 2, 1).await?;
    }
    namespace.remove_pod("billing-1").await?;
    namespace.remove_pod("billing-0").await?;
    assert_eq!(candidates_ready(&until_counts(&election, 0, 0).await?).0, "NoPodsMatch");
    assert_eq!(counts(&election.get().await?), [Some(0), Some(0)]);
    assert_eq!(election.event_reasons().await?, Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn a_selector_of_ones_own_counts_in_place_of_the_label() {
    selected().await.unwrap();
}

async fn selected() -> Result<()> {
    let namespace = place("selector").await?;
    let expression = json!([{"key": "tier", "operator": "In", "values": ["gold", "silver"]}]);
    let spec = json!({"candidates": {"selector": {"matchLabels": {"app": "x"}, "matchExpressions": expression}}});
    let election = Election::create(&namespace, "billing", spec).await?;
    namespace.create_pod("labelled", "default", &LABEL).await?;
    namespace.create_pod("bronze", "default", &[("app", "x"), ("tier", "bronze")]).await?;
    namespace.create_pod("gold", "default", &[("app", "x"), ("tier", "gold")]).await?;
    let stored = until_counts(&election, 1, 0).await?;
    assert!(candidates_ready(&stored).1.contains("pod gold "));
    let selector = stored.status.and_then(|status| status.selector);
    assert_eq!(selector.as_deref(), Some("app=x,tier in (gold,silver)"));

    election.apply(short_timings()).await?;
    let stored = election.until_reason(ConditionType::CandidatesReady, Reason::SomeNotReady).await?;
    assert!(candidates_ready(&stored).1.contains("pod labelled "), "{stored:?}");
    Ok(())
}

#[tokio::test]
async fn a_pod_of_an_account_that_is_not_listed_is_named_with_the_mend() {
    unlisted().await.unwrap();
}

async fn unlisted() -> Result<()> {
    let namespace = place("account").await?;
    namespace.service_account("billing").await?;
    let election = Election::create(&namespace, "billing", short_timings()).await?;
    namespace.create_pod("billing-0", "default", &LABEL).await?;
    namespace.set_pod_ready("billing-0", true).await?;
    let wrong = namespace.create_pod("billing-1", "billing", &LABEL).await?;
    namespace.set_pod_ready("billing-1", true).await?;
    let stored = election.until_reason(ConditionType::CandidatesReady, Reason::ServiceAccountNotListed).await?;
    assert_eq!(
        candidates_ready(&stored).1,
        "pod billing-1 runs as service account billing, which may not contend; add it to \
         spec.candidates.serviceAccountNames"
    );

    // Its agent cannot lead, however long it tries; the mend that was named is one.
    let agent = Candidate::of_pod(&namespace, "billing", wrong, &AgentOptions::default()).await?;
    agent.process().start()?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(!agent.leads());
    assert_eq!(election.get().await?.status.and_then(|status| status.holder), None);
    let mut spec = short_timings();
    spec["candidates"] = json!({"serviceAccountNames": ["billing", "default"]});
    election.apply(spec).await?;
    election.until_reason(ConditionType::CandidatesReady, Reason::AllReady).await?;
    leader(&[agent], Duration::from_secs(10)).await?;
    election.until_held_by("billing-1").await?;
    Ok(())
}

#[tokio::test]
async fn candidates_that_are_ready_and_do_not_contend_are_told_of() {
    idle().await.unwrap();
}

async fn idle() -> Result<()> {
    let namespace = place("idle").await?;
    let election = Election::create(&namespace, "billing", short_timings()).await?;
    namespace.create_pod("billing-0", "default", &LABEL).await?;
    namespace.set_pod_ready("billing-0", true).await?;
    election.until_reason(ConditionType::CandidatesReady, Reason::AllReady).await?;
    // By time alone: twice the lease duration.
    let stored = election.until_reason(ConditionType::CandidatesReady, Reason::NoneContends).await?;
    assert_eq!(
        candidates_ready(&stored).1,
        "pod billing-0 runs and the Lease is free, but nobody takes it; it has no container leader-elector: if it was \
         made before the chart, or while injection was off, restart its workload"
    );
    Ok(())
}

#[tokio::test]
async fn pods_that_were_there_before_their_election_and_have_no_agent_are_told_of() {
    bare().await.unwrap();
}

/// Whoever may have led them before is waited for first.
async fn bare() -> Result<()> {
    let namespace = place("bare").await?;
    namespace.create_pod("billing-0", "default", &LABEL).await?;
    namespace.set_pod_ready("billing-0", true).await?;
    // Times of creation have whole seconds.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let election = Election::create(&namespace, "billing", short_timings()).await?;
    election.until_reason(ConditionType::LeaderElected, Reason::WaitingOutUnknownHolder).await?;
    election.until_reason(ConditionType::LeaderElected, Reason::LeaseExpired).await?;
    let stored = election.until_reason(ConditionType::CandidatesReady, Reason::NoneContends).await?;
    assert!(candidates_ready(&stored).1.contains("it has no container leader-elector"), "{stored:?}");
    Ok(())
}
