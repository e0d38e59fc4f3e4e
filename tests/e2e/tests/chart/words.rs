//! What users are told to type works as it is told.

use std::time::Duration;

use anyhow::{Context as _, Result};
use elector_harness::controlplane::{ControlPlane, Options};
use elector_harness::kubectl::{kubectl, shell};
use elector_harness::policies::until_in_force;
use elector_harness::release::values_for;
use elector_xtask::helm::{chart, helm};
use elector_xtask::version::VERSION;
use tokio::time::{Instant, sleep};

use crate::injection::{created, pod};
use crate::release::{RELEASE, installed, on};

const CHART_README: &str = include_str!("../../../../charts/leader-elector/README.md");

/// The lines of a text that are indented, which are for the shell.
fn commands(text: &str) -> String {
    let lines = text.lines().filter_map(|line| line.strip_prefix("  "));
    lines.collect::<Vec<_>>().join("\n")
}

/// What a release would say after its installation with these values.
async fn notes(values: &[&str]) -> Result<String> {
    let chart = chart();
    let chart = chart.to_str().context("a path that is no text")?;
    let mut arguments = vec!["install", "another", chart, "--dry-run=server", "--set", "crds.enabled=false"];
    let plane = installed().await?;
    arguments.extend(values_for(plane));
    arguments.extend(values.iter().flat_map(|value| ["--set", value]));
    let said = helm(Some(&plane.kubeconfig()), &arguments).await?;
    Ok(said.split_once("NOTES:").context("no notes")?.1.to_owned())
}

#[tokio::test]
async fn the_notes_of_an_installation_elect_a_leader_from_1_34() {
    let plane = ControlPlane::start(Options::default()).await.unwrap();
    let kubeconfig = plane.kubeconfig();
    let notes = on(&plane, "install", &[]).await.unwrap();
    let established = ["wait", "--for=condition=Established", "crd/leaderelections.leader-elector.io"];
    kubectl(&kubeconfig, &established, "").await.unwrap();
    kubectl(&kubeconfig, &["create", "deployment", "billing", "--image=busybox"], "").await.unwrap();
    let (_, notes) = notes.split_once("NOTES:").unwrap();
    let said = shell(&kubeconfig, &commands(notes)).await.unwrap();
    assert!(said.contains("leaderelection.leader-elector.io/billing created"), "{said}");
    assert!(said.contains("deployment.apps/billing patched"), "{said}");
    assert!(said.lines().last().unwrap().starts_with("billing"), "{said}");
    let label = "--output=jsonpath={.spec.template.metadata.labels.leader-elector\\.io/election}";
    assert_eq!(kubectl(&kubeconfig, &["get", "deployment", "billing", label], "").await.unwrap(), "billing");
}

#[tokio::test]
async fn the_notes_know_the_values() {
    let all = notes(&[]).await.unwrap();
    assert!(all.contains("in all namespaces"), "{all}");
    let some = notes(&["watchNamespaces={shop,bank}"]).await.unwrap();
    assert!(some.contains("in shop, bank"), "{some}");
    let by_hand = notes(&["injection.enabled=false"]).await.unwrap();
    assert!(by_hand.contains("kubectl election inject") && !by_hand.contains("patch deployment"), "{by_hand}");
}

