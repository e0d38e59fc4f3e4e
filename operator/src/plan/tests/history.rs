//! The last tenures in the status.

use super::*;
use crate::observe::Ended;
use elector_crds::TRANSFER_ANNOTATION;
use elector_crds::TenureEnd;

/// What the status remembers: holder, tenure, and why it ended; the latest first.
fn remembered(election: &LeaderElection) -> Vec<(String, i64, Option<String>)> {
    let history = election.status.clone().unwrap_or_default().history;
    history.into_iter().map(|tenure| (tenure.holder, tenure.lease_transitions, tenure.reason)).collect()
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
    for (how, why) in [(TenureEnd::Transferred, "Preferred"), (TenureEnd::Expired, "Expired")] {
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

#[test]
fn ten_are_remembered() {
    let mut election = reported(&in_place(held_by("billing-0", 1, 0)), 1);
    for tenure in 2..=12 {
        election = then(&election, held_by(&format!("billing-{}", tenure % 2), tenure, 1), 1);
    }
    let remembered = remembered(&election);
    assert_eq!((remembered.len(), remembered[0].1, remembered[9].1), (10, 12, 3));
}
