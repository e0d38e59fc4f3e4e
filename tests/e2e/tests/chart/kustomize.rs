//! Kustomize, which kubectl has built in: what it renames still belongs together, it prunes nothing of the operator's, and it
//! builds the chart.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use elector_crds::ELECTION_LABEL;
use elector_crds::conditions::{ConditionType, Reason};
use elector_harness::candidate::{AgentOptions, Candidate};
use elector_harness::kubectl::kubectl;
use elector_harness::operators::Election;
use elector_xtask::helm::{self, chart};
use elector_xtask::scratch::Scratch;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Service;
use kube::ResourceExt as _;
use serde::Deserialize as _;
use serde_json::Value;

use crate::files::rendered;
use crate::release::{installed, operated};

const SOON: Duration = Duration::from_secs(20);

const BILLING: &str = "
{apiVersion: v1, kind: ServiceAccount, metadata: {name: billing}}
---
apiVersion: leader-elector.io/v1alpha1
kind: LeaderElection
metadata: {name: billing}
spec:
  leaseDurationSeconds: 5
  renewDeadlineSeconds: 3
  retryPeriodSeconds: 1
  candidates: {serviceAccountNames: [billing]}
  leaderService: {name: billing-leader, ports: [{port: 80}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: billing}
spec:
  selector: {matchLabels: {leader-elector.io/election: billing}}
  template:
    metadata: {labels: {leader-elector.io/election: billing}}
    spec:
      serviceAccountName: billing
      containers: [{name: app, image: busybox}]
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: report}
spec:
  schedule: '0 0 * * *'
  jobTemplate:
    spec:
      template:
        metadata: {labels: {leader-elector.io/election: billing}}
        spec: {restartPolicy: Never, containers: [{name: app, image: busybox}]}
---
apiVersion: v1
kind: Service
metadata: {name: candidates}
spec: {selector: {leader-elector.io/election: billing}, ports: [{port: 80}]}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: billing}
spec: {minAvailable: 1, selector: {matchLabels: {leader-elector.io/election: billing}}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: billing}
spec: {podSelector: {matchLabels: {leader-elector.io/election: billing}}, ingress: [{}]}
";

/// Of another layer: with a suffix, and a label on all that is there.
const OVERLAY: &str = "
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
nameSuffix: '-2'
labels: [{pairs: {team: shop}}]
resources: [base]
";

fn example(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/examples").join(path)
}

/// `kubectl kustomize` of a folder.
async fn built(folder: &Path) -> Result<String> {
    let kubeconfig = installed().await?.kubeconfig();
    let helm = helm::program().await?;
    let [folder, helm] = [folder, &*helm].map(|path| path.to_str().context("a path that is no text"));
    kubectl(&kubeconfig, &["kustomize", folder?, "--enable-helm", "--helm-command", helm?], "").await
}

fn objects(text: &str) -> Result<BTreeMap<String, Value>> {
    let documents = serde_yaml_ng::Deserializer::from_str(text).map(Value::deserialize);
    let objects = documents.collect::<Result<Vec<_>, _>>()?.into_iter().filter(|object| !object.is_null());
    Ok(objects.map(|object| (format!("{} {}", object["kind"], object["metadata"]["name"]), object)).collect())
}

#[tokio::test]
async fn an_election_whose_name_it_changes_is_that_of_its_pods_and_pruning_leaves_what_the_operator_made() {
    renamed().await.unwrap();
}

