//! What is read from a stored Lease, and what is written to it.

use super::*;
use elector_election::{AgentMark, ReleaseMark, Timings};
use serde_json::json;

fn stored(spec: Value, annotations: Value) -> StoredLease {
    serde_json::from_value(json!({
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "billing", "namespace": "shop", "uid": "u", "resourceVersion": "7", "annotations": annotations},
        "spec": spec,
    }))
    .unwrap()
}

fn empty() -> Lease {
    Lease {
        resource_version: ResourceVersion(7),
        record: Record {
            uid: "u".to_owned(),
            holder: String::new(),
            acquire_time: None,
            renew_time: None,
            transitions: 0,
        },
        lease_duration_seconds: 0,
        timings: None,
        never_held: false,
        least_wait_seconds: 0,
        hints: elector_election::Hints::default(),
        agent: None,
    }
}

fn at(text: &str) -> Timestamp {
    parse_timestamp(text).unwrap()
}

fn write(holder: &str) -> Write {
    Write {
        holder: holder.to_owned(),
        lease_duration_seconds: 15,
        acquire_time: at("2026-11-23T18:00:00.000000Z"),
        renew_time: at("2026-11-23T18:00:02.000001Z"),
        transitions: 4,
        agent: AgentMark {
            start: "n1".to_owned(),
            transitions: 4,
            release: Some(ReleaseMark {
                uid: "u".to_owned(),
                transitions: 4,
                renew_time: at("2026-11-23T18:00:02.000001Z"),
            }),
        },
    }
}

#[test]
fn reads_a_whole_lease() {
    let lease = stored(
        json!({
            "holderIdentity": "billing-0_5f0c",
            "leaseDurationSeconds": 15,
            "acquireTime": "2026-11-23T18:00:00.000000Z",
            "renewTime": "2026-11-23T18:00:02.000001Z",
            "leaseTransitions": 4,
        }),
        json!({
            TIMINGS_ANNOTATION: TimingsAnnotation { timings: Some(Timings::DEFAULT), never_held: true, ..TimingsAnnotation::default() }.to_json(),
            AGENT_ANNOTATION: agent_to_json(&write("billing-0_5f0c").agent, None),
        }),
    );
    let expected = Lease {
        record: Record {
            holder: "billing-0_5f0c".to_owned(),
            acquire_time: Some(at("2026-11-23T18:00:00.000000Z")),
            renew_time: Some(at("2026-11-23T18:00:02.000001Z")),
            transitions: 4,
            ..empty().record
        },
        lease_duration_seconds: 15,
        timings: Some(Timings::DEFAULT),
        never_held: true,
        least_wait_seconds: 0,
        hints: elector_election::Hints::default(),
        agent: Some(write("").agent),
        ..empty()
    };
    assert_eq!(read(&lease), Ok((expected, vec![])));
}

#[test]
fn clamps_and_reports_whatever_else_is_stored() {
    let with = |change: fn(&mut Lease)| {
        let mut lease = empty();
        change(&mut lease);
        lease
    };
    for (spec, expected, odd) in [
        (json!({}), empty(), 0),
        (json!({"holderIdentity": null, "acquireTime": null, "renewTime": null}), empty(), 0),
        (json!({"leaseDurationSeconds": null, "leaseTransitions": null}), empty(), 0),
        (json!({"holderIdentity": 7}), empty(), 1),
        (json!({"holderIdentity": "x"}), with(|lease| lease.record.holder = "x".to_owned()), 1),
        (json!({"leaseDurationSeconds": 0}), empty(), 0),
        (json!({"leaseDurationSeconds": -1}), empty(), 1),
        (json!({"leaseDurationSeconds": i64::MIN}), empty(), 1),
        (json!({"leaseDurationSeconds": "15"}), empty(), 1),
        (json!({"leaseDurationSeconds": 15.5}), empty(), 1),
        (json!({"leaseDurationSeconds": 3601}), with(|lease| lease.lease_duration_seconds = 3600), 1),
        (json!({"leaseDurationSeconds": i32::MAX}), with(|lease| lease.lease_duration_seconds = 3600), 1),
        (json!({"leaseTransitions": -1}), empty(), 1),
        (json!({"leaseTransitions": i32::MAX}), with(|lease| lease.record.transitions = MAX_TRANSITIONS), 0),
        (json!({"leaseTransitions": 2_147_483_648_u64}), with(|lease| lease.record.transitions = MAX_TRANSITIONS), 1),
        (json!({"leaseTransitions": u64::MAX}), empty(), 1),
        (json!({"renewTime": "soon"}), empty(), 1),
        (json!({"renewTime": {}}), empty(), 1),
        (
            json!({"renewTime": "9999-12-31T23:59:59.999999Z"}),
            with(|lease| lease.record.renew_time = Some(Timestamp::MAX)),
            1,
        ),
        (
            json!({"acquireTime": "0000-01-01T00:00:00.000000Z"}),
            with(|lease| lease.record.acquire_time = Some(Timestamp::MIN)),
            1,
        ),
    ] {
        let (lease, warnings) = read(&stored(spec.clone(), json!(null))).unwrap();
        assert_eq!((lease, warnings.len()), (expected, odd), "{spec}: {warnings:?}");
    }
}

