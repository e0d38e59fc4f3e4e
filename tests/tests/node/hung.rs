//! An agent that hangs, both processes of it, is started anew: by kubelet, for the liveness probe that is shipped.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use kube::ResourceExt as _;

use crate::billing::{Billing, Setup};
use crate::manifest::App;
use crate::processes::stop;

/// For so long the last turn of its loop vouches for it; then three probes, the last of which may take ten seconds; then
/// what a container gets to end, as one that is stopped takes no notice of SIGTERM. And some for kubelet.
const AT_MOST: Duration = Duration::from_secs(30 + 3 * 30 + 10 + 30 + 10);

#[tokio::test]
async fn a_standby_that_hangs_is_started_anew_and_contends() {
    hung("hung-standby", App::Injected, false).await.unwrap();
}

#[tokio::test]
async fn a_leader_that_hangs_is_taken_over_from_and_started_anew_and_contends() {
    hung("hung-leader", App::Check, true).await.unwrap();
}

async fn hung(prefix: &str, app: App, of_leader: bool) -> Result<()> {
    let billing = Billing::deployed_with(prefix, Setup { replicas: 2, ..Setup::of(app) }).await?;
    let leader = billing.leader().await?;
    billing.until_acting(&leader).await?;
    let standby = billing.pods().await?.into_iter().find(|pod| pod.uid() != leader.uid()).context("two pods")?;
    let (hung, other) = if of_leader { (leader, standby) } else { (standby, leader) };
    // Of the leader nobody is left to remove the file: the kernel ends the one process, and the other does not run.
    billing.witness.set_dead(billing.watch(&hung), of_leader);
    let processes = billing.processes(&hung, app.agent())?;
    ensure!(processes.len() == 2, "{processes:?}");
    let begun = Instant::now();
    for process in processes {
        stop(process)?;
    }
    if of_leader {
        ensure!(billing.next_leader(&hung).await?.uid() == other.uid());
        println!("{prefix}: another led {:?} after the stop", begun.elapsed());
        billing.until_acting(&other).await?;
        ensure!(billing.status_file(&hung).exists() && billing.leads(&hung).ok() == Some(false));
    }
    let anew = async || Ok(billing.restarts(&hung).await? == 1);
    billing.until_within(AT_MOST, "kubelet starts it anew", anew).await?;
    println!("{prefix}: it was started anew {:?} after the stop", begun.elapsed());
    let ended = billing.last_end(&hung, app.agent()).await?.context("it ended")?;
    ensure!(ended.exit_code == 128 + 9, "{ended:?}");
    billing.until("no stale file", async || Ok(!billing.status_file(&hung).exists())).await?;
    billing.witness.set_dead(billing.watch(&hung), false);
    // The other one has not been disturbed.
    let seen = billing.sightings(&other, begun);
    ensure!(seen.len() == usize::from(of_leader) && billing.restarts(&other).await? == 0, "{seen:?}");

    billing.delete(&other).await?;
    ensure!(billing.next_leader(&other).await?.uid() == hung.uid(), "it contends");
    billing.until_acting(&hung).await?;
    billing.until_there().await?;
    let acts = billing.end().await?;
    println!("{prefix}: between the acts of two tenures: {:?}", acts.pauses());
    ensure!(acts.runs().len() == 2 + usize::from(of_leader));
    Ok(())
}
