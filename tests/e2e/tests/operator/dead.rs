//! A holder whose kubelet has reported that all of its pod has ended (rule O1).

use std::time::{Duration, Instant};

use anyhow::Result;
use elector_harness::candidate::{Candidate, leader};
use elector_harness::figures::{figure, rounds};
use elector_harness::operators::contended;
use rustix::process::{Signal, kill_process};
use serde_json::{Value, json};

/// From kubelet's report to the next leader's file.
const TAKEOVER: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(20);

/// What a kubelet says in the end.
fn all_ended() -> Value {
    let ended = json!({"terminated": {"exitCode": 137, "finishedAt": "2026-11-27T10:00:00Z", "reason": "Error"}});
    let app = json!({
        "name": "app", "state": ended, "image": "none", "imageID": "none", "ready": false, "restartCount": 0,
    });
    json!({"phase": "Failed", "conditions": [{"type": "Ready", "status": "False", "reason": "PodFailed"}], "containerStatuses": [app]})
}

/// Both processes at once, as the kernel ends a container: neither sees the other's end.
fn kill(candidate: &Candidate) -> Result<()> {
    let processes = [candidate.supervisor()?, candidate.electing()?];
    for signal in [Signal::STOP, Signal::KILL] {
        for id in processes {
            kill_process(id, signal)?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_lease_whose_holder_is_proven_dead_is_free_at_once() {
    let mut took = Vec::new();
    for _ in 0..rounds(1) {
        let (namespace, election, mut candidates) = contended("dead").await.unwrap();
        kill(&candidates[0]).unwrap();
        let reported = Instant::now();
        namespace.patch_pod_status("billing-0", all_ended()).await.unwrap();
        // Kubelet deletes a pod that is to go as soon as it has said so.
        namespace.remove_pod("billing-0").await.unwrap();
        candidates.remove(0);
        let next = leader(&candidates, PATIENCE).await.unwrap().name().to_owned();
        took.push(reported.elapsed());
        let stored = election.until_held_by(&next).await.unwrap();
        let history = stored.status.unwrap().history;
        assert_eq!(history[1].reason.as_deref(), Some("PodTerminated"), "{history:?}");
    }
    figure("kubelet's report of a dead pod, until another led", &took, TAKEOVER);
}

/// Each of these may be said of a pod that lives.
#[tokio::test]
async fn nothing_less_frees_it() {
    let (namespace, _, mut candidates) = contended("not-dead").await.unwrap();
    let mut without_finish = all_ended();
    without_finish["containerStatuses"][0]["state"] = json!({"terminated": {"exitCode": 137}});
    let mut running = all_ended();
    running["phase"] = json!("Running");
    let mut lost = all_ended();
    lost["containerStatuses"][0]["state"]["terminated"]["exitCode"] = json!(255);
    let mut written = all_ended();
    written["conditions"][0]["reason"] = json!("ContainersNotReady");
    let mut collected = all_ended();
    collected["conditions"] = json!([{"type": "DisruptionTarget", "status": "True", "reason": "DeletionByPodGC"}]);
    kill(&candidates[0]).unwrap();
    let killed = Instant::now();
    candidates.remove(0);
    for said in [json!({"phase": "Failed"}), without_finish, running, lost, written, collected] {
        namespace.patch_pod_status("billing-0", said).await.unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    namespace.remove_pod("billing-0").await.unwrap();
    leader(&candidates, PATIENCE).await.unwrap();
    // It had renewed less than a retry period before, and the lease lasts 5 s.
    assert!(killed.elapsed() > Duration::from_millis(3_500), "{:?}", killed.elapsed());
}
