//! Clients of the agent's HTTP API, each beside an agent of its own: what they believe while leadership moves.

use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use elector_crds::conditions::{ConditionType, Reason};
use elector_harness::candidate::{AgentOptions, Candidate};
use elector_harness::operators::{Election, place};
use elector_harness::witness::Witness;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::belief::{Believer, in_pod, longest_error, of_file, overlaps};

/// Until an agent leads, or a client has heard of it: a JVM compiles its source first.
const PATIENCE: Duration = Duration::from_secs(30);
/// To be told of something on a machine that is busy.
const TOLD: Duration = Duration::from_millis(800);
/// An agent that has nothing to say says that, so that proxies keep the connection: every 15 s.
const QUIET: Duration = Duration::from_secs(17);

/// An agent, and the app that asks it.
struct Pod {
    agent: Candidate,
    app: Believer,
}

impl Pod {
    async fn start(client: &str, election: &Election<'static>, pod: &str, witness: &Witness) -> Result<Pod> {
        // One that is free, and stays the agent's when it is started again.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let script = format!(r#"exec unshare {} "$0" "$@""#, quoted(&in_pod(pod)));
        let mut options = AgentOptions::in_shell(&script).await?;
        options.environment.push(("HTTP_ADDRESS".to_owned(), address.to_string()));
        let agent = Candidate::start(election.namespace(), election.name(), pod, &options).await?;
        witness.add(pod, agent.status_file());
        let app = Believer::start(client, pod, &places(address)).await?;
        Ok(Pod { agent, app })
    }

    /// Agent and app, one after the other.
    async fn leads(&self) -> Result<()> {
        self.agent.leads_within(PATIENCE).await?;
        self.app.until(true, PATIENCE).await
    }
}

/// As docs/migrating.md has them.
fn places(address: SocketAddr) -> [(&'static str, String); 3] {
    [
        ("ELECTOR_PATH", address.to_string()),
        ("ELECTOR_GET_URL", format!("http://{address}/")),
        ("ELECTOR_SSE_URL", format!("http://{address}/sse")),
    ]
}

fn quoted(arguments: &[String]) -> String {
    arguments.iter().map(|argument| format!("'{argument}'")).collect::<Vec<_>>().join(" ")
}

fn spec(paused: bool) -> Value {
    // With more time between a leader's end and its release than a client takes to hear of it.
    json!({
        "leaseDurationSeconds": 6, "renewDeadlineSeconds": 3, "retryPeriodSeconds": 1, "releaseDelaySeconds": 1,
        "paused": paused,
    })
}

/// Two pods with such a client each: a handover, a pause, and a restart of the leader's agent. `cycle` is how long the client
/// may take to ask again, or to connect again.
async fn goes_through(client: &str, cycle: Duration) -> Result<()> {
    let namespace = place(client).await?;
    let election = Election::create(&namespace, "a", spec(false)).await?;
    election.until_reason(ConditionType::Ready, Reason::Reconciled).await?;
    let begun = Instant::now();
    let witness = Witness::new(Vec::new(), |_, _| {});
    let first = Pod::start(client, &election, "a-0", &witness).await?;
    first.leads().await?;
    let second = Pod::start(client, &election, "a-1", &witness).await?;
    second.agent.says_within("observed holder", PATIENCE).await?;
    let told = first.app.beliefs();
    sleep(QUIET).await;
    ensure!(first.app.beliefs() == told && second.app.beliefs().is_empty(), "{}", first.app.log());

    first.agent.process().stop().await?;
    second.leads().await?;
    first.agent.process().start()?;
    first.agent.says_within("observed holder", PATIENCE).await?;

    election.apply(spec(true)).await?;
    second.app.until(false, PATIENCE).await?;
    election.until_reason(ConditionType::LeaderElected, Reason::Paused).await?;
    election.apply(spec(false)).await?;
    let (leader, other) = loop {
        match [&first, &second].map(|pod| pod.agent.leads()) {
            [true, false] => break (&first, &second),
            [false, true] => break (&second, &first),
            [_, _] => sleep(Duration::from_millis(10)).await,
        }
    };
    leader.leads().await?;

    let tenures = leader.app.beliefs().len();
    leader.agent.process().kill();
    leader.app.until(false, PATIENCE).await?;
    leader.agent.process().start()?;
    leader.leads().await?;
    ensure!(leader.app.beliefs().len() == tenures + 1, "{}", leader.app.log());
    leader.agent.process().stop().await?;
    other.leads().await?;

    let sightings = witness.sightings(begun);
    let beliefs = [&first, &second].map(|pod| pod.app.beliefs());
    let both = overlaps(&beliefs[0], &beliefs[1]);
    ensure!(both.is_empty(), "{client}: {both:?}\n{}\n{}", first.app.log(), second.app.log());
    for (index, beliefs) in beliefs.iter().enumerate() {
        let truth = of_file(index, &sightings);
        let error = longest_error(beliefs, &truth);
        println!("{client}: {} tenures, wrong for {error:?} at most", beliefs.len());
        ensure!(error < cycle + TOLD, "{client} believed for {error:?} what was not so: {beliefs:?}, {truth:?}");
    }
    Ok(())
}

#[tokio::test]
async fn npm_eventsource() {
    goes_through("eventsource", Duration::ZERO).await.unwrap();
}

#[tokio::test]
async fn pypi_sseclient() {
    goes_through("sseclient", Duration::from_secs(3)).await.unwrap();
}

#[tokio::test]
async fn pypi_sseclient_py() {
    goes_through("sseclient-py", Duration::ZERO).await.unwrap();
}

#[tokio::test]
async fn no_nav_common_job() {
    goes_through("nav-job", Duration::from_millis(200)).await.unwrap();
}

/// As those of NAIS's users are: a text and a time that are always there.
#[tokio::test]
async fn a_client_whose_types_take_no_null() {
    goes_through("typed", Duration::ZERO).await.unwrap();
}
