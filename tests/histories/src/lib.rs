//! The operator as it ships, in a simulation: its reconciler, with the index, the queue and the plans. What its controller does,
//! the simulation does: it writes the Lease, and all other objects at once.

use std::time::Duration;

use elector_crds::annotations::{TimingsAnnotation, agent_to_json, hints_to_json};
use elector_crds::ownership::{MANAGED_BY_LABEL, OPERATOR_NAME};
use elector_crds::untrusted::{FromUntrusted as _, StoredElection};
use elector_crds::{
    AGENT_ANNOTATION, HINTS_ANNOTATION, LeaderElection, LeaderElectionSpec, STRICT_IDENTITY_LABEL, StoredLease,
    TIMINGS_ANNOTATION, format_timestamp, lease,
};
use elector_election::{Hints, Lease, MAX_LEASE_DURATION_SECONDS, Timestamp, Timings, WatchEvent};
use elector_operator::apply::{Error as ApplyError, Outcome};
use elector_operator::features::Features;
use elector_operator::index::{ClockReading, NAMESPACE_BYTES, Observation, Part, StoredPod, WriteAnswer};
use elector_operator::key::Key;
use elector_operator::plan::LeaseAction;
use elector_operator::reconciler::{Job, Next, Reconciler};
use elector_simulation::clock::{Time, micros};
use elector_simulation::operator::{Operator, Plan, Step, Word};
use kube::runtime::watcher::Event;
use kube::{Resource, ResourceExt};
use serde_json::{Map, Value, json};

const NAMESPACE: &str = "shop";
const ELECTION: &str = "billing";
/// Plans in a row without a write of the Lease, which only say what was found.
const MAX_PLANS: usize = 20;

/// The shipped operator.
#[derive(Debug)]
pub struct Shipped {
    /// As stored.
    election: LeaderElection,
    version: u64,
    reconciler: Reconciler,
    /// When this process began.
    began: Time,
    /// The job whose write of the Lease is under way.
    under_way: Option<Job>,
}

impl Shipped {
    /// As [`NewOperator`](elector_simulation::operator::NewOperator).
    #[must_use]
    pub fn boxed(timings: Timings, now: Time) -> Box<dyn Operator> {
        let mut election = LeaderElection::new(ELECTION, spec(timings));
        election.metadata.namespace = Some(NAMESPACE.to_owned());
        election.metadata.uid = Some("e-1".to_owned());
        let mut operator = Shipped { election, version: 0, reconciler: reconciler(), began: now, under_way: None };
        operator.list(None, None, now);
        operator.reconciler.handle_leading(true, operator.now(now));
        operator.store();
        operator.show(Observation::Election(Event::Apply(operator.election.clone().into())), now);
        Box::new(operator)
    }

    fn now(&self, now: Time) -> ClockReading {
        let wall = jiff::Timestamp::from_microsecond(i64::try_from(now).unwrap_or(i64::MAX)).unwrap_or_default();
        ClockReading { at: Duration::from_micros(now - self.began), wall }
    }

    fn store(&mut self) {
        self.version += 1;
        self.election.metadata.resource_version = Some(self.version.to_string());
    }

    fn show(&mut self, seen: Observation, now: Time) {
        let now = self.now(now);
        self.reconciler.handle_seen(seen, now);
    }

    fn list(&mut self, election: Option<LeaderElection>, lease: Option<StoredLease>, now: Time) {
        for seen in listing(election.map(StoredElection::from), Observation::Election) {
            self.show(seen, now);
        }
        for seen in listing(lease, Observation::Lease) {
            self.show(seen, now);
        }
        let pods = listing(None, Observation::Pod);
        let rights = [listing(None, Observation::Role), listing(None, Observation::RoleBinding)];
        let traffic = [listing(None, Observation::Service), listing(None, Observation::Slice)];
        for seen in pods.into_iter().chain(rights.into_iter().flatten()).chain(traffic.into_iter().flatten()) {
            self.show(seen, now);
        }
    }

    /// All of a job but the Lease: nothing else fails here.
    fn finish(&mut self, job: Job, mut outcome: Outcome, now: Time) {
        let Job { plan, ticket, .. } = job;
        outcome.answers.extend(plan.role.map(Box::new).map(WriteAnswer::Role));
        outcome.answers.extend(plan.role_binding.map(Box::new).map(WriteAnswer::RoleBinding));
        if let Some(status) = plan.status {
            self.election.status = Some(status);
            self.store();
            outcome.answers.push(WriteAnswer::Election(Box::new(self.election.clone().into())));
            outcome.written.push(Part::Status);
        }
        let now = self.now(now);
        self.reconciler.handle_done(ticket, outcome, now);
    }
}

