//! What the index makes of watches and answers.

mod room;

use super::*;
use crate::plan::{LeaseAction, plan};
use elector_crds::annotations::{TimingsAnnotation, agent_to_json};
use elector_crds::ownership::{MANAGED_BY_LABEL, OPERATOR_NAME};
use elector_crds::untrusted::{FromUntrusted as _, StoredElection};
use elector_crds::{AGENT_ANNOTATION, StoredLease, TIMINGS_ANNOTATION};
use elector_crds::{GROUP, LeaderElectionSpec};
use elector_election::{AgentMark, Timings};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt as _;
use serde_json::{Value, json};

fn at(second: u64) -> ClockReading {
    ClockReading { at: Duration::from_secs(second), wall: Timestamp::UNIX_EPOCH }
}

fn key() -> Key {
    Key::new("shop", "billing")
}

fn election(uid: &str, version: u64) -> LeaderElection {
    let mut election = LeaderElection::new("billing", LeaderElectionSpec::default());
    election.metadata.namespace = Some("shop".to_owned());
    election.metadata.uid = Some(uid.to_owned());
    election.metadata.resource_version = Some(version.to_string());
    election
}

fn lease(uid: &str, version: u64, spec: Value) -> StoredLease {
    serde_json::from_value(json!({
        "metadata": {"name": "billing", "namespace": "shop", "uid": uid, "resourceVersion": version.to_string()},
        "spec": spec,
    }))
    .unwrap()
}

/// Held by `holder`, renewed at second `renewed`.
fn held(version: u64, holder: &str, transitions: u32, renewed: u64) -> StoredLease {
    lease(
        "lease-uid",
        version,
        json!({
            "holderIdentity": holder,
            "leaseDurationSeconds": 15,
            "acquireTime": "2026-11-23T18:00:00.000000Z",
            "renewTime": format!("2026-11-23T18:00:{renewed:02}.000000Z"),
            "leaseTransitions": transitions,
        }),
    )
}

