//! Pauses, and requests for another leader.

use std::sync::Arc;

use super::*;
use crate::index::{Part, Transfer};
use crate::plan::LeaseAction;
use elector_crds::{HINTS_ANNOTATION, StoredLease, TRANSFER_ANNOTATION};
use kube::core::ObjectMeta;

fn paused() -> LeaderElection {
    let mut election = election();
    election.spec.paused = true;
    election
}

fn asking_for(target: &str) -> LeaderElection {
    let mut election = election();
    election.metadata.resource_version = Some("41".to_owned());
    let request = (TRANSFER_ANNOTATION.to_owned(), target.to_owned());
    election.metadata.annotations = Some([request].into());
    election
}

/// `billing-0` leads its fourth tenure and was asked for another leader at second 10.
fn led() -> ElectionSnapshot {
    ElectionSnapshot { transfer: Some(asked_at(10)), ..in_place(held_by("billing-0", 4, 10)) }
}

fn asked_at(second: u64) -> Transfer {
    Transfer { since: Duration::from_secs(second), version: Some("41".to_owned()), ..Transfer::default() }
}

fn with_hints(mut snapshot: ElectionSnapshot, hints: Hints) -> ElectionSnapshot {
    snapshot.lease.as_mut().unwrap().lease.hints = hints;
    snapshot
}

fn for_successor(tenure: u32, name: &str) -> Hints {
    Hints { end_tenure: Some(tenure), successor: Some(format!("{name}_{name}-uid")), ..Hints::default() }
}

/// What the Lease is to say, if it says something else.
fn hints(plan: &Plan) -> Option<Hints> {
    match &plan.lease {
        LeaseAction::Amend(amendment) => amendment.hints.clone(),
        LeaseAction::None => None,
        other => panic!("{other:?}"),
    }
}

/// Reason and note of the one event about the request, which is taken back.
fn told(plan: &Plan, target: &str) -> (EventReason, String) {
    assert_eq!(plan.request_done.as_deref(), Some(target));
    assert!(!plan.has_objects(), "{plan:?}");
    let about = |event: &&elector_crds::event::ElectionEvent| {
        matches!(event.reason, EventReason::TransferCompleted | EventReason::TransferRefused)
    };
    let events: Vec<_> = plan.events.iter().filter(about).collect();
    assert_eq!(events.len(), 1, "{plan:?}");
    (events[0].reason, events[0].note.clone())
}

fn refused(election: &LeaderElection, snapshot: &ElectionSnapshot, second: u64) -> String {
    let plan = plan(election, snapshot, at(second));
    let (reason, note) = told(&plan, &election.metadata.annotations.as_ref().unwrap()[TRANSFER_ANNOTATION]);
    assert_eq!(reason, EventReason::TransferRefused);
    note
}

#[test]
fn a_pause_is_passed_on_and_taken_back() {
    let hint = Hints { paused: true, ..Hints::default() };
    let plan_of = |election: &LeaderElection, snapshot: &ElectionSnapshot| plan(election, snapshot, at(12));
    let led = in_place(held_by("billing-0", 4, 10));
    assert_eq!(hints(&plan_of(&paused(), &led)), Some(hint.clone()));
    let passed_on = with_hints(led, hint.clone());
    assert_eq!(hints(&plan_of(&paused(), &passed_on)), None);
    assert_eq!(hints(&plan_of(&election(), &passed_on)), Some(Hints::default()));

    let released = with_hints(in_place(released(4, 11)), hint);
    let status = plan_of(&paused(), &released).status.unwrap();
    assert_eq!(reason(&status, ConditionType::LeaderElected), "False Paused");
    assert_eq!(
        (status.holder, reason(&status_of(&released, 100), ConditionType::CandidatesReady)),
        (None, "True AllReady".to_owned())
    );
}

/// Of a paused election.
fn status_of(snapshot: &ElectionSnapshot, second: u64) -> LeaderElectionStatus {
    plan(&paused(), snapshot, at(second)).status.unwrap()
}

#[test]
fn who_leads_in_spite_of_a_pause_is_said_to_lead() {
    let led = with_hints(in_place(held_by("billing-0", 4, 10)), Hints { paused: true, ..Hints::default() });
    let status = status_of(&led, 12);
    assert_eq!(reason(&status, ConditionType::LeaderElected), "True LeaseHeld");
}

