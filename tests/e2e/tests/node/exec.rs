//! An app in its own container, run by the agent's program that an init container has left there.

use std::time::{Duration, Instant};

use kube::ResourceExt as _;

use crate::billing::{Billing, Setup};
use crate::deployment::rolled;
use crate::manifest::{App, asked_by_kubelet};
use crate::processes::lives;
use elector_harness::figures::{figure, rounds};

/// As a shell says it: by SIGKILL.
const KILLED: i32 = 128 + 9;
/// From the last act of one command to the first of the next.
const PAUSE: Duration = Duration::from_secs(3);

#[tokio::test]
async fn a_deleted_leader_hands_over_when_its_command_has_ended() {
    let billing = Billing::deployed("exec-deletion", App::Exec).await.unwrap();
    let mut leaderless = Vec::new();
    for _ in 0..rounds(3) {
        let leader = billing.leader().await.unwrap();
        billing.until_acting(&leader).await.unwrap();
        let begun = Instant::now();
        billing.delete(&leader).await.unwrap();
        let next = billing.next_leader(&leader).await.unwrap();
        let gone = billing.sighting(&leader, begun, false).await.unwrap();
        let came = billing.sighting(&next, begun, true).await.unwrap();
        println!(
            "the file went {:?} after the deletion, and the next came {:?} later",
            gone.at - begun,
            came.at - gone.at
        );
        leaderless.push(came.at - gone.at);
        billing.until_acting(&next).await.unwrap();
        billing.until_there().await.unwrap();
    }
    let acts = billing.end().await.unwrap();
    println!("between the acts of two commands: {:?}", acts.pauses());
    assert_eq!(acts.runs().len(), rounds(3) + 1);
    figure("exec, from file to file", &leaderless, Duration::from_secs(1));
}

#[tokio::test]
async fn the_command_dies_with_either_process_and_runs_again() {
    let billing = Billing::deployed("exec-killed", App::Exec).await.unwrap();
    let leader = billing.leader().await.unwrap();
    billing.until_acting(&leader).await.unwrap();
    let processes = billing.processes(&leader, "app").unwrap();
    assert!(processes.len() >= 3, "{processes:?}");
    let begun = billing.kill_electing(&leader).await.unwrap();
    // All but the supervisor.
    billing.until("they end", async || Ok(processes[1..].iter().all(|id| !lives(*id)))).await.unwrap();
    println!("all that it had started was gone {:?} after the kill", begun.elapsed());
    assert!(lives(processes[0]));
    let again = billing.leader().await.unwrap();
    assert_eq!((again.uid(), billing.restarts(&again).await.unwrap()), (leader.uid(), 0));
    billing.until_acting(&leader).await.unwrap();

    let processes = billing.processes(&leader, "app").unwrap();
    billing.witness.set_dead(billing.watch(&leader), true);
    let begun = billing.kill_supervisor(&leader).await.unwrap();
    billing.until("they end", async || Ok(processes.iter().all(|id| !lives(*id)))).await.unwrap();
    billing.until("its container is back", async || Ok(billing.restarts(&leader).await? == 1)).await.unwrap();
    let ended = billing.last_end(&leader, "app").await.unwrap().unwrap();
    assert_eq!(ended.exit_code, KILLED, "{}", billing.log(&leader));
    let next = billing.leader().await.unwrap();
    println!("{} led {:?} after the kill", if next.uid() == leader.uid() { "it" } else { "another" }, begun.elapsed());
    billing
        .until(
            "its old file is gone",
            async || Ok(next.uid() == leader.uid() || !billing.status_file(&leader).exists()),
        )
        .await
        .unwrap();
    billing.witness.set_dead(billing.watch(&leader), false);
    billing.until_acting(&next).await.unwrap();
    billing.until_there().await.unwrap();
    let acts = billing.end().await.unwrap();
    println!("between the acts of two tenures: {:?}", acts.pauses());
    assert_eq!(acts.runs().len(), 3);
}

#[tokio::test]
async fn a_rolling_update_of_ten_costs_two_seconds_without_a_command_at_most() {
    let mut leaderless = Vec::new();
    for _ in 0..rounds(1) {
        // Kubelet asks the agents: of the commands only the leader's runs, and a probe of theirs would never let this end.
        let ten = Setup { replicas: 10, edit: asked_by_kubelet, ..Setup::of(App::Exec) };
        leaderless.push(rolled("exec-rolling-ten", ten, PAUSE).await.unwrap());
    }
    figure("rolling update of ten commands, without a file in all", &leaderless, Duration::from_secs(2));
}
