//! The condition CandidatesReady, and what is counted.

use super::*;

fn status_with(pods: Vec<Pod>, lease: LeaseSeen, now: ClockReading) -> LeaderElectionStatus {
    let pods = pods.into_iter().map(Arc::new).collect();
    let snapshot = ElectionSnapshot { pods, ..in_place(lease) };
    plan(&election(), &snapshot, now).status.unwrap()
}

fn unready(name: &str) -> Pod {
    Pod { ready_since: None, able_since: None, ..pod(name) }
}

#[test]
fn messages_name_one_pod_and_the_mend() {
    let foreign = || Pod { service_account: "cron".to_owned(), ..pod("billing-2") };
    for (pods, expected, said) in [
        (vec![], "False NoPodsMatch", "leader-elector.io/election=billing"),
        (vec![Pod { terminating: true, ..pod("billing-0") }], "False NoPodsMatch", "spec.candidates.selector"),
        (vec![Pod { finished: true, ..pod("billing-0") }], "False NoPodsMatch", "no pod matches"),
        (
            vec![pod("billing-0"), foreign()],
            "False ServiceAccountNotListed",
            "pod billing-2 runs as service account cron",
        ),
        (vec![unready("billing-0"), foreign()], "False ServiceAccountNotListed", "spec.candidates.serviceAccountNames"),
        (vec![unready("billing-1"), unready("billing-0")], "False SomeNotReady", "pod billing-0 is not ready"),
        (vec![pod("billing-0"), unready("billing-1")], "False SomeNotReady", "see kubectl describe pod"),
        (
            vec![pod("billing-0"), Pod { ready_since: None, ..pod("billing-1") }],
            "False SomeNotReady",
            "pod billing-1 is not ready; all its containers run, so that it can lead",
        ),
        (vec![pod("billing-0"), pod("billing-1")], "True AllReady", ""),
    ] {
        let status = status_with(pods, held_by("billing-0", 1, 0), at(1));
        assert_eq!(reason(&status, ConditionType::CandidatesReady), expected);
        let message = message(&status, ConditionType::CandidatesReady);
        assert!(message.contains(said), "{message}");
    }
}

#[test]
fn terminating_and_finished_pods_do_not_count() {
    let pods = vec![
        pod("billing-0"),
        unready("billing-1"),
        Pod { terminating: true, ..pod("billing-2") },
        Pod { finished: true, ..pod("billing-3") },
    ];
    let status = status_with(pods, held_by("billing-0", 1, 0), at(1));
    assert_eq!((status.candidates, status.ready_candidates), (Some(2), Some(1)));
}

#[test]
fn a_free_lease_that_nobody_takes_for_two_durations_is_noticed() {
    for (lease, free_since) in [(never_held(), 0), (released(3, 10), 10)] {
        let snapshot = in_place(lease);
        let election = reported(&snapshot, free_since + 29);
        assert_eq!(reason(election.status.as_ref().unwrap(), ConditionType::CandidatesReady), "True AllReady");
        let quiet = plan(&election, &snapshot, at(free_since + 29));
        let at_last = Some(Duration::from_secs(free_since + 30));
        assert_eq!(quiet, Plan { next_look: at_last, next_look_if_renewed: at_last, ..Plan::default() });

        let late = plan(&election, &snapshot, at(free_since + 30));
        assert_eq!((late.has_objects(), late.events.as_slice(), late.next_look), (false, [].as_slice(), None));
        let status = late.status.unwrap();
        assert_eq!(reason(&status, ConditionType::CandidatesReady), "False NoneContends");
        assert!(message(&status, ConditionType::CandidatesReady).contains("pod billing-0 runs"));
    }
}

#[test]
fn a_pod_that_has_just_become_able_is_given_time() {
    let fresh = Pod { able_since: Some(Duration::from_secs(100)), ..pod("billing-0") };
    let status = status_with(vec![fresh.clone()], never_held(), at(129));
    assert_eq!(reason(&status, ConditionType::CandidatesReady), "True AllReady");
    let status = status_with(vec![fresh], never_held(), at(130));
    assert_eq!(reason(&status, ConditionType::CandidatesReady), "False NoneContends");
}

#[test]
fn an_expired_lease_is_free_only_since_it_expired() {
    let mut lease = held_by("billing-0", 1, 0);
    lease.read_at = Some(Duration::from_secs(15));
    let of = |second| {
        let status = status_with(vec![pod("billing-1")], lease.clone(), at(second));
        reason(&status, ConditionType::CandidatesReady)
    };
    assert_eq!(of(44), "True AllReady");
    assert_eq!(of(45), "False NoneContends");
}
