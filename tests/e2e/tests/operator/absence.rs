//! The operator gone, restarted, or replaced: elections go on, and what is said afterwards is right and said once.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use elector_crds::conditions::{ConditionType, Reason, find};
use elector_harness::candidate::{AgentOptions, Candidate, leader};
use elector_harness::controlplane::{ControlPlane, Entry, Namespace, Options};
use elector_harness::operators::{Election, Operators, short_timings};
use serde_json::json;
use tokio::time::sleep;

async fn candidates(namespace: &Namespace<'_>, pods: &[&str]) -> Result<Vec<Candidate>> {
    let mut candidates = Vec::new();
    for pod in pods {
        candidates.push(Candidate::start(namespace, "billing", pod, &AgentOptions::default()).await?);
        namespace.set_pod_ready(pod, true).await?;
    }
    Ok(candidates)
}

fn one<'a>(candidates: &'a [Candidate], name: &str) -> &'a Candidate {
    candidates.iter().find(|candidate| candidate.name() == name).expect("it is one of them")
}

/// Writes of all replicas in a namespace that were carried out: not those that the API server refused.
fn writes(operators: &Operators<'_>, namespace: &Namespace<'_>) -> Result<Vec<Entry>> {
    operators.requests(|entry| {
        entry.namespace == namespace.name() && entry.is_write() && entry.code.is_some_and(|code| code < 300)
    })
}

fn events_made(writes: &[Entry]) -> usize {
    writes.iter().filter(|entry| entry.resource == "events").count()
}

#[tokio::test]
async fn both_down_for_a_minute_elections_hand_over_and_the_status_is_right_afterwards() {
    both_down().await.unwrap();
}

