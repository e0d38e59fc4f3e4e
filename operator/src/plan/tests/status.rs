//! Who leads, and what is said of it.

use super::*;
use crate::index::Ended;
use crate::plan::LeaseAction;
use elector_crds::{Holder, ReleaseReason, TenureEnd};

/// What is planned once the election's status says what `before` shows, and `then` is seen.
fn change(before: LeaseSeen, then: LeaseSeen, second: u64) -> Plan {
    plan(&reported(&in_place(before), second), &in_place(then), at(second))
}

fn elected(plan: &Plan) -> String {
    reason(plan.status.as_ref().unwrap(), ConditionType::LeaderElected)
}

#[test]
fn a_holder_shows_with_its_pod_and_node() {
    let plan = plan(&election(), &in_place(held_by("billing-0", 4, 0)), at(5));
    let status = plan.status.clone().unwrap();
    assert_eq!(
        json!(status),
        json!({
            "observedGeneration": 1,
            "selector": "leader-elector.io/election=billing",
            "leaseUID": "lease-uid",
            "state": "LeaseHeld",
            "holder": {
                "name": "billing-0",
                "identity": "billing-0_billing-0-uid",
                "nodeName": "node-3",
                "acquireTime": ACQUIRED,
            },
            "leaseTransitions": 4,
            "candidates": 2,
            "readyCandidates": 2,
            "history": [{
                "holder": "billing-0", "identity": "billing-0_billing-0-uid", "leaseTransitions": 4, "from": ACQUIRED,
            }],
            "conditions": [
                {
                    "type": "Ready", "status": "True", "reason": "Reconciled", "observedGeneration": 1,
                    "lastTransitionTime": "2026-11-23T18:00:05Z",
                    "message": "Lease, Role and RoleBinding are in place",
                },
                {
                    "type": "LeaderElected", "status": "True", "reason": "LeaseHeld", "observedGeneration": 1,
                    "lastTransitionTime": "2026-11-23T18:00:05Z", "message": "billing-0 holds the Lease",
                },
                {
                    "type": "CandidatesReady", "status": "True", "reason": "AllReady", "observedGeneration": 1,
                    "lastTransitionTime": "2026-11-23T18:00:05Z", "message": "all candidates are ready",
                },
            ],
        })
    );
    assert_eq!(event_reasons(&plan), [EventReason::LeaderElected]);
    assert_eq!(plan.events[0].related_pod, Some(("billing-0".to_owned(), "billing-0-uid".to_owned())));
    assert_eq!(plan.next_look, Some(Duration::from_secs(15)));
}

#[test]
fn in_steady_state_nothing_is_emitted_whatever_renews() {
    let snapshot = in_place(held_by("billing-0", 4, 0));
    let election = reported(&snapshot, 5);
    for second in [5, 7, 9, 14] {
        let mut renewed = held_by("billing-0", 4, second);
        renewed.lease.record.renew_time = parse_timestamp(&format!("2026-11-23T18:00:{second:02}.000000Z"));
        let plan = plan(&election, &in_place(renewed), at(second));
        assert_eq!(plan, Plan { next_look: Some(Duration::from_secs(second + 15)), ..Plan::default() });
    }
}

#[test]
fn a_handover_ends_one_tenure_and_begins_another() {
    let plan = change(held_by("billing-0", 4, 0), held_by("billing-1", 5, 3), 3);
    assert_eq!(elected(&plan), "True LeaseHeld");
    let events: Vec<_> = plan.events.iter().map(|event| (event.name.as_str(), event.note.as_str())).collect();
    assert_eq!(
        events,
        [
            ("billing.election-uid.lease-uid.4.leaderlost", "billing-0 no longer leads: the Lease no longer names it"),
            ("billing.election-uid.lease-uid.5.leaderelected", "billing-1 leads"),
        ]
    );
    assert_eq!(plan.events[0].related_pod, Some(("billing-0".to_owned(), "billing-0-uid".to_owned())));
    let transitions = plan.status.unwrap().conditions.iter().map(|c| c.last_transition_time.0).collect::<Vec<_>>();
    assert_eq!(transitions, vec![at(3).wall; 3]);
}

#[test]
fn lost_and_won_again_by_the_same_pod_is_two_tenures() {
    let plan = change(held_by("billing-0", 4, 0), held_by("billing-0", 5, 3), 3);
    assert_eq!(event_reasons(&plan), [EventReason::LeaderLost, EventReason::LeaderElected]);
}

