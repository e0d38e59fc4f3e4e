//! The last tenures in the status.

use super::*;
use crate::index::Ended;
use elector_crds::TRANSFER_ANNOTATION;
use elector_crds::{CandidateSelector, PastTenure, TenureEnd};
use std::sync::Arc;

/// For a tenure that has no number of its own.
const UNCOUNTED: i64 = -1;

/// What the status remembers: holder, tenure, and why it ended; the latest first.
fn remembered(election: &LeaderElection) -> Vec<(String, i64, Option<String>)> {
    let history = election.status.clone().unwrap_or_default().history;
    let number = |tenure: &PastTenure| tenure.lease_transitions.unwrap_or(UNCOUNTED);
    history.into_iter().map(|tenure| (tenure.holder.clone(), number(&tenure), tenure.reason)).collect()
}

fn then(election: &LeaderElection, lease: LeaseSeen, second: u64) -> LeaderElection {
    let plan = plan(election, &in_place(lease), at(second));
    assert!(!plan.has_objects(), "{plan:?}");
    after(election, &plan)
}

fn ended(pod: &str, transitions: u32, how: TenureEnd, lease: LeaseSeen) -> LeaseSeen {
    LeaseSeen { ended: Some(Ended { identity: format!("{pod}_{pod}-uid"), transitions, how }), ..lease }
}

fn open(pod: &str, transitions: i64) -> (String, i64, Option<String>) {
    (pod.to_owned(), transitions, None)
}

fn over(pod: &str, transitions: i64, why: &str) -> (String, i64, Option<String>) {
    (pod.to_owned(), transitions, Some(why.to_owned()))
}

#[test]
fn a_tenure_is_remembered_from_its_beginning_and_with_its_end() {
    let election = reported(&in_place(held_by("billing-0", 4, 0)), 3);
    assert_eq!(remembered(&election), [open("billing-0", 4)]);
    let election = then(&election, ended("billing-0", 4, TenureEnd::Released, released(4, 8)), 8);
    assert_eq!(remembered(&election), [over("billing-0", 4, "Released")]);
    let tenure = &election.status.as_ref().unwrap().history[0];
    assert_eq!(tenure.from.as_deref(), Some(ACQUIRED));
    assert_eq!(tenure.until.as_deref(), Some("2026-11-23T18:00:08.000000Z"));
    let election = then(&election, held_by("billing-1", 5, 9), 9);
    assert_eq!(remembered(&election), [open("billing-1", 5), over("billing-0", 4, "Released")]);
}

#[test]
fn an_end_that_was_not_reported_before_the_next_beginning_is_known_all_the_same() {
    let election = reported(&in_place(held_by("billing-0", 4, 0)), 3);
    // Nobody is preferred, and nobody has asked.
    for (how, why) in [(TenureEnd::Transferred, "Unready"), (TenureEnd::Expired, "Expired")] {
        let next = ended("billing-0", 4, how, held_by("billing-1", 5, 9));
        assert_eq!(remembered(&then(&election, next, 9)), [open("billing-1", 5), over("billing-0", 4, why)]);
    }
    let mut asked = election.clone();
    asked.metadata.annotations = Some([(TRANSFER_ANNOTATION.to_owned(), "*".to_owned())].into());
    let mut next = ended("billing-0", 4, TenureEnd::Transferred, held_by("billing-1", 5, 9));
    next.lease.hints.end_tenure = Some(4);
    assert_eq!(remembered(&then(&asked, next, 9))[1], over("billing-0", 4, "Transferred"));
    // Of one that this process has not seen.
    let next = ended("billing-7", 3, TenureEnd::Expired, held_by("billing-1", 5, 9));
    assert_eq!(remembered(&then(&election, next, 9)), [open("billing-1", 5), over("billing-0", 4, "Replaced")]);
}

