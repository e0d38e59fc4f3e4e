//! When elections are planned: one plan of each at a time, later after failures, and not before a Lease that is renewed expires.

use std::collections::BTreeSet;

use elector_crds::annotations::TimingsAnnotation;
use elector_crds::untrusted::FromUntrusted as _;
use elector_crds::{LeaderElectionSpec, StoredLease, TIMINGS_ANNOTATION};
use elector_election::Timings;
use jiff::Timestamp;
use k8s_openapi::api::{core::v1::Service, discovery::v1::EndpointSlice, rbac::v1 as rbac};
use kube::ResourceExt as _;
use kube::core::Status;
use kube::runtime::watcher::Event;
use serde_json::json;

use super::*;
use crate::apply::Refusal;
use crate::index::{StoredPod, WriteAnswer};
use crate::plan::LeaseAction;

const ELECTIONS: [&str; 2] = ["billing", "shipping"];

fn at(milliseconds: u64) -> ClockReading {
    ClockReading { at: Duration::from_millis(milliseconds), wall: Timestamp::UNIX_EPOCH }
}

fn election(name: &str) -> LeaderElection {
    let mut election = LeaderElection::new(name, LeaderElectionSpec::default());
    election.metadata.namespace = Some("shop".to_owned());
    election.metadata.uid = Some(format!("{name}-uid"));
    election.metadata.generation = Some(1);
    election.metadata.resource_version = Some("1".to_owned());
    election
}

/// Has seen these elections, and nothing else, and leads.
fn leading(elections: &[&str]) -> Reconciler {
    let mut reconciler = Reconciler::new(Features::default(), Key::new("operators", "own"), 4, 1 << 20);
    let mut list = |seen: Observation| reconciler.handle_seen(seen, at(0));
    list(Observation::Election(Event::Init));
    for name in elections {
        list(Observation::Election(Event::InitApply(election(name).into())));
    }
    list(Observation::Election(Event::InitDone));
    for empty in [Event::<StoredLease>::Init, Event::InitDone] {
        list(Observation::Lease(empty));
    }
    for empty in [Event::<StoredPod>::Init, Event::InitDone] {
        list(Observation::Pod(empty));
    }
    for empty in [Event::<rbac::Role>::Init, Event::InitDone] {
        list(Observation::Role(empty));
    }
    for empty in [Event::<rbac::RoleBinding>::Init, Event::InitDone] {
        list(Observation::RoleBinding(empty));
    }
    for empty in [Event::<Service>::Init, Event::InitDone] {
        list(Observation::Service(empty));
    }
    for empty in [Event::<EndpointSlice>::Init, Event::InitDone] {
        list(Observation::Slice(empty));
    }
    assert!(reconciler.index().is_complete());
    reconciler.handle_leading(true, at(0));
    reconciler
}

fn job(reconciler: &mut Reconciler, milliseconds: u64) -> Option<Job> {
    loop {
        match reconciler.poll_job(at(milliseconds)) {
            Next::Job(job) => return Some(*job),
            Next::Planned => {}
            Next::Nothing => return None,
        }
    }
}

/// The Lease that the operator has made, as its holder renews it.
fn renewed(made: &StoredLease, version: u64, second: u64) -> StoredLease {
    let time = |second: u64| format!("2026-11-23T18:00:{second:02}.000000Z");
    let mut lease = serde_json::to_value(made).unwrap();
    lease["metadata"]["uid"] = json!("lease-uid");
    lease["metadata"]["resourceVersion"] = json!(version.to_string());
    lease["spec"] = json!({
        "holderIdentity": "billing-0", "leaseDurationSeconds": 15, "leaseTransitions": 1,
        "acquireTime": time(0), "renewTime": time(second),
    });
    let mut lease = StoredLease::from_untrusted(&lease.to_string());
    // As the operator confirms it, and an agent renews it.
    let confirmed = TimingsAnnotation { timings: Some(Timings::DEFAULT), ..TimingsAnnotation::default() };
    lease.set_annotation(TIMINGS_ANNOTATION, confirmed.to_json());
    lease
}

/// All that the plan asks for is done.
fn done(job: &Job) -> Outcome {
    let Plan { lease, role, role_binding, status, .. } = &job.plan;
    let mut outcome = Outcome::default();
    if let LeaseAction::Create(lease) = lease {
        let mut lease = (**lease).clone();
        lease.metadata.uid = Some("lease-uid".to_owned());
        lease.metadata.resource_version = Some("2".to_owned());
        outcome.answers.push(WriteAnswer::Lease(Box::new(lease)));
        outcome.written.push(Part::Lease);
    }
    if let Some(role) = role {
        outcome.answers.push(WriteAnswer::Role(Box::new(role.clone())));
        outcome.written.push(Part::Role);
    }
    if let Some(binding) = role_binding {
        outcome.answers.push(WriteAnswer::RoleBinding(Box::new(binding.clone())));
        outcome.written.push(Part::RoleBinding);
    }
    if let Some(status) = status {
        let mut election = (*job.election).clone();
        election.status = Some(status.clone());
        let version: u64 = election.resource_version().unwrap_or_default().parse().unwrap_or_default();
        election.metadata.resource_version = Some((version + 1).to_string());
        outcome.answers.push(WriteAnswer::Election(Box::new(election.into())));
        outcome.written.push(Part::Status);
    }
    outcome
}

