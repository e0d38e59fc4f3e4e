//! What operator and agents expose of real elections, and every query on it.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use elector_crds::conditions::{ConditionType, Reason};
use elector_crds::{LeaderElection, TRANSFER_ANNOTATION};
use elector_harness::candidate::{AgentOptions, Candidate, leader};
use elector_harness::controlplane::{ControlPlane, Namespace, Options};
use elector_harness::http::{get, get_as};
use elector_harness::kubectl::kubectl;
use elector_harness::operators::{Election, Operator, Operators, short_timings};
use elector_harness::prometheus::{Query, Recording, promtool_on};
use kube::ResourceExt as _;
use serde_json::Value;

use super::alerts::{alerts, scenes};
use super::{file, list};

const SOON: Duration = Duration::from_secs(5);

/// Three elections: one that is handed over, one whose candidate has no agent, and one that is paused.
struct Stage<'a> {
    namespace: Namespace<'a>,
    billing: Election<'a>,
    idle: Election<'a>,
    agents: Vec<Candidate>,
}

impl<'a> Stage<'a> {
    async fn set(plane: &'a ControlPlane) -> Result<Stage<'a>> {
        let namespace = plane.namespace("shop").await?;
        let [billing, idle, _] = [
            Election::create(&namespace, "billing", short_timings()).await?,
            Election::create(&namespace, "idle", short_timings()).await?,
            Election::create(&namespace, "paused", serde_json::json!({"paused": true})).await?,
        ];
        billing.until_reason(ConditionType::Ready, Reason::Reconciled).await?;
        namespace.create_pod("idle-0", "default", &[("leader-elector.io/election", "idle")]).await?;
        let mut agents = Vec::new();
        for pod in ["billing-0", "billing-1"] {
            let environment = vec![("OBSERVE_ADDRESS".to_owned(), "127.0.0.1:0".to_owned())];
            let options = AgentOptions { environment, ..AgentOptions::default() };
            agents.push(Candidate::start(&namespace, "billing", pod, &options).await?);
            namespace.set_pod_ready(pod, true).await?;
        }
        billing.until_reason(ConditionType::CandidatesReady, Reason::AllReady).await?;
        idle.until_reason(ConditionType::CandidatesReady, Reason::SomeNotReady).await?;
        billing.until_held_by(leader(&agents, SOON).await?.name()).await?;
        Ok(Stage { namespace, billing, idle, agents })
    }

    async fn hand_over(&self) -> Result<()> {
        let request = format!("{TRANSFER_ANNOTATION}=*");
        let annotate = ["-n", self.namespace.name(), "annotate", "leaderelection", "billing", &request];
        kubectl(&self.namespace.cluster().kubeconfig(), &annotate, "").await?;
        let is_done = |election: &LeaderElection| !election.annotations().contains_key(TRANSFER_ANNOTATION);
        self.billing.until("the request is taken back", is_done).await?;
        self.billing.until_held_by(leader(&self.agents, SOON).await?.name()).await.map(drop)
    }

    /// Of all, as the chart's monitors have it scraped.
    async fn scrape(&self, operators: &[&Operator], recording: &mut Recording) -> Result<()> {
        let mut texts = Vec::new();
        for operator in operators {
            texts.push(("operators", operator.identity(), "operator", exposed(operator).await?));
        }
        for agent in &self.agents {
            let text = get(agent.address("OBSERVE_ADDRESS").await?, "/metrics").await?.body;
            texts.push((self.namespace.name(), agent.name(), "operators/agents", text));
        }
        let labels: Vec<_> = texts
            .iter()
            .map(|(namespace, pod, job, _)| [("namespace", *namespace), ("pod", *pod), ("job", *job)])
            .collect();
        let targets = labels.iter().zip(&texts).map(|(labels, (.., text))| (labels.as_slice(), text.as_str()));
        recording.scrape(&targets.collect::<Vec<_>>()).await
    }
}

async fn exposed(operator: &Operator) -> Result<String> {
    let (status, text) = operator.answer("/metrics").await?;
    ensure!(status == 200 && text.ends_with("\n# EOF\n"), "{status} {text}");
    Ok(text)
}

fn query(expression: &str, finds: bool) -> Query {
    Query { expression: expression.to_owned(), finds }
}

/// What Grafana makes of an expression if everything is chosen and it looks at it from afar.
fn filled_in(expression: &str) -> Result<String> {
    let filled = expression.replace("$__rate_interval", "4m").replace("$namespace", ".*").replace("$name", ".*");
    ensure!(!filled.contains('$'), "a variable that is not known: {filled}");
    Ok(filled)
}

/// All that the dashboard asks for.
fn of_dashboard() -> Result<Vec<Query>> {
    let dashboard: Value = serde_json::from_str(&file("dashboard.json")?)?;
    let mut queries = Vec::new();
    for panel in list(&dashboard["panels"]).filter(|panel| panel["type"] != "row") {
        ensure!(list(&panel["targets"]).count() > 0, "nothing is asked for {panel}");
        for target in list(&panel["targets"]) {
            queries.push(query(&filled_in(target["expr"].as_str().context("no expression")?)?, true));
        }
    }
    for variable in list(&dashboard["templating"]["list"]).filter(|variable| variable["type"] == "query") {
        let asked = variable["query"]["query"].as_str().context("no query")?;
        let asked = asked.strip_prefix("label_values(").and_then(|asked| asked.strip_suffix(')'));
        let (series, label) =
            asked.and_then(|asked| asked.rsplit_once(", ")).context("no label_values(series, label)")?;
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        queries.push(query(&filled_in(&format!("{name}{{{label}!=\"\", {labels}"))?, true));
    }
    Ok(queries)
}

/// Names in `text` that begin as all of this project's do, of metrics.
fn metrics_in(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("leader_elect")).collect()
}

