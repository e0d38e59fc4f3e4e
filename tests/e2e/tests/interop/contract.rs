//! What one version says, the next one understands: an agent may be a minor version older than the operator, or newer.
//!
//! `tests/contract` has what each minor version says. Whoever changes that begins a minor version, with a file of its own.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use elector_crds::annotations::{TimingsAnnotation, hints_to_json};
use elector_crds::lease::{FirstRecord, apply, read};
use elector_crds::{
    HINTS_ANNOTATION, LeaderElection, ReleaseReason, StoredLease, TIMINGS_ANNOTATION, parse_timestamp, rbac,
};
use elector_election::{
    AgentMark, Answer, Candidate, Election, Hints, Lease, Moment, Now, ReleaseMark, Request, Timestamp, Timings,
    UNKNOWN_HOLDER, Write,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use leader_elector::status::Report;
use serde::Deserialize;
use serde_json::{Map, Value};

const ACQUIRED: &str = "2026-11-23T18:00:00.000000Z";
const RENEWED: &str = "2026-11-23T18:00:02.000001Z";
const HOLDER: &str = "billing-0_5f0c";

/// A file of `tests/contract`.
#[derive(Debug, Deserialize)]
struct Contract {
    /// What an agent needs to be allowed.
    verbs: Vec<String>,
    leases: Vec<Said>,
    report: Value,
}

/// A Lease as somebody wrote it.
#[derive(Debug, PartialEq, Deserialize)]
struct Said {
    name: String,
    waits: u64,
    spec: Map<String, Value>,
    annotations: BTreeMap<String, String>,
}

/// This minor version.
fn minor() -> (u32, u32) {
    let number = |text: &str| text.parse().expect("a number");
    (number(env!("CARGO_PKG_VERSION_MAJOR")), number(env!("CARGO_PKG_VERSION_MINOR")))
}

/// Of a minor version, if it was one.
fn contract((major, minor): (u32, u32)) -> Option<Contract> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../contract/{major}.{minor}.yaml"));
    let text = fs::read_to_string(file).ok()?;
    Some(serde_yaml_ng::from_str(&text).expect("a contract"))
}

/// Of this one, and of the one before.
fn contracts() -> Vec<Contract> {
    let (major, minor) = minor();
    let this = contract((major, minor)).expect("this minor version has no file in tests/contract");
    let before = minor.checked_sub(1).and_then(|before| contract((major, before)));
    [this].into_iter().chain(before).collect()
}

fn at(text: &str) -> Timestamp {
    parse_timestamp(text).expect("a time")
}

fn stored() -> StoredLease {
    StoredLease::new(ObjectMeta {
        uid: Some("uid".to_owned()),
        resource_version: Some("7".to_owned()),
        ..ObjectMeta::default()
    })
}

/// What an agent writes.
fn written(holder: &str, lease_duration_seconds: u32, transitions: u32, release: Option<ReleaseMark>) -> StoredLease {
    written_for(None, holder, lease_duration_seconds, transitions, release)
}

/// The same, with why it is released.
fn written_for(
    reason: Option<ReleaseReason>,
    holder: &str,
    lease_duration_seconds: u32,
    transitions: u32,
    release: Option<ReleaseMark>,
) -> StoredLease {
    let mut lease = stored();
    let (acquire_time, renew_time) = (at(ACQUIRED), at(RENEWED));
    let agent = AgentMark { start: "nonce".to_owned(), transitions, release };
    let holder = holder.to_owned();
    let write = Write { holder, lease_duration_seconds, acquire_time, renew_time, transitions, agent };
    apply(&write, reason, &mut lease);
    lease
}

/// What an operator adds.
fn with_timings(mut lease: StoredLease, mark: TimingsAnnotation) -> StoredLease {
    let annotation = TimingsAnnotation { timings: Some(Timings::DEFAULT), ..mark };
    lease.set_annotation(TIMINGS_ANNOTATION, annotation.to_json());
    lease
}

/// What an operator asks for beside.
fn with_hints(mut lease: StoredLease) -> StoredLease {
    let hints = Hints { paused: false, end_tenure: Some(4), successor: Some("billing-1_5f0c".to_owned()) };
    lease.set_annotation(HINTS_ANNOTATION, hints_to_json(&hints));
    lease
}

/// What an operator creates.
fn made(record: &FirstRecord, mark: TimingsAnnotation) -> StoredLease {
    let mut lease = stored();
    record.apply(&mut lease);
    with_timings(lease, mark)
}

