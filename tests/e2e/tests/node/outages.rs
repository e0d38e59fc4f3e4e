//! What pods depend on is stopped, and comes back or does not: on stages of their own.

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use elector_harness::acts;
use elector_harness::kubectl::kubectl;
use kube::ResourceExt as _;
use serde_json::json;
use tokio::time::sleep;

use crate::billing::{Billing, acting, both, names};
use crate::stage::Stage;

/// The renew deadline of the default timings.
const RENEW_DEADLINE: Duration = Duration::from_secs(10);
/// What is allowed to an app that has looked at the file before it went.
const LAST_ACTS: Duration = Duration::from_secs(1);
/// Until another leads where the leader is dead: the shorter lease duration, and what it takes to see that it is over.
const TAKEOVER: Duration = Duration::from_secs(7);

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
    let away = begun.elapsed();
    assert!((5..=6).contains(&away.as_secs()), "the API server hung for {away:?}");
    assert_eq!(names(&acting(&elections).await.unwrap()), names(&leaders));
    for (billing, leader) in elections.iter().zip(&leaders) {
        assert_eq!(billing.sightings(leader, begun), []);
    }

    // It is gone, and back before the leader's time is over or after: either will do.
    stage.plane.api_server().kill();
    let takes = started(&stage).await.unwrap();
    let [seven, fourteen, thirty, forty] = [7, 14, 30, 40].map(Duration::from_secs);
    changes_while_away(&stage, &elections, seven..=fourteen, takes).await.unwrap();
    let changes = changes_while_away(&stage, &elections, thirty..=forty, takes).await.unwrap();
    assert!(changes.iter().all(|changes| *changes >= 2), "{changes:?}");
    for billing in elections {
        billing.until_there().await.unwrap();
        billing.end().await.unwrap();
    }
}

/// Kills the API server for so long; how often files came and went until all apps act again. What goes does so in time,
/// and nobody acts, or has a file, from then until it is back.
async fn changes_while_away(
    stage: &Stage,
    elections: &[Billing<'_>],
    time: RangeInclusive<Duration>,
    start_takes: Duration,
) -> Result<Vec<usize>> {
    /// It may start sooner than last time.
    const SPARE: Duration = Duration::from_secs(4);
    acting(elections).await?;
    let (begun, gone) = (Instant::now(), acts::now()?);
    stage.plane.api_server().kill();
    sleep((*time.start() + SPARE).saturating_sub(start_takes)).await;
    // Whoever leads from now on may have been granted that.
    let (starts, leaderless) = (Instant::now(), gone + RENEW_DEADLINE + LAST_ACTS..acts::now()?);
    let start_took = started(stage).await?;
    let (back, away) = (Instant::now(), begun.elapsed());
    println!("the API server was away for {away:?}, of which it took {start_took:?} to start");
    ensure!(time.contains(&away), "it was to be away for {time:?}, and was for {away:?}: this machine is busy");
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
        ensure!(!seen.iter().any(|sighting| sighting.there && sighting.at < starts), "{seen:?}");
        let acts = billing.acts()?.within(&leaderless).runs();
        ensure!(acts.is_empty(), "{}: they act without an API server: {acts:?}", billing.name());
        changes.push(seen.len());
    }
    Ok(changes)
}

/// Starts the API server; how long that took, of which a machine that is busy takes more.
async fn started(stage: &Stage) -> Result<Duration> {
    let begun = Instant::now();
    stage.plane.api_server().start()?;
    stage.plane.ready().await?;
    Ok(begun.elapsed())
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
        assert!(came.at - begun <= TAKEOVER);
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