impl Operator for Shipped {
    fn handle_watch(&mut self, event: &WatchEvent, now: Time) {
        let event = match event {
            WatchEvent::Present(lease) => Event::Apply(stored(lease, &self.election)),
            WatchEvent::Deleted { uid } => Event::Delete(named(uid)),
            // Neither is an event of a watch that goes on.
            WatchEvent::Empty | WatchEvent::Refused => return,
        };
        self.show(Observation::Lease(event), now);
    }

    fn handle_spec(&mut self, timings: Timings, now: Time) {
        self.election.spec = LeaderElectionSpec { paused: self.election.spec.paused, ..spec(timings) };
        self.store();
        self.show(Observation::Election(Event::Apply(self.election.clone().into())), now);
    }

    fn handle_pause(&mut self, paused: bool, now: Time) {
        self.election.spec.paused = paused;
        self.store();
        self.show(Observation::Election(Event::Apply(self.election.clone().into())), now);
    }

    fn handle_death(&mut self, identity: &str, now: Time) {
        let Some((name, uid)) = elector_crds::identity::pod_and_uid(identity) else { return };
        let dead = dead_pod(name, uid);
        self.show(Observation::Pod(Event::Apply(dead.clone())), now);
        // Kubelet deletes it as soon as it has said so.
        self.show(Observation::Pod(Event::Delete(dead)), now);
    }

    fn plan(&mut self, now: Time) -> Plan {
        for _ in 0..MAX_PLANS {
            match self.reconciler.poll_job(self.now(now)) {
                Next::Nothing => break,
                Next::Planned => {}
                Next::Job(job) => match step(&job.plan.lease) {
                    None => self.finish(*job, Outcome::default(), now),
                    step => {
                        self.under_way = Some(*job);
                        return Plan { step, next_look: None };
                    }
                },
            }
        }
        let next_look = self.reconciler.poll_timeout(self.now(now)).map(|at| self.began + micros(at));
        Plan { step: None, next_look }
    }

    fn handle_answer(&mut self, lease: Option<&Lease>, now: Time) {
        let answer = match lease {
            Some(lease) => WriteAnswer::LeaseRead(Box::new(stored(lease, &self.election))),
            None => WriteAnswer::NoLease(key()),
        };
        let Some(job) = self.under_way.take() else { return };
        self.finish(job, Outcome { answers: vec![answer], ..Outcome::default() }, now);
    }

    fn handle_failure(&mut self, now: Time) {
        let Some(job) = self.under_way.take() else { return };
        // Nothing more of a plan is tried after that.
        let failures = vec![(Part::Lease, ApplyError::Stale("write the Lease"))];
        let now = self.now(now);
        self.reconciler.handle_done(job.ticket, Outcome { failures, ..Outcome::default() }, now);
    }

    fn restart(&mut self, listed: &WatchEvent, now: Time) {
        (self.reconciler, self.began, self.under_way) = (reconciler(), now, None);
        let lease = match listed {
            WatchEvent::Present(lease) => Some(stored(lease, &self.election)),
            WatchEvent::Deleted { .. } | WatchEvent::Empty | WatchEvent::Refused => None,
        };
        self.list(Some(self.election.clone()), lease, now);
        let now = self.now(now);
        self.reconciler.handle_leading(true, now);
    }
}

fn reconciler() -> Reconciler {
    Reconciler::new(Features::default(), Key::new("operators", "own"), 1, NAMESPACE_BYTES)
}

/// What a plan asks of the Lease.
fn step(lease: &LeaseAction) -> Option<Step> {
    match lease.clone() {
        LeaseAction::None => None,
        LeaseAction::Create(lease) => Some(Step::Create(Box::new(read(*lease)))),
        LeaseAction::Amend(amendment) => {
            let word = |said: TimingsAnnotation| Word {
                timings: said.timings,
                never_held: said.never_held,
                least_wait_seconds: said.least_wait_seconds(),
            };
            let said = amendment.timings.unwrap_or(amendment.upon);
            let (upon, word) = (word(amendment.upon), word(said));
            Some(Step::Amend { uid: amendment.uid, upon, word, hints: amendment.hints })
        }
        LeaseAction::Release(release) => Some(Step::Release { of: release.of, write: release.write }),
        LeaseAction::Look => Some(Step::Look),
    }
}

