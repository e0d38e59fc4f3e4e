//! Preferred candidates, and leaders that do not listen.

use std::sync::Arc;

use super::*;
use crate::plan::LeaseAction;
use elector_crds::{CandidateSelector, PastTenure, TenureEnd};

/// Of three zones, `a` is preferred to `b`, and `b` to all others.
fn preferring() -> LeaderElection {
    let mut election = election();
    let zone = |zone: &str| CandidateSelector {
        match_labels: [("zone".to_owned(), zone.to_owned())].into(),
        ..CandidateSelector::default()
    };
    election.spec.candidates.preferred = vec![zone("a"), zone("b")];
    election
}

/// `billing-0`, in zone `c`, has led since second 0; of the others each is in that zone, ready since that second.
fn led(others: &[(&str, &str, Option<u64>)]) -> ElectionSnapshot {
    let in_zone = |name: &str, zone: &str, ready: Option<u64>| {
        let labels = [("zone".to_owned(), zone.to_owned())].into();
        Arc::new(Pod { labels, able_since: ready.map(Duration::from_secs), ..pod(name) })
    };
    let mut snapshot = in_place(held_by("billing-0", 4, 0));
    snapshot.pods = vec![in_zone("billing-0", "c", Some(0))];
    snapshot.pods.extend(others.iter().map(|(name, zone, ready)| in_zone(name, zone, *ready)));
    snapshot.holder_pod = snapshot.pods.first().cloned();
    snapshot
}

/// The Lease was renewed at `second`, and nothing else has happened.
fn renewed(snapshot: &mut ElectionSnapshot, second: u64) {
    snapshot.lease.as_mut().unwrap().seen_at = Duration::from_secs(second);
}

/// Who is asked to lead next at `second`.
fn successor(election: &LeaderElection, snapshot: &ElectionSnapshot, second: u64) -> Option<String> {
    let mut snapshot = snapshot.clone();
    renewed(&mut snapshot, second);
    match plan(election, &snapshot, at(second)).lease {
        LeaseAction::Amend(amendment) => {
            let hints = amendment.hints.unwrap();
            assert_eq!(hints.end_tenure, Some(4));
            hints.successor
        }
        LeaseAction::None => None,
        other => panic!("{other:?}"),
    }
}

fn advised(snapshot: &ElectionSnapshot, successor: &str) -> ElectionSnapshot {
    let mut snapshot = snapshot.clone();
    snapshot.lease.as_mut().unwrap().lease.hints =
        Hints { end_tenure: Some(4), successor: Some(format!("{successor}_{successor}-uid")), paused: false };
    snapshot
}

fn past(pod: &str, until: u64, reason: TenureEnd) -> PastTenure {
    PastTenure {
        holder: pod.to_owned(),
        identity: format!("{pod}_{pod}-uid"),
        until: Some(at(until).wall.to_string()),
        reason: Some(reason.to_string()),
        ..PastTenure::default()
    }
}

fn remembering(history: Vec<PastTenure>) -> LeaderElection {
    let mut election = preferring();
    let under_way = PastTenure { lease_transitions: Some(4), ..PastTenure::default() };
    let history = [under_way].into_iter().chain(history).collect();
    election.status = Some(LeaderElectionStatus { history, ..LeaderElectionStatus::default() });
    election
}

#[test]
fn a_preferred_candidate_leads_once_it_has_been_ready_for_two_lease_durations() {
    let election = preferring();
    let snapshot = led(&[("billing-1", "b", Some(10))]);
    assert_eq!(successor(&election, &snapshot, 39), None);
    assert_eq!(successor(&election, &snapshot, 40).as_deref(), Some("billing-1_billing-1-uid"));
    let mut waiting = snapshot.clone();
    renewed(&mut waiting, 20);
    let looks = plan(&election, &waiting, at(20)).next_look;
    assert_eq!(looks, Some(Duration::from_secs(35)), "the expiry comes before");
    assert_eq!(plan(&election, &waiting, at(20)).next_look_if_renewed, Some(Duration::from_secs(40)));
    renewed(&mut waiting, 30);
    assert_eq!(plan(&election, &waiting, at(30)).next_look, Some(Duration::from_secs(40)));
}

#[test]
fn what_was_advised_stays_until_it_is_done_or_wrong() {
    let election = preferring();
    let snapshot = advised(&led(&[("billing-1", "b", Some(10))]), "billing-1");
    assert_eq!(plan(&election, &snapshot, at(12)).lease, LeaseAction::None);
    let mut freed = snapshot.clone();
    let hints = freed.lease.as_ref().unwrap().lease.hints.clone();
    freed.lease = Some(released(4, 12));
    freed.lease.as_mut().unwrap().lease.hints = hints;
    freed.holder_pod = None;
    assert_eq!(plan(&election, &freed, at(12)).lease, LeaseAction::None, "it is between the tenures");

    let gone = advised(&led(&[("billing-1", "b", None)]), "billing-1");
    let LeaseAction::Amend(amendment) = plan(&election, &gone, at(12)).lease else { panic!("it stays") };
    assert_eq!(amendment.hints, Some(Hints::default()));
    let mut done = snapshot;
    done.lease.as_mut().unwrap().lease.record.transitions = 5;
    let LeaseAction::Amend(amendment) = plan(&election, &done, at(12)).lease else { panic!("it stays") };
    assert_eq!(amendment.hints, Some(Hints::default()));
}

