//! The images and the chart as they are shipped, where users run them.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use elector_crds::StoredLease;
use elector_harness::kubectl::kubectl;
use kube::ResourceExt as _;
use kube::api::Api;
use tokio::time::sleep;

use crate::billing::{Billing, Setup, acting, both, names};
use crate::manifest::App;
use crate::stage::{RELEASE, images, stage};

/// In bytes.
const MB: u64 = 1_000_000;
const MIB: u64 = 1 << 20;
/// Until kubelet has asked each agent whether it lives, every thirty seconds, and that is a while ago.
const PROBED: Duration = Duration::from_secs(35);

#[tokio::test]
async fn images_are_small_and_run_as_nobody() {
    let images = images().await.unwrap();
    for (name, image, most) in [("agent", &images.agent, 4 * MB), ("operator", &images.operator, 8 * MB)] {
        println!("{name}: {:.2} MB compressed", image.compressed as f64 / MB as f64);
        assert!(image.compressed <= most, "{name}: {} bytes", image.compressed);
        assert_eq!(image.config["User"], "65532:65532");
        assert_eq!(image.config["Entrypoint"][0], format!("/elector-{name}"));
        assert_eq!(image.files, [format!("elector-{name}")], "nothing else is in it");
        let labels = &image.config["Labels"];
        assert_eq!(labels["org.opencontainers.image.version"], env!("CARGO_PKG_VERSION"));
        assert_eq!(labels["org.opencontainers.image.licenses"], "Apache-2.0");
    }
}

#[tokio::test]
async fn an_injected_agent_takes_ten_mebibytes_at_most() {
    let setup = Setup { replicas: 10, ..Setup::of(App::Injected) };
    let billing = Billing::deployed_with("injected", setup).await.unwrap();
    let leader = billing.leader().await.unwrap();
    billing.until_acting(&leader).await.unwrap();
    for pod in billing.pods().await.unwrap() {
        let spec = pod.spec.clone().unwrap();
        let agent = &spec.init_containers.unwrap()[0];
        assert_eq!((agent.name.as_str(), agent.restart_policy.as_deref()), ("leader-elector", Some("Always")));
        assert!(agent.liveness_probe.is_some());
    }
    agents_take_ten_mebibytes_at_most(&billing).await.unwrap();
    sleep(PROBED).await;
    agents_take_ten_mebibytes_at_most(&billing).await.unwrap();
    billing.end().await.unwrap();
}

async fn agents_take_ten_mebibytes_at_most(billing: &Billing<'_>) -> Result<()> {
    for pod in billing.pods().await? {
        let memory = billing.memory(&pod, "leader-elector")?;
        println!("{}: {:.1} MiB", pod.name_any(), memory as f64 / MIB as f64);
        ensure!(memory <= 10 * MIB, "{memory}");
        ensure!(billing.restarts(&pod).await? == 0);
    }
    Ok(())
}

#[tokio::test]
async fn the_death_of_the_active_operators_pod_costs_nobody_anything() {
    let stage = stage().await.unwrap();
    let elections = both(stage, |_| {}).await.unwrap();
    let leaders = acting(&elections).await.unwrap();
    let leases: Api<StoredLease> = Api::namespaced(stage.plane.client().await.unwrap(), RELEASE);
    let active = async || {
        let lease = leases.get("leader-elector-operator").await?;
        anyhow::Ok(lease.spec["holderIdentity"].as_str().unwrap_or_default().to_owned())
    };
    let old = active().await.unwrap();
    let (pod, _) = old.split_once('_').unwrap();
    let begun = Instant::now();
    let kill = ["-n", RELEASE, "delete", "pod", pod, "--grace-period=0", "--force"];
    kubectl(&stage.plane.kubeconfig(), &kill, "").await.unwrap();
    for (billing, leader) in elections.iter().zip(&leaders) {
        billing.delete(leader).await.unwrap();
        let next = billing.next_leader(leader).await.unwrap();
        println!("{} handed over {:?} after the operator's death", billing.name(), begun.elapsed());
        billing.election.until_held_by(&next.name_any()).await.unwrap();
        println!("its status said so after {:?}", begun.elapsed());
    }
    assert_ne!(active().await.unwrap(), old);
    for billing in elections {
        billing.until_there().await.unwrap();
        billing.end().await.unwrap();
    }
}

#[tokio::test]
async fn an_upgrade_leaves_leaders_alone() {
    let stage = stage().await.unwrap();
    let elections = both(stage, |_| {}).await.unwrap();
    let leaders = acting(&elections).await.unwrap();
    let begun = Instant::now();
    stage.release("upgrade", &["--set", "operator.podAnnotations.upgraded=once"]).await.unwrap();
    println!("upgraded in {:?}", begun.elapsed());
    assert!(begun.elapsed() > Duration::from_millis(500), "its pods were replaced");
    assert_eq!(names(&acting(&elections).await.unwrap()), names(&leaders));
    for (billing, leader) in elections.into_iter().zip(&leaders) {
        assert_eq!(billing.sightings(leader, begun), []);
        billing.end().await.unwrap();
    }
}
