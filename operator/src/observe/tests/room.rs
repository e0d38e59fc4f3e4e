//! What the index keeps of a namespace that has more than there is room for.

use super::*;

/// A pod with so many bytes of labels.
fn large_pod(name: &str, bytes: usize) -> StoredPod {
    let mut pod = pod(name, "billing", true);
    pod.metadata.labels.get_or_insert_default().insert("note".to_owned(), "x".repeat(bytes));
    pod
}

fn see_pod(index: &mut Index, pod: StoredPod) -> Vec<Key> {
    index.handle_seen(Seen::Pod(Event::Apply(pod)), at(1))
}

/// With room for 100 kB of each namespace, which has an election.
fn small_index() -> Index {
    let mut index = Index::new(100_000);
    list(&mut index, Seen::Election, vec![election("e", 1)]);
    list::<StoredLease, _>(&mut index, Seen::Lease, vec![]);
    list::<StoredPod, _>(&mut index, Seen::Pod, vec![]);
    list::<Role, _>(&mut index, Seen::Role, vec![]);
    list::<RoleBinding, _>(&mut index, Seen::RoleBinding, vec![]);
    list::<core::Service, _>(&mut index, Seen::Service, vec![]);
    list::<EndpointSlice, _>(&mut index, Seen::Slice, vec![]);
    index
}

#[test]
fn pods_beyond_the_room_of_their_namespace_are_left_out_and_that_is_said() {
    let mut index = small_index();
    see_pod(&mut index, large_pod("billing-0", 60_000));
    assert_eq!((observed(&index).pods.len(), observed(&index).is_partial), (1, false));
    see_pod(&mut index, large_pod("billing-1", 60_000));
    assert_eq!((observed(&index).pods.len(), observed(&index).is_partial), (1, true));
    let (election, seen) = index.observed(&key()).unwrap();
    let plan = plan(&election, &Observed { role: None, ..seen }, at(1));
    assert!(plan.has_objects(), "the election is looked after all the same");

    // Of another namespace nothing is left out.
    let mut elsewhere = large_pod("billing-1", 60_000);
    elsewhere.metadata.namespace = Some("bank".to_owned());
    see_pod(&mut index, elsewhere);
    assert_eq!((index.left_out_namespaces(), index.wants_list()), (1, false));

    // What there was room for is gone: only a list shows what there is room for now.
    index.handle_seen(Seen::Pod(Event::Delete(large_pod("billing-0", 60_000))), at(2));
    assert!(index.wants_list());
    index.forget_left_out();
    see_pod(&mut index, large_pod("billing-1", 60_000));
    assert_eq!((observed(&index).pods.len(), observed(&index).is_partial), (1, false));
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
        index.handle_seen(Seen::Election(Event::Apply(election("e", 2 + round as u64).into())), at(1));
        assert!(index.budget.used("shop") > before + 3000);
        for name in ["billing-0", "billing-1", "billing-2"] {
            index.handle_seen(Seen::Pod(Event::Delete(large_pod(name, 0))), at(2));
        }
        index.handle_seen(Seen::Lease(Event::Delete(held(20, "a", 1, 4))), at(2));
    }
    assert_eq!(index.budget.used("shop"), before);
    index.handle_seen(Seen::Election(Event::Delete(election("e", 9).into())), at(3));
    assert_eq!((index.budget.used("shop"), index.holders.of(&Key::new("shop", "a")).count()), (0, 0));
}

#[test]
fn an_election_beyond_the_room_is_named_and_nothing_else_of_it_is_kept() {
    let mut index = small_index();
    see_pod(&mut index, large_pod("billing-0", 95_000));
    let mut late = election("late", 3);
    late.metadata.name = Some("late".to_owned());
    late.spec.candidates.service_account_names = vec!["x".repeat(9_000)];
    index.handle_seen(Seen::Election(Event::Apply(late.clone().into())), at(1));
    let (election, observed) = index.observed(&Key::new("shop", "late")).unwrap();
    assert_eq!(election.spec, LeaderElectionSpec::default());
    let planned = plan(&election, &observed, at(1));
    assert!(!planned.has_objects() && planned.events.is_empty());
    let status = planned.status.unwrap();
    let said = |type_: &str| status.conditions.iter().find(|it| it.type_ == type_).unwrap();
    assert_eq!((said("Ready").status.as_str(), said("Ready").reason.as_str()), ("False", "NamespaceTooLarge"));
    assert_eq!(said("LeaderElected").status, "Unknown");
    // Once that is stored there is nothing more to do.
    late.status = Some(status);
    late.metadata.resource_version = Some("4".to_owned());
    index.handle_seen(Seen::Election(Event::Apply(late.into())), at(2));
    let (election, observed) = index.observed(&Key::new("shop", "late")).unwrap();
    assert!(plan(&election, &observed, at(2)).is_idle());
}
