//! An agent that hangs, both processes of it, is started anew: by kubelet, for the liveness probe that is shipped; and where its
//! pod ends instead, nobody waits for a lease to run out.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use serde_json::json;

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

/// From kubelet's report that nothing of the pod lives to the next leader's file (rule O1).
const TAKEOVER: Duration = Duration::from_secs(2);

#[tokio::test]
async fn the_lease_of_a_pod_that_ends_while_its_agent_hangs_is_free_once_kubelet_has_said_so() {
    proven_dead().await.unwrap();
}

async fn proven_dead() -> Result<()> {
    let timings = json!({"leaseDurationSeconds": 60, "renewDeadlineSeconds": 40, "retryPeriodSeconds": 2});
    let billing = Billing::deployed_with("proven-dead", Setup { timings, ..Setup::of(App::Injected) }).await?;
    let leader = billing.leader().await?;
    billing.until_acting(&leader).await?;
    billing.election.until_held_by(&leader.name_any()).await?;
    // Nobody is left to remove the file: it goes with the pod's volume, and who reads it has gone before.
    billing.witness.set_dead(billing.watch(&leader), true);
    for process in billing.processes(&leader, App::Injected.agent())? {
        stop(process)?;
    }
    let begun = Instant::now();
    billing.kubectl(&["delete", "pod", &leader.name_any(), "--grace-period=1", "--wait=false"], "").await?;
    let has_ended = async || {
        let pod = billing.namespace.api::<Pod>().get_opt(&leader.name_any()).await?;
        let phase = pod.and_then(|pod| pod.status?.phase);
        Ok(!matches!(phase.as_deref(), Some("Running")))
    };
    billing.until("kubelet says that it has ended", has_ended).await?;
    let reported = Instant::now();
    let next = billing.next_leader(&leader).await?;
    let took = billing.sighting(&next, begun, true).await?.at.saturating_duration_since(reported);
    println!("proven-dead: reported {:?} after its deletion began, another led {took:?} later", reported - begun);
    ensure!(took <= TAKEOVER, "{took:?}");
    let history = billing.election.until_held_by(&next.name_any()).await?.status.unwrap_or_default().history;
    ensure!(history.iter().any(|past| past.reason.as_deref() == Some("PodTerminated")), "{history:?}");
    billing.until_acting(&next).await?;
    billing.end().await.map(drop)
}
