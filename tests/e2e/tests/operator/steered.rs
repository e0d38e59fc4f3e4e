//! A pause, and another leader on request.

use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, ensure};
use elector_crds::conditions::{ConditionType, Reason, find};
use elector_crds::{HINTS_ANNOTATION, LeaderElection, TRANSFER_ANNOTATION};
use elector_harness::candidate::{Candidate, leader};
use elector_harness::controlplane::Namespace;
use elector_harness::figures::{is_measured, rounds};
use elector_harness::kubectl::kubectl;
use elector_harness::operators::{Election, contended, place, short_timings};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use tokio::time::sleep;

const SOON: Duration = Duration::from_secs(2);
/// From one leader's file to the next one's, when it is asked for: beside other tests.
const HANDOVER: Duration = Duration::from_millis(500);
/// The same alone.
const HANDOVER_ALONE: Duration = Duration::from_millis(100);

/// An election with three candidates, which are ready.
struct Scene {
    election: Election<'static>,
    candidates: Vec<Candidate>,
    namespace: Namespace<'static>,
}

impl Scene {
    async fn set(prefix: &str) -> Result<Scene> {
        let (namespace, election, candidates) = contended(prefix).await?;
        Ok(Scene { election, candidates, namespace })
    }

    fn candidate(&self, name: &str) -> Result<&Candidate> {
        self.candidates.iter().find(|candidate| candidate.name() == name).context("no such candidate")
    }

    /// As a user asks.
    async fn ask_for(&self, target: &str) -> Result<()> {
        let request = format!("{TRANSFER_ANNOTATION}={target}");
        let annotate = ["-n", self.namespace.name(), "annotate", "--overwrite", "leaderelection", "billing", &request];
        kubectl(&self.namespace.cluster().kubeconfig(), &annotate, "").await.map(drop)
    }

    /// The note of the event of that reason, once the request is gone.
    async fn answer(&self, reason: &str) -> Result<String> {
        let gone = |election: &LeaderElection| !election.annotations().contains_key(TRANSFER_ANNOTATION);
        self.election.until("the request is taken back", gone).await?;
        let events = self.election.events().await?;
        let told = events.iter().rev().find(|(told, _)| told.starts_with("Transfer")).context("nothing is told")?;
        ensure!(told.0 == reason, "{events:?}");
        Ok(told.1.clone())
    }

    fn with_pause(paused: bool) -> Value {
        let mut spec = short_timings();
        spec["paused"] = json!(paused);
        spec
    }

    /// Why the tenures ended that the status remembers, the latest first.
    async fn ends(&self) -> Result<Vec<String>> {
        let history = self.election.get().await?.status.unwrap_or_default().history;
        Ok(history.into_iter().map(|tenure| tenure.reason.unwrap_or_default()).collect())
    }

