//! Memory runs out: the app's, the agent's, and that of the container which is both.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use leader_elector::status::{Standing, check};
use tokio::time::sleep;

use crate::billing::Billing;
use crate::manifest::App;
use crate::processes::lives;
use elector_harness::figures::figure;

/// A file that nobody is left to remove stays until kubelet has started the container again, at once for the first time.
const STALE: Duration = Duration::from_secs(10);

#[tokio::test]
async fn an_app_that_runs_out_of_memory_is_started_again_and_its_pod_leads_on() {
    let billing = Billing::deployed("memory-app", App::Injected).await.unwrap();
    let leader = billing.leader().await.unwrap();
    billing.until_acting(&leader).await.unwrap();
    let begun = Instant::now();
    billing.exhaust_app(&leader).unwrap();
    until_killed(&billing, &leader, "app").await.unwrap();
    billing.until_acting(&leader).await.unwrap();
    println!("the app acted again {:?} after it was asked to take all memory", begun.elapsed());
    assert_eq!(billing.sightings(&leader, begun), []);
    assert_eq!(billing.restarts(&leader).await.unwrap(), 0);
    assert_eq!(billing.end().await.unwrap().runs().len(), 1);
}

#[tokio::test]
async fn a_command_that_runs_out_of_memory_ends_its_tenure() {
    let billing = Billing::deployed("memory-command", App::Exec).await.unwrap();
    let leader = billing.leader().await.unwrap();
    billing.until_acting(&leader).await.unwrap();
    let begun = Instant::now();
    billing.exhaust_app(&leader).unwrap();
    let gone = billing.sighting(&leader, begun, false).await.unwrap();
    let next = billing.leader().await.unwrap();
    println!("there was a leader again {:?} after the file went", gone.at.elapsed());
    billing.until_acting(&next).await.unwrap();
    // The agent has given the command's exit code on: by SIGKILL, as a shell says it.
    billing.until("its container is back", async || Ok(billing.restarts(&leader).await? == 1)).await.unwrap();
    let ended = billing.last_end(&leader, "app").await.unwrap().unwrap();
    assert_eq!(ended.exit_code, 137, "{ended:?}");
    billing.until_there().await.unwrap();
    assert_eq!(billing.end().await.unwrap().runs().len(), 2);
}

#[tokio::test]
async fn nobody_who_asks_check_believes_in_an_agent_that_ran_out_of_memory() {
    exhausted("memory-agent", App::Check).await.unwrap();
}

#[tokio::test]
async fn an_agent_that_runs_out_of_memory_takes_its_command_along() {
    exhausted("memory-exec", App::Exec).await.unwrap();
}

/// The kernel kills one process after the other in the agent's container, until none is left.
async fn exhausted(prefix: &str, app: App) -> Result<()> {
    let billing = Billing::deployed(prefix, app).await?;
    let leader = billing.leader().await?;
    billing.until_acting(&leader).await?;
    let before = token(&billing, &leader).context("it leads")?;
    let processes = billing.processes(&leader, app.agent())?;
    billing.witness.set_dead(billing.watch(&leader), true);
    let hog = billing.exhaust_agent(&leader).await?;
    let (mut wrong, mut dead) = (Duration::ZERO, None);
    billing
        .until("its processes are dead", async || {
            // In this order: what check finds then is about a container without processes.
            let over = !processes.iter().any(|id| lives(*id));
            let leads = token(&billing, &leader) == Some(before);
            if over {
                let dead = dead.get_or_insert_with(Instant::now);
                wrong = if leads { dead.elapsed() } else { wrong };
            }
            Ok(over && !leads)
        })
        .await?;
    drop(hog);
    let dead = dead.context("they died")?;
    let stale = billing.status_file(&leader).exists();
    println!("check was wrong for {wrong:?}; the file was {} then", if stale { "still there" } else { "gone" });
    assert_eq!(wrong, Duration::ZERO);
    while billing.status_file(&leader).exists() && token(&billing, &leader).is_none() {
        sleep(Duration::from_millis(1)).await;
    }
    figure(&format!("{prefix}: stale file after the agent's death"), &[dead.elapsed()], STALE);
    until_killed(&billing, &leader, app.agent()).await?;
    let next = billing.leader().await?;
    billing.witness.set_dead(billing.watch(&leader), false);
    billing.until_acting(&next).await?;
    assert!(token(&billing, &next) > Some(before));
    billing.until_there().await?;
    let acts = billing.end().await?;
    println!("between the acts of two tenures: {:?}", acts.pauses());
    assert_eq!(acts.runs().len(), 2);
    Ok(())
}

/// With which the pod leads by what `elector-agent check` finds, if it does.
fn token(billing: &Billing<'_>, pod: &Pod) -> Option<u64> {
    match check(&billing.status_file(pod)).ok()? {
        Standing::Leads { report, .. } => Some(report.fencing_token),
        Standing::DoesNot(_) => None,
    }
}

/// Waits until kubelet says that a container was killed for want of memory, and runs again.
async fn until_killed(billing: &Billing<'_>, pod: &Pod, container: &str) -> Result<()> {
    billing
        .until(&format!("{container} of {} was killed for want of memory", pod.name_any()), async || {
            let ended = billing.last_end(pod, container).await?;
            Ok(ended.is_some_and(|ended| ended.reason.as_deref() == Some("OOMKilled")))
        })
        .await
}