#[test]
fn nobody_is_asked_who_is_not_ready_or_no_better() {
    let election = preferring();
    for others in [
        &[("billing-1", "a", None)][..],
        &[("billing-1", "c", Some(0))],
        &[("billing-1", "", Some(0)), ("billing-2", "d", Some(0))],
    ] {
        assert_eq!(successor(&election, &led(others), 1000), None, "{others:?}");
    }
    let mut terminating = led(&[("billing-1", "a", Some(0))]);
    Arc::make_mut(&mut terminating.pods[1]).terminating = true;
    assert_eq!(successor(&election, &terminating, 1000), None);
    let mut paused = preferring();
    paused.spec.paused = true;
    let snapshot = led(&[("billing-1", "a", Some(0))]);
    let LeaseAction::Amend(amendment) = plan(&paused, &snapshot, at(12)).lease else { panic!("no pause") };
    assert_eq!(amendment.hints, Some(Hints { paused: true, ..Hints::default() }));
    assert_eq!(successor(&self::election(), &snapshot, 1000), None, "nobody is preferred");
}

#[test]
fn the_best_is_waited_for_if_it_comes_soon() {
    let election = preferring();
    let both = led(&[("billing-1", "b", Some(0)), ("billing-2", "a", Some(20))]);
    assert_eq!(successor(&election, &both, 30), None);
    assert_eq!(successor(&election, &both, 50).as_deref(), Some("billing-2_billing-2-uid"));
    let lost = (0..3).map(|_| past("billing-2", 0, TenureEnd::Released)).collect();
    assert_eq!(successor(&remembering(lost), &both, 50).as_deref(), Some("billing-1_billing-1-uid"));
}

#[test]
fn each_tenure_lost_and_each_handover_in_a_row_doubles_the_wait() {
    let snapshot = led(&[("billing-1", "a", Some(0))]);
    let lost = |times| remembering((0..times).map(|_| past("billing-1", 100, TenureEnd::Expired)).collect());
    for (election, due) in [(lost(1), 160), (lost(2), 220), (lost(3), 340), (lost(9), 100 + 3600)] {
        assert_eq!(successor(&election, &snapshot, due - 1), None, "{due}");
        assert!(successor(&election, &snapshot, due).is_some(), "{due}");
    }
    let handed = |times| remembering((0..times).map(|_| past("billing-9", 0, TenureEnd::Transferred)).collect());
    for (election, due) in [(handed(1), 60), (handed(2), 120), (handed(9), 3600)] {
        assert_eq!(successor(&election, &snapshot, due - 1), None, "{due}");
        assert!(successor(&election, &snapshot, due).is_some(), "{due}");
    }
    let long_ago = lost(9);
    assert!(successor(&long_ago, &snapshot, 100 + 3600).is_some(), "what was lost an hour ago");
    let given = remembering(vec![past("billing-1", 100, TenureEnd::Paused)]);
    assert!(successor(&given, &snapshot, 101).is_some(), "what it was asked to give up it has not lost");
}

#[test]
fn who_was_moved_away_from_a_preferred_pod_leads_on() {
    let snapshot = led(&[("billing-1", "a", Some(0))]);
    let moved = remembering(vec![past("billing-1", 0, TenureEnd::Transferred)]);
    assert_eq!(successor(&moved, &snapshot, 3599), None);
    let astray = remembering(vec![past("billing-1", 0, TenureEnd::Preferred)]);
    assert!(successor(&astray, &snapshot, 3599).is_some(), "nobody wished that");
    let mut replaced = snapshot.clone();
    Arc::make_mut(&mut replaced.pods[1]).uid = "another".to_owned();
    assert!(successor(&moved, &replaced, 3599).is_some(), "the pod that had to go is gone");
}

#[test]
fn a_leader_that_does_not_listen_is_told_of() {
    let election = preferring();
    let mut snapshot = advised(&led(&[("billing-1", "a", Some(0))]), "billing-1");
    snapshot.lease.as_mut().unwrap().asked_since = Some(Duration::from_secs(30));
    renewed(&mut snapshot, 44);
    let first = plan(&election, &snapshot, at(44));
    assert_eq!(reason(&first.status.clone().unwrap(), ConditionType::AdviceFollowed), "True Followed");
    assert_eq!(first.next_look, Some(Duration::from_secs(45)));
    renewed(&mut snapshot, 45);
    let second = plan(&after(&election, &first), &snapshot, at(45));
    let status = second.status.unwrap();
    assert_eq!(reason(&status, ConditionType::AdviceFollowed), "False AdviceIgnored");
    assert_eq!(
        message(&status, ConditionType::AdviceFollowed),
        "billing-0 leads on, though the election is to have another leader; candidates that are not agents of \
         leader-elector know nothing of that: end its pod"
    );
    let never_asked = led(&[]);
    let status = plan(&election, &never_asked, at(1)).status.unwrap();
    assert_eq!(status.conditions.len(), 3, "{:?}", status.conditions);
}
