//! Candidates that do not count their tenures, where an agent has led before: what the operator and `doctor` say of them.

use anyhow::Result;
use elector_crds::PastTenure;
use elector_crds::conditions::{ConditionType, Reason};
use elector_harness::candidate::{AgentOptions, Candidate};
use elector_harness::operators::{Election, place};
use elector_xtask::programs::Programs;
use serde_json::json;
use tokio::process::Command;

use super::candidates::{EXPIRED, PATIENCE, TIMINGS, start};
use super::new_leases::spec;

async fn adopted() -> Result<()> {
    let namespace = place("uncounted").await?;
    namespace.allow_leases(&["create", "get", "list", "watch", "update"]).await?;
    let options = AgentOptions::default().with_timings(TIMINGS);
    let ours = Candidate::start(&namespace, "shared", "ours", &options).await?;
    ours.leads_within(PATIENCE).await?;
    let first = start("client-python", &namespace, "shared", "first").await?;
    ours.process().stop().await?;
    first.until(true, PATIENCE).await?;

    let election = Election::create(&namespace, "shared", spec()).await?;
    election.until_reason(ConditionType::Ready, Reason::ObjectConflict).await?;
    namespace.edit_lease("shared", json!({"metadata": {"annotations": {"leader-elector.io/adopt": "true"}}})).await?;
    election.until_held_by("first").await?;
    let second = start("client-python", &namespace, "shared", "second").await?;
    first.process().stop().await?;
    second.until(true, 2 * EXPIRED).await?;
    let stored = election.until_held_by("second").await?;

    let history = stored.status.unwrap_or_default().history;
    let told = |tenure: &PastTenure| (tenure.holder.clone(), tenure.lease_transitions, tenure.until.is_some());
    let expected = [("second".to_owned(), None, false), ("first".to_owned(), Some(1), true)];
    assert_eq!(history.iter().map(told).collect::<Vec<_>>(), expected);
    let notes: Vec<String> = election.events().await?.into_iter().map(|(_, note)| note).collect();
    assert!(["first leads", "second leads"].iter().all(|note| notes.iter().any(|said| said == note)), "{notes:?}");

    let mut doctor = Command::new(&Programs::built().await?.plugin);
    doctor.env_clear().env("KUBECONFIG", namespace.cluster().kubeconfig());
    let output = doctor.args(["doctor", "shared", "-n", namespace.name()]).output().await?;
    let said = String::from_utf8(output.stdout)?;
    assert!(said.contains("second holds the Lease, and is no pod that matches and no agent"), "{said}");
    assert!(!said.contains("IDENTITY"), "{said}");
    Ok(())
}

#[tokio::test]
async fn two_of_the_official_python_client_are_told_apart() {
    adopted().await.unwrap();
}
