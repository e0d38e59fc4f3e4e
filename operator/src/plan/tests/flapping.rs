//! Tenures that end all the time, and what is said of that.

use super::*;
use elector_crds::flapping::ended_lately;
use elector_crds::{PastTenure, TenureEnd};

const MINUTE: u64 = 60;

/// A tenure of `pod` that ended at `second`.
fn past(pod: &str, second: u64, reason: TenureEnd) -> PastTenure {
    PastTenure {
        holder: pod.to_owned(),
        identity: format!("{pod}_{pod}-uid"),
        until: Some(at(second).wall.to_string()),
        reason: Some(reason.to_string()),
        ..PastTenure::default()
    }
}

/// Of two pods in turn, the last one first: one that ended at each of these seconds.
fn ended(seconds: &[u64], reason: TenureEnd) -> Vec<PastTenure> {
    let pod = |number: usize| format!("billing-{}", number % 2);
    seconds.iter().enumerate().map(|(number, second)| past(&pod(number), *second, reason)).rev().collect()
}

/// With these tenures before, and `billing-0` in its fourth.
fn remembering(history: Vec<PastTenure>) -> LeaderElection {
    let mut election = election();
    let status = LeaderElectionStatus {
        history,
        lease_uid: Some("lease-uid".to_owned()),
        lease_transitions: Some(4),
        ..LeaderElectionStatus::default()
    };
    election.status = Some(status);
    election
}

/// What is planned at `second`, at which `billing-0` renews, as it has for long.
fn planned(election: &LeaderElection, second: u64) -> Plan {
    let mut snapshot = in_place(held_by("billing-0", 40, 0));
    snapshot.lease.as_mut().unwrap().seen_at = Duration::from_secs(second);
    plan(election, &snapshot, at(second))
}

fn stable(status: &LeaderElectionStatus) -> Option<String> {
    let condition = conditions::find(&status.conditions, ConditionType::LeaderStable)?;
    Some(format!("{} {}", condition.status, condition.reason))
}

#[test]
fn six_ends_in_a_quarter_of_an_hour_are_flapping_until_no_more_than_two_are() {
    // Nine tenures in 97 s were reported as READY True and ELECTED True.
    let ends: Vec<u64> = (1..=6).map(|number| number * 10).collect();
    let five = planned(&remembering(ended(&ends[..5], TenureEnd::CommandEnded)), 70).status.unwrap();
    assert_eq!((stable(&five), five.state.as_deref()), (None, Some("LeaseHeld")));

    let election = remembering(ended(&ends, TenureEnd::CommandEnded));
    let begun = planned(&election, 70);
    let status = begun.status.clone().unwrap();
    assert_eq!((stable(&status).as_deref(), status.state.as_deref()), (Some("False Flapping"), Some("Flapping")));
    assert_eq!(reason(&status, ConditionType::LeaderElected), "True LeaseHeld");
    assert_eq!(
        message(&status, ConditionType::LeaderStable),
        "more than 5 tenures have ended within 15 minutes, and they go on ending; the last one was that of billing-1: \
         its command had ended, or could not be run; docs/runbooks/LeaderElectorFlapping.md says what to look at"
    );

    // Nothing is written until then, whatever is looked at.
    let election = after(&election, &begun);
    let settles = 40 + 15 * MINUTE;
    for second in [71, 600, settles - 1] {
        let quiet = planned(&election, second);
        assert!(quiet.is_idle(), "{second}: {quiet:?}");
        assert_eq!(quiet.next_look_if_renewed, Some(Duration::from_secs(settles)), "{second}");
    }
    let over = planned(&election, settles);
    let status = over.status.clone().unwrap();
    assert_eq!((stable(&status).as_deref(), status.state.as_deref()), (Some("True Settled"), Some("LeaseHeld")));
    let election = after(&election, &over);
    let quiet = planned(&election, settles + 1);
    assert!(quiet.is_idle() && quiet.next_look_if_renewed.is_none(), "{quiet:?}");
}

#[test]
fn it_does_not_come_and_go_with_each_tenure() {
    let mut election = remembering(ended(&[10, 20, 30, 40, 50, 60], TenureEnd::Expired));
    election = after(&election, &planned(&election, 70));
    // Four within the window: too few to begin with, and too many to end with.
    let slower = ended(&[8 * MINUTE, 12 * MINUTE, 16 * MINUTE, 20 * MINUTE], TenureEnd::Expired);
    let status = election.status.as_mut().unwrap();
    status.history = slower.clone();
    let later = planned(&election, 21 * MINUTE).status.unwrap();
    assert_eq!(stable(&later).as_deref(), Some("False Flapping"));
    assert_eq!(stable(&planned(&remembering(slower), 21 * MINUTE).status.unwrap()), None);
}

#[test]
fn a_rolling_update_is_no_flapping_and_pods_that_come_back_are() {
    let of_each = |reason| (1..=8).rev().map(|number| past(&format!("billing-{number}"), number, reason)).collect();
    let rolled: Vec<PastTenure> = of_each(TenureEnd::Stopped);
    assert_eq!(ended_lately(&rolled, at(10).wall), Vec::<&PastTenure>::new());
    let lost: Vec<PastTenure> = of_each(TenureEnd::PodTerminated);
    assert_eq!(ended_lately(&lost, at(10).wall).len(), 8);
    assert_eq!(ended_lately(&ended(&[1, 2, 3, 4, 5, 6], TenureEnd::Stopped), at(10).wall).len(), 6);
    // What cannot be read, as of somebody else's hand, is no end.
    let odd = PastTenure { until: Some("yesterday".to_owned()), ..past("billing-1", 1, TenureEnd::Expired) };
    assert_eq!(ended_lately(&[odd], at(10).wall).len(), 0);
}

#[test]
fn the_state_is_the_reason_that_matters_most() {
    let ends = ended(&[1, 2, 3, 4, 5, 6], TenureEnd::AppUnhealthy);
    let state = |election: &LeaderElection, snapshot: &ElectionSnapshot, second| {
        plan(election, snapshot, at(second)).status.unwrap().state.unwrap()
    };
    assert_eq!(state(&election(), &in_place(never_held()), 3), "NeverHeld");
    assert_eq!(state(&election(), &in_place(held_by("billing-0", 4, 3)), 3), "LeaseHeld");
    assert_eq!(state(&election(), &in_place(released(4, 3)), 3), "Released");
    assert_eq!(state(&remembering(ends.clone()), &in_place(released(40, 8)), 9), "Flapping", "between two tenures");

    let mut unready = in_place(held_by("billing-0", 40, 8));
    let leader = Pod { ready_since: None, unready_since: Some(Duration::ZERO), ..pod("billing-0") };
    unready.pods = vec![Arc::new(leader)];
    unready.holder_pod = unready.pods.first().cloned();
    assert_eq!(state(&election(), &unready, 9), "LeaderNotReady");
    assert_eq!(state(&remembering(ends.clone()), &unready, 9), "Flapping");

    let mut paused = released(40, 8);
    paused.lease.hints = Hints { paused: true, ..Hints::default() };
    let mut asked = remembering(ends);
    asked.spec.paused = true;
    assert_eq!(state(&asked, &in_place(paused), 9), "Paused");
}
