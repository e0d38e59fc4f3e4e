//! Rules O1–O3.

use std::sync::Arc;

use super::*;
use crate::index::{History, Part};
use crate::plan::LeaseAction;
use crate::plan::lease::Amendment;
use elector_crds::{
    CandidateIdentity, HINTS_ANNOTATION, Holder, STRICT_IDENTITY_LABEL, StoredLease, TIMINGS_ANNOTATION,
};
use k8s_openapi::api::rbac::v1::{PolicyRule, Role};
use kube::ResourceExt as _;
use kube::core::ObjectMeta;
use serde_json::Value;

fn watched() -> ElectionSnapshot {
    ElectionSnapshot { creation_watched: true, name_is_new: true, ..ElectionSnapshot::default() }
}

fn created(election: &LeaderElection, snapshot: &ElectionSnapshot) -> StoredLease {
    match plan(election, snapshot, at(3)).lease {
        LeaseAction::Create(lease) => *lease,
        other => panic!("{other:?}"),
    }
}

fn created_spec(election: &LeaderElection, snapshot: &ElectionSnapshot) -> Value {
    json!(created(election, snapshot).spec)
}

#[test]
fn a_new_election_gets_a_lease_that_was_never_held_and_rights_and_nothing_else() {
    let plan = plan(&election(), &watched(), at(3));
    let LeaseAction::Create(lease) = &plan.lease else { panic!("{plan:?}") };
    assert_eq!(
        json!(lease),
        json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {
                "name": "billing",
                "namespace": "shop",
                "labels": {
                    "app.kubernetes.io/managed-by": "leader-elector-operator",
                    "leader-elector.io/election": "billing",
                    "leader-elector.io/strict-identity": "true",
                },
                "annotations": {"leader-elector.io/timings": unconfirmed().to_json()},
                "ownerReferences": [{
                    "apiVersion": "leader-elector.io/v1alpha1",
                    "kind": "LeaderElection",
                    "name": "billing",
                    "uid": "election-uid",
                    "controller": true,
                }],
            },
            "spec": {
                "leaseDurationSeconds": 15,
                "acquireTime": "1970-01-01T00:00:00.000000Z",
                "renewTime": "1970-01-01T00:00:00.000000Z",
                "leaseTransitions": 0,
            },
        })
    );
    assert!(plan.role.is_some() && plan.role_binding.is_some());
    assert_eq!((plan.events, plan.status, plan.next_look), (vec![], None, None));
}

#[test]
fn never_held_needs_all_that_rule_o2_asks() {
    let holder = Holder { identity: "billing-9_u9".to_owned(), ..Holder::default() };
    let with_status = |status| LeaderElection { status: Some(status), ..election() };
    let with_pod = |pod: Pod| ElectionSnapshot { pods: vec![Arc::new(pod)], ..watched() };
    let older = Pod { created: Some("2026-11-23T17:59:59Z".parse().unwrap()), ..pod("billing-0") };
    for (what, election, snapshot, never_held) in [
        ("all of it", election(), watched(), true),
        ("found at start", election(), ElectionSnapshot { creation_watched: false, ..watched() }, false),
        ("name seen before", election(), ElectionSnapshot { name_is_new: false, ..watched() }, false),
        (
            "status names a holder",
            with_status(LeaderElectionStatus { holder: Some(holder), ..Default::default() }),
            watched(),
            false,
        ),
        (
            "status names a Lease",
            with_status(LeaderElectionStatus { lease_uid: Some("u".to_owned()), ..Default::default() }),
            watched(),
            false,
        ),
        (
            "status counts transitions",
            with_status(LeaderElectionStatus { lease_transitions: Some(1), ..Default::default() }),
            watched(),
            false,
        ),
        ("status counts none", with_status(LeaderElectionStatus::default()), watched(), true),
        ("pod of the same second", election(), with_pod(pod("billing-0")), true),
        ("older pod", election(), with_pod(older.clone()), false),
        ("older pod, terminating", election(), with_pod(Pod { terminating: true, ..older.clone() }), false),
        ("older pod, finished", election(), with_pod(Pod { finished: true, ..older }), false),
        ("pod of unknown age", election(), with_pod(Pod { created: None, ..pod("billing-0") }), false),
    ] {
        let lease = created(&election, &snapshot);
        assert_eq!(lease.spec.get("holderIdentity").is_none(), never_held, "{what}");
        let timings = lease.annotation(elector_crds::TIMINGS_ANNOTATION);
        assert_eq!(timings, Some(unconfirmed().to_json().as_str()), "{what}");
        if never_held {
            let mut seen = LeaseSeen { annotation: unconfirmed(), ..super::never_held() };
            seen.lease.never_held = false;
            let shown = |seen| ElectionSnapshot { lease: Some(seen), ..snapshot.clone() };
            match plan(&election, &shown(seen.clone()), at(3)).lease {
                LeaseAction::Amend(amendment) => {
                    assert_eq!((amendment.upon, amendment.timings), (unconfirmed(), Some(super::timings(true))));
                }
                other => panic!("{what}: {other:?}"),
            }
            // Before its watch has shown it, there is nothing to do, and nothing to say.
            let plan = plan(&election, &shown(LeaseSeen { watched: false, ..seen }), at(3));
            assert_eq!((plan.lease, plan.status, plan.events), (LeaseAction::None, None, vec![]));
        }
    }
}

