//! The images and the chart as they are shipped, where users run them.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use elector_crds::StoredLease;
use elector_tests::kubectl::kubectl;
use kube::ResourceExt as _;
use kube::api::Api;

use crate::manifest::App;
use crate::stage::{Billing, RELEASE, stage};

/// In bytes.
const MB: u64 = 1_000_000;
const MIB: u64 = 1 << 20;

#[tokio::test]
async fn images_are_small_and_run_as_nobody() {
    let images = &stage().await.unwrap().images;
    for (name, image, most) in [("agent", &images.agent, 4 * MB), ("operator", &images.operator, 8 * MB)] {
        println!("{name}: {:.2} MB compressed", image.compressed as f64 / MB as f64);
        assert!(image.compressed <= most, "{name}: {} bytes", image.compressed);
        assert_eq!(image.config["User"], "65532:65532");
        assert_eq!(image.config["Entrypoint"][0], format!("/elector-{name}"));
        let labels = &image.config["Labels"];
        assert_eq!(labels["org.opencontainers.image.version"], env!("CARGO_PKG_VERSION"));
        assert_eq!(labels["org.opencontainers.image.licenses"], "Apache-2.0");
    }
}

#[tokio::test]
async fn an_injected_agent_takes_ten_mebibytes_at_most() {
    let billing = Billing::deployed("injected", App::Injected).await.unwrap();
    let leader = billing.leader().await.unwrap();
    billing.until_acting(&leader).await.unwrap();
    for pod in billing.pods().await.unwrap() {
        let spec = pod.spec.clone().unwrap();
        let agent = &spec.init_containers.unwrap()[0];
        assert_eq!((agent.name.as_str(), agent.restart_policy.as_deref()), ("leader-elector", Some("Always")));
        let supervisor = billing.node.processes(&pod, "leader-elector").unwrap()[0];
        let memory = memory_of_cgroup(supervisor).unwrap();
        println!("{}: {:.1} MiB", pod.name_any(), memory as f64 / MIB as f64);
        assert!(memory <= 10 * MIB, "{memory}");
        assert_eq!(billing.restarts(&pod).await.unwrap(), 0);
    }
    billing.end().await.unwrap();
}

#[tokio::test]
async fn the_death_of_the_active_operators_pod_costs_nobody_anything() {
    let stage = stage().await.unwrap();
    let billing = Billing::deployed("operator-dies", App::Injected).await.unwrap();
    let leader = billing.leader().await.unwrap();
    billing.until_acting(&leader).await.unwrap();
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
    billing.delete(&leader).await.unwrap();
    let next = billing.next_leader(&leader).await.unwrap();
    println!("the election handed over {:?} after the operator's death", begun.elapsed());
    billing.election.until_held_by(&next.name_any()).await.unwrap();
    println!("its status said so after {:?}", begun.elapsed());
    assert_ne!(active().await.unwrap(), old);
    billing.until_there().await.unwrap();
    billing.end().await.unwrap();
}

#[tokio::test]
async fn an_upgrade_leaves_leaders_alone() {
    let stage = stage().await.unwrap();
    let billing = Billing::deployed("upgrade", App::Injected).await.unwrap();
    let leader = billing.leader().await.unwrap();
    billing.until_acting(&leader).await.unwrap();
    let begun = Instant::now();
    stage.release("upgrade", &["--set", "operator.podAnnotations.upgraded=once"]).await.unwrap();
    println!("upgraded in {:?}", begun.elapsed());
    assert!(begun.elapsed() > Duration::from_millis(500), "its pods were replaced");
    let leads = billing.leader().await.unwrap();
    assert_eq!(leads.uid(), leader.uid());
    assert_eq!(billing.sightings(&leader, begun), []);
    billing.end().await.unwrap();
}

/// Of the cgroup that a process is in: all that its container is charged for.
fn memory_of_cgroup(process: u32) -> Result<u64> {
    let cgroups = fs::read_to_string(format!("/proc/{process}/cgroup"))?;
    let of_memory = |line: &str| {
        let mut fields = line.splitn(3, ':');
        let (number, controllers, path) = (fields.next()?, fields.next()?, fields.next()?.to_owned());
        match controllers {
            "memory" => Some(format!("/sys/fs/cgroup/memory{path}/memory.usage_in_bytes")),
            "" if number == "0" => Some(format!("/sys/fs/cgroup{path}/memory.current")),
            _ => None,
        }
    };
    let files: Vec<String> = cgroups.lines().filter_map(of_memory).collect();
    let file = files.iter().find(|file| fs::exists(file).is_ok_and(|exists| exists));
    let file = file.with_context(|| format!("no memory cgroup among {files:?}"))?;
    Ok(fs::read_to_string(file)?.trim().parse()?)
}
