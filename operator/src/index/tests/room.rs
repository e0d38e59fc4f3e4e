//! What the index keeps of a namespace that has more than there is room for.

use super::super::budget::Cost as _;
use super::*;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// A pod with so many bytes of labels.
fn large_pod(name: &str, bytes: usize) -> StoredPod {
    let mut pod = pod(name, "billing", true);
    pod.metadata.labels.get_or_insert_default().insert("note".to_owned(), "x".repeat(bytes));
    pod
}

fn see_pod(index: &mut Index, pod: StoredPod) -> Vec<Key> {
    index.handle_seen(Observation::Pod(Event::Apply(pod)), at(1))
}

/// With room for 100 kB of each namespace, which has an election.
fn small_index() -> Index {
    let mut index = Index::new(100_000);
    list(&mut index, Observation::Election, vec![election("e", 1)]);
    list::<StoredLease, _>(&mut index, Observation::Lease, vec![]);
    list::<StoredPod, _>(&mut index, Observation::Pod, vec![]);
    list::<Role, _>(&mut index, Observation::Role, vec![]);
    list::<RoleBinding, _>(&mut index, Observation::RoleBinding, vec![]);
    list::<core::Service, _>(&mut index, Observation::Service, vec![]);
    list::<EndpointSlice, _>(&mut index, Observation::Slice, vec![]);
    index
}

#[test]
fn pods_beyond_the_room_of_their_namespace_are_left_out_and_that_is_said() {
    let mut index = small_index();
    see_pod(&mut index, large_pod("billing-0", 60_000));
    assert_eq!((snapshot(&index).pods.len(), snapshot(&index).is_partial), (1, false));
    see_pod(&mut index, large_pod("billing-1", 60_000));
    assert_eq!((snapshot(&index).pods.len(), snapshot(&index).is_partial), (1, true));
    let (stored, seen) = index.snapshot(&key()).unwrap();
    let plan = plan(&stored, &ElectionSnapshot { role: None, ..seen }, at(1));
    assert!(plan.has_objects(), "the election is looked after all the same");

    // Of another namespace nothing is left out.
    let mut elsewhere = large_pod("billing-1", 60_000);
    elsewhere.metadata.namespace = Some("bank".to_owned());
    see_pod(&mut index, elsewhere);
    assert_eq!((index.left_out_namespaces(), index.wants_list()), (1, false));

    // What there was room for is gone: only a list shows what there is room for now.
    index.handle_seen(Observation::Pod(Event::Delete(large_pod("billing-0", 60_000))), at(2));
    assert!(index.wants_list());
    index.expect_lists();
    list(&mut index, Observation::Pod, vec![large_pod("billing-1", 60_000)]);
    assert_eq!((snapshot(&index).pods.len(), snapshot(&index).is_partial), (1, true), "other lists are under way");
    list(&mut index, Observation::Election, vec![election("e", 1)]);
    list::<StoredLease, _>(&mut index, Observation::Lease, vec![]);
    list::<Role, _>(&mut index, Observation::Role, vec![]);
    list::<RoleBinding, _>(&mut index, Observation::RoleBinding, vec![]);
    list::<core::Service, _>(&mut index, Observation::Service, vec![]);
    list::<EndpointSlice, _>(&mut index, Observation::Slice, vec![]);
    assert_eq!((snapshot(&index).pods.len(), snapshot(&index).is_partial), (1, false));
}

#[test]
fn what_is_kept_of_a_namespace_is_counted_to_the_last_byte() {
    let mut index = small_index();
    let before = index.budget.used("shop");
    for round in 0..3 {
        for name in ["billing-0", "billing-1", "billing-2"] {
            see_pod(&mut index, large_pod(name, 1000 * round));
        }
        for version in 0..3 {
            see_lease(&mut index, held(10 + version, &"h".repeat(100 * (3 - version as usize)), 1, version), at(1));
        }
        index.handle_seen(Observation::Election(Event::Apply(election("e", 2 + round as u64).into())), at(1));
        assert!(index.budget.used("shop") > before + 3000);
        for name in ["billing-0", "billing-1", "billing-2"] {
            index.handle_seen(Observation::Pod(Event::Delete(large_pod(name, 0))), at(2));
        }
        index.handle_seen(Observation::Lease(Event::Delete(held(20, "a", 1, 4))), at(2));
    }
    assert_eq!(index.budget.used("shop"), before);
    index.handle_seen(Observation::Election(Event::Delete(election("e", 9).into())), at(3));
    assert_eq!((index.budget.used("shop"), index.holders.of(&Key::new("shop", "a")).count()), (0, 0));
}