#[test]
fn reports_garbage_in_annotations() {
    let annotations = json!({TIMINGS_ANNOTATION: "garbage", AGENT_ANNOTATION: "x".repeat(1000)});
    let (lease, warnings) = read(&stored(json!({}), annotations)).unwrap();
    assert_eq!(lease.timings, None);
    assert_eq!(lease.agent.map(|agent| agent.transitions), Some(MAX_TRANSITIONS));
    let [timings, agent] = warnings.as_slice() else { panic!("{warnings:?}") };
    assert_eq!((timings.field, agent.field), (TIMINGS_ANNOTATION, AGENT_ANNOTATION));
    assert!(agent.to_string().len() < 200);
}

#[test]
fn a_lease_without_identity_is_unusable() {
    let mut lease = stored(json!({}), json!(null));
    lease.metadata.resource_version = Some("0x7".to_owned());
    assert_eq!(read(&lease), Err(UnusableLease::ResourceVersion("0x7".to_owned())));
    lease.metadata.resource_version = None;
    assert_eq!(read(&lease), Err(UnusableLease::ResourceVersion(String::new())));
    lease.metadata.uid = None;
    assert_eq!(read(&lease), Err(UnusableLease::NoUid));
}

#[test]
fn writes_the_record_and_the_mark_and_keeps_the_rest() {
    let mut lease = stored(
        json!({"holderIdentity": "other", "strategy": "OldestEmulationVersion", "fromTheFuture": {"a": [1]}}),
        json!({"team": "shop", TIMINGS_ANNOTATION: "kept"}),
    );
    apply(&write("billing-0_5f0c"), None, &mut lease);
    assert_eq!(
        serde_json::to_value(&lease).unwrap(),
        json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {
                "name": "billing", "namespace": "shop", "uid": "u", "resourceVersion": "7",
                "annotations": {
                    "team": "shop",
                    TIMINGS_ANNOTATION: "kept",
                    AGENT_ANNOTATION: agent_to_json(&write("").agent, None),
                },
            },
            "spec": {
                "holderIdentity": "billing-0_5f0c",
                "leaseDurationSeconds": 15,
                "acquireTime": "2026-11-23T18:00:00.000000Z",
                "renewTime": "2026-11-23T18:00:02.000001Z",
                "leaseTransitions": 4,
                "strategy": "OldestEmulationVersion",
                "fromTheFuture": {"a": [1]},
            },
        })
    );
}

#[test]
fn what_is_written_is_read_back() {
    for holder in ["billing-0_5f0c", ""] {
        let mut lease = StoredLease::new(ObjectMeta {
            uid: Some("u".to_owned()),
            resource_version: Some("8".to_owned()),
            ..ObjectMeta::default()
        });
        let write = write(holder);
        apply(&write, None, &mut lease);
        let (read, warnings) = read(&lease).unwrap();
        assert_eq!(warnings, []);
        assert_eq!(read.record.holder, write.holder);
        assert_eq!(read.record.acquire_time, Some(write.acquire_time));
        assert_eq!(read.record.renew_time, Some(write.renew_time));
        assert_eq!(read.record.transitions, write.transitions);
        assert_eq!(read.lease_duration_seconds, write.lease_duration_seconds);
        assert_eq!(read.agent, Some(write.agent));
    }
}

