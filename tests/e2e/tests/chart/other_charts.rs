//! Charts of others: one that has this one as a part of it, and one with LeaderElections.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use elector_crds::StoredLease;
use elector_crds::conditions::{ConditionType, Reason};
use elector_harness::controlplane::{ControlPlane, Options};
use elector_harness::kubectl::kubectl;
use elector_harness::operators::{self, Election};
use elector_harness::process::Process;
use elector_harness::release::values_for;
use elector_xtask::helm::{chart, helm};
use elector_xtask::programs::Programs;
use elector_xtask::scratch::Scratch;
use kube::api::PostParams;
use serde_json::json;

use crate::release::operated;

/// What docs/working-with.md says of charts.
const PAGE: &str = include_str!("../../../../docs/working-with.md");

const BILLING: &str =
    "{apiVersion: leader-elector.io/v1alpha1, kind: LeaderElection, metadata: {name: billing}, spec: {}}";

/// The block of YAML after `mark`.
fn block(mark: &str) -> Result<&'static str> {
    let (_, rest) = PAGE.split_once(mark).with_context(|| format!("no {mark}"))?;
    let (_, rest) = rest.split_once("```yaml\n").context("no block")?;
    Ok(rest.split_once("```").context("the block has no end")?.0)
}

/// A chart with that file among its templates.
fn write(folder: &Path, chart: &str, template: &str) -> Result<()> {
    fs::create_dir_all(folder.join("templates"))?;
    fs::write(folder.join("Chart.yaml"), chart)?;
    fs::write(folder.join("templates/billing.yaml"), template)?;
    Ok(())
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a path that is no text")
}

#[tokio::test]
async fn as_a_part_of_another_chart_it_takes_its_values_under_its_name_and_the_definition_first() {
    part().await.unwrap();
}

async fn part() -> Result<()> {
    const ACCOUNT: &str = "shop-leader-elector-operator";
    let plane = ControlPlane::start(Options::default()).await?;
    let kubeconfig = plane.kubeconfig();
    let folder = Scratch::new()?;
    let shop = folder.path().join("shop");
    let ours = chart().canonicalize()?;
    let repository = "file://../leader-elector/charts/leader-elector";
    let dependency = block("<!-- Chart.yaml -->")?;
    ensure!(dependency.contains(repository), "{dependency}");
    let dependency = dependency.replace(repository, &format!("file://{}", text(&ours)?));
    write(&shop, &format!("apiVersion: v2\nname: shop\nversion: 1.0.0\n{dependency}"), BILLING)?;
    helm(Some(&kubeconfig), &["dependency", "update", text(&shop)?]).await?;
    let values = folder.path().join("values.yaml");
    fs::write(&values, block("<!-- values.yaml -->")?)?;
    let mut release = vec!["shop", text(&shop)?, "--namespace=shop", "--create-namespace", "--values", text(&values)?];
    let more: Vec<_> = values_for(&plane).iter().map(|it| it.replace("--set=", "--set=leader-elector.")).collect();
    release.extend(more.iter().map(String::as_str));
    let said =
        helm(Some(&kubeconfig), &[&["install"], &release[..]].concat()).await.expect_err("it is refused").to_string();
    ensure!(said.contains("no matches for kind \"LeaderElection\""), "{said}");

    fs::create_dir(shop.join("crds"))?;
    fs::write(shop.join("crds/leaderelections.yaml"), elector_crds::manifest::manifest())?;
    helm(Some(&kubeconfig), &[&["install"], &release[..]].concat()).await?;
    let replicas = ["get", "deployment", ACCOUNT, "--output=jsonpath={.spec.replicas}"];
    let shop = plane.existing_namespace("shop").await?;
    let replicas = kubectl(&kubeconfig, &[&["-n", shop.name()], &replicas[..]].concat(), "").await?;
    ensure!(replicas == "3", "{replicas}");

    // With the rights of that release, and nothing else.
    let mut arguments = operators::arguments(shop.name());
    arguments.extend([format!("--lease-name={ACCOUNT}"), "--identity=one".to_owned()]);
    let environment = vec![("KUBECONFIG".to_owned(), text(&shop.kubeconfig(ACCOUNT).await?)?.to_owned())];
    let log = folder.path().join("operator.log");
    let operator = Process::new(Programs::built().await?.operator.clone(), arguments, log.clone());
    let operator = operator.with_environment(environment);
    operator.start()?;
    let election = Election::named(&shop, "billing");
    let ready = election.until_reason(ConditionType::Ready, Reason::Reconciled).await;
    ready.with_context(|| fs::read_to_string(log).unwrap_or_default())?;
    Ok(())
}

/// Helm looks at custom resources as Flux does: at the condition Ready, for the generation that there is.
#[tokio::test]
async fn helm_waits_until_an_election_is_ready() {
    waited_for().await.unwrap();
}

async fn waited_for() -> Result<()> {
    let plane = operated().await?;
    let namespace = plane.namespace("waited-for").await?;
    let folder = Scratch::new()?;
    let elections = folder.path().join("elections");
    write(&elections, "{apiVersion: v2, name: elections, version: 1.0.0}", BILLING)?;
    let release = ["elections", text(&elections)?, "--namespace", namespace.name()];
    let foreign: StoredLease = serde_json::from_value(json!({"metadata": {"name": "billing"}}))?;
    namespace.api::<StoredLease>().create(&PostParams::default(), &foreign).await?;
    let wait = async |time| {
        let upgrade = [&["upgrade", "--install"], &release[..], &["--wait", time]].concat();
        helm(Some(&plane.kubeconfig()), &upgrade).await
    };
    let said = wait("--timeout=3s").await.expect_err("it is refused").to_string();
    ensure!(said.contains("LeaderElection") && said.contains("billing"), "{said}");
    let election = Election::named(&namespace, "billing");
    election.until_reason(ConditionType::Ready, Reason::ObjectConflict).await?;

    kubectl(
        &plane.kubeconfig(),
        &["-n", namespace.name(), "annotate", "lease", "billing", "leader-elector.io/adopt=true"],
        "",
    )
    .await?;
    wait("--timeout=30s").await?;
    election.until_reason(ConditionType::Ready, Reason::Reconciled).await?;
    Ok(())
}