#[test]
fn an_election_beyond_the_room_is_named_and_nothing_else_of_it_is_kept() {
    let mut index = small_index();
    see_pod(&mut index, large_pod("billing-0", 95_000));
    let mut late = election("late", 3);
    late.metadata.name = Some("late".to_owned());
    late.spec.candidates.service_account_names = vec!["x".repeat(9_000)];
    index.handle_seen(Observation::Election(Event::Apply(late.clone().into())), at(1));
    let (election, snapshot) = index.snapshot(&Key::new("shop", "late")).unwrap();
    assert_eq!(election.spec, LeaderElectionSpec::default());
    let planned = plan(&election, &snapshot, at(1));
    assert!(!planned.has_objects() && planned.events.is_empty());
    let status = planned.status.unwrap();
    let said = |type_: &str| status.conditions.iter().find(|it| it.type_ == type_).unwrap();
    assert_eq!((said("Ready").status.as_str(), said("Ready").reason.as_str()), ("False", "NamespaceTooLarge"));
    assert_eq!(said("LeaderElected").status, "Unknown");
    // Once that is stored there is nothing more to do.
    late.status = Some(status);
    late.metadata.resource_version = Some("4".to_owned());
    index.handle_seen(Observation::Election(Event::Apply(late.into())), at(2));
    let (election, snapshot) = index.snapshot(&Key::new("shop", "late")).unwrap();
    assert!(plan(&election, &snapshot, at(2)).is_idle());
}

/// What comes of a Lease that is missing.
fn made_lease(index: &mut Index) -> TimingsAnnotation {
    let planned = |index: &Index| {
        let (election, snapshot) = index.snapshot(&key()).unwrap();
        plan(&election, &snapshot, at(5)).lease
    };
    let LeaseAction::Create(mut lease) = planned(index) else { panic!("{:?}", planned(index)) };
    lease.metadata.uid = Some("made".to_owned());
    lease.metadata.resource_version = Some("50".to_owned());
    see_lease(index, *lease, at(5));
    let LeaseAction::Amend(amendment) = planned(index) else { panic!("{:?}", planned(index)) };
    amendment.timings.unwrap()
}

#[test]
fn where_a_pod_is_left_out_that_may_be_older_no_lease_is_new() {
    let old = |name: &str, bytes: usize| {
        let labels = json!({format!("{GROUP}/election"): "billing", "note": "x".repeat(bytes)});
        let metadata = json!({"name": name, "namespace": "shop", "uid": name, "creationTimestamp": "2026-11-01T00:00:00Z", "labels": labels});
        StoredPod::from_untrusted(&json!({"metadata": metadata, "spec": {"containers": []}, "status": {}}).to_string())
    };
    for (filler, never_held) in [(1_000, true), (90_000, false)] {
        let mut index = Index::new(100_000);
        list::<StoredElection, _>(&mut index, Observation::Election, vec![]);
        list::<StoredLease, _>(&mut index, Observation::Lease, vec![]);
        let mut other = pod("filler", "other", true);
        other.metadata.labels.get_or_insert_default().insert("note".to_owned(), "x".repeat(filler));
        see_pod(&mut index, other);
        if !never_held {
            see_pod(&mut index, old("billing-0", 10_000));
        }
        let mut made = election("e2", 9);
        made.metadata.creation_timestamp = Some(Time("2026-11-23T00:00:00Z".parse().unwrap()));
        index.handle_seen(Observation::Election(Event::Apply(made.into())), at(2));
        assert_eq!(made_lease(&mut index).never_held, never_held, "{filler}");
    }
}

#[test]
fn an_election_that_was_left_out_is_not_new_when_there_is_room_for_it() {
    let mut index = Index::new(10_000);
    list(&mut index, Observation::Pod, vec![large_pod("filler", 9_000)]);
    let others = (0..5).map(|number| {
        let mut other = election(&format!("u{number}"), 1);
        other.metadata.name = Some(format!("a-{number}"));
        other
    });
    list(&mut index, Observation::Election, others.chain([election("e", 1)]).collect());
    list::<StoredLease, _>(&mut index, Observation::Lease, vec![]);
    assert!(index.snapshot(&key()).is_none());
    index.handle_seen(Observation::Pod(Event::Delete(large_pod("filler", 9_000))), at(1));
    for number in 0..5 {
        let mut other = election(&format!("u{number}"), 1);
        other.metadata.name = Some(format!("a-{number}"));
        index.handle_seen(Observation::Election(Event::Delete(other.into())), at(1));
    }
    index.handle_seen(Observation::Election(Event::Apply(election("e", 20).into())), at(2));
    assert!(!made_lease(&mut index).never_held);
}

