//! The Deployment of the README: who has the file, and when the next one has it.

use std::fs;
use std::time::{Duration, Instant};

use elector_tests::witness::{Sighting, Witness};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use rustix::process::{Pid, Signal, kill_process};

use crate::stage::Billing;

/// The first time since `since` at which a file appeared.
fn appeared(witness: &Witness, since: Instant) -> Option<Sighting> {
    witness.sightings(since).into_iter().find(|sighting| sighting.there)
}

fn named(pods: &[Pod], name: &str) -> usize {
    pods.iter().position(|pod| pod.name_any() == name).expect("it is one of them")
}

#[tokio::test]
async fn of_three_pods_one_has_the_file_and_its_app_sees_it() {
    let billing = Billing::deployed("one-file").await.unwrap();
    let leader = billing.leader().await.unwrap();
    let name = leader.name_any();
    assert_eq!(fs::read_to_string(billing.status_file(&leader)).unwrap().trim(), name);
    billing.election.until_held_by(&name).await.unwrap();
    let node = billing.node;
    billing.until("the app says so", async || Ok(node.log(&leader, "app").contains("I lead"))).await.unwrap();
    let pods = billing.ready_pods().await.unwrap();
    assert_eq!(pods.len(), 3);
    for pod in pods.iter().filter(|pod| pod.name_any() != name) {
        assert!(!billing.status_file(pod).exists());
        assert_eq!(node.log(pod, "app"), "");
    }
}

#[tokio::test]
async fn a_deleted_leader_hands_over_once_its_app_has_ended() {
    let billing = Billing::deployed("deletion").await.unwrap();
    let leader = billing.leader().await.unwrap();
    let pods = billing.ready_pods().await.unwrap();
    let (old, app) = (named(&pods, &leader.name_any()), billing.node.processes(&leader, "app").unwrap()[0]);
    let witness = billing.witness(&pods);
    let start = Instant::now();
    billing.delete(&leader).await.unwrap();
    let mut app_ended = None;
    billing
        .until("another pod has the file", async || {
            if app_ended.is_none() && !fs::exists(format!("/proc/{app}"))? {
                app_ended = Some(Instant::now());
            }
            Ok(appeared(&witness, start).is_some_and(|sighting| sighting.file != old))
        })
        .await
        .unwrap();
    let gone = witness.sightings(start).into_iter().find(|sighting| sighting.file == old && !sighting.there).unwrap();
    let next = witness.sightings(start).into_iter().rfind(|sighting| sighting.there).unwrap();
    assert!(next.at - gone.at < Duration::from_secs(1), "{:?}", next.at - gone.at);
    // Both were seen late, the app by at most one turn of the loop.
    assert!(app_ended.unwrap() < gone.at + Duration::from_millis(200), "the app outlived the file");
    assert_eq!(witness.overlaps(), []);
    billing.election.until_held_by(&pods[next.file].name_any()).await.unwrap();
    billing.until("there are three again", async || Ok(billing.ready_pods().await?.len() == 3)).await.unwrap();
}

#[tokio::test]
async fn a_leader_whose_agent_is_killed_leads_on_as_a_new_tenure() {
    let billing = Billing::deployed("killed").await.unwrap();
    let leader = billing.leader().await.unwrap();
    let name = leader.name_any();
    let before = billing.election.lease().await.unwrap();
    let agent = billing.node.processes(&leader, "leader-elector").unwrap()[0];
    let pods = billing.ready_pods().await.unwrap();
    let (old, witness) = (named(&pods, &name), billing.witness(&pods));
    let start = Instant::now();
    kill_process(Pid::from_raw(i32::try_from(agent).unwrap()).unwrap(), Signal::KILL).unwrap();
    billing.until("its container is started again", async || Ok(billing.restarts(&leader).await? == 1)).await.unwrap();
    // The stale file went first, and then there was one of a new tenure.
    let back = async || Ok(witness.sightings(start).iter().filter(|sighting| sighting.file == old).count() >= 2);
    billing.until("its file is there again", back).await.unwrap();
    let seen: Vec<(usize, bool)> =
        witness.sightings(start).iter().map(|sighting| (sighting.file, sighting.there)).collect();
    assert!(seen.ends_with(&[(old, false), (old, true)]), "{seen:?}");
    assert_eq!(witness.overlaps(), []);
    let after = billing.election.lease().await.unwrap();
    assert_eq!(after.spec["holderIdentity"], before.spec["holderIdentity"]);
    assert!(after.spec["leaseTransitions"].as_i64() > before.spec["leaseTransitions"].as_i64());
}
