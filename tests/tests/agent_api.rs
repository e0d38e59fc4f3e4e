//! What the agent does when the API server, or somebody with rights, gets in its way.

use std::time::{Duration, Instant};

use elector_tests::candidate::{AgentOptions, Candidate, leader};
use elector_tests::controlplane::{ControlPlane, Namespace, Options};
use elector_tests::witness::Witness;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};
use tokio::time::sleep;

const ALL: &[&str] = &["create", "get", "list", "watch", "update"];
const PATIENCE: Duration = Duration::from_secs(20);

fn quick() -> AgentOptions {
    AgentOptions::default().with_timings([5, 3, 1])
}

async fn until(what: &str, patience: Duration, condition: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + patience;
    while !condition().await {
        assert!(Instant::now() < deadline, "not within {patience:?}: {what}");
        sleep(Duration::from_millis(2)).await;
    }
}

async fn edit(namespace: &Namespace<'_>, patch: Value) {
    let leases = namespace.api::<Lease>();
    leases.patch("a", &PatchParams::default(), &Patch::Merge(patch)).await.expect("the administrator may");
}

#[tokio::test]
async fn without_rights_it_names_the_rule_and_leads_once_it_has_them() {
    let namespace = ControlPlane::shared().await.unwrap().namespace("rights").await.unwrap();
    let agent = [Candidate::start(&namespace, "a", "a-0", &quick()).await.unwrap()];
    until("a warning", PATIENCE, async || agent[0].log().contains("WARN")).await;
    sleep(Duration::from_secs(3)).await;
    let log = agent[0].log();
    assert!(log.contains("a Role must grant get, list, watch and update on leases.coordination.k8s.io"), "{log}");
    // One for the watch and one for the read, however often they are repeated.
    assert!(log.matches("WARN").count() <= 2, "{log}");
    namespace.allow_leases(ALL).await.unwrap();
    leader(&agent, PATIENCE).await.unwrap();
}

#[tokio::test]
async fn where_watching_is_refused_it_reads_every_retry_period() {
    let plane = ControlPlane::shared().await.unwrap();
    let namespace = plane.namespace("polling").await.unwrap();
    namespace.allow_leases(&["create", "get", "update"]).await.unwrap();
    let first = Candidate::start(&namespace, "a", "a-0", &quick()).await.unwrap();
    let mut both = vec![first, Candidate::start(&namespace, "a", "a-1", &quick()).await.unwrap()];
    let name = leader(&both, PATIENCE).await.unwrap().name().to_owned();
    sleep(Duration::from_secs(5)).await;
    let standby = both.iter().find(|candidate| candidate.name() != name).unwrap().name().to_owned();
    let gets = plane
        .audit()
        .requests(|entry| entry.is_about(namespace.name(), "leases") && entry.pod.as_ref() == Some(&standby))
        .unwrap()
        .iter()
        .filter(|entry| entry.verb == "get")
        .count();
    assert!((4..=16).contains(&gets), "{gets}");
    let index = both.iter().position(|candidate| candidate.name() == name).unwrap();
    let old = both.swap_remove(index);
    old.process().stop().await.unwrap();
    leader(&both, Duration::from_secs(3)).await.unwrap();
}

#[tokio::test]
async fn without_a_lease_or_the_right_to_create_one_it_says_what_is_missing() {
    let namespace = ControlPlane::shared().await.unwrap().namespace("missing").await.unwrap();
    namespace.allow_leases(&["get", "list", "watch", "update"]).await.unwrap();
    let agent = Candidate::start(&namespace, "a", "a-0", &quick()).await.unwrap();
    let said = format!("no LeaderElection a in {}", namespace.name());
    until("the warning", PATIENCE, async || agent.log().contains(&said)).await;
    sleep(Duration::from_secs(6)).await;
    assert_eq!(agent.log().matches("WARN").count(), 1, "{}", agent.log());
    assert_eq!(agent.process().exited().unwrap(), None);
}

#[tokio::test]
async fn an_edit_of_the_holder_or_a_deletion_ends_the_tenure_at_once_and_a_label_does_not() {
    let namespace = ControlPlane::shared().await.unwrap().namespace("edits").await.unwrap();
    namespace.allow_leases(ALL).await.unwrap();
    let agent = [Candidate::start(&namespace, "a", "a-0", &quick()).await.unwrap()];
    let at_once = Duration::from_secs(1);

    leader(&agent, PATIENCE).await.unwrap();
    let since = agent[0].leads_since().unwrap();
    edit(&namespace, json!({"metadata": {"labels": {"seen": "yes"}}})).await;
    sleep(Duration::from_secs(2)).await;
    assert_eq!(agent[0].leads_since().unwrap(), since, "{}", agent[0].log());

    edit(&namespace, json!({"spec": {"holderIdentity": "somebody"}})).await;
    until("the file is gone", at_once, async || !agent[0].leads()).await;
    leader(&agent, PATIENCE).await.unwrap();

    namespace.api::<Lease>().delete("a", &DeleteParams::default()).await.unwrap();
    until("the file is gone", at_once, async || !agent[0].leads()).await;
    leader(&agent, PATIENCE).await.unwrap();
}