async fn renamed() -> Result<()> {
    let plane = operated().await?;
    let namespace = plane.namespace("kustomize").await?;
    let folder = Scratch::new()?;
    let base = folder.path().join("base");
    fs::create_dir(&base)?;
    for file in ["kustomization.yaml", "leader-elector.yaml"] {
        fs::copy(example("kustomize").join(file), base.join(file))?;
    }
    fs::write(base.join("billing.yaml"), BILLING)?;
    fs::write(folder.path().join("kustomization.yaml"), OVERLAY)?;
    let text = built(folder.path()).await?;
    let label = format!("{ELECTION_LABEL}: ");
    let labels: Vec<&str> = text.lines().filter_map(|line| line.trim().strip_prefix(&label)).collect();
    ensure!(labels == ["blue-billing-2"; 6], "{labels:?}");

    let apply = async |text: &str, more: &[&str]| {
        let apply = ["apply", "-n", namespace.name(), "--filename=-", "--prune", "--selector=team=shop"];
        kubectl(&plane.kubeconfig(), &[&apply[..], more].concat(), text).await
    };
    apply(&text, &[]).await?;
    let election = Election::named(&namespace, "blue-billing-2");
    election.until_reason(ConditionType::Ready, Reason::Reconciled).await?;
    let deployment = namespace.api::<Deployment>().get("blue-billing-2").await?;
    let template = deployment.spec.context("no spec")?.template;
    let account = template.spec.and_then(|spec| spec.service_account_name).context("no account")?;
    let of_template = template.metadata.and_then(|metadata| metadata.labels).unwrap_or_default();
    let label = of_template.get(ELECTION_LABEL).context("no label")?;
    let pod = namespace.create_pod("billing-0", &account, &[(ELECTION_LABEL, label)]).await?;
    let candidate = Candidate::of_pod(&namespace, label, pod, &AgentOptions::default()).await?;
    candidate.process().start()?;
    candidate.leads_within(SOON).await?;
    election.until_held_by("billing-0").await?;

    // Services are among what it prunes without being told to, LeaderElections are not.
    let documents: Vec<&str> = text.split("\n---\n").filter(|text| !text.contains("kind: LeaderElection")).collect();
    let without = documents.join("\n---\n");
    for text in [&text, &without] {
        let said = apply(text, &[]).await?;
        ensure!(!said.contains("pruned"), "{said}");
    }
    let service = namespace.api::<Service>().get("blue-billing-leader-2").await?;
    ensure!(!service.labels().contains_key("team"), "{service:?}");
    let allowed = "--prune-allowlist=leader-elector.io/v1alpha1/LeaderElection";
    let said = apply(&without, &[allowed]).await?;
    let pruned: Vec<&str> = said.lines().filter(|line| line.contains("pruned")).collect();
    ensure!(pruned == ["leaderelection.leader-elector.io/blue-billing-2 pruned"], "{said}");
    Ok(())
}

/// It writes lines of folded texts anew, and 1.0 as 1.
fn written_alike(value: &Value) -> Value {
    match value {
        Value::Object(fields) => fields.iter().map(|(name, value)| (name.clone(), written_alike(value))).collect(),
        Value::Array(items) => items.iter().map(written_alike).collect(),
        Value::String(text) => text.split_whitespace().collect::<Vec<_>>().join(" ").into(),
        Value::Number(number) => number.as_f64().into(),
        Value::Null | Value::Bool(_) => value.clone(),
    }
}

#[tokio::test]
async fn it_builds_the_chart_as_helm_does_from_1_34() {
    let folder = Scratch::new().unwrap();
    fs::copy(example("kustomize-chart/kustomization.yaml"), folder.path().join("kustomization.yaml")).unwrap();
    // It reads no file outside of its folder.
    let copied = Command::new("cp").arg("-r").arg(chart().parent().unwrap()).arg(folder.path().join("charts")).status();
    assert!(copied.unwrap().success());
    let built = objects(&built(folder.path()).await.unwrap()).unwrap();
    let images = ["operator", "agent"]
        .map(|program| format!("{program}.image.repository=registry.example.com/leader-elector/{program}"));
    let values = ["--namespace=leader-elector", &images[0], &images[1]];
    let rendered = rendered(&values).await.unwrap();
    assert_eq!(built.len(), rendered.len());
    for object in rendered {
        let name = format!("{} {}", object["kind"], object["metadata"]["name"]);
        assert_eq!(built.get(&name).map(written_alike), Some(written_alike(&object)), "{name}");
    }
}