/// What alerts are about is there, with the labels by which it is put together.
fn of_alerts() -> Result<Vec<Query>> {
    let mut queries = Vec::new();
    for (name, alert) in alerts()? {
        let expression = alert["expr"].as_str().context("no expression")?;
        let groups = expression.split("by (").skip(1).chain(expression.split("on (").skip(1));
        let labels = groups.flat_map(|rest| rest.split(')').next().unwrap_or_default().split(", "));
        let labels: BTreeSet<String> = labels.map(|label| format!("{label}!=\"\"")).collect();
        let labels = labels.into_iter().collect::<Vec<_>>().join(", ");
        let metrics = metrics_in(expression);
        ensure!(!metrics.is_empty() && !labels.is_empty(), "{name} is about nothing");
        queries.extend(metrics.iter().map(|metric| query(&format!("{metric}{{{labels}}}"), true)));
    }
    // What they were tried on is no invention.
    for series in scenes()?.iter().flat_map(|scene| list(&scene["input_series"])) {
        let series = series["series"].as_str().and_then(|series| series.strip_suffix('}')?.split_once('{'));
        let (name, labels) = series.context("a series without labels")?;
        let labels = labels.split(", ").filter_map(|label| label.split('=').next());
        let labels: Vec<String> = labels.map(|label| format!("{label}!=\"\"")).collect();
        queries.push(query(&format!("{name}{{{}}}", labels.join(", ")), true));
    }
    Ok(queries)
}

#[tokio::test]
async fn every_query_of_alerts_and_dashboard_is_answered() {
    answered().await.unwrap();
}

async fn answered() -> Result<()> {
    // With no other elections, of which operators would tell, too.
    let plane = ControlPlane::start(Options::default()).await?;
    let operators = Operators::install(&plane).await?;
    let active = operators.leader("operator-0").await?;
    let standby = operators.replica("operator-1").await?;
    standby.process().start()?;
    standby.until_ready().await?;
    let stage = Stage::set(&plane).await?;

    // What everything reads, for whoever does not ask for OpenMetrics.
    for address in [active.address()?, stage.agents[0].address("OBSERVE_ADDRESS").await?] {
        let text = get_as(address, "/metrics", "*/*").await?;
        ensure!(text.content_type == "text/plain; version=0.0.4; charset=utf-8", "{text:?}");
        promtool_on(&text.body, &["check", "metrics"]).await?;
        let open = get(address, "/metrics").await?;
        ensure!(open.content_type == "application/openmetrics-text; version=1.0.0; charset=utf-8", "{open:?}");
        ensure!(open.body.lines().filter(|line| !line.starts_with('#')).count() > 10, "{open:?}");
    }

    let (mut all, mut alone) = (Recording::default(), Recording::default());
    let rounds = 4;
    for _ in 0..rounds {
        stage.scrape(&[&active, &standby], &mut all).await?;
        stage.scrape(&[&standby], &mut alone).await?;
        stage.hand_over().await?;
        stage.hand_over().await?;
    }
    stage.scrape(&[&active, &standby], &mut all).await?;
    all.answer(&of_dashboard()?).await?;
    all.answer(&of_alerts()?).await?;
    // Nobody leads `idle`, `billing` is never at rest, and one operator is at work.
    for (name, alert) in alerts()? {
        let fires = ["LeaderElectorNoLeader", "LeaderElectorFlapping"].contains(&name.as_str());
        all.answer(&[query(alert["expr"].as_str().context("no expression")?, fires)]).await.context(name)?;
    }
    alone.answer(&[query(alerts()?["LeaderElectorOperatorDown"]["expr"].as_str().context("none")?, true)]).await?;
    let led = format!(r#"leader_elector_election_leader{{namespace="{}"}}"#, stage.namespace.name());
    let holder = leader(&stage.agents, SOON).await?.name();
    all.answer(&[
        query(&format!("count({led}) == 3 and sum({led}) == 1"), true),
        query(&format!(r#"leader_elector_election_holder_info{{name="billing", holder="{holder}"}}"#), true),
        query("count(leader_elector_election_holder_info) > 1", false),
        query(r#"leader_elector_election_transitions_total{name="billing"} >= 9"#, true),
        query(r#"leader_elector_election_candidates{name="billing"} == 2"#, true),
        query(r#"leader_elector_election_renewal_age_seconds < 3 and leader_elector_election_lease_duration_seconds == 5"#, true),
        query(r#"leader_elector_election_paused{name="paused"} == 1"#, true),
    ])
    .await?;

    // An election goes, and all that was said of it.
    let text = exposed(&active).await?;
    ensure!(text.contains(r#"name="idle""#), "{text}");
    stage.idle.delete().await?;
    let begun = tokio::time::Instant::now();
    while exposed(&active).await?.contains(r#"name="idle""#) {
        ensure!(begun.elapsed() < SOON, "it is told of what is gone");
    }

    // The next one to lead is told not to speak of elections.
    standby.process().stop().await?;
    let silent = operators.replica_with("operator-2", &["--metrics-per-election=false"]).await?;
    silent.process().start()?;
    silent.until_ready().await?;
    active.process().stop().await?;
    silent.until_leading().await?;
    let begun = tokio::time::Instant::now();
    while !exposed(&silent).await?.contains("\nleader_elector_operator_active 1\n") {
        ensure!(begun.elapsed() < SOON, "it is not at work");
    }
    let text = exposed(&silent).await?;
    ensure!(text.contains("\nleader_elector_operator_elections 2\n"), "{text}");
    ensure!(!text.contains("leader_elector_election"), "{text}");
    Ok(())
}