#[test]
fn a_handover_that_nobody_asked_for_is_told_by_who_is_preferred() {
    let mut election = reported(&in_place(held_by("billing-0", 4, 0)), 3);
    let labels = [("zone".to_owned(), "a".to_owned())];
    election.spec.candidates.preferred =
        vec![CandidateSelector { match_labels: labels.clone().into(), ..CandidateSelector::default() }];
    for (preferred, why) in [("billing-1", "Preferred"), ("billing-0", "Unready")] {
        let mut snapshot = in_place(ended("billing-0", 4, TenureEnd::Transferred, held_by("billing-1", 5, 9)));
        let pod = snapshot.pods.iter_mut().find(|pod| pod.name == preferred).unwrap();
        Arc::make_mut(pod).labels = labels.clone().into();
        let status = plan(&election, &snapshot, at(9)).status.unwrap();
        assert_eq!(status.history[1].reason.as_deref(), Some(why), "{preferred}");
    }
}

#[test]
fn whoever_fell_silent_and_comes_back_has_led_one_tenure() {
    let silent = held_by("billing-0", 4, 0);
    let election = reported(&in_place(silent.clone()), 3);
    let read = LeaseSeen { read_at: Some(Duration::from_secs(15)), ..silent };
    let election = then(&election, read, 15);
    assert_eq!(remembered(&election), [over("billing-0", 4, "Expired")]);
    assert_eq!(remembered(&then(&election, held_by("billing-0", 4, 17), 17)), [open("billing-0", 4)]);
}

#[test]
fn a_lease_that_was_deleted_ends_the_tenure() {
    let election = reported(&in_place(held_by("billing-0", 4, 0)), 3);
    let mut other = restored("billing-0_billing-0-uid", 4);
    other.lease.record.uid = "another".to_owned();
    assert_eq!(remembered(&then(&election, other, 9)), [over("billing-0", 4, "LeaseDeleted")]);
}

/// As those of the official Python client and of npm's electors, who replace each other under one number.
#[test]
fn candidates_that_do_not_count_are_told_apart() {
    let held_at = |pod: &str, second: u64| {
        let mut lease = held_by(pod, 0, second);
        lease.lease.agent = None;
        lease.lease.record.acquire_time = parse_timestamp(&format!("2026-11-23T18:00:{second:02}.000000Z"));
        lease
    };
    let first = reported(&in_place(held_at("billing-0", 1)), 1);
    let next = ended("billing-0", 0, TenureEnd::Replaced, held_at("billing-1", 9));
    let replaced = plan(&first, &in_place(next), at(9));
    assert_eq!(event_reasons(&replaced), [EventReason::LeaderLost, EventReason::LeaderElected]);
    let second = after(&first, &replaced);
    assert_eq!(remembered(&second), [open("billing-1", UNCOUNTED), over("billing-0", 0, "Replaced")]);
    assert!(plan(&second, &in_place(held_at("billing-1", 9)), at(11)).is_idle());
    let again = plan(&second, &in_place(held_at("billing-0", 20)), at(20));
    assert_eq!(remembered(&after(&second, &again))[0], open("billing-0", UNCOUNTED));
    let names = [&replaced, &again].map(|plan| plan.events.iter().map(|event| event.name.clone()).collect::<Vec<_>>());
    assert!(names[0].iter().all(|name| !names[1].contains(name)), "{names:?}");

    // What is left is as the operator had made it, but for the beginning.
    let mut left = never_held();
    left.lease.record.acquire_time = parse_timestamp(ACQUIRED);
    let left = then(&second, left, 30);
    assert_eq!(reason(left.status.as_ref().unwrap(), ConditionType::LeaderElected), "False Released");
    let counted = then(&left, held_by("billing-0", 1, 31), 31);
    assert_eq!(remembered(&counted)[0], open("billing-0", 1));
}

#[test]
fn ten_are_remembered() {
    let mut election = reported(&in_place(held_by("billing-0", 1, 0)), 1);
    for tenure in 2..=12 {
        election = then(&election, held_by(&format!("billing-{}", tenure % 2), tenure, 1), 1);
    }
    let remembered = remembered(&election);
    assert_eq!((remembered.len(), remembered[0].1, remembered[9].1), (10, 12, 3));
}
