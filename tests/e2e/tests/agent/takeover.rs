//! Who leads next when a leader goes, without an operator: agents alone, on a real API server.

use std::time::{Duration, Instant};

use anyhow::Result;
use elector_harness::candidate::{AgentOptions, Candidate, leader};
use elector_harness::controlplane::{ControlPlane, Namespace};

const ALL: &[&str] = &["create", "get", "list", "watch", "update"];

async fn three<'a>(namespace: &Namespace<'a>) -> Result<Vec<Candidate>> {
    namespace.allow_leases(ALL).await?;
    let options = AgentOptions::default().with_timings([5, 3, 1]);
    let mut candidates = Vec::new();
    for pod in ["a-0", "a-1", "a-2"] {
        candidates.push(Candidate::start(namespace, "a", pod, &options).await?);
    }
    Ok(candidates)
}

fn others(mut candidates: Vec<Candidate>, name: &str) -> (Candidate, Vec<Candidate>) {
    let index = candidates.iter().position(|candidate| candidate.name() == name).expect("it is one of them");
    let gone = candidates.swap_remove(index);
    (gone, candidates)
}

#[tokio::test]
async fn sigterm_hands_over_at_once_and_exits_with_0() {
    let namespace = ControlPlane::shared().await.unwrap().namespace("sigterm").await.unwrap();
    let candidates = three(&namespace).await.unwrap();
    let first = leader(&candidates, Duration::from_secs(20)).await.unwrap().name().to_owned();
    let (old, rest) = others(candidates, &first);
    assert_eq!(std::fs::read_to_string(old.status_file()).unwrap().trim(), hostname());
    let told = Instant::now();
    old.process().stop().await.unwrap();
    let next = leader(&rest, Duration::from_secs(2)).await.unwrap();
    assert!(told.elapsed() < Duration::from_secs(1), "{:?}", told.elapsed());
    assert!(!old.leads());
    assert_ne!(next.name(), old.name());
    assert_eq!(old.process().exited().unwrap().and_then(|status| status.code()), Some(0), "{}", old.log());
}

#[tokio::test]
async fn sigkill_is_taken_over_after_the_lease_duration_and_not_before() {
    let namespace = ControlPlane::shared().await.unwrap().namespace("sigkill").await.unwrap();
    let candidates = three(&namespace).await.unwrap();
    let first = leader(&candidates, Duration::from_secs(20)).await.unwrap().name().to_owned();
    let (old, rest) = others(candidates, &first);
    old.process().kill();
    let killed = Instant::now();
    leader(&rest, Duration::from_secs(8)).await.unwrap();
    // The last renewal was at most a retry period ago.
    assert!(killed.elapsed() >= Duration::from_secs(4), "{:?}", killed.elapsed());
    assert!(killed.elapsed() < Duration::from_millis(5800), "{:?}", killed.elapsed());
}

#[tokio::test]
async fn a_restarted_leader_removes_its_file_and_leads_again_at_once_as_a_new_tenure() {
    let namespace = ControlPlane::shared().await.unwrap().namespace("restart").await.unwrap();
    let candidates = three(&namespace).await.unwrap();
    let first = leader(&candidates, Duration::from_secs(20)).await.unwrap().name().to_owned();
    let (old, rest) = others(candidates, &first);
    let before = old.leads_since().unwrap();
    old.process().kill();
    assert!(old.leads(), "nothing removes the file of an agent that was killed");
    old.process().start().unwrap();
    let restarted = Instant::now();
    let own = [old];
    while own[0].leads_since().map_or(true, |since| since == before) {
        assert!(restarted.elapsed() < Duration::from_secs(2), "{}", own[0].log());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(rest.iter().all(|candidate| !candidate.leads()));
}

fn hostname() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").expect("Linux has it").trim().to_owned()
}
