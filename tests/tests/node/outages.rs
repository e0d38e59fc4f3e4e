//! What pods depend on is stopped, and comes back or does not: on stages of their own.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use elector_tests::kubectl::kubectl;
use kube::ResourceExt as _;
use serde_json::json;
use tokio::time::sleep;

use crate::billing::{Billing, acting, both, names};
use crate::stage::Stage;

/// The renew deadline of the default timings.
const RENEW_DEADLINE: Duration = Duration::from_secs(10);

#[tokio::test]
async fn leaders_ride_out_an_api_server_that_hangs_for_five_seconds_and_none_outlasts_thirty() {
    let stage = Stage::set(1).await.unwrap();
    let defaults = json!({"leaseDurationSeconds": 15, "renewDeadlineSeconds": 10, "retryPeriodSeconds": 2});
    let elections = both(&stage, |setup| setup.timings = defaults.clone()).await.unwrap();

    let leaders = acting(&elections).await.unwrap();
    let begun = Instant::now();
    stage.plane.api_server().pause().unwrap();
    sleep(Duration::from_secs(5)).await;
    stage.plane.api_server().resume().unwrap();
    assert_eq!(names(&acting(&elections).await.unwrap()), names(&leaders));
    for (billing, leader) in elections.iter().zip(&leaders) {
        assert_eq!(billing.sightings(leader, begun), []);
    }

    // It is gone, and back before the leader's time is over or after: either will do.
    changes_while_away(&stage, &elections, Duration::from_secs(9)).await.unwrap();
    let changes = changes_while_away(&stage, &elections, Duration::from_secs(30)).await.unwrap();
    assert!(changes.iter().all(|changes| *changes >= 2), "{changes:?}");
    for billing in elections {
        billing.until_there().await.unwrap();
        billing.end().await.unwrap();
    }
}

/// Kills the API server for so long; how often files came and went until all apps act again. What goes does so in time.
async fn changes_while_away(stage: &Stage, elections: &[Billing<'_>], time: Duration) -> Result<Vec<usize>> {
    /// What it takes to start, about.
    const START: Duration = Duration::from_millis(2500);
    acting(elections).await?;
    let begun = Instant::now();
    stage.plane.api_server().kill();
    sleep(time.saturating_sub(START)).await;
    stage.plane.api_server().start()?;
    stage.plane.ready().await?;
    println!("the API server was away for {:?}", begun.elapsed());
    let back = Instant::now();
    acting(elections).await?;
    println!("all apps act {:?} later", back.elapsed());
    let mut changes = Vec::new();
    for billing in elections {
        let seen = billing.witness.sightings(begun);
        println!("{}: files went or came {} times", billing.name(), seen.len());
        if let Some(first) = seen.first() {
            println!("{}: the file went {:?} after the API server", billing.name(), first.at - begun);
            ensure!(!first.there && first.at - begun <= RENEW_DEADLINE, "{seen:?}");
        }
        changes.push(seen.len());
    }
    Ok(changes)
}

#[tokio::test]
async fn a_node_may_lose_its_kubelet_and_its_containerd_and_be_drained_and_die() {
    let stage = Stage::set(2).await.unwrap();
    let elections = both(&stage, |setup| setup.replicas = 4).await.unwrap();

    let leaders = acting(&elections).await.unwrap();
    let begun = Instant::now();
    for node in &stage.nodes {
        node.containerd().kill();
    }
    sleep(Duration::from_secs(2)).await;
    for node in &stage.nodes {
        node.restart_containerd().await.unwrap();
        node.kubelet().kill();
    }
    // Longer than a lease lasts.
    sleep(Duration::from_secs(7)).await;
    for node in &stage.nodes {
        node.kubelet().start().unwrap();
    }
    assert_eq!(names(&acting(&elections).await.unwrap()), names(&leaders));
    for (billing, leader) in elections.iter().zip(&leaders) {
        assert_eq!(billing.sightings(leader, begun), []);
        billing.until_there().await.unwrap();
        assert_eq!(billing.restarts(leader).await.unwrap(), 0);
    }

    let drained = stage.node(&leaders[0]).name();
    drain(&stage, drained).await.unwrap();
    let leaders = acting(&elections).await.unwrap();
    assert!(leaders.iter().all(|leader| stage.node(leader).name() != drained), "{:?}", names(&leaders));

    // Both leaders are on the other one now. So that somebody is left when that dies, others get pods on the first.
    for (billing, leader) in elections.iter().zip(&leaders) {
        let standbys = billing.pods().await.unwrap().into_iter().filter(|pod| pod.uid() != leader.uid());
        for standby in standbys.take(2) {
            billing.delete(&standby).await.unwrap();
        }
        billing.until_there().await.unwrap();
        let nodes: Vec<_> = billing.pods().await.unwrap().iter().map(|pod| stage.node(pod).name()).collect();
        assert!(nodes.contains(&drained), "{nodes:?}");
    }
    let leaders = acting(&elections).await.unwrap();
    let begun = Instant::now();
    stage.node(&leaders[0]).machine().kill();
    for (billing, leader) in elections.iter().zip(&leaders) {
        let next = billing.next_leader(leader).await.unwrap();
        let came = billing.sighting(&next, begun, true).await.unwrap();
        println!("{}: another led {:?} after the death of the node", billing.name(), came.at - begun);
        billing.until_acting(&next).await.unwrap();
        assert_eq!(stage.node(&next).name(), drained);
    }
    for billing in elections {
        billing.end().await.unwrap();
    }
}

/// As an administrator does before maintenance; pods may come back at once.
async fn drain(stage: &Stage, node: &str) -> Result<()> {
    let kubeconfig = stage.plane.kubeconfig();
    let begun = Instant::now();
    // The status files are in a memory volume, which kubectl takes for data that somebody may want to keep.
    kubectl(&kubeconfig, &["drain", node, "--delete-emptydir-data", "--timeout=50s"], "").await?;
    println!("drained in {:?}", begun.elapsed());
    kubectl(&kubeconfig, &["uncordon", node], "").await.map(drop)
}