#[test]
fn a_restored_lease_names_the_last_holder_known_and_the_longest_wait() {
    let history = History { holder: Some("billing-1_u1".to_owned()), duration_seconds: 60, transitions: 7 };
    let mut election = election();
    let unknown = created_spec(&election, &ElectionSnapshot::default());
    let time = "2026-11-23T18:00:03.000000Z";
    assert_eq!(
        unknown,
        json!({
            "holderIdentity": "unknown",
            "leaseDurationSeconds": 15,
            "acquireTime": time,
            "renewTime": time,
            "leaseTransitions": 0,
        })
    );

    election.status = Some(LeaderElectionStatus {
        holder: Some(Holder { identity: "billing-9_u9".to_owned(), ..Holder::default() }),
        lease_transitions: Some(4),
        ..LeaderElectionStatus::default()
    });
    let from_status = created_spec(&election, &ElectionSnapshot::default());
    assert_eq!((&from_status["holderIdentity"], &from_status["leaseTransitions"]), (&json!("billing-9_u9"), &json!(4)));

    let from_history = created_spec(&election, &ElectionSnapshot { history, ..ElectionSnapshot::default() });
    assert_eq!(
        from_history,
        json!({
            "holderIdentity": "billing-1_u1",
            "leaseDurationSeconds": 60,
            "acquireTime": time,
            "renewTime": time,
            "leaseTransitions": 7,
        })
    );
}

#[test]
fn whose_lease_it_is() {
    #[derive(Debug, PartialEq)]
    enum Is {
        Own,
        Adopted,
        Foreign,
    }
    let bare = || LeaseSeen { owners: vec![], managed: false, strict: None, ..never_held() };
    let by_agent = || LeaseSeen { owners: vec![], managed: false, strict: None, ..held_by("billing-0", 1, 0) };
    let owned_by = |owner| LeaseSeen { owners: vec![owner], ..never_held() };
    for (what, namespace, seen, expected) in [
        ("made for this election", "shop", never_held(), Is::Own),
        ("for an earlier one", "shop", owned_by(reference("LeaderElection", "billing", "earlier")), Is::Own),
        ("by its label", "shop", LeaseSeen { owners: vec![], ..never_held() }, Is::Own),
        ("for another election", "shop", owned_by(reference("LeaderElection", "invoices", "other")), Is::Foreign),
        ("controlled by something else", "shop", owned_by(reference("Deployment", "billing", "other")), Is::Foreign),
        ("somebody's", "shop", bare(), Is::Foreign),
        ("an agent's", "shop", by_agent(), Is::Foreign),
        ("an agent's, annotated", "shop", LeaseSeen { adopt: true, ..by_agent() }, Is::Adopted),
        ("annotated", "shop", LeaseSeen { adopt: true, ..bare() }, Is::Adopted),
        ("annotated, in kube-system", "kube-system", LeaseSeen { adopt: true, ..by_agent() }, Is::Foreign),
        ("annotated, in kube-public", "kube-public", LeaseSeen { adopt: true, ..bare() }, Is::Foreign),
        ("made for an election in kube-system", "kube-system", never_held(), Is::Own),
    ] {
        let snapshot = ElectionSnapshot { lease: Some(seen), ..ElectionSnapshot::default() };
        let is = match crate::plan::lease::ownership(&election_in(namespace), &snapshot) {
            crate::plan::Ownership::Own(_) => Is::Own,
            crate::plan::Ownership::Adopted(_) => Is::Adopted,
            crate::plan::Ownership::Foreign => Is::Foreign,
            crate::plan::Ownership::Absent => panic!("{what}"),
        };
        assert_eq!(is, expected, "{what}");
        let snapshot = ElectionSnapshot { is_operators_own: true, ..snapshot };
        let ownership = crate::plan::lease::ownership(&election_in(namespace), &snapshot);
        assert_eq!(ownership, crate::plan::Ownership::Foreign, "{what}, and the operator's own");
    }
}

