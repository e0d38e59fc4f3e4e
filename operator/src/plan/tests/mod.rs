//! Scenarios: what is emitted, and that nothing else is.

mod candidates;
mod dead;
mod flapping;
mod hints;
mod history;
mod lease;
mod objects;
mod preference;
mod status;
mod texts;
mod traffic;
mod unready;

use std::sync::Arc;
use std::time::Duration;

use elector_crds::annotations::TimingsAnnotation;
use elector_crds::conditions::{self, ConditionType, Reason};
use elector_crds::{LeaderElection, LeaderElectionSpec, LeaderElectionStatus, parse_timestamp};
use elector_election::{AgentMark, Hints, Lease, Record, ReleaseMark, ResourceVersion, Timings};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{OwnerReference, Time};
use kube::Resource;
use serde_json::json;

use super::{Plan, plan};
use crate::index::{ClockReading, ElectionSnapshot, FailedWrite, LeaseSeen, Pod};
use elector_crds::event::EventReason;

/// What could not be written, until second 9.
fn failed(reason: Reason, message: &str) -> FailedWrite {
    FailedWrite { reason, message: message.to_owned(), retry_at: Duration::from_secs(9), failures: 1 }
}

const CREATED: &str = "2026-11-23T18:00:00Z";
const ACQUIRED: &str = "2026-11-23T18:00:05.000000Z";

/// `second` seconds after the operator's clock began, and after the election was created.
fn at(second: u64) -> ClockReading {
    let wall: Timestamp = CREATED.parse().unwrap();
    ClockReading { at: Duration::from_secs(second), wall: wall + Duration::from_secs(second) }
}

fn election() -> LeaderElection {
    election_in("shop")
}

fn election_in(namespace: &str) -> LeaderElection {
    let mut election = LeaderElection::new("billing", LeaderElectionSpec::default());
    election.metadata.namespace = Some(namespace.to_owned());
    election.metadata.uid = Some("election-uid".to_owned());
    election.metadata.generation = Some(1);
    election.metadata.creation_timestamp = Some(Time(CREATED.parse().unwrap()));
    election
}

fn own_reference() -> OwnerReference {
    election().controller_owner_ref(&()).unwrap()
}

fn reference(kind: &str, name: &str, uid: &str) -> OwnerReference {
    OwnerReference { kind: kind.to_owned(), name: name.to_owned(), uid: uid.to_owned(), ..own_reference() }
}

/// One that an operator has just made for the election, with nobody in it.
fn never_held() -> LeaseSeen {
    LeaseSeen {
        lease: Lease {
            resource_version: ResourceVersion(7),
            record: Record {
                uid: "lease-uid".to_owned(),
                holder: String::new(),
                acquire_time: None,
                renew_time: None,
                transitions: 0,
            },
            lease_duration_seconds: 15,
            timings: Some(Timings::DEFAULT),
            never_held: true,
            least_wait_seconds: 0,
            hints: Hints::default(),
            agent: None,
        },
        owners: vec![own_reference()],
        managed: true,
        adopt: false,
        strict: Some(true),
        seen_at: Duration::ZERO,
        tenure_since: Duration::ZERO,
        asked_since: None,
        seen_to_write: false,
        longest_duration_seconds: 15,
        moved: false,
        annotation: timings(true),
        watched: true,
        ended: None,
        release_reason: None,
        read_at: None,
    }
}

/// One that an agent in pod `pod` was seen to write at second `seen_at`.
fn held_by(pod: &str, transitions: u32, seen_at: u64) -> LeaseSeen {
    let mut seen = never_held();
    seen.lease.record.holder = format!("{pod}_{pod}-uid");
    seen.lease.record.acquire_time = parse_timestamp(ACQUIRED);
    seen.lease.record.renew_time = parse_timestamp("2026-11-23T18:00:07.000000Z");
    seen.lease.record.transitions = transitions;
    seen.lease.never_held = false;
    seen.annotation = timings(false);
    seen.lease.agent = Some(AgentMark { start: "n1".to_owned(), transitions, release: None });
    seen.seen_at = Duration::from_secs(seen_at);
    seen.tenure_since = seen.seen_at;
    seen.moved = true;
    seen.seen_to_write = true;
    seen
}

fn released(transitions: u32, seen_at: u64) -> LeaseSeen {
    let mut seen = held_by("billing-0", transitions, seen_at);
    seen.lease.record.holder = String::new();
    seen.lease.lease_duration_seconds = 1;
    let renew_time = seen.lease.record.renew_time.unwrap();
    let release = ReleaseMark { uid: "lease-uid".to_owned(), transitions, renew_time };
    seen.lease.agent = Some(AgentMark { start: "n1".to_owned(), transitions, release: Some(release) });
    seen
}

/// One that an operator made again at second 0.
fn restored(holder: &str, transitions: u32) -> LeaseSeen {
    let mut seen = held_by("", transitions, 0);
    seen.lease.record.holder = holder.to_owned();
    seen.lease.record.renew_time = seen.lease.record.acquire_time;
    seen.lease.agent = None;
    seen.moved = false;
    seen
}

fn pod(name: &str) -> Pod {
    Pod {
        name: name.to_owned(),
        uid: format!("{name}-uid"),
        service_account: "default".to_owned(),
        node: Some("node-3".to_owned()),
        created: Some(CREATED.parse().unwrap()),
        ready_since: Some(Duration::ZERO),
        able_since: Some(Duration::ZERO),
        ..Pod::default()
    }
}

/// Everything is in place, and two pods are ready.
fn in_place(lease: LeaseSeen) -> ElectionSnapshot {
    let first = plan(&election(), &ElectionSnapshot::default(), at(0));
    let pods = ["billing-0", "billing-1"].map(pod).map(Arc::new).to_vec();
    let holder_pod = pods.iter().find(|pod| lease.lease.record.holder == format!("{0}_{0}-uid", pod.name)).cloned();
    ElectionSnapshot {
        role: first.role,
        role_binding: first.role_binding,
        lease: Some(lease),
        pods,
        holder_pod,
        ..ElectionSnapshot::default()
    }
}

/// As the election is stored after what was planned for it was done.
fn after(election: &LeaderElection, plan: &Plan) -> LeaderElection {
    let mut election = election.clone();
    if let Some(status) = &plan.status {
        // Stored times have whole seconds.
        election.status = serde_json::from_value(json!(status)).unwrap();
    }
    election
}

/// The election whose status says what `observed` shows at second `second`.
fn reported(snapshot: &ElectionSnapshot, second: u64) -> LeaderElection {
    let election = election();
    let plan = plan(&election, snapshot, at(second));
    assert!(!plan.has_objects(), "{plan:?}");
    after(&election, &plan)
}

fn reason(status: &LeaderElectionStatus, type_: ConditionType) -> String {
    let condition = conditions::find(&status.conditions, type_).unwrap();
    format!("{} {}", condition.status, condition.reason)
}

fn message(status: &LeaderElectionStatus, type_: ConditionType) -> String {
    conditions::find(&status.conditions, type_).unwrap().message.clone()
}

fn event_reasons(plan: &Plan) -> Vec<EventReason> {
    plan.events.iter().map(|event| event.reason).collect()
}

fn timings(never_held: bool) -> TimingsAnnotation {
    TimingsAnnotation { timings: Some(Timings::DEFAULT), never_held, ..TimingsAnnotation::default() }
}

fn unconfirmed() -> TimingsAnnotation {
    TimingsAnnotation { unconfirmed: true, ..timings(false) }
}