#[tokio::test]
async fn without_helm_one_file_installs_and_removes_all_from_1_36() {
    let plane = ControlPlane::start(Options::default()).await.unwrap();
    let kubeconfig = plane.kubeconfig();
    // The end of namespaces is its work.
    plane.controller_manager().await.unwrap();
    let apply = CHART_README.lines().find(|line| line.starts_with("sed ")).unwrap();
    let apply = format!("cd ../..; REGISTRY=registry.example.com/elector; {apply}");
    shell(&kubeconfig, &apply).await.unwrap();
    let image = "--output=jsonpath={.spec.template.spec.containers[0].image}";
    let image = ["-n", RELEASE, "get", "deployment", "leader-elector-operator", image];
    let operator = kubectl(&kubeconfig, &image, "").await.unwrap();
    assert_eq!(operator, format!("registry.example.com/elector/operator:{VERSION}"));
    until_in_force(&plane).await.unwrap();
    let namespace = plane.namespace("installed").await.unwrap();
    let agent = created(&namespace, &pod()).await.unwrap()["spec"]["initContainers"][0]["image"].clone();
    assert_eq!(agent, format!("registry.example.com/elector/agent:{VERSION}"));

    // Helm can take it over, and leave it.
    on(&plane, "install", &["--take-ownership", "--force-conflicts"]).await.unwrap();
    assert_eq!(kubectl(&kubeconfig, &image, "").await.unwrap(), format!("leader-elector/operator:{VERSION}"));
    helm(Some(&kubeconfig), &["uninstall", RELEASE, "--namespace", RELEASE]).await.unwrap();
    shell(&kubeconfig, &apply).await.unwrap();

    shell(&kubeconfig, "kubectl delete --timeout=50s -f ../../charts/install.yaml").await.unwrap();
    kubectl(&kubeconfig, &["get", "leaderelections"], "").await.unwrap_err();
    let begun = Instant::now();
    while !created(&namespace, &pod()).await.unwrap()["spec"]["initContainers"].is_null() {
        assert!(begun.elapsed() < Duration::from_secs(30), "an agent is injected");
        sleep(Duration::from_millis(200)).await;
    }
    // Nothing of it is in the way of a release.
    on(&plane, "install", &[]).await.unwrap();
}

/// A release looks after its own namespaces, and leaves those of others alone.
#[tokio::test]
async fn two_releases_share_a_cluster_from_1_34() {
    let plane = ControlPlane::start(Options::default()).await.unwrap();
    let kubeconfig = plane.kubeconfig();
    let [shop, bank, neither] = [
        plane.namespace("shop").await.unwrap(),
        plane.namespace("bank").await.unwrap(),
        plane.namespace("neither").await.unwrap(),
    ];
    let chart = chart();
    for (release, namespace, more) in [("one", &shop, "crds.keep=true"), ("two", &bank, "crds.enabled=false")] {
        let watched = format!("watchNamespaces={{{}}}", namespace.name());
        let install = ["install", release, chart.to_str().unwrap(), "--namespace", release, "--create-namespace"];
        helm(Some(&kubeconfig), &[&install[..], &["--set", &watched, "--set", more]].concat()).await.unwrap();
    }
    let begun = Instant::now();
    for namespace in [&shop, &bank] {
        while created(namespace, &pod()).await.unwrap()["spec"]["initContainers"].is_null() {
            assert!(begun.elapsed() < Duration::from_secs(30), "no agent is injected");
            sleep(Duration::from_millis(200)).await;
        }
        assert_eq!(created(namespace, &pod()).await.unwrap()["spec"]["initContainers"].as_array().unwrap().len(), 1);
    }
    assert!(created(&neither, &pod()).await.unwrap()["spec"]["initContainers"].is_null());

    let lease = r#"{
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {
            "name": "billing",
            "labels": {
                "app.kubernetes.io/managed-by": "leader-elector-operator", "leader-elector.io/election": "billing",
                "leader-elector.io/strict-identity": "true"
            },
            "ownerReferences": [{
                "apiVersion": "leader-elector.io/v1alpha1", "kind": "LeaderElection", "name": "billing", "uid": "u", "controller": true
            }]
        }
    }"#;
    for (release, own, others) in [("one", &shop, &bank), ("two", &bank, &shop)] {
        let operator = format!("system:serviceaccount:{release}:{release}-leader-elector-operator");
        let create = async |namespace: &str| {
            let create = ["-n", namespace, "--as", &operator, "create", "--dry-run=server", "--filename=-"];
            kubectl(&kubeconfig, &create, lease).await
        };
        create(own.name()).await.unwrap();
        let refused = create(others.name()).await.unwrap_err().to_string();
        assert!(refused.contains("forbidden"), "{refused}");
    }
}