#[test]
fn a_lease_of_an_earlier_election_is_given_the_new_owner_and_kept_as_it_is() {
    let earlier = reference("LeaderElection", "billing", "earlier");
    let seen = LeaseSeen { owners: vec![earlier.clone()], ..held_by("billing-0", 4, 0) };
    let plan = plan(&election(), &in_place(seen), at(3));
    let amendment = Amendment {
        uid: "lease-uid".to_owned(),
        upon: timings(false),
        timings: None,
        owner: Some(own_reference()),
        strict: None,
        hints: None,
    };
    assert_eq!(plan, Plan { lease: LeaseAction::Amend(amendment.clone()), ..Plan::default() });

    let other = reference("ConfigMap", "billing", "other");
    let spec = json!({"holderIdentity": "billing-0_u", "leaseTransitions": 4, "fromTheFuture": {"a": 1}});
    let mut stored: StoredLease = serde_json::from_value(json!({
        "metadata": {"annotations": {"team": "shop", HINTS_ANNOTATION: "{}"}, "ownerReferences": [other, earlier]},
        "spec": spec,
    }))
    .unwrap();
    amendment.apply(&mut stored);
    assert_eq!(json!(stored.spec), spec);
    assert_eq!(stored.metadata.owner_references, Some(vec![other, own_reference()]));
    assert_eq!(stored.annotation("team"), Some("shop"));
    assert_eq!((stored.annotation(HINTS_ANNOTATION), stored.annotation(TIMINGS_ANNOTATION)), (Some("{}"), None));
}

#[test]
fn new_timings_go_into_the_annotation() {
    let mut election = election();
    election.spec.lease_duration_seconds = 60;
    let set = election.spec.timings().unwrap();
    for (seen, never_held) in [(never_held(), true), (held_by("billing-0", 4, 0), false)] {
        let plan = plan(&election, &in_place(seen), at(3));
        let amendment = Amendment {
            uid: "lease-uid".to_owned(),
            upon: timings(never_held),
            timings: Some(TimingsAnnotation { timings: Some(set), ..timings(never_held) }),
            owner: None,
            strict: None,
            hints: None,
        };
        assert_eq!(plan, Plan { lease: LeaseAction::Amend(amendment), ..Plan::default() });
    }
}

/// A spec that became invalid before the Lease was confirmed: no confirmation follows, so the status does not wait for one.
#[test]
fn an_invalid_spec_is_told_beside_an_unconfirmed_lease() {
    let mut invalid = election();
    invalid.spec.renew_deadline_seconds = 60;
    let mut seen = LeaseSeen { annotation: unconfirmed(), ..super::never_held() };
    seen.lease.never_held = false;
    let plan = plan(&invalid, &in_place(seen), at(3));
    assert_eq!(plan.lease, LeaseAction::None);
    assert_eq!(reason(&plan.status.unwrap(), ConditionType::Ready), "False InvalidSpec");
}

/// Who asked for a pause alone is not told that timings may not be written.
#[test]
fn what_is_only_out_of_date_beside_current_timings_is_no_reason_to_write_them() {
    let mut election = election();
    election.spec.paused = true;
    let seen = LeaseSeen { annotation: timings(true), ..held_by("billing-0", 4, 0) };
    let LeaseAction::Amend(amendment) = plan(&election, &in_place(seen), at(3)).lease else { panic!("no pause") };
    assert_eq!(amendment.parts(), [Part::Hints]);
}

