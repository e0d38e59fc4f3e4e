//! Rule O1: a Lease is released for a holder that is dead.

use super::*;
use crate::plan::LeaseAction;

/// `billing-0`, which leads its fourth tenure, has been known to be dead since second 5.
fn dead() -> ElectionSnapshot {
    let mut snapshot = in_place(held_by("billing-0", 4, 0));
    Arc::make_mut(snapshot.holder_pod.as_mut().unwrap()).dead_since = Some(Duration::from_secs(5));
    snapshot
}

#[test]
fn the_lease_of_a_pod_that_is_dead_is_released_as_its_agent_would_have() {
    let snapshot = dead();
    let seen = snapshot.lease.clone().unwrap();
    let LeaseAction::Release(release) = plan(&election(), &snapshot, at(5)).lease else { panic!("it is not released") };
    assert_eq!(release.of, seen.lease.record);
    let write = &release.write;
    assert_eq!((write.holder.as_str(), write.lease_duration_seconds, write.transitions), ("", 1, 4));
    let mark = write.agent.release.clone().unwrap();
    assert_eq!((mark.uid.as_str(), mark.transitions, mark.renew_time), ("lease-uid", 4, write.renew_time));
    assert_eq!(write.agent.start, "n1");
    assert!(Some(write.renew_time) > seen.lease.record.renew_time);
}

#[test]
fn a_release_delay_is_left_to_readers_of_the_dead_too() {
    let mut election = election();
    election.spec.release_delay_seconds = 2;
    election.spec.renew_deadline_seconds = 9;
    let mut snapshot = dead();
    snapshot.lease.as_mut().unwrap().annotation.timings = election.spec.timings().ok();
    snapshot.lease.as_mut().unwrap().lease.timings = election.spec.timings().ok();
    let early = plan(&election, &snapshot, at(6));
    assert_eq!((early.lease, early.next_look), (LeaseAction::None, Some(Duration::from_secs(7))));
    assert!(matches!(plan(&election, &snapshot, at(7)).lease, LeaseAction::Release(_)));
}

#[test]
fn nothing_is_released_for_a_name_that_its_holder_did_not_write() {
    let change = |change: fn(&mut ElectionSnapshot)| {
        let mut snapshot = dead();
        change(&mut snapshot);
        plan(&election(), &snapshot, at(5)).lease
    };
    for (what, lease) in [
        ("edited, or seen once only", change(|it| it.lease.as_mut().unwrap().seen_to_write = false)),
        ("a record that was applied again", change(|it| it.history.transitions = 5)),
        ("no agent's", change(|it| it.lease.as_mut().unwrap().lease.agent = None)),
        ("another tenure's mark", change(|it| it.lease.as_mut().unwrap().lease.record.transitions = 5)),
        (
            "another pod of that name",
            change(|it| Arc::make_mut(it.holder_pod.as_mut().unwrap()).uid = "other".to_owned()),
        ),
        ("a pod that lives", change(|it| Arc::make_mut(it.holder_pod.as_mut().unwrap()).dead_since = None)),
        ("a pod of which nothing is known", change(|it| it.holder_pod = None)),
    ] {
        assert_eq!(lease, LeaseAction::None, "{what}");
    }
}