#[test]
fn a_release_is_a_loss_without_a_warning() {
    let plan = change(held_by("billing-0", 4, 0), released(4, 3), 3);
    assert_eq!(elected(&plan), "False Released");
    assert_eq!(event_reasons(&plan), [EventReason::LeaderLost]);
    let status = plan.status.unwrap();
    assert_eq!((status.holder, status.lease_transitions), (None, Some(4)));
}

#[test]
fn why_a_leader_gave_the_lease_up_is_said_where_people_look() {
    for (reason, end, words) in [
        (ReleaseReason::AppUnhealthy, TenureEnd::AppUnhealthy, "its app was not healthy"),
        (ReleaseReason::CommandEnded, TenureEnd::CommandEnded, "its command had ended, or could not be run"),
        (ReleaseReason::Stopped, TenureEnd::Stopped, "it was told to stop"),
    ] {
        let ended = Some(Ended { identity: "billing-0_billing-0-uid".to_owned(), transitions: 4, how: end });
        let lease = LeaseSeen { ended, release_reason: Some(reason), ..released(4, 3) };
        let plan = change(held_by("billing-0", 4, 0), lease, 3);
        assert_eq!(plan.events[0].note, format!("billing-0 no longer leads: {words}"));
        let status = plan.status.unwrap();
        assert_eq!(status.history[0].reason.as_deref(), Some(reason.as_str()));
        let said = message(&status, ConditionType::LeaderElected);
        assert_eq!(said, format!("the last leader gave the Lease up: {words}"));
    }
}

#[test]
fn what_only_looks_released_is_waited_out() {
    let mut forged = released(4, 3);
    forged.lease.agent = held_by("billing-0", 4, 3).lease.agent;
    assert_eq!(elected(&change(held_by("billing-0", 4, 0), forged, 3)), "False WaitingOutUnknownHolder");
    let mut emptied = released(4, 3);
    emptied.lease.lease_duration_seconds = 15;
    assert_eq!(elected(&change(held_by("billing-0", 4, 0), emptied, 3)), "False WaitingOutUnknownHolder");
    let mut by_client_go = released(4, 3);
    by_client_go.lease.agent = None;
    assert_eq!(elected(&change(held_by("billing-0", 4, 0), by_client_go, 3)), "False Released");
}

#[test]
fn silence_is_called_expiry_only_after_the_store_was_asked() {
    let silent = held_by("billing-0", 4, 0);
    let election = reported(&in_place(silent.clone()), 5);
    let just_before = plan(&election, &in_place(silent.clone()), at(14));
    assert_eq!(just_before, Plan { next_look: Some(Duration::from_secs(15)), ..Plan::default() });
    let due = plan(&election, &in_place(silent.clone()), at(15));
    assert_eq!(due, Plan { lease: LeaseAction::Look, ..Plan::default() });

    let read = LeaseSeen { read_at: Some(Duration::from_secs(15)), ..silent };
    let expired = plan(&election, &in_place(read.clone()), at(15));
    assert_eq!(elected(&expired), "False LeaseExpired");
    assert_eq!(event_reasons(&expired), [EventReason::LeaseExpired]);
    assert_eq!(expired.events[0].note, "billing-0 has not renewed the Lease for more than 15 s");
    assert_eq!(expired.status.as_ref().unwrap().holder, None);
    assert_eq!(expired.status.as_ref().unwrap().lease_transitions, Some(4));

    let election = after(&election, &expired);
    assert!(plan(&election, &in_place(read), at(16)).is_idle());
    let next = plan(&election, &in_place(held_by("billing-1", 5, 17)), at(17));
    assert_eq!(event_reasons(&next), [EventReason::LeaderElected]);
}

#[test]
fn a_long_duration_once_seen_counts_until_the_tenure_ends() {
    let seen = LeaseSeen { longest_duration_seconds: 60, ..held_by("billing-0", 4, 0) };
    let election = reported(&in_place(seen.clone()), 59);
    assert_eq!(plan(&election, &in_place(seen), at(59)).next_look, Some(Duration::from_secs(60)));
}

