//! A leader whose pod is not ready.

use std::sync::Arc;

use super::*;
use crate::plan::LeaseAction;
use elector_crds::{PastTenure, TenureEnd};

/// `billing-0` has led since second 0, and its pod has not been ready since second 100; the others have, since that second.
fn led(others: &[(&str, u64)]) -> ElectionSnapshot {
    let ready = |(name, since): &(&str, u64)| {
        let since = Some(Duration::from_secs(*since));
        Arc::new(Pod { ready_since: since, able_since: since, ..pod(name) })
    };
    let leader = Pod { ready_since: None, unready_since: Some(Duration::from_secs(100)), ..pod("billing-0") };
    let mut snapshot = in_place(held_by("billing-0", 4, 0));
    snapshot.pods = [Arc::new(leader)].into_iter().chain(others.iter().map(ready)).collect();
    snapshot.holder_pod = snapshot.pods.first().cloned();
    snapshot
}

/// With these tenures before, the last one first.
fn election_with(history: Vec<PastTenure>) -> LeaderElection {
    let mut election = election();
    election.status = Some(LeaderElectionStatus { history, ..LeaderElectionStatus::default() });
    election
}

fn past(pod: &str, reason: TenureEnd) -> PastTenure {
    PastTenure {
        holder: pod.to_owned(),
        identity: format!("{pod}_{pod}-uid"),
        until: Some(at(0).wall.to_string()),
        reason: Some(reason.to_string()),
        ..PastTenure::default()
    }
}

/// Who is asked to lead next at `second`, at which the Lease is renewed.
fn successor(election: &LeaderElection, snapshot: &ElectionSnapshot, second: u64) -> Option<String> {
    let mut snapshot = snapshot.clone();
    snapshot.lease.as_mut().unwrap().seen_at = Duration::from_secs(second);
    match plan(election, &snapshot, at(second)).lease {
        LeaseAction::Amend(amendment) => amendment.hints.unwrap().successor,
        LeaseAction::None => None,
        other => panic!("{other:?}"),
    }
}

const OTHER: &str = "billing-1_billing-1-uid";

#[test]
fn it_is_asked_to_hand_over_to_one_that_is_ready_after_a_while() {
    let snapshot = led(&[("billing-1", 0)]);
    assert_eq!(successor(&election(), &snapshot, 159), None);
    assert_eq!(successor(&election(), &snapshot, 160).as_deref(), Some(OTHER));
    let mut patient = election();
    patient.spec.unready_leader_seconds = 100;
    assert_eq!(successor(&patient, &snapshot, 199), None);
    assert_eq!(successor(&patient, &snapshot, 200).as_deref(), Some(OTHER));
    // The other one has to have been ready for two lease durations.
    let fresh = led(&[("billing-1", 150)]);
    assert_eq!((successor(&election(), &fresh, 179), successor(&election(), &fresh, 180).is_some()), (None, true));
}

#[test]
fn it_leads_on_where_it_may_or_nobody_is_better() {
    let mut never = election();
    never.spec.unready_leader_seconds = 0;
    let snapshot = led(&[("billing-1", 0)]);
    assert_eq!(successor(&never, &snapshot, 9_000), None);
    assert_eq!(successor(&election(), &led(&[]), 9_000), None);
    let mut unready = snapshot.clone();
    Arc::make_mut(&mut unready.pods[1]).ready_since = None;
    assert_eq!(successor(&election(), &unready, 9_000), None);
    let mut going = snapshot;
    Arc::make_mut(going.holder_pod.as_mut().unwrap()).terminating = true;
    assert_eq!(successor(&election(), &going, 9_000), None);
}

#[test]
fn nobody_is_handed_over_to_who_could_not_take_it() {
    let snapshot = led(&[("billing-1", 0)]);
    let mut stranger = snapshot.clone();
    Arc::make_mut(&mut stranger.pods[1]).service_account = "cron".to_owned();
    let mut bare = snapshot;
    Arc::make_mut(&mut bare.pods[1]).lacks_agent = true;
    for snapshot in [stranger, bare] {
        assert_eq!(successor(&election(), &snapshot, 9_000), None);
    }
}