/// Does all that there is to do at that time.
fn settle(reconciler: &mut Reconciler, milliseconds: u64) {
    for _ in 0..20 {
        let Some(job) = job(reconciler, milliseconds) else { return };
        let outcome = done(&job);
        reconciler.handle_done(job.ticket, outcome, at(milliseconds));
    }
    unreachable!("it never settles");
}

#[test]
fn one_plan_of_an_election_is_carried_out_at_a_time() {
    let mut reconciler = leading(&ELECTIONS);
    let jobs = [0, 0].map(|now| job(&mut reconciler, now).unwrap());
    let names: BTreeSet<String> = jobs.iter().map(|job| job.election.name_any()).collect();
    assert_eq!(names, ELECTIONS.map(str::to_owned).into());
    // Something changes meanwhile: it is planned when the job is done.
    let mut changed = election("billing");
    changed.spec.paused = true;
    changed.metadata.resource_version = Some("7".to_owned());
    reconciler.handle_seen(Observation::Election(Event::Apply(changed.into())), at(1));
    assert!(job(&mut reconciler, 1).is_none());
    let [first, second] = jobs;
    for begun in [first, second] {
        let outcome = done(&begun);
        assert_eq!(reconciler.handle_done(begun.ticket, outcome, at(2)), []);
    }
    assert!(job(&mut reconciler, 2).is_some());
}

/// What Ready says in the status that is written at that time, if one is; and whether the Role is tried again by then.
fn told_by(reconciler: &mut Reconciler, milliseconds: u64) -> (Option<String>, bool) {
    let (mut told, mut tried) = (None, false);
    while let Some(begun) = job(reconciler, milliseconds) {
        tried |= begun.plan.role.is_some();
        let conditions = begun.plan.status.iter().flat_map(|status| &status.conditions);
        let ready = conditions.into_iter().find(|condition| condition.type_ == "Ready");
        told = ready.map(|ready| ready.reason.clone()).or(told);
        let outcome = done(&begun);
        reconciler.handle_done(begun.ticket, outcome, at(milliseconds));
    }
    (told, tried)
}

/// For each failure of a Role: what is counted and told of it, and when the Role is tried again.
#[test]
fn each_failure_has_a_fate() {
    let what = "apply the Role";
    let refusal = Refusal::Rights;
    let refused = kube::Error::Api(Status::failure("no", "InternalError").with_code(500).boxed());
    for (error, told, counts, retried_after) in [
        (ApplyError::NotLeading, None, false, 0),
        (ApplyError::Stale(what), None, false, 0),
        (ApplyError::Terminating(what), None, false, 1_000),
        (ApplyError::Conflict("another's".to_owned()), Some(Reason::ObjectConflict), true, 1_000),
        (ApplyError::Forbidden { what, message: String::new(), refusal }, Some(Reason::Forbidden), true, 1_000),
        (ApplyError::Timeout { what, timeout: Duration::from_secs(5) }, Some(Reason::ReconcileFailed), true, 1_000),
        (ApplyError::Api { what, source: Box::new(refused) }, Some(Reason::ReconcileFailed), true, 1_000),
    ] {
        let case = error.to_string();
        let mut reconciler = leading(&["billing"]);
        let first = job(&mut reconciler, 0).unwrap();
        let LeaseAction::Create(made) = first.plan.lease.clone() else { unreachable!("{:?}", first.plan) };
        let mut outcome = done(&first);
        outcome.answers.retain(|answer| !matches!(answer, WriteAnswer::Role(_)));
        outcome.written.retain(|part| *part != Part::Role);
        outcome.failures.push((Part::Role, error));
        let counted = reconciler.handle_done(first.ticket, outcome, at(0));
        assert_eq!(counted, told.into_iter().filter(|_| counts).collect::<Vec<_>>(), "{case}");
        reconciler.handle_seen(Observation::Lease(Event::Apply(renewed(&made, 10, 0))), at(0));
        if retried_after > 0 {
            let (ready, tried) = told_by(&mut reconciler, retried_after - 1);
            assert_eq!((ready.as_deref(), tried), (told.map(Reason::as_str), false), "{case}");
        }
        assert!(told_by(&mut reconciler, retried_after).1, "{case}");
    }
}