#[test]
fn items_of_a_list_are_sent_back_with_their_kind() {
    let item: StoredLease = serde_json::from_value(json!({"metadata": {"name": "billing"}})).unwrap();
    assert_eq!(
        serde_json::to_value(&item).unwrap(),
        json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "billing"}, "spec": {}})
    );
}

#[test]
fn times_that_the_api_server_takes_no_second_time_are_left_out() {
    for (time, stays) in [
        ("2026-11-23T18:00:00.000000Z", true),
        ("9999-12-31T00:00:00.000000Z", true),
        ("10000-01-01T22:59:59.000000Z", false),
        ("-0001-12-31T01:00:00.000000Z", false),
        ("soon", false),
        ("", false),
    ] {
        let mut lease = stored(json!({"renewTime": time, "acquireTime": time, "leaseTransitions": 4}), json!({}));
        lease.drop_unstorable_times();
        assert_eq!(
            (lease.spec.contains_key("renewTime"), lease.spec.contains_key("acquireTime")),
            (stays, stays),
            "{time}"
        );
        assert_eq!(lease.spec["leaseTransitions"], 4);
    }
}

#[test]
fn a_lease_that_nobody_has_held_has_all_fields_but_a_holder_and_reads_as_one_without_any() {
    let mut first = stored(json!({}), json!({}));
    let (without, warnings) = read(&first).unwrap();
    assert_eq!(warnings, []);
    FirstRecord::NeverHeld { lease_duration_seconds: 15 }.apply(&mut first);
    let spec = json!({
        "leaseDurationSeconds": 15, "leaseTransitions": 0,
        "acquireTime": "1970-01-01T00:00:00.000000Z", "renewTime": "1970-01-01T00:00:00.000000Z",
    });
    assert_eq!(Value::Object(first.spec.clone()), spec);
    assert_eq!(read(&first).unwrap(), (Lease { lease_duration_seconds: 15, ..without }, vec![]));
    // A clock that begins in 1970 says when it was held.
    first.spec.insert("renewTime".to_owned(), json!("1970-01-01T00:00:00.000001Z"));
    assert!(read(&first).unwrap().0.record.renew_time.is_some());
}

#[test]
fn why_a_lease_was_released_is_said_of_that_release_alone() {
    let released = |reason| {
        let mut lease = stored(json!({}), json!({"example.com/kept": "1"}));
        apply(&write(""), reason, &mut lease);
        lease
    };
    let why = |lease: &StoredLease| release_reason(lease, &read(lease).unwrap().0);
    let unwell = released(Some(ReleaseReason::AppUnhealthy));
    assert_eq!(why(&unwell), Some(ReleaseReason::AppUnhealthy));
    assert_eq!((why(&released(None)), why(&stored(json!({}), json!({})))), (None, None));
    // The next agent says nothing of it any more, whatever it will say itself one day.
    let mut taken = unwell.clone();
    let next = Write {
        transitions: 5,
        renew_time: at("2026-11-23T18:00:09.000000Z"),
        agent: AgentMark { start: "n2".to_owned(), transitions: 5, release: None },
        ..write("billing-1_71aa")
    };
    apply(&next, Some(ReleaseReason::Stopped), &mut taken);
    assert!(!taken.annotation(AGENT_ANNOTATION).unwrap().contains("reason"), "{taken:?}");
    assert_eq!(why(&taken), None);
    // Candidates that are not agents leave the annotation alone, and may count no tenures.
    for (field, value) in [
        ("holderIdentity", json!("x")),
        ("renewTime", json!("2026-11-23T18:00:09.000000Z")),
        ("renewTime", Value::Null),
        ("leaseTransitions", json!(5)),
    ] {
        let mut lease = unwell.clone();
        lease.spec.insert(field.to_owned(), value);
        assert_eq!(why(&lease), None, "{field}");
    }
    let mut other = unwell;
    other.metadata.uid = Some("another".to_owned());
    assert_eq!(why(&other), None);
}

#[test]
fn what_the_operator_asked_for_is_no_reason_of_the_leaders_own() {
    let said = given_up(Some(ReleaseReason::CommandEnded));
    assert_eq!(said, "the last leader gave the Lease up: its command had ended, or could not be run");
    for asked in [None, Some(ReleaseReason::Paused), Some(ReleaseReason::HandedOver)] {
        assert_eq!(given_up(asked), "the last leader gave the Lease up");
    }
}