#[test]
fn this_version_says_what_is_on_record_for_its_minor_version() {
    let release = ReleaseMark { uid: "uid".to_owned(), transitions: 4, renew_time: at(RENEWED) };
    let never_held = FirstRecord::NeverHeld { lease_duration_seconds: 15 };
    let restored = FirstRecord::Restored {
        holder: HOLDER.to_owned(),
        lease_duration_seconds: 60,
        at: at(RENEWED),
        transitions: 4,
    };
    let confirmed = TimingsAnnotation::default();
    let says = [
        ("held by an agent", with_timings(written(HOLDER, 60, 4, None), confirmed)),
        ("released by an agent", written("", 1, 4, Some(release.clone()))),
        ("created by an agent", written(UNKNOWN_HOLDER, 15, 0, None)),
        (
            "created by an operator, not confirmed yet",
            made(&never_held, TimingsAnnotation { unconfirmed: true, ..confirmed }),
        ),
        ("created by an operator, never held", made(&never_held, TimingsAnnotation { never_held: true, ..confirmed })),
        ("restored by an operator", made(&restored, confirmed)),
        (
            "created by an operator that was late, and knows better",
            made(&restored, TimingsAnnotation { wait_seconds: 90, ..confirmed }),
        ),
        ("released by an agent, for somebody else", with_hints(written("", 1, 4, Some(release.clone())))),
        ("released by an agent that says why", written_for(Some(ReleaseReason::AppUnhealthy), "", 1, 4, Some(release))),
    ];
    let (major, minor) = minor();
    let contract = contract((major, minor)).unwrap();
    assert_eq!(contract.leases.len(), says.len());
    for ((name, lease), on_record) in says.iter().zip(&contract.leases) {
        // Nobody looks at the patch version.
        let annotations = lease.metadata.annotations.clone().unwrap_or_default().into_iter();
        let annotations = annotations
            .map(|(key, text)| (key, text.replace(env!("CARGO_PKG_VERSION"), &format!("{major}.{minor}.0"))))
            .collect();
        let (name, spec, waits) = ((*name).to_owned(), lease.spec.clone(), on_record.waits);
        assert_eq!(&Said { name, waits, spec, annotations }, on_record);
    }
    let report = Report {
        identity: HOLDER.to_owned(),
        namespace: "shop".to_owned(),
        lease: "billing".to_owned(),
        uid: "uid".to_owned(),
        transitions: 4,
        fencing_token: 1481,
        boot_id: "boot".to_owned(),
        start: "nonce".to_owned(),
        acquired_at: ACQUIRED.to_owned(),
        valid_until_boottime_ns: 10_000_000_000,
        valid_until: "2026-11-23T18:00:12.000001Z".to_owned(),
    };
    assert_eq!(serde_json::to_value(report).unwrap(), contract.report);
}

#[test]
fn what_this_minor_version_and_the_one_before_say_is_understood() {
    for contract in contracts() {
        for Said { name, waits, spec, annotations } in contract.leases {
            let mut lease = stored();
            lease.spec = spec;
            lease.metadata.annotations = Some(annotations);
            let (lease, warnings) = read(&lease).unwrap();
            assert_eq!(warnings, [], "{name}");
            assert_eq!(waits_for(&lease), Duration::from_secs(waits), "{name}");
        }
        serde_json::from_value::<Report>(contract.report).unwrap();
    }
}

#[test]
fn agents_of_this_minor_version_and_the_one_before_may_do_what_they_need() {
    let election = LeaderElection::new("billing", serde_json::from_str("{}").unwrap());
    let rules = rbac::role(&election).rules.unwrap_or_default();
    for contract in contracts() {
        for verb in &contract.verbs {
            assert!(rules.iter().any(|rule| rule.verbs.contains(verb)), "{verb}");
        }
    }
}

/// How long a candidate that finds `lease` waits before it writes.
fn waits_for(lease: &Lease) -> Duration {
    let candidate = Candidate {
        identity: "a".to_owned(),
        start: "another".to_owned(),
        timings: Timings::DEFAULT,
        predecessor: None,
    };
    let at =
        |boottime| Now { moment: Moment { boottime, monotonic_raw: boottime }, wall: Timestamp::from_microseconds(0) };
    let (mut time, mut found_at) = (Duration::ZERO, None);
    let mut election = Election::new(candidate, at(time));
    loop {
        match election.poll_request(at(time)) {
            Some(Request::Get) => {
                found_at.get_or_insert(time);
                election.handle_answer(Answer::Found(lease.clone()), at(time));
                continue;
            }
            Some(Request::Create(_) | Request::Update { .. }) => {
                return time - found_at.expect("it looks before it writes");
            }
            None => {}
        }
        time += election.poll_timeout(at(time)).expect("it waits for something");
        election.handle_timeout(at(time));
    }
}
