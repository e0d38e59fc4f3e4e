//! The Deployment of `docs/installing.md`: who has the file, and when the next one has it.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use elector_harness::witness::Sighting;
use kube::ResourceExt as _;

use crate::billing::{Billing, Setup};
use crate::manifest::{App, Edit, deployment, injected};
use crate::processes::until_gone;
use elector_harness::figures::{figure, is_measured, rounds};

/// From the old leader's app's end to the next one's file.
const HANDOVER: Duration = Duration::from_millis(300);
/// The same while other tests start containers.
const HANDOVER_IN_A_CROWD: Duration = Duration::from_secs(1);
/// From the last act of one app to the first of the next: the old one's container has to end in between.
const PAUSE: Duration = Duration::from_secs(5);

#[tokio::test]
async fn of_three_pods_one_has_the_file_and_its_app_sees_it() {
    one_file("one-file", deployment).await.unwrap();
}

#[tokio::test]
async fn of_three_pods_with_the_agent_that_is_shipped_one_has_the_file_and_its_app_sees_it() {
    one_file("one-file-injected", injected).await.unwrap();
}

/// With the app as it is shown.
async fn one_file(prefix: &str, edit: Edit) -> Result<()> {
    let billing = Billing::deployed_with(prefix, Setup { edit, ..Setup::of(App::AsShown) }).await?;
    let leader = billing.leader().await?;
    let name = leader.name_any();
    ensure!(fs::read_to_string(billing.status_file(&leader))?.trim() == name);
    billing.election.until_held_by(&name).await?;
    let says_so = async || Ok(billing.container_log(&leader, "app").contains("I lead"));
    billing.until("the app says so", says_so).await?;
    let pods = billing.pods().await?;
    for pod in pods.iter().filter(|pod| pod.name_any() != name) {
        ensure!(!billing.status_file(pod).exists());
        ensure!(billing.leads(pod).ok() == Some(false));
        ensure!(billing.container_log(pod, "app").is_empty());
    }
    let lease = billing.election.lease().await?;
    let transitions = lease.spec["leaseTransitions"].to_string();
    let table = billing.kubectl(&["get", "leaderelections"], "").await?;
    let words = |line: Option<&str>| line.unwrap_or_default().split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let (head, row) = (words(table.lines().next()), words(table.lines().nth(1)));
    ensure!(head.join(" ") == "NAME HOLDER CANDIDATES TRANSITIONS HELD FOR STATE READY AGE", "{table}");
    let [election, holder, candidates, tenures, held_for, state, ready, _] = &row[..] else { bail!("{table}") };
    let expected = ["billing", &name, "3", &transitions, "LeaseHeld", "True"];
    ensure!([election, holder, candidates, tenures, state, ready] == expected, "{table}");
    ensure!(held_for.strip_suffix('s').is_some_and(|held_for| held_for.parse::<u64>().is_ok()), "{table}");
    billing.end().await.map(drop)
}

#[tokio::test]
async fn a_deleted_leader_hands_over_once_its_app_has_ended() {
    let billing = Billing::deployed("deletion", App::Injected).await.unwrap();
    let mut leaderless = Vec::new();
    for _ in 0..rounds(3) {
        let leader = billing.leader().await.unwrap();
        billing.until_acting(&leader).await.unwrap();
        let app = billing.processes(&leader, "app").unwrap()[0];
        let begun = Instant::now();
        billing.delete(&leader).await.unwrap();
        let app_ended = until_gone(app).await.unwrap();
        let next = billing.next_leader(&leader).await.unwrap();
        let gone = billing.sighting(&leader, begun, false).await.unwrap();
        let came = billing.sighting(&next, begun, true).await.unwrap();
        println!(
            "the app ended {:?} after the deletion, the file went {:?} later, and the next came {:?} later",
            app_ended - begun,
            gone.at.saturating_duration_since(app_ended),
            came.at - gone.at
        );
        // It was looked for once in a millisecond.
        assert!(app_ended < gone.at + Duration::from_millis(50), "the app outlived the file");
        leaderless.push(came.at.saturating_duration_since(app_ended));
        billing.election.until_held_by(&next.name_any()).await.unwrap();
        billing.until_acting(&next).await.unwrap();
        billing.until_there().await.unwrap();
    }
    let acts = billing.end().await.unwrap();
    println!("between the acts of two apps: {:?}", acts.pauses());
    assert_eq!(acts.runs().len(), rounds(3) + 1);
    assert!(acts.pauses().iter().all(|pause| *pause < PAUSE));
    figure(
        "leaderless beyond the app's own end",
        &leaderless,
        if is_measured() { HANDOVER } else { HANDOVER_IN_A_CROWD },
    );
}

#[tokio::test]
async fn a_rolling_update_of_three_hands_over_from_pod_to_pod() {
    rolled("rolling", Setup::of(App::Injected), PAUSE).await.unwrap();
}

#[tokio::test]
async fn a_rolling_update_of_ten_costs_two_seconds_without_a_leader_at_most() {
    let mut leaderless = Vec::new();
    for _ in 0..rounds(1) {
        let ten = Setup { replicas: 10, ..Setup::of(App::Injected) };
        leaderless.push(rolled("rolling-ten", ten, PAUSE).await.unwrap());
    }
    figure("rolling update of ten, without a file in all", &leaderless, Duration::from_secs(2));
}

/// For how long nobody had a file. No more than `pause` between the acts of two apps.
pub(crate) async fn rolled(prefix: &str, setup: Setup, pause: Duration) -> Result<Duration> {
    let replicas = setup.replicas;
    let billing = Billing::deployed_with(prefix, setup).await?;
    let leader = billing.leader().await?;
    billing.until_acting(&leader).await?;
    let begun = Instant::now();
    billing.roll().await?;
    println!("{replicas} pods were replaced in {:?}", begun.elapsed());
    let leader = billing.leader().await?;
    billing.until_acting(&leader).await?;
    let leaderless = leaderless(&billing.witness.sightings(begun));
    let acts = billing.end().await?;
    println!(
        "{} tenures; {leaderless:?} without a file in all; between the acts of two apps: {:?}",
        acts.runs().len(),
        acts.pauses()
    );
    ensure!(acts.runs().len() >= 2 && acts.pauses().iter().all(|seen| *seen < pause), "{:?}", acts.pauses());
    Ok(leaderless)
}

/// The sum of the times between one file's end and the next one's beginning.
fn leaderless(sightings: &[Sighting]) -> Duration {
    let pairs = sightings.windows(2).filter(|pair| !pair[0].there && pair[1].there);
    pairs.map(|pair| pair[1].at - pair[0].at).sum()
}