#[test]
fn what_could_not_be_written_waits_and_holds_up_nothing_else() {
    let mut reconciler = leading(&["billing"]);
    let first = job(&mut reconciler, 0).unwrap();
    let mut outcome = done(&first);
    outcome.answers.retain(|answer| !matches!(answer, WriteAnswer::Role(_)));
    outcome.written.retain(|part| *part != Part::Role);
    let refused = || ApplyError::Conflict("Role leader-elector-billing is another's".to_owned());
    outcome.failures.push((Part::Role, refused()));
    assert_eq!(reconciler.handle_done(first.ticket, outcome, at(0)), [refused().reason()]);
    // The status says so at once; the Role is tried again after a second, and after two more.
    for (milliseconds, next) in [(1_000, 3_000), (3_000, 7_000)] {
        let mut roles = 0;
        while let Some(begun) = job(&mut reconciler, milliseconds - 1) {
            assert_eq!(begun.plan.role, None);
            let outcome = done(&begun);
            reconciler.handle_done(begun.ticket, outcome, at(milliseconds - 1));
        }
        let begun = job(&mut reconciler, milliseconds).unwrap();
        roles += usize::from(begun.plan.role.is_some());
        assert_eq!(roles, 1);
        let failed = Outcome { failures: vec![(Part::Role, refused())], ..Outcome::default() };
        reconciler.handle_done(begun.ticket, failed, at(milliseconds));
        assert!(job(&mut reconciler, next - 1).is_none_or(|begun| begun.plan.role.is_none()));
    }
}

#[test]
fn two_writers_that_undo_each_others_work_do_not_do_so_as_fast_as_they_can() {
    let mut reconciler = leading(&["billing"]);
    for round in 0..=MAX_WRITES_IN_A_ROW {
        let begun = job(&mut reconciler, 0).unwrap_or_else(|| unreachable!("round {round}"));
        // It is written, and gone again.
        let outcome = Outcome { written: vec![Part::Role], ..Outcome::default() };
        reconciler.handle_done(begun.ticket, outcome, at(0));
    }
    assert!(job(&mut reconciler, 999).is_none());
    assert_eq!(reconciler.poll_timeout(at(999)), Some(Duration::from_secs(1)));
    assert!(job(&mut reconciler, 1_000).is_some());
}

#[test]
fn a_replica_that_does_not_lead_plans_nothing_and_one_that_begins_to_plans_everything() {
    let mut reconciler = leading(&ELECTIONS);
    settle(&mut reconciler, 0);
    reconciler.handle_leading(false, at(1));
    let mut changed = election("billing");
    changed.spec.paused = true;
    changed.metadata.resource_version = Some("7".to_owned());
    reconciler.handle_seen(Observation::Election(Event::Apply(changed.into())), at(2));
    assert_eq!(reconciler.poll_timeout(at(2)), None);
    assert!(job(&mut reconciler, 2).is_none());
    reconciler.handle_leading(true, at(3));
    assert_eq!(job(&mut reconciler, 3).map(|job| job.election.name_any()), Some("billing".to_owned()));
}

/// A renewal moves a time in the index, and wakes nobody.
#[test]
fn an_expiry_that_a_renewal_puts_off_is_not_planned_before() {
    let mut reconciler = leading(&["billing"]);
    let first = job(&mut reconciler, 0).unwrap();
    let LeaseAction::Create(made) = first.plan.lease.clone() else { unreachable!("{:?}", first.plan) };
    let outcome = done(&first);
    reconciler.handle_done(first.ticket, outcome, at(0));
    for (version, second) in [(10, 1), (11, 3)] {
        let seen = Observation::Lease(Event::Apply(renewed(&made, version, second)));
        reconciler.handle_seen(seen, at(second * 1000));
        settle(&mut reconciler, second * 1000);
    }
    let expiry = Duration::from_secs(3 + 15);
    // What else is looked at before.
    while let Some(due) = reconciler.poll_timeout(at(3_000)).filter(|due| *due < expiry) {
        settle(&mut reconciler, u64::try_from(due.as_millis()).unwrap());
    }
    assert_eq!(reconciler.poll_timeout(at(8_000)), Some(expiry));
    let seen = Observation::Lease(Event::Apply(renewed(&made, 12, 9)));
    reconciler.handle_seen(seen, at(9_000));
    assert_eq!(reconciler.poll_timeout(at(9_000)), Some(expiry));
    assert!(matches!(reconciler.poll_job(at(18_000)), Next::Nothing));
    assert_eq!(reconciler.poll_timeout(at(18_000)), Some(Duration::from_secs(9 + 15)));
    // Silent for as long as its lease: it is read before it is called expired.
    assert_eq!(job(&mut reconciler, 24_000).map(|job| job.plan.lease), Some(LeaseAction::Look));
}