#[tokio::test]
async fn garbage_in_the_lease_is_waited_out() {
    let namespace = ControlPlane::shared().await.unwrap().namespace("garbage").await.unwrap();
    namespace.allow_leases(ALL).await.unwrap();
    let garbage: Lease = serde_json::from_value(json!({
        "metadata": {"name": "a", "annotations": {
            "leader-elector.io/timings": "{", "leader-elector.io/agent": "[1, 2]"}},
        "spec": {"holderIdentity": "somebody", "leaseDurationSeconds": 1, "leaseTransitions": 2_147_483_647},
    }))
    .unwrap();
    namespace.api::<Lease>().create(&Default::default(), &garbage).await.unwrap();
    let started = Instant::now();
    let agent = [Candidate::start(&namespace, "a", "a-0", &quick()).await.unwrap()];
    leader(&agent, PATIENCE).await.unwrap();
    assert!(started.elapsed() >= Duration::from_secs(5));
    assert!(agent[0].log().contains("lease holds what cannot be used"), "{}", agent[0].log());
    let lease = namespace.api::<Lease>().get("a").await.unwrap().spec.unwrap();
    // After the largest number counting starts again.
    assert_eq!((lease.lease_transitions, lease.holder_identity), (Some(1), Some(agent[0].identity())));
}

#[tokio::test]
async fn sigterm_removes_the_file_before_it_releases_and_waits_as_long_as_it_is_told() {
    let namespace = ControlPlane::shared().await.unwrap().namespace("delay").await.unwrap();
    namespace.allow_leases(ALL).await.unwrap();
    let mut options = AgentOptions::default().with_timings([8, 3, 1]);
    options.arguments.push("--release-delay-seconds=2".to_owned());
    let agent = [Candidate::start(&namespace, "a", "a-0", &options).await.unwrap()];
    leader(&agent, PATIENCE).await.unwrap();
    let told = Instant::now();
    agent[0].process().terminate().unwrap();
    until("the file is gone", Duration::from_millis(500), async || !agent[0].leads()).await;
    let leases = namespace.api::<Lease>();
    let holder = async || leases.get("a").await.unwrap().spec.unwrap().holder_identity;
    assert_eq!(holder().await, Some(agent[0].identity()));
    until("the Lease is released", PATIENCE, async || holder().await.is_none()).await;
    assert!(told.elapsed() >= Duration::from_secs(2), "{:?}", told.elapsed());
    agent[0].process().ended().await.unwrap();
    assert_eq!(agent[0].process().exited().unwrap().and_then(|status| status.code()), Some(0));
    let lease = leases.get("a").await.unwrap();
    assert!(lease.metadata.annotations.unwrap()["leader-elector.io/agent"].contains("\"release\""));
}

#[tokio::test]
async fn timings_are_taken_from_the_lease_while_it_runs() {
    let namespace = ControlPlane::shared().await.unwrap().namespace("timings").await.unwrap();
    namespace.allow_leases(ALL).await.unwrap();
    let agent = [Candidate::start(&namespace, "a", "a-0", &quick()).await.unwrap()];
    leader(&agent, PATIENCE).await.unwrap();
    let timings =
        r#"{"leaseDurationSeconds":8,"renewDeadlineSeconds":5,"retryPeriodSeconds":1,"releaseDelaySeconds":0}"#;
    edit(&namespace, json!({"metadata": {"annotations": {"leader-elector.io/timings": timings}}})).await;
    let leases = namespace.api::<Lease>();
    let duration = async || leases.get("a").await.unwrap().spec.unwrap().lease_duration_seconds;
    until("the next renewal has it", Duration::from_secs(3), async || duration().await == Some(8)).await;
    assert!(agent[0].leads());
}

#[tokio::test]
async fn a_frozen_api_server_costs_the_file_at_the_renew_deadline_and_nobody_else_has_one() {
    let plane = ControlPlane::start(Options::default()).await.unwrap();
    let namespace = plane.namespace("frozen").await.unwrap();
    namespace.allow_leases(ALL).await.unwrap();
    let mut candidates = Vec::new();
    for pod in ["a-0", "a-1"] {
        candidates.push(Candidate::start(&namespace, "a", pod, &quick()).await.unwrap());
    }
    let files = candidates.iter().map(|one| (one.name().to_owned(), one.status_file())).collect();
    let witness = Witness::new(files, |_, _| {});
    leader(&candidates, PATIENCE).await.unwrap();
    plane.api_server().pause().unwrap();
    let frozen = Instant::now();
    until("no file is left", Duration::from_secs(4), async || candidates.iter().all(|one| !one.leads())).await;
    assert!(frozen.elapsed() >= Duration::from_millis(1900), "{:?}", frozen.elapsed());
    sleep(Duration::from_secs(4)).await;
    plane.api_server().resume().unwrap();
    leader(&candidates, PATIENCE).await.unwrap();
    assert_eq!(witness.overlaps(), []);
    for candidate in &candidates {
        candidate.process().stop().await.unwrap();
    }
}
