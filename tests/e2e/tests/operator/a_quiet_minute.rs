//! In steady state nobody writes but leaders, whatever is asked for: by the API server's own account.

use std::fs;
use std::time::Duration;

use anyhow::{Result, ensure};
use elector_crds::ROLE_LABEL;
use elector_crds::conditions::{ConditionType, Reason};
use elector_harness::candidate::{AgentOptions, Candidate, leader};
use elector_harness::controlplane::{ControlPlane, Entry, Namespace};
use elector_harness::http::get;
use elector_harness::operators::{Election, place, shared, short_timings};
use elector_xtask::scratch::Scratch;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, sleep_until};

use crate::traffic::{set_address, until_reached, with_service};

/// With a Service and labels on its pods, with a preference, and plain.
const ELECTIONS: [&str; 3] = ["a", "b", "c"];
const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn of_three_elections_costs_renewals_and_nothing_else() {
    minute().await.unwrap();
}

async fn minute() -> Result<()> {
    let namespace = place("quiet").await?;
    let folder = Scratch::new()?;
    let options = everything(&folder)?;
    let mut leaders = Vec::new();
    let mut agents = Vec::new();
    for name in ELECTIONS {
        let election = Election::create(&namespace, name, spec(name)).await?;
        election.until_reason(ConditionType::Ready, Reason::Reconciled).await?;
        let mut candidates = Vec::new();
        for number in 0..2 {
            let pod = format!("{name}-{number}");
            candidates.push(Candidate::start(&namespace, name, &pod, &options).await?);
            set_address(&namespace, &pod, &format!("10.0.0.{}", 1 + number)).await?;
            namespace.set_pod_ready(&pod, true).await?;
        }
        let holder = leader(&candidates, Duration::from_secs(5)).await?.name().to_owned();
        election.until_held_by(&holder).await?;
        election.until_reason(ConditionType::CandidatesReady, Reason::AllReady).await?;
        match name {
            "a" => until_led_to(&namespace, &holder).await?,
            "b" => prefer(&namespace, &election, &holder).await?,
            _ => {}
        }
        leaders.push(holder);
        agents.extend(candidates);
    }
    sleep(SECOND).await;

    let since = Timestamp::now();
    asked_for_a_minute(&agents).await?;
    let here = |entry: &Entry| entry.namespace == namespace.name() && entry.received >= since;

    let of_operator = shared().await?.requests(here)?;
    assert!(of_operator.is_empty(), "{of_operator:#?}");
    let of_agents = ControlPlane::shared().await?.audit().requests(|entry| here(entry) && entry.pod.is_some())?;
    let (of_leaders, of_standbys): (Vec<Entry>, Vec<Entry>) =
        of_agents.into_iter().partition(|entry| entry.pod.as_ref().is_some_and(|pod| leaders.contains(pod)));
    let other_than_watches: Vec<&Entry> = of_standbys.iter().filter(|entry| entry.verb != "watch").collect();
    assert!(other_than_watches.is_empty(), "{other_than_watches:#?}");
    // One a second and leader.
    let renewals = of_leaders.iter().filter(|entry| entry.is_write()).count();
    assert!((150..=183).contains(&renewals), "{renewals} renewals");
    assert!(of_leaders.iter().all(|entry| ["update", "watch"].contains(&entry.verb.as_str())), "{of_leaders:#?}");
    let leading = agents.iter().filter(|agent| agent.leads()).map(Candidate::name);
    assert_eq!(leading.collect::<Vec<_>>(), leaders);
    Ok(())
}

/// All that an agent can do beside the election.
fn everything(folder: &Scratch) -> Result<AgentOptions> {
    let well = folder.path().join("well");
    fs::write(&well, "")?;
    let well = well.display().to_string();
    let environment = [
        ("HTTP_ADDRESS", "127.0.0.1:0"),
        ("OBSERVE_ADDRESS", "127.0.0.1:0"),
        ("HEALTH_FILE", &*well),
        ("ON_ACQUIRED", "/bin/true"),
        ("ON_LOST", "/bin/true"),
    ];
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    Ok(AgentOptions { environment, ..AgentOptions::default() })
}

fn spec(election: &str) -> Value {
    if election != "a" {
        return short_timings();
    }
    let mut spec = with_service("a-leader");
    spec["podLabels"] = json!("Enabled");
    spec
}

/// Waits until Service and labels tell of it.
async fn until_led_to(namespace: &Namespace<'_>, holder: &str) -> Result<()> {
    let addresses = if holder == "a-0" { ["10.0.0.1"] } else { ["10.0.0.2"] };
    until_reached(namespace, "a-leader", &addresses).await?;
    let begun = Instant::now();
    for pod in ["a-0", "a-1"] {
        let role = if pod == holder { "leader" } else { "standby" };
        while namespace.api::<Pod>().get(pod).await?.labels().get(ROLE_LABEL).is_none_or(|label| label != role) {
            ensure!(begun.elapsed() < Duration::from_secs(20), "{pod} is not labelled {role}");
            sleep(Duration::from_millis(20)).await;
        }
    }
    Ok(())
}

/// Whoever leads is preferred: else there would be a handover.
async fn prefer(namespace: &Namespace<'_>, election: &Election<'_>, holder: &str) -> Result<()> {
    let zone = Patch::Merge(json!({"metadata": {"labels": {"zone": "a"}}}));
    namespace.api::<Pod>().patch(holder, &PatchParams::default(), &zone).await?;
    let mut spec = short_timings();
    spec["candidates"] = json!({"preferred": [{"matchLabels": {"zone": "a"}}]});
    election.apply(spec).await?;
    election.until_reason(ConditionType::Ready, Reason::Reconciled).await?;
    Ok(())
}

/// Each second each of them, by Prometheus and by its app.
async fn asked_for_a_minute(agents: &[Candidate]) -> Result<()> {
    let begun = Instant::now();
    for second in 1..=60 {
        for agent in agents {
            let (app, observe) = (agent.address("HTTP_ADDRESS").await?, agent.address("OBSERVE_ADDRESS").await?);
            assert_eq!(get(observe, "/metrics").await?.status, 200);
            assert_eq!(get(app, "/").await?.status, 200);
            assert_eq!(get(app, "/isLeader").await?.status, if agent.leads() { 200 } else { 503 });
        }
        sleep_until(begun + second * SECOND).await;
    }
    Ok(())
}