#[test]
fn what_is_known_of_the_past_outlives_a_time_without_room() {
    let mut index = small_index();
    see_pod(&mut index, large_pod("filler", 90_000));
    let mut edited = election("e", 11);
    edited.spec.candidates.service_account_names = vec!["x".repeat(20_000)];
    let holder =
        elector_crds::Holder { name: "billing-0".into(), identity: "billing-0_u".into(), ..Default::default() };
    edited.status = Some(elector_crds::LeaderElectionStatus {
        lease_uid: Some("lease-uid".to_owned()),
        lease_transitions: Some(7),
        holder: Some(holder.clone()),
        ..Default::default()
    });
    index.handle_seen(Observation::Election(Event::Apply(edited.into())), at(2));
    let (election, snapshot) = index.snapshot(&key()).unwrap();
    let status = plan(&election, &snapshot, at(3)).status.unwrap();
    assert_eq!(
        (status.holder, status.lease_uid.as_deref(), status.lease_transitions),
        (Some(holder), Some("lease-uid"), Some(7))
    );
}

#[test]
fn a_lease_that_is_left_out_is_not_taken_for_absent() {
    let mut index = small_index();
    see_pod(&mut index, large_pod("filler", 90_000));
    let mut number = 0;
    // Until there is room for nothing that anything needs, either.
    while index.left_out_leases.is_empty() {
        number += 1;
        let mut other = election(&format!("u{number}"), 1);
        other.metadata.name = Some(format!("a-{number}"));
        index.handle_seen(Observation::Election(Event::Apply(other.into())), at(1));
        let mut lease = held(5, &"h".repeat(1024), 1, 1);
        lease.metadata.name = Some(format!("a-{number}"));
        see_lease(&mut index, lease, at(1));
        assert!(number < 100);
    }
    see_lease(&mut index, held(20, &"h".repeat(1024), 7, 1), at(2));
    let (election, seen) = index.snapshot(&key()).unwrap();
    let planned = plan(&election, &seen, at(3));
    assert!(!planned.has_objects(), "{planned:?}");
    let ready = planned.status.unwrap().conditions.into_iter().find(|it| it.type_ == "Ready").unwrap();
    assert_eq!((ready.status.as_str(), ready.reason.as_str()), ("False", "NamespaceTooLarge"));
    // Until a list shows that it is gone.
    list::<StoredLease, _>(&mut index, Observation::Lease, vec![held(21, &"h".repeat(1024), 7, 1)]);
    assert!(snapshot(&index).unreadable.is_some());
    list::<StoredLease, _>(&mut index, Observation::Lease, vec![]);
    assert!(snapshot(&index).unreadable.is_none());
}

#[test]
fn many_short_texts_and_many_requirements_count_as_what_they_take() {
    let selector = |values: usize| {
        let values: Vec<String> = (0..values).map(|value| format!("{value:02}")).collect();
        let expressions: Vec<Value> =
            (0..32).map(|key| json!({"key": format!("k{key}"), "operator": "NotIn", "values": values})).collect();
        json!({"metadata": {"name": "billing", "namespace": "shop"}, "spec": {"candidates": {"selector": {"matchExpressions": expressions}}}})
    };
    let cost = |values: usize| StoredElection::from_untrusted(&selector(values).to_string()).election.cost();
    assert!(cost(64) - cost(0) > 32 * 64 * 100, "{} {}", cost(64), cost(0));
    assert!(cost(0) > 32 * 1024);
}

#[test]
fn of_what_others_made_for_an_election_no_more_than_some_is_looked_at_at_a_time() {
    let mut index = Index::default();
    list(&mut index, Observation::Election, vec![election("e", 1)]);
    for number in 0..100 {
        let owner = json!({"apiVersion": "leader-elector.io/v1alpha1", "kind": "LeaderElection", "name": "billing", "uid": "e", "controller": true});
        let metadata = json!({"name": format!("s{number}"), "namespace": "shop", "uid": number.to_string(), "resourceVersion": "7",
                              "labels": {MANAGED_BY_LABEL: OPERATOR_NAME}, "ownerReferences": [owner]});
        let service = core::Service::from_untrusted(&json!({"metadata": metadata, "spec": {}}).to_string());
        index.handle_seen(Observation::Service(Event::Apply(service)), at(1));
    }
    assert_eq!(snapshot(&index).services.len(), MAX_OWNED);
}

#[test]
fn names_of_elections_that_are_gone_have_a_limit() {
    let mut index = Index::default();
    let before = 10_000;
    for number in 0..before + 2 {
        let mut gone = election(&format!("u{number}"), number + 1);
        gone.metadata.name = Some(format!("e{number}"));
        index.handle_seen(Observation::Election(Event::Apply(gone.clone().into())), at(1));
        index.handle_seen(Observation::Election(Event::Delete(gone.into())), at(1));
    }
    assert!(!index.histories.is_new(&Key::new("shop", "never-seen")), "it forgot some, and so knows of none");
    assert!(index.histories.is_new(&Key::new("bank", "never-seen")));
}
