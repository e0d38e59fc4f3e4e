//! In steady state nobody writes but leaders: by the API server's own account.

use std::time::Duration;

use anyhow::Result;
use elector_crds::conditions::{ConditionType, Reason};
use elector_tests::candidate::{AgentOptions, Candidate, leader};
use elector_tests::controlplane::{ControlPlane, Entry};
use elector_tests::operators::{Election, place, shared, short_timings};
use jiff::Timestamp;

const ELECTIONS: [&str; 3] = ["a", "b", "c"];

#[tokio::test]
async fn of_three_elections_costs_renewals_and_nothing_else() {
    minute().await.unwrap();
}

async fn minute() -> Result<()> {
    let namespace = place("quiet").await?;
    let mut leaders = Vec::new();
    let mut agents = Vec::new();
    for name in ELECTIONS {
        let election = Election::create(&namespace, name, short_timings()).await?;
        election.until_reason(ConditionType::Ready, Reason::Reconciled).await?;
        let mut candidates = Vec::new();
        for number in 0..2 {
            let pod = format!("{name}-{number}");
            candidates.push(Candidate::start(&namespace, name, &pod, &AgentOptions::default()).await?);
            namespace.set_pod_ready(&pod, true).await?;
        }
        let holder = leader(&candidates, Duration::from_secs(5)).await?.name().to_owned();
        election.until_held_by(&holder).await?;
        election.until_reason(ConditionType::CandidatesReady, Reason::AllReady).await?;
        leaders.push(holder);
        agents.extend(candidates);
    }
    tokio::time::sleep(Duration::from_secs(1)).await;

    let since = Timestamp::now();
    tokio::time::sleep(Duration::from_secs(60)).await;
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