/// It is preferred, and was not ready as it led.
#[test]
fn a_preferred_pod_that_lost_its_tenure_so_is_not_asked_before_it_is_ready() {
    let mut election = election_with(vec![past("billing-1", TenureEnd::Unready)]);
    let labels = [("zone".to_owned(), "a".to_owned())];
    let selector = elector_crds::CandidateSelector { match_labels: labels.clone().into(), ..Default::default() };
    election.spec.candidates.preferred = vec![selector];
    let mut snapshot = led(&[("billing-1", 0)]);
    let leader = Pod { unready_since: None, ready_since: Some(Duration::ZERO), ..Pod::clone(&snapshot.pods[0]) };
    snapshot.pods[0] = Arc::new(leader);
    snapshot.holder_pod = snapshot.pods.first().cloned();
    let preferred = Arc::make_mut(&mut snapshot.pods[1]);
    preferred.labels = labels.into();
    preferred.ready_since = None;
    assert_eq!(successor(&election, &snapshot, 3_000), None);
    Arc::make_mut(&mut snapshot.pods[1]).ready_since = Some(Duration::ZERO);
    assert_eq!(successor(&election, &snapshot, 3_000).as_deref(), Some(OTHER));
}

#[test]
fn handovers_of_more_than_an_hour_ago_do_not_count() {
    let snapshot = led(&[("billing-1", 0)]);
    let mut old = past("billing-2", TenureEnd::Unready);
    old.until = Some((at(0).wall - Duration::from_secs(3_601)).to_string());
    assert_eq!(successor(&election_with(vec![old]), &snapshot, 160).as_deref(), Some(OTHER));
}

#[test]
fn a_handover_that_is_asked_for_is_taken_back_once_it_is_ready_again() {
    let mut snapshot = led(&[("billing-1", 0)]);
    snapshot.lease.as_mut().unwrap().lease.hints =
        Hints { end_tenure: Some(4), successor: Some(OTHER.to_owned()), paused: false };
    assert_eq!(plan(&election(), &snapshot, at(2)).lease, LeaseAction::None);
    let leader = Arc::make_mut(snapshot.holder_pod.as_mut().unwrap());
    (leader.ready_since, leader.unready_since) = (Some(Duration::from_secs(1)), None);
    let LeaseAction::Amend(amendment) = plan(&election(), &snapshot, at(2)).lease else { panic!("it stays") };
    assert_eq!(amendment.hints, Some(Hints::default()));
}

#[test]
fn each_handover_in_a_row_and_each_tenure_that_was_lost_so_doubles_the_wait() {
    let snapshot = led(&[("billing-1", 0)]);
    let twice = election_with(vec![past("billing-2", TenureEnd::Unready), past("billing-3", TenureEnd::Unready)]);
    assert_eq!(successor(&twice, &snapshot, 339), None);
    assert_eq!(successor(&twice, &snapshot, 340).as_deref(), Some(OTHER));
    let lost = election_with(vec![past("billing-1", TenureEnd::Unready), past("billing-0", TenureEnd::Expired)]);
    let fresh = led(&[("billing-1", 200)]);
    assert_eq!((successor(&lost, &fresh, 259), successor(&lost, &fresh, 260).is_some()), (None, true));
}

#[test]
fn the_condition_says_so_and_what_follows() {
    for (others, seconds, follows) in [
        (&[("billing-1", 0)][..], 60, "after 60 s it is asked to hand over to one that is"),
        (&[], 60, "there is no other candidate that is"),
        (&[("billing-1", 0)], 0, "spec.unreadyLeaderSeconds is 0, so that it is not asked to hand over"),
    ] {
        let mut election = election();
        election.spec.unready_leader_seconds = seconds;
        let mut snapshot = led(others);
        snapshot.lease.as_mut().unwrap().seen_at = Duration::from_secs(101);
        let status = plan(&election, &snapshot, at(101)).status.unwrap();
        assert_eq!(reason(&status, ConditionType::CandidatesReady), "False LeaderNotReady");
        let message = format!("pod billing-0 leads and is not ready: {follows}; see kubectl describe pod");
        assert_eq!(super::message(&status, ConditionType::CandidatesReady), message);
    }
}
