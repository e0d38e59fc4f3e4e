//! Other workloads than Deployments, and other ends than a deletion.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use elector_crds::LeaderElection;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{Api, DeleteParams};
use kube::{Resource as _, ResourceExt as _};
use serde_json::Value;
use tokio::time::sleep;

use crate::billing::{Billing, Setup};
use crate::manifest::{App, job, on_host_network, stateful_set};
use crate::stage::{PATIENCE, stage};

#[tokio::test]
async fn a_pod_that_is_evicted_hands_over() {
    evicted("evicted", App::Injected).await.unwrap();
}

#[tokio::test]
async fn a_command_whose_pod_is_evicted_hands_over() {
    evicted("evicted-exec", App::Exec).await.unwrap();
}

async fn evicted(prefix: &str, app: App) -> Result<()> {
    let billing = Billing::deployed(prefix, app).await?;
    let leader = billing.leader().await?;
    billing.until_acting(&leader).await?;
    let begun = Instant::now();
    billing.evict(&leader).await?;
    let next = billing.next_leader(&leader).await?;
    let gone = billing.sighting(&leader, begun, false).await?;
    let came = billing.sighting(&next, begun, true).await?;
    println!("the file went {:?} after the eviction, and the next came {:?} later", gone.at - begun, came.at - gone.at);
    billing.until_acting(&next).await?;
    billing.until_there().await?;
    ensure!(billing.end().await?.runs().len() == 2);
    Ok(())
}

#[tokio::test]
async fn a_pod_that_is_replaced_by_one_of_its_name_before_it_has_ended_is_another() {
    replaced("stateful", App::Injected).await.unwrap();
}

#[tokio::test]
async fn a_command_whose_pod_is_replaced_by_one_of_its_name_ends_first() {
    replaced("stateful-exec", App::Exec).await.unwrap();
}

/// `kubectl delete --force`: the API server forgets the pod at once, while its containers may run for a while yet.
async fn replaced(prefix: &str, app: App) -> Result<()> {
    let billing = Billing::deployed_with(prefix, Setup { edit: stateful_set, ..Setup::of(app) }).await?;
    for _ in 0..3 {
        let leader = billing.leader().await?;
        billing.until_acting(&leader).await?;
        let begun = Instant::now();
        billing.kubectl(&["delete", "pod", &leader.name_any(), "--force", "--grace-period=0"], "").await?;
        let next = billing.next_leader(&leader).await?;
        let gone = billing.sighting(&leader, begun, false).await?;
        let came = billing.sighting(&next, begun, true).await?;
        println!("{} after {}: {:?} without a file", next.name_any(), leader.name_any(), came.at - gone.at);
        billing
            .until("another pod has its name", async || {
                Ok(billing
                    .pods()
                    .await?
                    .iter()
                    .any(|pod| pod.name_any() == leader.name_any() && pod.uid() != leader.uid()))
            })
            .await?;
        billing.until_acting(&next).await?;
        billing.until_there().await?;
    }
    ensure!(billing.end().await?.runs().len() == 4);
    Ok(())
}

#[tokio::test]
async fn a_job_with_the_sidecar_completes() {
    completes("job", App::Injected).await.unwrap();
}

#[tokio::test]
async fn a_job_whose_commands_the_agent_runs_completes() {
    completes("job-exec", App::Exec).await.unwrap();
}

/// Each of its pods has something to do as leader, and then ends.
async fn completes(prefix: &str, app: App) -> Result<()> {
    let begun = Instant::now();
    let billing = Billing::applied(stage().await?, prefix, Setup { edit: job, ..Setup::of(app) }).await?;
    let jobs: Api<Job> = billing.namespace.api();
    billing
        .until("the Job is complete", async || {
            billing.pods().await?;
            let status = jobs.get("billing").await?.status.unwrap_or_default();
            ensure!(status.failed.unwrap_or_default() == 0, "a pod has failed: {status:?}");
            Ok(status.conditions.iter().flatten().any(|found| found.type_ == "Complete" && found.status == "True"))
        })
        .await?;
    println!("complete after {:?}", begun.elapsed());
    // The last one has released it, for whoever comes.
    let lease = billing.election.lease().await?;
    let holder = lease.spec.get("holderIdentity").and_then(Value::as_str).unwrap_or_default();
    ensure!(holder.is_empty(), "held by {holder}");
    let runs = billing.end().await?.runs();
    ensure!(runs.len() == 3 && runs.iter().all(|run| run.acts == 5), "{runs:?}");
    Ok(())
}

#[tokio::test]
async fn pods_on_the_network_of_their_node_share_its_name_and_no_leadership() {
    on_host("host", App::Injected).await.unwrap();
}

#[tokio::test]
async fn commands_on_the_network_of_their_node_share_its_name_and_no_leadership() {
    on_host("host-exec", App::Exec).await.unwrap();
}

async fn on_host(prefix: &str, app: App) -> Result<()> {
    let setup = Setup { edit: on_host_network, pod_security: "privileged", ..Setup::of(app) };
    let billing = Billing::deployed_with(prefix, setup).await?;
    let leader = billing.leader().await?;
    let addresses: Vec<Option<String>> =
        billing.pods().await?.iter().map(|pod| pod.status.as_ref().and_then(|status| status.pod_ip.clone())).collect();
    ensure!(addresses.iter().all(|address| address.is_some() && *address == addresses[0]), "{addresses:?}");
    billing.until_acting(&leader).await?;
    billing.election.until_held_by(&leader.name_any()).await?;
    billing.delete(&leader).await?;
    let next = billing.next_leader(&leader).await?;
    billing.until_acting(&next).await?;
    billing.election.until_held_by(&next.name_any()).await?;
    billing.until_there().await?;
    ensure!(billing.end().await?.runs().len() == 2);
    Ok(())
}

#[tokio::test]
async fn a_namespace_that_is_deleted_ends_with_all_that_is_in_it() {
    with_its_namespace("namespace", App::Injected).await.unwrap();
}

#[tokio::test]
async fn a_namespace_of_commands_that_is_deleted_ends_with_all_that_is_in_it() {
    with_its_namespace("namespace-exec", App::Exec).await.unwrap();
}

async fn with_its_namespace(prefix: &str, app: App) -> Result<()> {
    let billing = Billing::deployed(prefix, app).await?;
    let leader = billing.leader().await?;
    billing.until_acting(&leader).await?;
    let begun = Instant::now();
    let namespaces: Api<Namespace> = Api::all(billing.namespace.client());
    namespaces.delete(billing.namespace.name(), &DeleteParams::default()).await?;
    while namespaces.get_opt(billing.namespace.name()).await?.is_some() {
        ensure!(begun.elapsed() < PATIENCE, "namespace {} is still there", billing.namespace.name());
        sleep(Duration::from_millis(50)).await;
    }
    println!("the namespace was gone after {:?}", begun.elapsed());
    for kind in [LeaderElection::kind(&()), Pod::kind(&())] {
        let left = billing.kubectl(&["get", &kind, "--output=name"], "").await?;
        ensure!(left.is_empty(), "{left}");
    }
    ensure!(!billing.status_file(&leader).exists());
    let acts = billing.end().await?;
    println!("{} tenures; between the acts of two: {:?}", acts.runs().len(), acts.pauses());
    Ok(())
}