#[test]
fn a_restart_repeats_nothing() {
    let before = reported(&in_place(held_by("billing-0", 4, 0)), 5);
    let found = LeaseSeen { moved: false, ..held_by("billing-0", 4, 100) };
    let quiet = plan(&before, &in_place(found.clone()), at(101));
    assert_eq!(quiet, Plan { next_look: Some(Duration::from_secs(115)), ..Plan::default() });

    let silent = LeaseSeen { read_at: Some(Duration::from_secs(115)), ..found };
    let expired = plan(&before, &in_place(silent), at(115));
    assert_eq!(event_reasons(&expired), [EventReason::LeaseExpired]);

    let still_silent = LeaseSeen { moved: false, ..held_by("billing-0", 4, 200) };
    let quiet = plan(&after(&before, &expired), &in_place(still_silent), at(201));
    assert_eq!(quiet, Plan { next_look: Some(Duration::from_secs(215)), ..Plan::default() });
}

#[test]
fn a_holder_that_took_over_unseen_is_believed_once_it_renews() {
    let before = reported(&in_place(held_by("billing-0", 4, 0)), 5);
    let found = LeaseSeen { moved: false, ..held_by("billing-1", 5, 100) };
    let first = plan(&before, &in_place(found), at(101));
    assert_eq!(elected(&first), "Unknown LeaseNotObserved");
    assert_eq!(event_reasons(&first), [EventReason::LeaderLost]);
    assert_eq!(first.status.as_ref().unwrap().holder.as_ref().unwrap().name, "billing-1");

    let renewed = plan(&after(&before, &first), &in_place(held_by("billing-1", 5, 102)), at(102));
    assert_eq!(elected(&renewed), "True LeaseHeld");
    assert_eq!(event_reasons(&renewed), [EventReason::LeaderElected]);
}

#[test]
fn a_lease_made_again_is_waited_out() {
    let deleted = {
        let mut seen = restored("billing-0_billing-0-uid", 4);
        seen.lease.record.uid = "lease-uid-2".to_owned();
        seen
    };
    let first = change(held_by("billing-0", 4, 0), deleted.clone(), 3);
    assert_eq!(elected(&first), "False WaitingOutUnknownHolder");
    assert_eq!(event_reasons(&first), [EventReason::LeaseRestored, EventReason::LeaderLost]);
    assert_eq!(first.next_look, Some(Duration::from_secs(15)));
    let status = first.status.clone().unwrap();
    assert_eq!((status.holder, status.lease_transitions), (None, Some(4)));

    let silent = LeaseSeen { read_at: Some(Duration::from_secs(15)), ..deleted };
    let over = plan(&after(&election(), &first), &in_place(silent), at(15));
    assert_eq!(elected(&over), "False LeaseExpired");
    assert_eq!(event_reasons(&over), []);
}

#[test]
fn an_unknown_holder_is_waited_out_whoever_wrote_it() {
    let mut seen = LeaseSeen { moved: false, managed: false, ..held_by("billing-0", 0, 0) };
    seen.lease.record.holder = "unknown".to_owned();
    let plan = plan(&election(), &in_place(seen), at(5));
    let status = plan.status.as_ref().unwrap();
    assert_eq!(elected(&plan), "False WaitingOutUnknownHolder");
    assert_eq!((event_reasons(&plan), &status.holder), (vec![EventReason::LeaseCreated], &None));
    assert!(!EventReason::LeaseCreated.is_warning());
}

#[test]
fn the_same_plan_twice_has_events_of_the_same_names() {
    let election = reported(&in_place(held_by("billing-0", 4, 0)), 5);
    let snapshot = in_place(held_by("billing-1", 5, 6));
    let names = |now| plan(&election, &snapshot, now).events.into_iter().map(|event| event.name).collect::<Vec<_>>();
    assert_eq!(names(at(6)), names(at(9)));
    assert_eq!(names(at(6)).len(), 2);
}

#[test]
fn a_holder_that_is_no_pod_stands_for_itself() {
    let mut seen = held_by("billing-0", 4, 0);
    seen.lease.record.holder = "legacy-host".to_owned();
    let status = plan(&election(), &in_place(seen), at(5)).status.unwrap();
    let holder = Holder {
        name: "legacy-host".to_owned(),
        identity: "legacy-host".to_owned(),
        node_name: None,
        acquire_time: Some(ACQUIRED.to_owned()),
    };
    assert_eq!(status.holder, Some(holder));
}
