//! Whatever stands in a Lease, reading it does not panic, and an election that is shown it goes on, without leading.
//!
//! `PROPTEST_CASES=1000000` looks longer.

use std::time::Duration;

use elector_crds::lease::read;
use elector_crds::{
    AGENT_ANNOTATION, HINTS_ANNOTATION, StoredLease, TIMINGS_ANNOTATION, format_timestamp, parse_timestamp,
};
use elector_election::{
    Action, Answer, Candidate, Election, Lease, MAX_LEASE_DURATION_SECONDS, MAX_TRANSITIONS, Moment, Now, Request,
    Timestamp, Timings, WatchEvent,
};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

const TIMINGS: &str = r#"{"leaseDurationSeconds":15,"renewDeadlineSeconds":10,"retryPeriodSeconds":2,"releaseDelaySeconds":0,"neverHeld":true}"#;
const AGENT: &str = r#"{"version":"0.1.0","start":"n1","transitions":4,"release":{"uid":"u","transitions":4,"renewTime":"2026-11-23T18:00:02.000001Z"}}"#;
const HINTS: &str = r#"{"paused":false,"endTenure":4,"successor":"b"}"#;
const TIME: &str = "2026-11-23T18:00:02.000001Z";

/// What somebody may have written there.
fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        (-2_i64..20).prop_map(Value::from),
        ".*".prop_map(Value::from),
        garbled(TIME).prop_map(Value::from),
        "[-+0-9]{1,6}-[0-9]{2}-[0-9]{2}T[0-9:.]{0,16}(Z|[-+][0-9:]{5})".prop_map(Value::from),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::hash_map(".*", inner, 0..3).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// `text` with some of it replaced, or something else altogether.
fn garbled(text: &'static str) -> impl Strategy<Value = String> {
    let parts = (0..=text.len(), 0..=text.len(), prop_oneof![".{0,3}", "[0-9]{1,25}", "[]{}\",:-]{1,4}"]);
    let replaced = parts.prop_map(move |(from, to, by)| {
        let (from, to) = (from.min(to), from.max(to).min(from.min(to) + 4));
        format!("{}{by}{}", &text[..from], &text[to..])
    });
    prop_oneof![8 => replaced, 1 => Just(text.to_owned()), 1 => ".*"]
}

prop_compose! {
    fn any_stored()(
        holder in prop_oneof![Just(json!("")), Just(json!("a")), Just(json!("b")), any_value()],
        [duration, transitions] in prop::array::uniform2(any_value()),
        [acquire_time, renew_time] in prop::array::uniform2(any_value()),
        present in any::<[bool; 8]>(),
        timings in garbled(TIMINGS),
        agent in garbled(AGENT),
        hints in garbled(HINTS),
    ) -> Value {
        let fields = [
            ("holderIdentity", holder),
            ("leaseDurationSeconds", duration),
            ("leaseTransitions", transitions),
            ("acquireTime", acquire_time),
            ("renewTime", renew_time),
        ];
        let marks =
            [(TIMINGS_ANNOTATION, json!(timings)), (AGENT_ANNOTATION, json!(agent)), (HINTS_ANNOTATION, json!(hints))];
        let some = |all: Vec<(&str, Value)>, present: &[bool]| {
            let all = all.into_iter().zip(present).filter(|(_, present)| **present);
            all.map(|((key, value), _)| (key.to_owned(), value)).collect::<Map<_, _>>()
        };
        let spec = some(fields.to_vec(), &present[..5]);
        let annotations = some(marks.to_vec(), &present[5..]);
        json!({"metadata": {"uid": "u", "resourceVersion": "7", "annotations": annotations}, "spec": spec})
    }
}

/// Shows it to a candidate that can store nothing, for so long that every wait is over.
fn contend(lease: &Lease) {
    let candidate =
        Candidate { identity: "a".to_owned(), start: "n2".to_owned(), timings: Timings::DEFAULT, predecessor: None };
    let mut moment = Moment { boottime: Duration::ZERO, monotonic_raw: Duration::ZERO };
    let at = |moment| Now { moment, wall: Timestamp::from_microseconds(0) };
    let mut election = Election::new(candidate, at(moment));
    election.handle_watch(WatchEvent::Present(lease.clone()), at(moment));
    let mut wrote = false;
    for _ in 0..50 {
        while let Some(action) = election.poll_action() {
            assert!(!matches!(action, Action::Acquire(_)), "{lease:?}");
        }
        let answer = match election.poll_request(at(moment)) {
            None => None,
            Some(Request::Get) => Some(Answer::Found(lease.clone())),
            Some(Request::Create(_) | Request::Update { .. }) => {
                wrote = true;
                Some(Answer::Conflict)
            }
        };
        if let Some(answer) = answer {
            election.handle_answer(answer, at(moment));
        }
        let wait = election.poll_timeout(at(moment)).unwrap_or(Duration::from_secs(1));
        moment.boottime += wait;
        moment.monotonic_raw += wait;
        election.handle_timeout(at(moment));
    }
    assert!(wrote != lease.hints.paused, "it waits for ever, or not at all: {lease:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    #[test]
    fn a_lease_with_anything_in_it_is_read_within_bounds_and_contended_for(stored in any_stored()) {
        let Ok(stored) = serde_json::from_value::<StoredLease>(stored) else { return Ok(()) };
        let (lease, warnings) = read(&stored).unwrap();
        prop_assert!(lease.lease_duration_seconds <= MAX_LEASE_DURATION_SECONDS);
        prop_assert!(lease.record.transitions <= MAX_TRANSITIONS);
        for warning in warnings {
            prop_assert!(warning.to_string().chars().count() < 1000, "{warning}");
        }
        contend(&lease);
    }

    #[test]
    fn an_object_that_is_cut_or_changed_anywhere_is_read_or_refused(stored in any_stored(), change in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
        let mut bytes = serde_json::to_vec(&stored).unwrap();
        let index = change.index(bytes.len());
        bytes[index] = byte;
        if cut {
            bytes.truncate(index);
        }
        if let Ok(stored) = serde_json::from_slice::<StoredLease>(&bytes) {
            let _ = read(&stored);
        }
    }

    #[test]
    fn what_is_written_of_a_time_is_read_as_that_time(microseconds in any::<i64>()) {
        let timestamp = Timestamp::from_microseconds(microseconds);
        prop_assert_eq!(parse_timestamp(&format_timestamp(timestamp)), Some(timestamp));
    }
}

fn cases() -> u32 {
    ProptestConfig::default().cases.max(5_000)
}
