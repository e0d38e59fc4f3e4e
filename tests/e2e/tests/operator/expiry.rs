//! The end of a tenure as the operator sees it: given up, or silent for too long, by time alone.

use std::time::{Duration, Instant};

use anyhow::Result;
use elector_crds::conditions::{ConditionType, Reason, find};
use elector_harness::candidate::{AgentOptions, Candidate, leader};
use elector_harness::operators::{Election, place, short_timings};
use kube::ResourceExt;

#[tokio::test]
async fn a_leader_that_falls_silent_expires_when_its_duration_is_over() {
    silent().await.unwrap();
}

async fn silent() -> Result<()> {
    let namespace = place("expiry").await?;
    let election = Election::create(&namespace, "billing", short_timings()).await?;
    election.until_reason(ConditionType::Ready, Reason::Reconciled).await?;
    let candidates = [Candidate::start(&namespace, "billing", "billing-0", &AgentOptions::default()).await?];
    leader(&candidates, Duration::from_secs(5)).await?;
    election.until_held_by("billing-0").await?;

    candidates[0].process().kill();
    let killed = Instant::now();
    let stored = election.until_reason(ConditionType::LeaderElected, Reason::LeaseExpired).await?;
    // The last renewal was at most a retry period ago.
    let took = killed.elapsed();
    assert!((3900..6500).contains(&took.as_millis()), "{took:?}");
    let status = stored.status.unwrap_or_default();
    let elected = find(&status.conditions, ConditionType::LeaderElected).expect("it was waited for");
    assert_eq!(
        (elected.status.as_str(), elected.message.as_str()),
        ("False", "billing-0 has not renewed the Lease for more than 5 s")
    );
    assert_eq!((status.holder, status.lease_transitions), (None, Some(1)));
    // Whether what was asked for is in place has nothing to do with it.
    assert_eq!(find(&status.conditions, ConditionType::Ready).map(|ready| ready.status.as_str()), Some("True"));
    assert_eq!(election.event_reasons().await?, ["LeaderElected", "LeaseExpired"]);
    let event = election.event_objects().await?.pop().expect("there are two");
    assert_eq!(event.type_.as_deref(), Some("Warning"));
    assert_eq!(event.related.and_then(|pod| pod.name).as_deref(), Some("billing-0"));

    // It says so once, and again only of another tenure.
    let version = stored.metadata.resource_version;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(election.get().await?.resource_version(), version);
    candidates[0].process().start()?;
    election.until_held_by("billing-0").await?;
    assert_eq!(election.event_reasons().await?, ["LeaderElected", "LeaseExpired", "LeaderElected"]);
    Ok(())
}