fn pod(name: &str, label: &str, ready: bool) -> StoredPod {
    let stored = json!({
        "metadata": {
            "name": name, "namespace": "shop", "uid": format!("{name}-uid"),
            "labels": {format!("{GROUP}/election"): label},
        },
        "spec": {"containers": [], "nodeName": "node-3"},
        "status": {"conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}]},
    });
    StoredPod::from_untrusted(&stored.to_string())
}

/// All lists are complete; they showed `elections` and `leases`.
fn index(elections: Vec<LeaderElection>, leases: Vec<StoredLease>) -> Index {
    let mut index = Index::default();
    list(&mut index, Observation::Election, elections);
    list(&mut index, Observation::Lease, leases);
    list::<StoredPod, _>(&mut index, Observation::Pod, vec![]);
    list::<Role, _>(&mut index, Observation::Role, vec![]);
    list::<RoleBinding, _>(&mut index, Observation::RoleBinding, vec![]);
    list::<core::Service, _>(&mut index, Observation::Service, vec![]);
    assert!(!index.is_complete());
    list::<EndpointSlice, _>(&mut index, Observation::Slice, vec![]);
    assert!(index.is_complete());
    index
}

fn list<K: Into<S>, S>(index: &mut Index, seen: fn(Event<S>) -> Observation, objects: Vec<K>) {
    let events = objects.into_iter().map(Into::into).map(Event::InitApply);
    for event in [Event::Init].into_iter().chain(events).chain([Event::InitDone]) {
        index.handle_seen(seen(event), at(0));
    }
}

fn snapshot(index: &Index) -> ElectionSnapshot {
    index.snapshot(&key()).unwrap().1
}

fn see_lease(index: &mut Index, lease: StoredLease, now: ClockReading) -> Vec<Key> {
    index.handle_seen(Observation::Lease(Event::Apply(lease)), now)
}

#[test]
fn a_renewal_moves_the_expiry_and_wakes_nobody() {
    let mut index = index(vec![election("e", 1)], vec![]);
    assert_eq!(see_lease(&mut index, held(2, "a", 1, 0), at(1)), [key()]);
    // The first sign of life after the holder was found.
    assert_eq!(see_lease(&mut index, held(3, "a", 1, 2), at(3)), [key()]);
    for second in 4..10 {
        assert_eq!(see_lease(&mut index, held(second, "a", 1, second), at(second)), []);
        assert_eq!(index.expires_at(&key()), Some(Duration::from_secs(second + 15)));
    }
}

#[test]
fn a_label_edit_moves_no_expiry() {
    let mut index = index(vec![election("e", 1)], vec![held(2, "a", 1, 0)]);
    let mut edited = held(3, "a", 1, 0);
    edited.metadata.labels = Some([("team".to_owned(), "shop".to_owned())].into());
    assert_eq!(see_lease(&mut index, edited, at(9)), []);
    assert_eq!(index.expires_at(&key()), Some(Duration::from_secs(15)));
}

#[test]
fn whatever_else_changes_a_lease_wakes_its_election() {
    let mut index = index(vec![election("e", 1)], vec![held(2, "a", 1, 0)]);
    for (what, lease) in [
        ("takeover", held(3, "b", 2, 1)),
        ("release", lease("lease-uid", 4, json!({"leaseDurationSeconds": 1, "leaseTransitions": 2}))),
        ("another Lease", lease("lease-uid-2", 5, json!({}))),
    ] {
        assert_eq!(see_lease(&mut index, lease, at(1)), [key()], "{what}");
    }
    let deleted = lease("lease-uid-2", 6, json!({}));
    assert_eq!(index.handle_seen(Observation::Lease(Event::Delete(deleted)), at(1)), [key()]);
    assert_eq!(snapshot(&index).lease, None);
}

#[test]
fn a_renewal_after_the_expiry_wakes_its_election() {
    let mut index = index(vec![election("e", 1)], vec![]);
    see_lease(&mut index, held(2, "a", 1, 0), at(1));
    see_lease(&mut index, held(3, "a", 1, 2), at(3));
    assert_eq!(see_lease(&mut index, held(4, "a", 1, 20), at(20)), [key()]);
}

#[test]
fn leases_without_an_election_wake_nobody_and_are_remembered() {
    let mut index = index(vec![], vec![]);
    assert_eq!(see_lease(&mut index, held(2, "a", 7, 0), at(1)), []);
    assert_eq!(index.handle_seen(Observation::Lease(Event::Delete(held(3, "a", 7, 0))), at(2)), []);
    assert_eq!(index.handle_seen(Observation::Election(Event::Apply(election("e", 4).into())), at(3)), [key()]);
    let snapshot = snapshot(&index);
    assert!(snapshot.creation_watched && !snapshot.name_is_new);
    let history = History { holder: Some("a".to_owned()), duration_seconds: 15, transitions: 7 };
    assert_eq!(snapshot.history, history);
}

#[test]
fn only_what_was_seen_being_created_counts_as_watched() {
    let mut index = index(vec![election("e", 1)], vec![]);
    assert!(!snapshot(&index).creation_watched);
    index.handle_seen(Observation::Election(Event::Apply(election("e", 2).into())), at(1));
    assert!(!snapshot(&index).creation_watched);

    index.handle_seen(Observation::Election(Event::Delete(election("e", 3).into())), at(1));
    index.handle_seen(Observation::Election(Event::Apply(election("e2", 4).into())), at(1));
    assert!(snapshot(&index).creation_watched);
    assert!(!snapshot(&index).name_is_new);
}

#[test]
fn an_election_replaced_while_nobody_watched_is_not_new() {
    let mut index = index(vec![election("e", 1)], vec![]);
    assert!(snapshot(&index).name_is_new);
    list(&mut index, Observation::Election, vec![election("e2", 9)]);
    let snapshot = snapshot(&index);
    assert!(!snapshot.creation_watched && !snapshot.name_is_new);
}

#[test]
fn the_last_holder_is_remembered_beyond_release_and_deletion() {
    let mut index = index(vec![election("e", 1)], vec![held(2, "a", 4, 0)]);
    see_lease(&mut index, lease("lease-uid", 3, json!({"leaseDurationSeconds": 1, "leaseTransitions": 4})), at(1));
    list::<StoredLease, _>(&mut index, Observation::Lease, vec![]);
    let snapshot = snapshot(&index);
    assert_eq!(snapshot.lease, None);
    assert_eq!(snapshot.history, History { holder: Some("a".to_owned()), duration_seconds: 15, transitions: 4 });
}

#[test]
fn older_versions_are_ignored_except_in_a_list() {
    let mut index = index(vec![election("e", 1)], vec![held(9, "b", 2, 5)]);
    assert_eq!(see_lease(&mut index, held(8, "a", 1, 4), at(1)), []);
    assert_eq!(snapshot(&index).lease.unwrap().lease.record.holder, "b");
    assert_eq!(index.handle_seen(Observation::Election(Event::Apply(election("e", 1).into())), at(1)), []);
    list(&mut index, Observation::Lease, vec![held(8, "a", 1, 4)]);
    assert_eq!(snapshot(&index).lease.unwrap().lease.record.holder, "a");
}

#[test]
fn a_deletion_of_something_older_deletes_nothing() {
    let mut index = index(vec![election("e2", 5)], vec![lease("new", 6, json!({}))]);
    assert_eq!(index.handle_seen(Observation::Lease(Event::Delete(lease("old", 4, json!({})))), at(1)), []);
    assert_eq!(index.handle_seen(Observation::Election(Event::Delete(election("e", 4).into())), at(1)), []);
    assert!(snapshot(&index).lease.is_some());
}

#[test]
fn answers_count_as_watched_unless_something_was_deleted_meanwhile() {
    let mut index = index(vec![election("e", 1)], vec![]);
    let deletions = index.deletions(&key());
    let created = || vec![WriteAnswer::Lease(Box::new(held(2, "a", 1, 0)))];
    index.handle_answers(&key(), created(), deletions, at(1));
    assert!(snapshot(&index).lease.is_some());

    index.handle_seen(Observation::Lease(Event::Delete(held(3, "a", 1, 0))), at(2));
    index.handle_answers(&key(), created(), deletions, at(3));
    assert_eq!(snapshot(&index).lease, None);
}

#[test]
fn a_read_that_shows_nothing_new_confirms_the_silence() {
    let mut index = index(vec![election("e", 1)], vec![held(2, "a", 1, 0)]);
    let deletions = index.deletions(&key());
    index.handle_answers(&key(), vec![WriteAnswer::LeaseRead(Box::new(held(2, "a", 1, 0)))], deletions, at(15));
    let seen = snapshot(&index).lease.unwrap();
    assert_eq!((seen.seen_at, seen.read_at), (Duration::ZERO, Some(Duration::from_secs(15))));

    index.handle_answers(&key(), vec![WriteAnswer::LeaseRead(Box::new(held(3, "a", 1, 9)))], deletions, at(16));
    assert_eq!(index.expires_at(&key()), Some(Duration::from_secs(31)));
    index.handle_answers(&key(), vec![WriteAnswer::NoLease(key())], deletions, at(17));
    assert_eq!(snapshot(&index).lease, None);
}

/// Of which an agent says that it began this tenure.
fn by_agent(mut lease: StoredLease, transitions: u32) -> StoredLease {
    let mark = AgentMark { start: format!("n{transitions}"), transitions, release: None };
    lease.set_annotation(AGENT_ANNOTATION, agent_to_json(&mark, None));
    lease
}

fn for_seconds(mut lease: StoredLease, duration: u32) -> StoredLease {
    lease.spec.insert("leaseDurationSeconds".to_owned(), duration.into());
    lease
}

#[test]
fn durations_once_seen_count_until_an_agent_begins_the_next_tenure() {
    let mut index = index(vec![election("e", 1)], vec![]);
    let cases = [(2, 1, 1, 60, 60), (3, 1, 1, 15, 60), (4, 2, 1, 15, 60), (5, 3, 3, 15, 15), (6, 3, 3, 5, 15)];
    for (version, transitions, of_agent, duration, expected) in cases {
        let lease = for_seconds(held(version, "a", transitions, version), duration);
        see_lease(&mut index, by_agent(lease, of_agent), at(0));
        assert_eq!(index.expires_at(&key()), Some(Duration::from_secs(expected)), "{version}");
        let remembered = snapshot(&index).history.duration_seconds;
        assert_eq!(remembered, u32::try_from(expected).unwrap(), "{version}");
    }
}

/// Whoever leads may be cut off: no Lease that somebody makes by hand, and no record without a name, says that it is not there.
#[test]
fn what_is_made_by_hand_lowers_no_duration() {
    let mut index = index(vec![election("e", 1)], vec![]);
    see_lease(&mut index, by_agent(for_seconds(held(2, "a", 1, 1), 60), 1), at(1));
    see_lease(&mut index, lease("by hand", 3, json!({"holderIdentity": "x", "leaseDurationSeconds": 15})), at(2));
    assert_eq!(snapshot(&index).history.duration_seconds, 60);

    index = self::index(vec![election("e", 1)], vec![]);
    let unknown = json!({"holderIdentity": "unknown", "leaseDurationSeconds": 60});
    see_lease(&mut index, lease("by hand", 3, unknown), at(2));
    assert_eq!(snapshot(&index).history.duration_seconds, 60);
}

#[test]
fn what_the_watch_shows_late_is_known_before_what_came_of_it_is_confirmed() {
    let mut index = index(vec![], vec![]);
    index.handle_seen(Observation::Election(Event::Apply(election("e", 1).into())), at(1));
    assert!(snapshot(&index).name_is_new);
    let mut made = lease("made", 13, json!({"leaseDurationSeconds": 15}));
    made.labels_mut().insert(MANAGED_BY_LABEL.to_owned(), OPERATOR_NAME.to_owned());
    let annotation = TimingsAnnotation { timings: Some(Timings::DEFAULT), unconfirmed: true, ..Default::default() };
    made.set_annotation(TIMINGS_ANNOTATION, annotation.to_json());
    let deletions = index.deletions(&key());
    index.handle_answers(&key(), vec![WriteAnswer::Lease(Box::new(made.clone()))], deletions, at(2));
    assert!(snapshot(&index).name_is_new);
    let planned = |index: &Index| {
        let (election, snapshot) = index.snapshot(&key()).unwrap();
        plan(&election, &snapshot, at(4)).lease
    };

    see_lease(&mut index, by_agent(for_seconds(held(10, "a", 1, 1), 60), 1), at(3));
    index.handle_seen(Observation::Lease(Event::Delete(held(12, "a", 1, 1))), at(3));
    see_lease(&mut index, made, at(3));
    let LeaseAction::Amend(amendment) = planned(&index) else { panic!("{:?}", planned(&index)) };
    let timings = amendment.timings.unwrap();
    assert_eq!((timings.never_held, timings.wait_seconds), (false, 60));
}

#[test]
fn after_another_list_no_election_is_new() {
    let mut index = index(vec![], vec![]);
    index.handle_seen(Observation::Election(Event::Apply(election("e", 1).into())), at(1));
    assert!(snapshot(&index).name_is_new);
    list::<StoredLease, _>(&mut index, Observation::Lease, vec![]);
    assert!(!snapshot(&index).name_is_new);
}

#[test]
fn pods_wake_the_elections_that_select_them_or_are_held_by_them() {
    let mut index = index(vec![election("e", 1)], vec![held(2, "other-0_other-0-uid", 1, 0)]);
    let mut see = |pod| index.handle_seen(Observation::Pod(Event::Apply(pod)), at(5));
    assert_eq!(see(pod("billing-0", "billing", false)), [key()]);
    assert_eq!(see(pod("billing-0", "billing", false)), []);
    assert_eq!(see(pod("billing-0", "billing", true)), [key()]);
    assert_eq!(see(pod("billing-0", "invoices", true)), [key()]);
    assert_eq!(see(pod("billing-0", "invoices", false)), []);
    assert_eq!(see(pod("other-0", "other", true)), [key()]);
    assert_eq!(snapshot(&index).holder_pod.unwrap().node.as_deref(), Some("node-3"));
    assert_eq!(snapshot(&index).pods, []);
}

#[test]
fn readiness_is_dated_by_the_operators_own_clock() {
    let mut index = index(vec![election("e", 1)], vec![]);
    let mut ready_since = |ready, second| {
        index.handle_seen(Observation::Pod(Event::Apply(pod("billing-0", "billing", ready))), at(second));
        snapshot(&index).pods[0].ready_since.map(|since| since.as_secs())
    };
    assert_eq!(ready_since(true, 5), Some(5));
    assert_eq!(ready_since(true, 7), Some(5));
    assert_eq!(ready_since(false, 8), None);
    assert_eq!(ready_since(true, 9), Some(9));
}

#[test]
fn a_holders_pod_is_one_of_that_uid() {
    let mut index = index(vec![election("e", 1)], vec![held(2, "billing-0_gone", 1, 0)]);
    index.handle_seen(Observation::Pod(Event::Apply(pod("billing-0", "billing", true))), at(1));
    assert_eq!(snapshot(&index).holder_pod, None);
    see_lease(&mut index, held(3, "billing-0", 2, 0), at(2));
    assert_eq!(snapshot(&index).holder_pod.unwrap().uid, "billing-0-uid");
}

#[test]
fn roles_belong_to_the_election_that_their_name_says() {
    let mut index = index(vec![election("e", 1)], vec![]);
    let role = |name: &str| Role {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some("shop".to_owned()),
            ..ObjectMeta::default()
        },
        rules: None,
    };
    let mut see = |event| index.handle_seen(Observation::Role(event), at(1));
    assert_eq!(see(Event::Apply(role("leader-elector-billing"))), [key()]);
    assert_eq!(see(Event::Apply(role("something-else"))), []);
    assert_eq!(see(Event::Delete(role("leader-elector-billing"))), [key()]);
    assert_eq!(snapshot(&index).role, None);
}

