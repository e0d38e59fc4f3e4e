//! Role and RoleBinding, invalid specs, and trouble.

use super::*;
use crate::index::Part;
use crate::plan::LeaseAction;
use elector_crds::conditions::Reason;

#[test]
fn the_role_allows_four_verbs_on_one_lease() {
    let plan = plan(&election(), &ElectionSnapshot::default(), at(0));
    let (role, binding) = (json!(plan.role), json!(plan.role_binding));
    assert_eq!(role["metadata"]["name"], "leader-elector-billing");
    assert_eq!(
        role["rules"],
        json!([{
            "apiGroups": ["coordination.k8s.io"],
            "resources": ["leases"],
            "resourceNames": ["billing"],
            "verbs": ["get", "list", "watch", "update"],
        }])
    );
    assert_eq!(
        binding["roleRef"],
        json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "leader-elector-billing"})
    );
    assert_eq!(binding["subjects"], json!([{"kind": "ServiceAccount", "name": "default", "namespace": "shop"}]));
    for object in [role, binding] {
        assert_eq!(object["metadata"]["ownerReferences"][0]["uid"], "election-uid");
        assert_eq!(object["metadata"]["labels"]["app.kubernetes.io/managed-by"], "leader-elector-operator");
    }
}

#[test]
fn only_what_is_not_as_it_should_be_is_applied() {
    let whole = in_place(never_held());
    let role = || whole.role.clone().unwrap();

    let mut without_verb = whole.clone();
    let mut changed = role();
    changed.rules.as_mut().unwrap()[0].verbs.pop();
    without_verb.role = Some(changed);
    assert_eq!(plan(&election(), &without_verb, at(1)), Plan { role: whole.role.clone(), ..Plan::default() });

    let mut of_earlier_election = whole.clone();
    let mut changed = role();
    changed.metadata.owner_references = Some(vec![reference("LeaderElection", "billing", "earlier")]);
    of_earlier_election.role = Some(changed);
    assert_eq!(plan(&election(), &of_earlier_election, at(1)), Plan { role: whole.role.clone(), ..Plan::default() });

    let mut with_foreign_label = whole.clone();
    let mut changed = role();
    changed.metadata.labels.as_mut().unwrap().insert("team".to_owned(), "shop".to_owned());
    with_foreign_label.role = Some(changed);
    assert!(!plan(&election(), &with_foreign_label, at(1)).has_objects());

    let mut election = election();
    election.spec.candidates.service_account_names.push("billing".to_owned());
    let plan = plan(&election, &whole, at(1));
    assert_eq!(Plan { role_binding: None, ..plan.clone() }, Plan::default());
    assert_eq!(plan.role_binding.unwrap().subjects.unwrap().len(), 2);
}

#[test]
fn a_role_that_is_somebody_elses_is_a_conflict() {
    let mut snapshot = in_place(never_held());
    let mut role = snapshot.role.clone().unwrap();
    role.metadata.owner_references = Some(vec![reference("Deployment", "billing", "other")]);
    snapshot.role = Some(role);
    let plan = plan(&election(), &snapshot, at(1));
    assert!(!plan.has_objects());
    assert_eq!(event_reasons(&plan), [EventReason::ObjectConflict]);
    let status = plan.status.unwrap();
    assert_eq!(reason(&status, ConditionType::Ready), "False ObjectConflict");
    assert!(message(&status, ConditionType::Ready).starts_with("Role leader-elector-billing exists"));
}

#[test]
fn an_invalid_spec_leaves_everything_as_it_is_and_says_why() {
    let mut election = election();
    election.spec.renew_deadline_seconds = 12;
    election.spec.candidates.service_account_names.push("billing".to_owned());
    let snapshot = in_place(held_by("billing-0", 4, 0));
    let first = plan(&election, &snapshot, at(1));
    assert!(!first.has_objects());
    assert_eq!(event_reasons(&first), [EventReason::InvalidSpec, EventReason::LeaderElected]);
    let status = first.status.clone().unwrap();
    assert_eq!(reason(&status, ConditionType::Ready), "False InvalidSpec");
    assert_eq!(
        message(&status, ConditionType::Ready),
        "spec: renewDeadlineSeconds is 12; with leaseDurationSeconds 15 it can be 11 at most"
    );
    assert_eq!(status.holder.unwrap().name, "billing-0");
    assert!(plan(&after(&election, &first), &snapshot, at(2)).is_idle());

    let without_lease = plan(&election, &ElectionSnapshot::default(), at(1));
    assert!(!without_lease.has_objects());
}

#[test]
fn an_election_that_is_being_deleted_is_left_to_the_garbage_collector() {
    let mut election = election();
    election.metadata.deletion_timestamp = Some(Time(CREATED.parse().unwrap()));
    assert_eq!(plan(&election, &ElectionSnapshot::default(), at(1)), Plan::default());
    assert_eq!(plan(&election, &in_place(held_by("billing-0", 4, 0)), at(1)), Plan::default());
}

#[test]
fn trouble_is_said_and_tried_again_when_its_time_has_come() {
    let message = "the operator may not create the Lease: forbidden".to_owned();
    let mut snapshot = ElectionSnapshot::default();
    snapshot.failed_writes.insert(Part::Lease, failed(Reason::Forbidden, &message));
    let others = plan(&election(), &snapshot, at(8));
    assert_eq!((others.lease, others.status), (LeaseAction::None, None));
    (snapshot.role, snapshot.role_binding) = (others.role, others.role_binding);
    let first = plan(&election(), &snapshot, at(8));
    assert!(!first.has_objects());
    assert_eq!((first.events.as_slice(), first.next_look), ([].as_slice(), Some(Duration::from_secs(9))));
    let status = first.status.clone().unwrap();
    assert_eq!(reason(&status, ConditionType::Ready), "False Forbidden");
    assert_eq!(super::message(&status, ConditionType::Ready), message);
    assert_eq!(reason(&status, ConditionType::LeaderElected), "Unknown LeaseNotObserved");

    let election = after(&election(), &first);
    assert!(plan(&election, &snapshot, at(8)).is_idle());
    let again = plan(&election, &snapshot, at(9));
    assert!(matches!(again.lease, LeaseAction::Create(_)));
    assert_eq!(again.status, None);
}

#[test]
fn events_of_a_status_that_cannot_be_stored_are_planned_once() {
    let mut snapshot = in_place(held_by("billing-0", 4, 0));
    let first = plan(&election(), &snapshot, at(3));
    assert_eq!(event_reasons(&first), [EventReason::LeaderElected]);
    snapshot.failed_writes.insert(Part::Status, failed(Reason::Forbidden, "no"));
    snapshot.created_events = first.events.iter().map(|event| event.name.clone()).collect();
    assert!(plan(&election(), &snapshot, at(4)).is_idle());
    // Nor while they are refused as well; and once that time is over they are tried again, and nothing else is.
    snapshot.created_events.clear();
    snapshot.refused_events.clone_from(&first.events);
    snapshot.failed_writes.insert(Part::Event, failed(Reason::Forbidden, "no"));
    assert!(plan(&election(), &snapshot, at(5)).is_idle());
    let again = plan(&election(), &snapshot, at(9));
    assert_eq!(again.events, first.events);
    let ready = super::message(&again.status.unwrap(), ConditionType::Ready).to_owned();
    assert_eq!(ready, "no", "it is not in order before it has been tried");
}