#[test]
fn hints_are_written_as_an_annotation_and_go_without_a_trace() {
    let led = in_place(held_by("billing-0", 4, 10));
    let LeaseAction::Amend(amendment) = plan(&paused(), &led, at(12)).lease else { panic!("no amendment") };
    let mut stored = StoredLease::new(ObjectMeta { name: Some("billing".to_owned()), ..ObjectMeta::default() });
    amendment.apply(&mut stored);
    assert_eq!(stored.annotation(HINTS_ANNOTATION), Some(r#"{"paused":true}"#));
    let LeaseAction::Amend(amendment) =
        plan(&election(), &with_hints(led, Hints { paused: true, ..Hints::default() }), at(12)).lease
    else {
        panic!("no amendment")
    };
    amendment.apply(&mut stored);
    assert_eq!(stored.annotation(HINTS_ANNOTATION), None);
}

#[test]
fn a_request_is_passed_on_with_the_tenure_that_it_is_about() {
    let asked = plan(&asking_for("billing-1"), &led(), at(12));
    assert_eq!(hints(&asked), Some(for_successor(4, "billing-1")));
    let anybody = plan(&asking_for("*"), &led(), at(12));
    assert_eq!(hints(&anybody), Some(Hints { end_tenure: Some(4), ..Hints::default() }));
    // And then waited for.
    let waits = plan(&asking_for("billing-1"), &with_hints(led(), for_successor(4, "billing-1")), at(13));
    assert_eq!((hints(&waits), waits.request_done, event_reasons_about(&waits.events)), (None, None, 0));
}

fn event_reasons_about(events: &[elector_crds::event::ElectionEvent]) -> usize {
    events.iter().filter(|event| event.reason == EventReason::TransferRefused).count()
}

#[test]
fn a_request_is_done_when_its_pod_leads_and_the_hint_goes_after_it() {
    let mut snapshot = with_hints(led(), for_successor(4, "billing-1"));
    let seen = snapshot.lease.as_mut().unwrap();
    seen.lease.record.holder = "billing-1_billing-1-uid".to_owned();
    seen.lease.record.transitions = 5;
    let done = plan(&asking_for("billing-1"), &snapshot, at(13));
    let (reason, note) = told(&done, "billing-1");
    assert_eq!((reason, &*note), (EventReason::TransferCompleted, "asked for billing-1: billing-1 leads"));
    assert_eq!(hints(&plan(&election(), &snapshot, at(13))), Some(Hints::default()));
}

#[test]
fn anybody_is_anybody_else() {
    let by = |holder: &str| {
        let mut snapshot = with_hints(led(), Hints { end_tenure: Some(4), ..Hints::default() });
        let seen = snapshot.lease.as_mut().unwrap();
        seen.lease.record.holder = format!("{holder}_{holder}-uid");
        seen.lease.record.transitions = 5;
        // As the status remembers the tenure that was to end.
        let mut election = asking_for("*");
        election.status = reported(&led(), 11).status;
        told(&plan(&election, &snapshot, at(13)), "*")
    };
    assert_eq!(by("billing-1"), (EventReason::TransferCompleted, "asked for *: billing-1 leads".to_owned()));
    let (reason, note) = by("billing-0");
    assert_eq!(reason, EventReason::TransferRefused);
    assert!(note.ends_with("nobody else has taken over, so that billing-0 leads again"), "{note}");
}

#[test]
fn whoever_is_faster_than_the_pod_that_was_asked_for_is_told_of() {
    let mut snapshot = with_hints(led(), for_successor(4, "billing-1"));
    let seen = snapshot.lease.as_mut().unwrap();
    seen.lease.record.holder = "billing-2_billing-2-uid".to_owned();
    seen.lease.record.transitions = 5;
    let note = refused(&asking_for("billing-1"), &snapshot, 13);
    assert_eq!(note, "asked for billing-1: billing-2 was faster than billing-1");
}

#[test]
fn what_cannot_be_is_refused_with_why() {
    assert!(refused(&asking_for("billing-7"), &led(), 12).contains("is no pod that may lead"));
    assert!(refused(&asking_for(""), &led(), 12).contains("is no pod that may lead"));
    assert!(refused(&asking_for("billing-0"), &led(), 12).contains("billing-0 leads already"));
    let mut alone = led();
    alone.holder_pod = None;
    Arc::make_mut(&mut alone.pods[1]).able_since = None;
    assert!(
        refused(&asking_for("*"), &alone, 12).contains("no other candidate can lead"),
        "whoever leads may be the other"
    );
    let mut unable = led();
    Arc::make_mut(&mut unable.pods[1]).able_since = None;
    assert!(
        refused(&asking_for("billing-1"), &unable, 12)
            .contains("pod billing-1 cannot lead: not all its containers run")
    );
    assert!(refused(&asking_for("*"), &unable, 12).contains("no other candidate can lead"));
    let mut going = led();
    Arc::make_mut(&mut going.pods[1]).terminating = true;
    assert!(refused(&asking_for("billing-1"), &going, 12).contains("is no pod that may lead"));
    let nobody = ElectionSnapshot { transfer: Some(asked_at(10)), ..in_place(released(4, 10)) };
    assert!(refused(&asking_for("billing-1"), &nobody, 12).contains("nobody leads"));
    let mut paused = asking_for("billing-1");
    paused.spec.paused = true;
    let led_and_paused = with_hints(led(), Hints { paused: true, ..Hints::default() });
    assert!(refused(&paused, &led_and_paused, 12).contains("the election is paused"));
}

#[test]
fn a_request_that_nobody_follows_is_taken_back_after_a_minute() {
    let ignored = |seconds: u64| {
        let mut snapshot = with_hints(led(), for_successor(4, "billing-1"));
        snapshot.lease.as_mut().unwrap().seen_at = Duration::from_secs(seconds);
        snapshot
    };
    let waits = plan(&asking_for("billing-1"), &ignored(69), at(69));
    assert_eq!((waits.request_done, waits.next_look), (None, Some(Duration::from_secs(70))));
    assert!(refused(&asking_for("billing-1"), &ignored(70), 70).ends_with("nobody has taken over within 60 s"));
}

#[test]
fn a_request_that_could_not_be_passed_on_is_taken_back_with_why() {
    let mut forbidden = led();
    forbidden.lease.as_mut().unwrap().seen_at = Duration::from_secs(70);
    assert!(refused(&asking_for("billing-1"), &forbidden, 70).ends_with("it could not be passed on within 60 s"));
    let refusal = FailedWrite { retry_at: Duration::from_secs(99), ..failed(Reason::Forbidden, "no right") };
    forbidden.failed_writes.insert(Part::Hints, refusal);
    let said = refused(&asking_for("billing-1"), &forbidden, 70);
    assert!(said.ends_with("it could not be passed on within 60 s: no right"), "{said}");
}

#[test]
fn what_came_of_an_earlier_request_answers_none() {
    let mut snapshot = with_hints(led(), for_successor(3, "billing-0"));
    snapshot.transfer.as_mut().unwrap().hinted_before = Some(3);
    // `billing-0` leads, as somebody has asked before; now somebody asks for `billing-1`, and then for `billing-0` once more.
    assert_eq!(hints(&plan(&asking_for("billing-1"), &snapshot, at(12))), Some(for_successor(4, "billing-1")));
    assert!(refused(&asking_for("billing-0"), &snapshot, 12).contains("billing-0 leads already"));
}

#[test]
fn a_request_is_waited_for_as_long_as_a_release_may_take() {
    let mut election = asking_for("billing-1");
    election.spec = serde_json::from_value(json!({
        "leaseDurationSeconds": 300, "renewDeadlineSeconds": 60, "releaseDelaySeconds": 120,
    }))
    .unwrap();
    let waits = plan(&election, &with_hints(led(), for_successor(4, "billing-1")), at(100));
    assert_eq!(waits.request_done, None);
}

#[test]
fn a_pause_is_said_once_the_lease_says_it() {
    let mut led = in_place(held_by("billing-0", 4, 10));
    led.failed_writes.insert(
        Part::Hints,
        FailedWrite { retry_at: Duration::from_secs(99), ..failed(Reason::Forbidden, "no right") },
    );
    let elected = |snapshot: &ElectionSnapshot, election: &LeaderElection| {
        let status = plan(election, snapshot, at(12)).status.unwrap();
        (reason(&status, ConditionType::LeaderElected), message(&status, ConditionType::LeaderElected).to_owned())
    };
    let unheard = "; spec.paused is true, which candidates do not know: no right";
    assert_eq!(elected(&led, &paused()), ("True LeaseHeld".to_owned(), format!("billing-0 holds the Lease{unheard}")));
    led.lease = Some(released(4, 11));
    led.holder_pod = None;
    let said = format!("the last leader gave the Lease up{unheard}");
    assert_eq!(elected(&led, &paused()), ("False Released".to_owned(), said));
    // And that it is over, likewise.
    let hinted = with_hints(led, Hints { paused: true, ..Hints::default() });
    let (reason, said) = elected(&hinted, &election());
    assert_eq!(reason, "False Paused");
    assert!(said.ends_with("; spec.paused is false, which candidates do not know: no right"), "{said}");
}

/// What is planned as the Lease goes through these states, one after the other; the status is stored each time.
fn events_of(mut stored: LeaderElection, steps: Vec<(bool, u64, ElectionSnapshot)>) -> Vec<Vec<(EventReason, String)>> {
    let mut said = Vec::new();
    for (is_paused, second, snapshot) in steps {
        if stored.spec.paused != is_paused {
            stored.spec.paused = is_paused;
            stored.metadata.generation = stored.metadata.generation.map(|generation| generation + 1);
        }
        let plan = plan(&stored, &snapshot, at(second));
        said.push(plan.events.iter().map(|event| (event.reason, event.name.clone())).collect());
        stored = after(&stored, &plan);
    }
    said
}

#[test]
fn a_pause_and_its_end_are_an_event_each_and_a_restart_repeats_none() {
    let hinted = |lease: LeaseSeen| with_hints(in_place(lease), Hints { paused: true, ..Hints::default() });
    let given_up = || LeaseSeen { moved: false, ..released(4, 12) };
    let events = events_of(
        reported(&in_place(held_by("billing-0", 4, 10)), 11),
        vec![
            (true, 12, hinted(released(4, 12))),
            (true, 20, hinted(released(4, 12))),
            // Another operator, which has seen nothing yet.
            (true, 30, hinted(given_up())),
            (false, 40, in_place(released(4, 12))),
            (false, 41, in_place(given_up())),
            (false, 42, in_place(held_by("billing-1", 5, 42))),
        ],
    );
    let reasons: Vec<Vec<EventReason>> =
        events.iter().map(|events| events.iter().map(|(reason, _)| *reason).collect()).collect();
    assert_eq!(
        reasons,
        [
            vec![EventReason::LeaderLost, EventReason::Paused],
            vec![],
            vec![],
            vec![EventReason::Resumed],
            vec![],
            vec![EventReason::LeaderElected],
        ],
        "{events:?}"
    );
    assert_eq!(events[0][1].1, "billing.election-uid.2.paused");
    assert_eq!(events[3][0].1, "billing.election-uid.3.resumed");
}

#[test]
fn a_pause_of_a_leader_that_fell_silent_outlives_a_restart() {
    let hinted = |lease: LeaseSeen| with_hints(in_place(lease), Hints { paused: true, ..Hints::default() });
    let silent = || LeaseSeen { read_at: Some(Duration::from_secs(30)), ..held_by("billing-0", 4, 10) };
    let first_seen = || LeaseSeen { moved: false, ..held_by("billing-0", 4, 40) };
    let mut stored = reported(&in_place(held_by("billing-0", 4, 10)), 11);
    stored.spec.paused = true;
    stored.metadata.generation = Some(2);
    let taken_effect = plan(&stored, &hinted(silent()), at(30));
    assert_eq!(reason(taken_effect.status.as_ref().unwrap(), ConditionType::LeaderElected), "False Paused");
    assert!(event_reasons(&taken_effect).contains(&EventReason::Paused), "{taken_effect:?}");
    let stored = after(&stored, &taken_effect);
    let restarted = plan(&stored, &hinted(first_seen()), at(41));
    assert!(restarted.is_idle(), "{restarted:?}");
}