async fn both_down() -> Result<()> {
    let plane = ControlPlane::start(Options::default()).await?;
    let operators = Operators::install(&plane).await?;
    let replicas = [operators.leader("one").await?, operators.replica("two").await?];
    replicas[1].process().start()?;
    replicas[1].until_ready().await?;
    let namespace = plane.namespace("both-down").await?;
    let election = Election::create(&namespace, "billing", short_timings()).await?;
    election.until_reason(ConditionType::Ready, Reason::Reconciled).await?;
    let candidates = candidates(&namespace, &["billing-0", "billing-1", "billing-2"]).await?;
    let first = leader(&candidates, Duration::from_secs(5)).await?.name();
    election.until_held_by(first).await?;
    election.until_reason(ConditionType::CandidatesReady, Reason::AllReady).await?;

    for replica in &replicas {
        replica.process().kill();
    }
    let down = Instant::now();
    let written = writes(&operators, &namespace)?.len();
    let stale = election.get().await?;
    // Applied while nobody is there to watch it being made.
    let late = Election::create(&namespace, "late", short_timings()).await?;

    one(&candidates, first).process().stop().await?;
    let second = leader(&candidates, Duration::from_secs(1)).await?;
    second.process().kill();
    std::fs::remove_file(second.status_file())?;
    let third = leader(&candidates, Duration::from_secs(7)).await?;
    one(&candidates, first).process().start()?;
    second.process().start()?;
    while down.elapsed() < Duration::from_secs(60) {
        assert_eq!(leader(&candidates, Duration::ZERO).await?.name(), third.name());
        sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(election.get().await?, stale);

    for replica in &replicas {
        replica.process().start()?;
    }
    let stored = election.until_held_by(third.name()).await?;
    assert_eq!(stored.status.and_then(|status| status.lease_transitions), Some(3));
    assert_eq!(election.event_reasons().await?, ["LeaderElected", "LeaderLost", "LeaderElected"]);
    // Status and two events: what happened in between nobody saw.
    let made = writes(&operators, &namespace)?;
    let made: Vec<&Entry> = made[written..].iter().filter(|entry| entry.name != "late").collect();
    let made = made.iter().filter(|entry| entry.name == "billing" || entry.resource == "events");
    assert_eq!(made.count(), 3);

    late.until_reason(ConditionType::Ready, Reason::Reconciled).await?;
    assert_eq!(late.lease().await?.spec["holderIdentity"], "unknown");
    assert_eq!(leader(&candidates, Duration::ZERO).await?.name(), third.name());
    Ok(())
}

#[tokio::test]
async fn kill_9_of_the_active_operator_in_a_change_of_leaders_loses_nothing_and_repeats_nothing() {
    killed().await.unwrap();
}

async fn killed() -> Result<()> {
    let plane = ControlPlane::start(Options::default()).await?;
    let operators = Operators::install(&plane).await?;
    let replicas = [operators.leader("one").await?, operators.replica("two").await?];
    replicas[1].process().start()?;
    let namespace = plane.namespace("killed").await?;
    let election = Election::create(&namespace, "billing", short_timings()).await?;
    election.until_reason(ConditionType::Ready, Reason::Reconciled).await?;
    let candidates = candidates(&namespace, &["billing-0", "billing-1"]).await?;
    election.until_reason(ConditionType::CandidatesReady, Reason::AllReady).await?;

    let mut expected = vec!["LeaderElected"];
    // Before, in the middle of, and after what it writes about the change.
    for (round, after) in [0, 15, 30].into_iter().enumerate() {
        let old = leader(&candidates, Duration::from_secs(5)).await?;
        election.until_held_by(old.name()).await?;
        let (active, standby) = if replicas[0].leads().await? { (0, 1) } else { (1, 0) };
        replicas[standby].until_ready().await?;

        old.process().terminate()?;
        sleep(Duration::from_millis(after)).await;
        replicas[active].process().kill();
        let killed = Instant::now();
        old.process().ended().await?;
        let next = leader(&candidates, Duration::from_secs(1)).await?;
        let stored = election.until_held_by(next.name()).await?;
        // It may have been told before the kill; else the standby waits for the lease of the dead one.
        ensure!(killed.elapsed() < Duration::from_millis(6500), "{:?}", killed.elapsed());
        let transitions = i64::try_from(round)? + 2;
        assert_eq!(stored.status.and_then(|status| status.lease_transitions), Some(transitions));
        replicas[standby].until_leading().await?;

        // A replica that has just come to lead looks at everything once.
        sleep(Duration::from_millis(500)).await;
        expected.extend(["LeaderLost", "LeaderElected"]);
        assert_eq!(election.event_reasons().await?, expected);
        old.process().start()?;
        replicas[active].process().start()?;
    }
    let writes = writes(&operators, &namespace)?;
    // A request whose client was killed may be stored, and not be in the log as one that was answered.
    let made = events_made(&writes);
    assert!((expected.len() - 3..=expected.len()).contains(&made), "{made}");
    let of = |resource: &str| writes.iter().filter(|entry| entry.resource == resource).count();
    assert_eq!([of("leases"), of("roles"), of("rolebindings")], [2, 1, 1]);
    Ok(())
}

#[tokio::test]
async fn a_restart_writes_nothing_and_calls_nobody_expired_before_it_has_watched_for_the_whole_duration() {
    restarted().await.unwrap();
}

async fn restarted() -> Result<()> {
    let plane = ControlPlane::start(Options::default()).await?;
    let operators = Operators::install(&plane).await?;
    let operator = operators.leader("one").await?;
    let namespace = plane.namespace("restarted").await?;
    let election = Election::create(&namespace, "billing", short_timings()).await?;
    election.until_reason(ConditionType::Ready, Reason::Reconciled).await?;
    let candidates = candidates(&namespace, &["billing-0"]).await?;
    election.until_held_by("billing-0").await?;
    let before = election.until_reason(ConditionType::CandidatesReady, Reason::AllReady).await?;
    let written = writes(&operators, &namespace)?.len();

    // While the leader lives.
    operator.process().stop().await?;
    operator.process().start()?;
    operator.until_ready().await?;
    operator.until_leading().await?;
    sleep(Duration::from_secs(6)).await;
    assert_eq!(election.get().await?, before);
    assert_eq!(writes(&operators, &namespace)?.len(), written);

    // The leader dies in its absence, and its lease is long over when it comes back. Only it cannot know that.
    operator.process().stop().await?;
    candidates[0].process().kill();
    sleep(Duration::from_secs(6)).await;
    operator.process().start()?;
    let back = Instant::now();
    operator.until_ready().await?;
    operator.until_leading().await?;
    let expired = election.until("expired", |election| {
        let conditions = election.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
        find(conditions, ConditionType::LeaderElected).is_some_and(|elected| elected.status == "False")
    });
    let expired = json!(expired.await?.status);
    assert_eq!(expired["conditions"][1]["reason"], "LeaseExpired");
    assert_eq!(expired["holder"], json!(null));
    let took = back.elapsed().as_millis();
    assert!((5000..7500).contains(&took), "{took} ms");
    assert_eq!(election.event_reasons().await?, ["LeaderElected", "LeaseExpired"]);

    // And what was said of it stays so, whoever says it.
    let written = writes(&operators, &namespace)?.len();
    operator.process().stop().await?;
    operator.process().start()?;
    operator.until_ready().await?;
    operator.until_leading().await?;
    sleep(Duration::from_secs(6)).await;
    assert_eq!(writes(&operators, &namespace)?.len(), written);
    Ok(())
}
