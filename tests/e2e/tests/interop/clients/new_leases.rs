//! Candidates that others wrote, alone on a Lease that the operator has just made.

use std::time::Duration;

use anyhow::Result;
use elector_crds::conditions::{ConditionType, Reason};
use elector_harness::controlplane::Namespace;
use elector_harness::operators::{Election, place, short_timings};
use elector_harness::peer::Peer;
use serde_json::{Value, json};

use super::belief::Believer;
use super::candidates::{PATIENCE, TIMINGS, start};

/// Candidates may call themselves what they like.
pub(crate) fn spec() -> Value {
    let mut spec = short_timings();
    spec["candidates"] = json!({"identity": "Any"});
    spec
}

/// The LeaderElection is there first.
async fn made(prefix: &str) -> Result<(Namespace<'static>, Election<'static>)> {
    let namespace = place(prefix).await?;
    let election = Election::create(&namespace, "new", spec()).await?;
    election.until_reason(ConditionType::Ready, Reason::Reconciled).await?;
    election.until_reason(ConditionType::LeaderElected, Reason::NeverHeld).await?;
    Ok((namespace, election))
}

/// One that leads by the rights that the operator gives, and these.
async fn led_by(library: &str, more: &[&str]) -> Result<(Election<'static>, Believer)> {
    let (namespace, election) = made(library).await?;
    if !more.is_empty() {
        namespace.allow_lease("new", more).await?;
    }
    let candidate = start(library, &namespace, "new", "theirs").await?;
    candidate.until(true, PATIENCE).await?;
    election.until_held_by("theirs").await?;
    Ok((election, candidate))
}

#[tokio::test]
async fn the_official_python_client_leads_on_a_new_lease() {
    led_by("client-python", &[]).await.unwrap();
}

/// It counts no tenures, and leaves the Lease nearly as the operator had made it.
#[tokio::test]
async fn an_elector_of_npm_leads_on_a_new_lease_and_has_led() {
    let (election, elector) = led_by("npm-elector", &[]).await.unwrap();
    elector.process().stop().await.unwrap();
    let stored = election.until_reason(ConditionType::LeaderElected, Reason::Released).await.unwrap();
    let history = stored.status.unwrap_or_default().history;
    assert_eq!((history.len(), history[0].until.is_some()), (1, true), "{history:?}");
}

#[tokio::test]
async fn client_go_leads_on_a_new_lease() {
    let (namespace, election) = made("client-go").await.unwrap();
    let peer = Peer::client_go().await.unwrap().start(&namespace, "new", "client-go", TIMINGS).await.unwrap();
    peer.leads_within(Duration::from_secs(10)).await.unwrap();
    election.until_held_by("client-go").await.unwrap();
}

/// Its identity has the form of an agent's, `<pod>_<uid>`, and its second part is nobody's uid.
#[tokio::test]
async fn controller_runtime_leads_on_a_new_lease() {
    let (namespace, election) = made("controller-runtime").await.unwrap();
    let peer = Peer::controller_runtime().await.unwrap().start(&namespace, "new", "manager", TIMINGS).await.unwrap();
    peer.leads_within(Duration::from_secs(10)).await.unwrap();
    election.until_held_by("manager").await.unwrap();
    peer.process().stop().await.unwrap();
    election.until_reason(ConditionType::LeaderElected, Reason::Released).await.unwrap();
}

/// It writes by patches, which agents do not.
#[tokio::test]
async fn fabric8_leads_on_a_new_lease() {
    led_by("fabric8", &["patch"]).await.unwrap();
}

#[tokio::test]
async fn the_official_java_client_leads_on_a_new_lease() {
    led_by("client-java", &[]).await.unwrap();
}
