//! What `helm uninstall` leaves, and what happens when that is removed, too: on a stage of its own.

use std::time::{Duration, Instant};

use anyhow::Result;
use elector_harness::kubectl::kubectl;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use tokio::time::sleep;

use crate::billing::{Billing, acting, both, names};
use crate::stage::Stage;

/// Longer than a lease lasts.
const LONG: Duration = Duration::from_secs(7);
/// For an app that has looked at the file before it went.
const LAST_ACTS: Duration = Duration::from_secs(1);

#[tokio::test]
async fn running_agents_outlive_the_release_and_lead_until_the_definition_goes() {
    let stage = Stage::set(1).await.unwrap();
    let elections = both(&stage, |_| {}).await.unwrap();
    let leaders = acting(&elections).await.unwrap();
    let begun = Instant::now();
    stage.uninstall().await.unwrap();
    println!("uninstalled in {:?}", begun.elapsed());
    sleep(LONG).await;
    assert_eq!(names(&acting(&elections).await.unwrap()), names(&leaders));
    for billing in &elections {
        assert_eq!(billing.witness.sightings(begun), []);
        assert_eq!(restarts(billing, &billing.pods().await.unwrap()).await.unwrap(), 0);
    }

    for (billing, leader) in elections.iter().zip(&leaders) {
        let before = billing.pods().await.unwrap();
        let begun = Instant::now();
        billing.delete(leader).await.unwrap();
        let next = billing.next_leader(leader).await.unwrap();
        let gone = billing.sighting(leader, begun, false).await.unwrap();
        let came = billing.sighting(&next, begun, true).await.unwrap();
        println!("{}: {:?} from file to file", billing.name(), came.at - gone.at);
        assert!(is_of(&before, &next), "a standby takes over");
        billing.until_acting(&next).await.unwrap();
        // Nobody is left to say it.
        let status = billing.election.get().await.unwrap().status.unwrap();
        assert_eq!(status.holder.unwrap().name, leader.name_any());
        billing.until_there().await.unwrap();
    }
    let [sidecars, commands] = &elections;
    let (agents, none): (Vec<Pod>, Vec<Pod>) = sidecars.pods().await.unwrap().into_iter().partition(has_agent);
    assert_eq!((agents.len(), none.len()), (2, 1), "who is new asks for an agent in vain");
    assert_eq!(none[0].labels()["leader-elector.io/election"], "billing");
    let before = commands.pods().await.unwrap();
    commands.roll().await.unwrap();
    let leaders = acting(&elections).await.unwrap();
    assert!(!is_of(&before, &leaders[1]), "who brings its agent along leads");
    let agents = [agents, commands.pods().await.unwrap()];

    let begun = Instant::now();
    let definition = ["delete", "crd", "leaderelections.leader-elector.io"];
    kubectl(&stage.plane.kubeconfig(), &definition, "").await.unwrap();
    for billing in &elections {
        let no_lease = async || Ok(billing.kubectl(&["get", "leases", "--output=name"], "").await?.is_empty());
        billing.until("its Lease is gone", no_lease).await.unwrap();
        let no_file = async || Ok(billing.pods().await?.iter().all(|pod| !billing.status_file(pod).exists()));
        billing.until("its file is gone", no_file).await.unwrap();
        println!("{}: no Lease and no file {:?} after the definition's end began", billing.name(), begun.elapsed());
    }
    sleep(LAST_ACTS).await;
    let since = Instant::now();
    let acts: Vec<usize> = elections.iter().map(|billing| billing.acts().unwrap().len()).collect();
    sleep(LONG).await;
    for ((billing, acts), agents) in elections.into_iter().zip(acts).zip(agents) {
        assert_eq!(billing.kubectl(&["get", "leases", "--output=name"], "").await.unwrap(), "");
        assert_eq!(billing.witness.sightings(since), []);
        assert_eq!(restarts(&billing, &agents).await.unwrap(), 0, "they contend on");
        assert_eq!(billing.end().await.unwrap().len(), acts);
    }
}

fn is_of(pods: &[Pod], pod: &Pod) -> bool {
    pods.iter().any(|other| other.uid() == pod.uid())
}

fn has_agent(pod: &Pod) -> bool {
    let first = pod.spec.as_ref().and_then(|spec| spec.init_containers.as_deref()?.first());
    first.is_some_and(|container| container.name == "leader-elector")
}

/// Of their agents.
async fn restarts(billing: &Billing<'_>, pods: &[Pod]) -> Result<i32> {
    let mut restarts = 0;
    for pod in pods {
        restarts += billing.restarts(pod).await?;
    }
    Ok(restarts)
}
