//! Why a leader gave its Lease up, where people look: a tenure's end in the history, the event, the condition.

use std::fs;
use std::time::Duration;

use elector_crds::conditions::{ConditionType, Reason, find};
use elector_crds::{LeaderElection, PastTenure};
use elector_harness::candidate::{AgentOptions, Candidate};
use elector_harness::operators::{Election, place, short_timings};
use elector_xtask::scratch::Scratch;
use serde_json::json;

const START: Duration = Duration::from_secs(8);

#[tokio::test]
async fn a_leader_whose_app_falls_ill_is_said_to_have_given_up_for_that() {
    let namespace = place("released-unwell").await.unwrap();
    let election = Election::create(&namespace, "billing", short_timings()).await.unwrap();
    election.until_reason(ConditionType::Ready, Reason::Reconciled).await.unwrap();
    let folder = Scratch::new().unwrap();
    let well = folder.path().join("well");
    fs::write(&well, "").unwrap();
    let settings = [
        ("HEALTH_FILE", well.display().to_string()),
        ("HEALTH_PERIOD_SECONDS", "1".to_owned()),
        ("HEALTH_GRACE_SECONDS", "3600".to_owned()),
    ];
    let environment = settings.map(|(name, value)| (name.to_owned(), value)).to_vec();
    let options = AgentOptions { environment, ..AgentOptions::default() };
    let leader = Candidate::start(&namespace, "billing", "billing-0", &options).await.unwrap();
    leader.leads_within(START).await.unwrap();
    election.until_held_by("billing-0").await.unwrap();

    fs::remove_file(&well).unwrap();
    let is_over = |election: &LeaderElection| {
        election.status.as_ref().is_some_and(|status| status.history.first().is_some_and(|led| led.until.is_some()))
    };
    let stored = election.until("its tenure is over", is_over).await.unwrap();
    let status = stored.status.unwrap();
    assert_eq!(status.history[0].reason.as_deref(), Some("AppUnhealthy"));
    let elected = find(&status.conditions, ConditionType::LeaderElected).unwrap();
    assert_eq!(elected.message, "the last leader gave the Lease up: its app was not healthy");
    let events = election.events().await.unwrap();
    let lost = ("LeaderLost".to_owned(), "billing-0 no longer leads: its app was not healthy".to_owned());
    assert!(events.contains(&lost), "{events:?}");

    // A candidate that is no agent, and counts no tenures, leaves the annotation as it is: what it says is of the last one.
    for _ in 0..2 {
        let now = format!("{:.6}", jiff::Timestamp::now());
        let held =
            json!({"holderIdentity": "elsewhere", "leaseDurationSeconds": 5, "acquireTime": now, "renewTime": now});
        namespace.edit_lease("billing", json!({"spec": held})).await.unwrap();
    }
    election.until_held_by("elsewhere").await.unwrap();
    namespace.edit_lease("billing", json!({"spec": {"holderIdentity": "", "leaseDurationSeconds": 1}})).await.unwrap();
    let others = |election: &LeaderElection| {
        let history = election.status.as_ref().map_or(&[][..], |status| &status.history);
        history.first().is_some_and(|led| led.holder == "elsewhere" && led.until.is_some())
    };
    let stored = election.until("the next one is over", others).await.unwrap();
    let ends: Vec<_> = stored.status.unwrap().history.into_iter().map(|PastTenure { reason, .. }| reason).collect();
    assert_ne!(ends[0].as_deref(), Some("AppUnhealthy"), "{ends:?}");
    assert_eq!(ends[1].as_deref(), Some("AppUnhealthy"), "{ends:?}");
}
