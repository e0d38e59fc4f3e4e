//! What others wrote, in status and events: bounded, on one line, and no reason to write a status again and again.

use std::collections::BTreeMap;

use super::*;
use crate::index::{Ended, Transfer};
use elector_crds::display_text::{MAX_MESSAGE, is_hidden};
use elector_crds::{CandidateSelector, TRANSFER_ANNOTATION, TenureEnd};

/// Holders that a server-side apply refuses, that are longer than a status can be, and that show as somebody else.
fn hostile() -> Vec<String> {
    let characters = ["\u{7f}", "\u{9b}", "\u{feff}", "\u{ffff}", "\u{202e}", "\n", "\0"];
    let mut texts: Vec<String> = characters.iter().map(|character| format!("billing-0{character}x_uid")).collect();
    texts.extend([
        "a".repeat(10_000),
        "a".repeat(1_400_000),
        "\u{7f}".repeat(400_000),
        format!("{}😀", "a".repeat(510)),
    ]);
    texts
}

fn held_by_identity(identity: &str, transitions: u32, seen_at: u64) -> LeaseSeen {
    let mut seen = held_by("billing-0", transitions, seen_at);
    identity.clone_into(&mut seen.lease.record.holder);
    seen
}

/// Every text that the API server is asked to store is one line that it takes.
fn assert_fits(plan: &Plan) {
    let is_plain = |text: &str| !text.chars().any(is_hidden);
    let status = json!(plan.status);
    assert!(is_plain(&status.to_string()) && status.to_string().len() < 32_000, "{status}");
    for event in &plan.events {
        assert!(is_plain(&event.note) && event.note.len() <= MAX_MESSAGE, "{event:?}");
        assert!(event.name.len() <= 253, "{event:?}");
        let is_part = |part: &str| {
            let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            !part.is_empty() && part.bytes().all(is_allowed) && !part.starts_with('-') && !part.ends_with('-')
        };
        assert!(event.name.split('.').all(is_part), "{event:?}");
    }
}

#[test]
fn a_hostile_holder_shows_and_is_told_of_once() {
    for holder in hostile() {
        let snapshot = in_place(held_by_identity(&holder, 4, 0));
        let first = plan(&election(), &snapshot, at(5));
        assert_fits(&first);
        assert_eq!(event_reasons(&first), [EventReason::LeaderElected]);
        let election = after(&election(), &first);
        assert!(plan(&election, &snapshot, at(6)).is_idle(), "it is written again");

        let status = election.status.as_ref().unwrap();
        assert_eq!(status.history.len(), 1);
        assert_eq!(reason(status, ConditionType::LeaderElected), "True LeaseHeld");

        // Its tenure is known again, and so is its end.
        let released = LeaseSeen {
            ended: Some(Ended { identity: holder.clone(), transitions: 4, how: TenureEnd::Released }),
            ..released(4, 8)
        };
        let end = plan(&election, &in_place(released), at(8));
        assert_fits(&end);
        assert_eq!(event_reasons(&end), [EventReason::LeaderLost]);
        let history = &end.status.as_ref().unwrap().history;
        assert_eq!((history.len(), history[0].reason.as_deref()), (1, Some("Released")));
    }
}

#[test]
fn after_a_restart_a_hostile_holder_is_the_one_that_was() {
    for holder in hostile() {
        let election = reported(&in_place(held_by_identity(&holder, 4, 0)), 5);
        let found = LeaseSeen { moved: false, ..held_by_identity(&holder, 4, 100) };
        assert!(plan(&election, &in_place(found), at(101)).is_idle());
    }
}

#[test]
fn what_an_earlier_version_stored_is_put_right_once_and_nobody_is_told() {
    for holder in hostile() {
        let snapshot = in_place(held_by_identity(&holder, 4, 0));
        let mut election = reported(&snapshot, 5);
        let status = election.status.as_mut().unwrap();
        status.holder.as_mut().unwrap().identity.clone_from(&holder);
        status.history[0].identity.clone_from(&holder);
        status.history[0].holder.clone_from(&holder);
        let again = plan(&election, &snapshot, at(6));
        assert_fits(&again);
        assert_eq!(event_reasons(&again), []);
        assert_eq!(again.status.as_ref().unwrap().history.len(), 1);
        assert!(plan(&after(&election, &again), &snapshot, at(7)).is_idle());
    }
}

#[test]
fn a_hostile_request_is_answered_and_goes() {
    for target in hostile() {
        let mut election = election();
        election.metadata.annotations = Some([(TRANSFER_ANNOTATION.to_owned(), target.clone())].into());
        for version in [Some("41"), None, Some("-")] {
            let version = version.map(str::to_owned);
            let transfer = Transfer { since: Duration::from_secs(10), version, ..Transfer::default() };
            let snapshot = ElectionSnapshot { transfer: Some(transfer), ..in_place(held_by("billing-0", 4, 10)) };
            let plan = plan(&election, &snapshot, at(12));
            assert_fits(&plan);
            assert!(event_reasons(&plan).contains(&EventReason::TransferRefused), "{plan:?}");
            assert_eq!(plan.request_done.as_ref(), Some(&target));
        }
    }
}

#[test]
fn a_hostile_selector_keeps_no_status_from_being_written() {
    let labels = |labels: &[(&str, String)]| -> BTreeMap<String, String> {
        labels.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect()
    };
    let many: BTreeMap<String, String> = (0..2_000).map(|number| (format!("l{number}"), "a".repeat(63))).collect();
    for match_labels in
        [labels(&[("app", "a,b=c".to_owned())]), labels(&[("a\u{202e}", "\u{ffff}".repeat(100_000))]), many]
    {
        let mut election = election();
        let selector = CandidateSelector { match_labels, ..CandidateSelector::default() };
        election.spec.candidates.selector = Some(selector);
        let snapshot = ElectionSnapshot { pods: vec![], holder_pod: None, ..in_place(held_by("billing-0", 4, 0)) };
        let first = plan(&election, &snapshot, at(5));
        assert_fits(&first);
        let status = first.status.as_ref().unwrap();
        let said = message(status, ConditionType::CandidatesReady);
        assert!(said.ends_with("; label the candidates so, or set spec.candidates.selector"), "{said}");
        assert!(plan(&after(&election, &first), &snapshot, at(6)).is_idle());
    }
}