    async fn until_no_hint(&self) -> Result<()> {
        let begun = Instant::now();
        while self.election.lease().await?.annotation(HINTS_ANNOTATION).is_some() {
            ensure!(begun.elapsed() < SOON, "the hint stays");
            sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_pause_ends_the_tenure_and_nobody_leads_until_it_is_over() {
    let scene = Scene::set("paused").await.unwrap();
    scene.election.apply(Scene::with_pause(true)).await.unwrap();
    scene.candidate("billing-0").unwrap().yields_within(SOON).await.unwrap();
    scene.election.until_reason(ConditionType::LeaderElected, Reason::Paused).await.unwrap();
    assert_eq!(scene.candidate("billing-0").unwrap().said("election is paused").len(), 1);
    let lease = scene.election.lease().await.unwrap();
    assert_eq!((lease.spec.get("holderIdentity"), &lease.spec["leaseDurationSeconds"]), (None, &json!(1)));
    // Longer than a lease lasts.
    sleep(Duration::from_secs(7)).await;
    assert!(scene.candidates.iter().all(|candidate| !candidate.leads()));
    assert_eq!(scene.election.get().await.unwrap().status.unwrap().holder, None);

    scene.election.apply(Scene::with_pause(false)).await.unwrap();
    let next = leader(&scene.candidates, SOON).await.unwrap();
    scene.election.until_held_by(next.name()).await.unwrap();
    let told = scene.election.event_reasons().await.unwrap();
    assert_eq!(told.len(), 5, "{told:?}");
    for (reason, times) in [("LeaderElected", 2), ("LeaderLost", 1), ("Paused", 1), ("Resumed", 1)] {
        assert_eq!(told.iter().filter(|told| *told == reason).count(), times, "{told:?}");
    }
    scene.until_no_hint().await.unwrap();
    assert_eq!(scene.ends().await.unwrap(), ["", "Paused"]);
}

#[tokio::test]
async fn the_pod_that_is_asked_for_leads_and_the_request_goes() {
    let scene = Scene::set("transfer").await.unwrap();
    let mut old = "billing-0";
    let rounds = rounds(3);
    let mut leaderless = Vec::new();
    for round in 1..=rounds {
        let target = ["billing-0", "billing-1", "billing-2"][round % 3];
        let version = scene.election.lease().await.unwrap().metadata.resource_version;
        let asked = Instant::now();
        scene.ask_for(target).await.unwrap();
        // It is seen to go, within a millisecond.
        scene.candidate(old).unwrap().yields_within(SOON).await.unwrap();
        let gone = SystemTime::now();
        scene.candidate(target).unwrap().leads_within(SOON).await.unwrap();
        let came = scene.candidate(target).unwrap().leads_since().unwrap();
        leaderless.push(came.duration_since(gone).unwrap_or_default());
        println!("{target} led {:?} after it was asked for, as kubectl began", asked.elapsed());
        assert_eq!(scene.answer("TransferCompleted").await.unwrap(), format!("asked for {target}: {target} leads"));
        scene.until_no_hint().await.unwrap();
        scene.election.until_held_by(target).await.unwrap();
        assert_ne!(scene.election.lease().await.unwrap().metadata.resource_version, version);
        assert_eq!(scene.candidates.iter().filter(|candidate| candidate.leads()).count(), 1);
        old = target;
    }
    let ends = scene.ends().await.unwrap();
    assert_eq!(ends.len(), (rounds + 1).min(10));
    assert!(ends[1..].iter().all(|end| end == "Transferred"), "{ends:?}");
    leaderless.sort_unstable();
    println!("without a leader: median {:?}, max {:?} of {rounds}", leaderless[rounds / 2], leaderless[rounds - 1]);
    let most = if is_measured() { HANDOVER_ALONE } else { HANDOVER };
    assert!(leaderless[rounds - 1] <= most, "{leaderless:?}");
}

/// What the app is left before another leads is left to it here, too, and no more than that.
#[tokio::test]
async fn a_release_delay_lies_between_the_two_tenures() {
    let scene = Scene::set("transfer-delayed").await.unwrap();
    let delay = Duration::from_secs(2);
    let spec = json!({
        "leaseDurationSeconds": 8, "renewDeadlineSeconds": 3, "retryPeriodSeconds": 1, "releaseDelaySeconds": 2,
    });
    scene.election.apply(spec).await.unwrap();
    let begun = Instant::now();
    // The leader renews with what it has heard of.
    while scene.election.lease().await.unwrap().spec["leaseDurationSeconds"] != 8 {
        assert!(begun.elapsed() < Duration::from_secs(10), "it asks for what it asked for before");
        sleep(Duration::from_millis(50)).await;
    }
    scene.ask_for("billing-1").await.unwrap();
    scene.candidate("billing-0").unwrap().yields_within(SOON).await.unwrap();
    let gone = SystemTime::now();
    scene.candidate("billing-1").unwrap().leads_within(delay + SOON).await.unwrap();
    let came = scene.candidate("billing-1").unwrap().leads_since().unwrap();
    let leaderless = came.duration_since(gone).unwrap_or_default();
    println!("without a leader: {leaderless:?} with a release delay of {delay:?}");
    let most = if is_measured() { HANDOVER_ALONE } else { HANDOVER };
    // The end of the first file is seen within a millisecond, and a file's time is up to 4 ms old.
    assert!(leaderless >= delay - Duration::from_millis(10) && leaderless <= delay + most, "{leaderless:?}");
    assert_eq!(scene.answer("TransferCompleted").await.unwrap(), "asked for billing-1: billing-1 leads");
}

#[tokio::test]
async fn anybody_else_is_whoever_comes_first() {
    let scene = Scene::set("transfer-any").await.unwrap();
    scene.ask_for("*").await.unwrap();
    let note = scene.answer("TransferCompleted").await.unwrap();
    let next = leader(&scene.candidates, SOON).await.unwrap();
    assert_ne!(next.name(), "billing-0");
    assert_eq!(note, format!("asked for *: {} leads", next.name()));
}

#[tokio::test]
async fn a_request_that_cannot_be_followed_is_refused_and_costs_nothing() {
    let scene = Scene::set("transfer-refused").await.unwrap();
    let version = scene.candidate("billing-0").unwrap().leads_since().unwrap();
    for (target, why) in [("billing-9", "is no pod that may lead"), ("billing-0", "billing-0 leads already")] {
        scene.ask_for(target).await.unwrap();
        let note = scene.answer("TransferRefused").await.unwrap();
        assert!(note.contains(why), "{note}");
    }
    scene.namespace.set_pod_ready("billing-1", false).await.unwrap();
    let unready = |election: &LeaderElection| election.status.as_ref().is_some_and(|it| it.ready_candidates == Some(2));
    scene.election.until("it is not ready", unready).await.unwrap();
    scene.ask_for("billing-1").await.unwrap();
    assert!(scene.answer("TransferRefused").await.unwrap().contains("pod billing-1 cannot lead"));
    assert_eq!(scene.candidate("billing-0").unwrap().leads_since().unwrap(), version, "it has led all the time");
    assert_eq!(scene.election.lease().await.unwrap().annotation(HINTS_ANNOTATION), None);
}

#[tokio::test]
async fn a_leader_that_is_not_ready_hands_over_to_one_that_is() {
    let scene = Scene::set("unready-leader").await.unwrap();
    let mut spec = short_timings();
    spec["unreadyLeaderSeconds"] = json!(2);
    scene.election.apply(spec).await.unwrap();
    // They bring their agents.
    let agents = json!({"metadata": {"labels": {"leader-elector.io/injection": "disabled"}}});
    for pod in ["billing-1", "billing-2"] {
        let pods = scene.namespace.api::<Pod>();
        pods.patch(pod, &PatchParams::default(), &Patch::Merge(&agents)).await.unwrap();
    }
    scene.namespace.set_pod_ready("billing-0", false).await.unwrap();
    let is_said = |election: &LeaderElection| {
        let conditions = election.status.as_ref().map_or(&[][..], |status| &status.conditions);
        find(conditions, ConditionType::CandidatesReady).is_some_and(|it| it.reason == Reason::LeaderNotReady.as_str())
    };
    scene.election.until("it is said", is_said).await.unwrap();
    let is_over = |election: &LeaderElection| {
        let history = election.status.as_ref().map_or(&[][..], |status| &status.history);
        let ended = history.iter().find(|led| led.holder == "billing-0");
        ended.is_some_and(|led| led.reason.as_deref() == Some("Unready"))
    };
    scene.election.until("it has handed over", is_over).await.unwrap();
    assert_ne!(leader(&scene.candidates, SOON).await.unwrap().name(), "billing-0");
    let events = scene.election.events().await.unwrap();
    let why = "billing-0 no longer leads: it handed over, as its pod was not ready";
    assert!(events.iter().any(|(_, note)| note == why), "{events:?}");
}

/// As kubelet says it of an app that is ready only on the leader.
#[tokio::test]
async fn a_pod_that_runs_and_is_not_ready_is_handed_over_to() {
    let scene = Scene::set("transfer-unready").await.unwrap();
    let running = json!({"running": {"startedAt": "2026-11-27T12:00:00Z"}});
    let app =
        json!([{"name": "app", "image": "i", "imageID": "i", "ready": false, "restartCount": 0, "state": running}]);
    let unready = json!([{"type": "Ready", "status": "False", "reason": "ContainersNotReady"}]);
    let status = json!({"conditions": unready, "containerStatuses": app});
    scene.namespace.patch_pod_status("billing-1", status).await.unwrap();
    let is_known = |election: &LeaderElection| {
        let conditions = election.status.as_ref().map_or(&[][..], |status| &status.conditions);
        find(conditions, ConditionType::CandidatesReady)
            .is_some_and(|it| it.message.starts_with("pod billing-1 is not ready; all its containers run"))
    };
    scene.election.until("it is not ready, and can lead", is_known).await.unwrap();
    scene.ask_for("billing-1").await.unwrap();
    assert_eq!(scene.answer("TransferCompleted").await.unwrap(), "asked for billing-1: billing-1 leads");
}

/// A successor that does not take the Lease keeps others from it for a retry period only.
#[tokio::test]
async fn a_pod_that_is_asked_for_and_hangs_does_not_leave_the_election_without_a_leader() {
    let scene = Scene::set("transfer-hung").await.unwrap();
    let hung = scene.candidate("billing-1").unwrap();
    for id in [hung.supervisor().unwrap(), hung.electing().unwrap()] {
        rustix::process::kill_process(id, rustix::process::Signal::STOP).unwrap();
    }
    scene.ask_for("billing-1").await.unwrap();
    let note = scene.answer("TransferRefused").await.unwrap();
    assert!(note.ends_with("was faster than billing-1"), "{note}");
    let next = leader(&scene.candidates, SOON).await.unwrap();
    assert_ne!(next.name(), "billing-1");
    hung.process().kill();
}

/// Two lease durations, which are 5 s, and no more than that.
#[tokio::test]
async fn a_preferred_pod_is_given_the_tenure_once_it_has_been_ready_for_long_and_keeps_it() {
    let scene = Scene::set("preferred").await.unwrap();
    let zone = Patch::Merge(json!({"metadata": {"labels": {"zone": "a"}}}));
    let pods = scene.namespace.api::<Pod>();
    pods.patch("billing-2", &PatchParams::default(), &zone).await.unwrap();
    let mut spec = short_timings();
    spec["candidates"] = json!({"preferred": [{"matchLabels": {"zone": "a"}}]});
    scene.election.apply(spec).await.unwrap();
    scene.candidate("billing-2").unwrap().leads_within(Duration::from_secs(20)).await.unwrap();
    scene.election.until_held_by("billing-2").await.unwrap();
    assert_eq!(scene.ends().await.unwrap(), ["", "Preferred"]);
    scene.until_no_hint().await.unwrap();
    let followed = scene.election.until_reason(ConditionType::AdviceFollowed, Reason::Followed).await;
    followed.unwrap();

    // A person who wants it elsewhere is not contradicted.
    scene.ask_for("billing-1").await.unwrap();
    scene.answer("TransferCompleted").await.unwrap();
    sleep(Duration::from_secs(25)).await;
    assert!(scene.candidate("billing-1").unwrap().leads());
    assert_eq!(scene.ends().await.unwrap(), ["", "Transferred", "Preferred"]);
}

#[tokio::test]
async fn a_holder_that_is_no_agent_and_does_not_step_down_is_told_of() {
    let namespace = place("ignoring").await.unwrap();
    let mut spec = short_timings();
    let election = Election::create(&namespace, "billing", spec.clone()).await.unwrap();
    election.until_reason(ConditionType::Ready, Reason::Reconciled).await.unwrap();
    namespace.create_pod("billing-0", "default", &[("leader-elector.io/election", "billing")]).await.unwrap();
    namespace.hold_lease("billing", "billing-0", 5).await.unwrap();
    election.until_held_by("billing-0").await.unwrap();
    spec["paused"] = json!(true);
    election.apply(spec.clone()).await.unwrap();
    let renewing = async {
        loop {
            let now = format!("{:.6}", jiff::Timestamp::now());
            namespace.edit_lease("billing", json!({"spec": {"renewTime": now}})).await.unwrap();
            sleep(Duration::from_secs(1)).await;
        }
    };
    let told = election.until_reason(ConditionType::AdviceFollowed, Reason::AdviceIgnored);
    tokio::select! {
        () = renewing => {}
        told = told => {
            let status = told.unwrap().status.unwrap();
            let message = &find(&status.conditions, ConditionType::AdviceFollowed).unwrap().message;
            assert!(message.starts_with("billing-0 leads on, though the election is paused"), "{message}");
        }
    }
}