#[test]
fn an_adopted_lease_gets_timings_and_no_owner() {
    let mut seen =
        LeaseSeen { owners: vec![], managed: false, adopt: true, strict: None, ..held_by("billing-0", 4, 0) };
    seen.annotation.timings = None;
    let first = plan(&election(), &in_place(seen.clone()), at(3));
    let amendment = Amendment {
        uid: "lease-uid".to_owned(),
        upon: TimingsAnnotation::default(),
        timings: Some(timings(false)),
        owner: None,
        strict: None,
        hints: None,
    };
    assert_eq!(first, Plan { lease: LeaseAction::Amend(amendment), ..Plan::default() });

    seen.annotation = timings(false);
    let then = plan(&election(), &in_place(seen.clone()), at(3));
    assert_eq!(event_reasons(&then), [EventReason::LeaseAdopted, EventReason::LeaderElected]);
    let status = then.status.clone().unwrap();
    assert_eq!(reason(&status, ConditionType::Ready), "True Reconciled");
    assert!(plan(&after(&election(), &then), &in_place(seen), at(4)).is_idle());
}

#[test]
fn somebody_elses_lease_is_untouched_and_nobody_gets_rights_on_it() {
    let seen = LeaseSeen { owners: vec![], managed: false, strict: None, ..never_held() };
    let snapshot = ElectionSnapshot { lease: Some(seen), ..ElectionSnapshot::default() };
    let first = plan(&election(), &snapshot, at(3));
    assert!(!first.has_objects());
    assert_eq!(event_reasons(&first), [EventReason::ObjectConflict]);
    let status = first.status.clone().unwrap();
    assert_eq!(reason(&status, ConditionType::Ready), "False ObjectConflict");
    assert_eq!(reason(&status, ConditionType::LeaderElected), "Unknown LeaseNotObserved");
    assert!(message(&status, ConditionType::Ready).contains("leader-elector.io/adopt=true"));
    assert_eq!((status.holder, status.lease_uid), (None, None));
    assert_eq!(plan(&after(&election(), &first), &snapshot, at(4)), Plan::default());
}

#[test]
fn the_lease_of_the_operators_own_election_is_no_leader_elections() {
    let missing = ElectionSnapshot { is_operators_own: true, ..ElectionSnapshot::default() };
    let there = ElectionSnapshot { lease: Some(LeaseSeen { adopt: true, ..never_held() }), ..missing.clone() };
    let mut paused = election();
    paused.spec.paused = true;
    for snapshot in [missing, there] {
        let plan = plan(&paused, &snapshot, at(3));
        assert!(!plan.has_objects(), "{plan:?}");
        let status = plan.status.unwrap();
        assert_eq!(reason(&status, ConditionType::Ready), "False ObjectConflict");
        assert!(message(&status, ConditionType::Ready).contains("the operator's own election"));
    }
}

#[test]
fn rights_on_a_lease_that_has_become_somebody_elses_end() {
    let whole = in_place(held_by("billing-0", 4, 0));
    let theirs = LeaseSeen { owners: vec![reference("Deployment", "billing", "other")], ..never_held() };
    let mut snapshot = ElectionSnapshot { lease: Some(theirs), ..whole };
    let first = plan(&election(), &snapshot, at(3));
    let mut emptied = snapshot.role.clone().unwrap();
    emptied.rules = Some(vec![]);
    assert_eq!(first, Plan { role: Some(emptied.clone()), ..Plan::default() });
    // However the API server tells of an empty list.
    for rules in [Some(vec![]), None] {
        snapshot.role = Some(Role { rules, ..emptied.clone() });
        assert!(!plan(&election(), &snapshot, at(4)).has_objects());
    }
    snapshot.role.as_mut().unwrap().metadata.owner_references = Some(vec![reference("Deployment", "billing", "other")]);
    snapshot.role.as_mut().unwrap().rules = Some(vec![PolicyRule::default()]);
    assert!(!plan(&election(), &snapshot, at(4)).has_objects(), "somebody else's Role is theirs");
    // Given back, it is granted again.
    let again = ElectionSnapshot { lease: Some(held_by("billing-0", 4, 0)), role: Some(emptied), ..snapshot };
    assert!(plan(&election(), &again, at(5)).role.is_some_and(|role| role.rules.is_some_and(|it| it.len() == 1)));
}