/// Whoever holds it may have renewed with them, unseen.
#[test]
fn timings_that_were_asked_for_are_remembered_when_the_lease_vanishes() {
    let mut index = index(vec![election("e", 1)], vec![]);
    let raised = Timings::new(40, 30, 3, 0).unwrap();
    let mut lease = held(5, "a", 1, 2);
    let asked =
        TimingsAnnotation { timings: Some(raised), never_held: false, ..TimingsAnnotation::default() }.to_json();
    lease.set_annotation(TIMINGS_ANNOTATION, asked);
    see_lease(&mut index, lease, at(1));
    list::<StoredLease, _>(&mut index, Observation::Lease, vec![]);
    let (election, snapshot) = index.snapshot(&key()).unwrap();
    match plan(&election, &snapshot, at(4)).lease {
        LeaseAction::Create(made) => assert_eq!(made.spec["leaseDurationSeconds"], 40),
        other => panic!("{other:?}"),
    }
}

/// A create whose answer was lost, and which was sent when less was known: its Lease is there all of a sudden.
#[test]
fn what_an_operator_made_too_late_is_confirmed_with_what_is_known_once_the_watch_has_shown_it() {
    let mut index = index(vec![election("e", 1)], vec![]);
    let mut longer = held(5, "a", 1, 2);
    longer.spec.insert("leaseDurationSeconds".to_owned(), json!(40));
    see_lease(&mut index, longer, at(1));
    list::<StoredLease, _>(&mut index, Observation::Lease, vec![]);

    let mut late = held(9, "earlier", 1, 1);
    late.metadata.uid = Some("late".to_owned());
    late.metadata.annotations = None;
    late.labels_mut().insert(MANAGED_BY_LABEL.to_owned(), OPERATOR_NAME.to_owned());
    let annotation = TimingsAnnotation { timings: Some(Timings::DEFAULT), unconfirmed: true, ..Default::default() };
    late.set_annotation(TIMINGS_ANNOTATION, annotation.to_json());
    let planned = |index: &Index| {
        let (election, snapshot) = index.snapshot(&key()).unwrap();
        plan(&election, &snapshot, at(4)).lease
    };
    let confirmed = |action: LeaseAction| match action {
        LeaseAction::Amend(amendment) => amendment.timings,
        _ => None,
    };
    // A read may be ahead of the watch, which may still have to show who held it in between.
    let deletions = index.deletions(&key());
    index.handle_answers(&key(), vec![WriteAnswer::LeaseRead(Box::new(late.clone()))], deletions, at(2));
    assert!(confirmed(planned(&index)).is_none_or(|annotation| annotation.unconfirmed));

    assert_eq!(see_lease(&mut index, late.clone(), at(3)), [key()]);
    let annotation = confirmed(planned(&index)).unwrap();
    assert_eq!((annotation.unconfirmed, annotation.wait_seconds, annotation.never_held), (false, 40, false));

    // As long as nobody has taken it, that is what it would be restored with.
    late.set_annotation(TIMINGS_ANNOTATION, annotation.to_json());
    late.metadata.resource_version = Some("10".to_owned());
    see_lease(&mut index, late, at(5));
    // Here it has no owner yet: whatever is amended leaves it alone.
    assert!(matches!(planned(&index), LeaseAction::Amend(amendment) if amendment.timings.is_none()));
    list::<StoredLease, _>(&mut index, Observation::Lease, vec![]);
    match planned(&index) {
        LeaseAction::Create(made) => assert_eq!(made.spec["leaseDurationSeconds"], 40),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_spec_that_cannot_be_read_is_named_and_changes_nothing() {
    let mut index = index(vec![election("e", 1)], vec![held(2, "a", 1, 0)]);
    let stored = json!({
        "metadata": {"name": "billing", "namespace": "shop", "uid": "e", "resourceVersion": "3"},
        "spec": {"paused": "yes"},
    });
    let unreadable = StoredElection::from_untrusted(&stored.to_string());
    assert_eq!(index.handle_seen(Observation::Election(Event::Apply(unreadable)), at(3)), [key()]);
    assert_eq!(index.unreadable_elections(), 1);
    let (election, snapshot) = index.snapshot(&key()).unwrap();
    let planned = plan(&election, &snapshot, at(3));
    assert!(!planned.has_objects() && planned.traffic.is_empty());
    let status = planned.status.unwrap();
    let ready = status.conditions.iter().find(|it| it.type_ == "Ready").unwrap();
    assert_eq!((ready.status.as_str(), ready.reason.as_str()), ("False", "InvalidSpec"));
    assert!(ready.message.starts_with("spec: it cannot be read: invalid type: string"), "{}", ready.message);
}