fn key() -> Key {
    Key::new(NAMESPACE, ELECTION)
}

fn spec(timings: Timings) -> LeaderElectionSpec {
    let seconds = |duration: Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    LeaderElectionSpec {
        lease_duration_seconds: seconds(timings.lease_duration()),
        renew_deadline_seconds: seconds(timings.renew_deadline()),
        retry_period_seconds: seconds(timings.retry_period()),
        release_delay_seconds: seconds(timings.release_delay()),
        ..LeaderElectionSpec::default()
    }
}

fn listing<K>(object: Option<K>, seen: fn(Event<K>) -> Observation) -> Vec<Observation> {
    [Event::Init].into_iter().chain(object.map(Event::InitApply)).chain([Event::InitDone]).map(seen).collect()
}

/// As its kubelet reports it in the end.
fn dead_pod(name: &str, uid: &str) -> StoredPod {
    let ended = json!({"terminated": {"exitCode": 137, "finishedAt": "2026-11-23T18:00:00Z", "reason": "Error"}});
    let status = json!({
        "name": "app", "state": ended, "image": "none", "imageID": "none", "ready": false, "restartCount": 0,
    });
    let stored = json!({
        "metadata": {"name": name, "namespace": NAMESPACE, "uid": uid},
        "spec": {"containers": [{"name": "app"}]},
        "status": {
            "phase": "Failed",
            "conditions": [{"type": "Ready", "status": "False", "reason": "PodFailed"}],
            "containerStatuses": [status],
        },
    });
    StoredPod::from_untrusted(&stored.to_string())
}

fn named(uid: &str) -> StoredLease {
    let mut lease = StoredLease::new(Default::default());
    lease.metadata.name = Some(ELECTION.to_owned());
    lease.metadata.namespace = Some(NAMESPACE.to_owned());
    lease.metadata.uid = Some(uid.to_owned());
    lease.metadata.resource_version = Some("0".to_owned());
    lease
}

/// As the API server keeps one that the operator made for `election`.
fn stored(lease: &Lease, election: &LeaderElection) -> StoredLease {
    let mut stored = named(&lease.record.uid);
    stored.metadata.owner_references = election.controller_owner_ref(&()).map(|owner| vec![owner]);
    stored.metadata.resource_version = Some(lease.resource_version.0.to_string());
    stored.labels_mut().insert(MANAGED_BY_LABEL.to_owned(), OPERATOR_NAME.to_owned());
    stored.labels_mut().insert(STRICT_IDENTITY_LABEL.to_owned(), "true".to_owned());
    let Lease { timings, never_held, least_wait_seconds, .. } = *lease;
    // The simulation has no durations that long.
    let unconfirmed = least_wait_seconds == MAX_LEASE_DURATION_SECONDS;
    let wait_seconds = if unconfirmed { 0 } else { least_wait_seconds };
    let annotation = TimingsAnnotation { timings, never_held, unconfirmed, wait_seconds };
    stored.set_annotation(TIMINGS_ANNOTATION, annotation.to_json());
    if lease.hints != Hints::default() {
        stored.set_annotation(HINTS_ANNOTATION, hints_to_json(&lease.hints));
    }
    if let Some(agent) = &lease.agent {
        stored.set_annotation(AGENT_ANNOTATION, agent_to_json(agent, None));
    }
    let time = |time: Option<Timestamp>| time.map(format_timestamp);
    let spec = json!({
        "holderIdentity": (!lease.record.holder.is_empty()).then_some(&lease.record.holder),
        "leaseDurationSeconds": lease.lease_duration_seconds,
        "acquireTime": time(lease.record.acquire_time),
        "renewTime": time(lease.record.renew_time),
        "leaseTransitions": lease.record.transitions,
    });
    stored.spec = match spec {
        Value::Object(spec) => spec,
        _ => Map::new(),
    };
    stored
}

fn read(mut stored: StoredLease) -> Lease {
    let unnamed = named("");
    let metadata = &mut stored.metadata;
    metadata.uid = metadata.uid.take().or_else(|| Some("to be given".to_owned()));
    metadata.resource_version = metadata.resource_version.take().or(unnamed.metadata.resource_version);
    let (lease, _) = lease::read(&stored).expect("it has a uid and a version");
    lease
}