#[test]
fn a_lease_is_marked_for_the_policy_as_its_election_asks() {
    let any = {
        let mut election = election();
        election.spec.candidates.identity = CandidateIdentity::Any;
        election
    };
    let unmarked = LeaseSeen { strict: None, ..held_by("billing-0", 4, 0) };
    let cases = [
        (election(), held_by("billing-0", 4, 0), None),
        (election(), unmarked.clone(), Some(true)),
        (any.clone(), held_by("billing-0", 4, 0), Some(false)),
        (any.clone(), unmarked.clone(), Some(false)),
        (any.clone(), LeaseSeen { strict: Some(false), ..unmarked.clone() }, None),
        (election(), LeaseSeen { strict: Some(false), ..unmarked.clone() }, Some(true)),
        // Candidates of a Lease that was adopted may have named themselves.
        (election(), LeaseSeen { managed: false, owners: vec![], adopt: true, ..unmarked.clone() }, None),
        (election(), LeaseSeen { managed: false, owners: vec![], adopt: true, ..held_by("billing-0", 4, 0) }, None),
    ];
    for (election, seen, marked) in cases {
        let planned = plan(&election, &in_place(seen), at(1)).lease;
        match (planned, marked) {
            (LeaseAction::None, None) => {}
            (LeaseAction::Amend(amendment), Some(strict)) => {
                let mut stored = StoredLease::new(ObjectMeta::default());
                amendment.apply(&mut stored);
                assert_eq!(stored.labels()[STRICT_IDENTITY_LABEL], strict.to_string());
            }
            other => panic!("{other:?}"),
        }
    }
    for (election, strict) in [(election(), true), (any, false)] {
        let LeaseAction::Create(lease) = plan(&election, &ElectionSnapshot::default(), at(1)).lease else {
            panic!("there is none")
        };
        assert_eq!(lease.labels()[STRICT_IDENTITY_LABEL], strict.to_string());
    }
}

#[test]
fn an_amendment_is_for_what_it_was_planned_upon() {
    let amendment = Amendment {
        uid: "u".to_owned(),
        upon: unconfirmed(),
        timings: Some(timings(false)),
        owner: None,
        strict: None,
        hints: None,
    };
    let stored = |uid: &str, said: TimingsAnnotation| {
        let mut stored = StoredLease::new(ObjectMeta { uid: Some(uid.to_owned()), ..ObjectMeta::default() });
        stored.set_annotation(elector_crds::TIMINGS_ANNOTATION, said.to_json());
        stored
    };
    assert!(amendment.is_meant_for(&stored("u", unconfirmed())));
    assert!(!amendment.is_meant_for(&stored("another", unconfirmed())));
    // Another replica knew better, and said so.
    assert!(!amendment.is_meant_for(&stored("u", TimingsAnnotation { wait_seconds: 60, ..timings(false) })));
}

#[test]
fn each_part_of_an_amendment_can_be_written_alone_or_left_out() {
    let mut election = election();
    election.spec.lease_duration_seconds = 60;
    election.spec.paused = true;
    let mut seen = LeaseSeen { owners: vec![], ..held_by("billing-0", 4, 0) };
    seen.strict = None;
    let parts = [Part::Timings, Part::Hints, Part::Mark, Part::Owner];
    let planned = |troubled: &[Part]| {
        let mut snapshot = in_place(seen.clone());
        troubled.iter().for_each(|part| snapshot.failed_writes.insert(*part, failed(Reason::Forbidden, "no")));
        plan(&election, &snapshot, at(3)).lease
    };
    let LeaseAction::Amend(whole) = planned(&[]) else { panic!("{:?}", planned(&[])) };
    assert_eq!(whole.parts(), parts);
    for part in parts {
        assert_eq!(whole.only(part).parts(), [part]);
        let LeaseAction::Amend(rest) = planned(&[part]) else { panic!("{part:?}") };
        assert_eq!(rest.parts(), parts.into_iter().filter(|other| *other != part).collect::<Vec<_>>());
    }
    assert_eq!(planned(&parts), LeaseAction::None);
}
