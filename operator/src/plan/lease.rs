//! The Lease: whose it is, what to create where there is none, and what to keep current on one that exists (rules O1–O3).

use std::time::Duration;

use elector_crds::annotations::{TimingsAnnotation, hints_to_json};
use elector_crds::lease::FirstRecord;
use elector_crds::ownership::{is_adoptable_in, is_election, is_ours, metadata};
use elector_crds::{
    CandidateIdentity, HINTS_ANNOTATION, LeaderElection, STRICT_IDENTITY_LABEL, StoredLease, TIMINGS_ANNOTATION,
    identity,
};
use elector_election::{AgentMark, Hints, Lease, Record, ReleaseMark, Timestamp, Timings, UNKNOWN_HOLDER, Write};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{Resource, ResourceExt};

use super::input::PlanInput;
use crate::index::{ClockReading, ElectionSnapshot, LeaseSeen, Part, Pod, TenurePhase};

/// What to do to the Lease.
#[derive(Debug, Clone, Default, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "a plan has one, on the stack")]
pub enum LeaseAction {
    /// Nothing.
    #[default]
    None,
    /// Create it, unconfirmed (rule O2).
    Create(Box<StoredLease>),
    /// Replace its metadata, at whatever version it is; `spec` is sent back as it is read (rule O1), but for times that the API server
    /// would not take.
    Amend(Amendment),
    /// Release it in the name of a holder that is dead (rule O1).
    Release(Box<Release>),
    /// Read it from the store: it is about to be called expired, and the watch may be dead.
    Look,
}

/// What is to become of the metadata of a Lease that exists.
#[derive(Debug, Clone, PartialEq)]
pub struct Amendment {
    /// Of the Lease that is meant.
    pub uid: String,
    /// What its timings annotation says: another replica may know better meanwhile.
    pub upon: TimingsAnnotation,
    /// What that is to say.
    pub timings: Option<TimingsAnnotation>,
    /// The election that is to own it.
    pub owner: Option<OwnerReference>,
    /// What the policy is to be told that checks who writes it.
    pub strict: Option<bool>,
    /// What candidates are to know of what would suit people (rule F4).
    pub hints: Option<Hints>,
}

/// What a holder that is dead would have written in the end.
#[derive(Debug, Clone, PartialEq)]
pub struct Release {
    /// What must be there.
    pub of: Record,
    /// What is to be.
    pub write: Write,
}

/// Whose Lease it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Ownership<'a> {
    /// There is none.
    Absent,
    /// An operator made it, for this election or an earlier one of its name.
    Own(&'a LeaseSeen),
    /// Its owner lets the operator adopt it (rule O3).
    Adopted(&'a LeaseSeen),
    /// Somebody else's, or that of the operator's own election, which may be missing.
    Foreign,
}

impl<'a> Ownership<'a> {
    /// The Lease, if the operator looks after it.
    #[must_use]
    pub fn ours(self) -> Option<&'a LeaseSeen> {
        match self {
            Ownership::Own(seen) | Ownership::Adopted(seen) => Some(seen),
            Ownership::Absent | Ownership::Foreign => None,
        }
    }
}

impl Amendment {
    /// Whether what was read is what it was planned upon.
    #[must_use]
    pub fn is_meant_for(&self, stored: &StoredLease) -> bool {
        stored.metadata.uid.as_ref() == Some(&self.uid) && stored.timings_annotation() == self.upon
    }

    /// What of it has fates of its own.
    #[must_use]
    pub fn parts(&self) -> Vec<Part> {
        let parts = [
            (Part::Timings, self.timings.is_some()),
            (Part::Hints, self.hints.is_some()),
            (Part::Mark, self.strict.is_some()),
            (Part::Owner, self.owner.is_some()),
        ];
        parts.into_iter().filter(|(_, asked)| *asked).map(|(part, _)| part).collect()
    }

    /// That part of it alone.
    #[must_use]
    pub fn only(&self, part: Part) -> Amendment {
        let Amendment { uid, upon, timings, owner, strict, hints } = self.clone();
        Amendment {
            uid,
            upon,
            timings: timings.filter(|_| part == Part::Timings),
            owner: owner.filter(|_| part == Part::Owner),
            strict: strict.filter(|_| part == Part::Mark),
            hints: hints.filter(|_| part == Part::Hints),
        }
    }

    /// Carries it out on what was read.
    pub fn apply(&self, stored: &mut StoredLease) {
        stored.drop_unstorable_times();
        if let Some(timings) = &self.timings {
            stored.set_annotation(TIMINGS_ANNOTATION, timings.to_json());
        }
        if let Some(strict) = self.strict {
            mark(stored, strict);
        }
        match &self.hints {
            None => {}
            Some(hints) if *hints == Hints::default() => {
                stored.annotations_mut().remove(HINTS_ANNOTATION);
            }
            Some(hints) => stored.set_annotation(HINTS_ANNOTATION, hints_to_json(hints)),
        }
        if let Some(owner) = &self.owner {
            let owners = stored.metadata.owner_references.get_or_insert_default();
            owners.retain(|earlier| !is_election(earlier, &owner.name));
            owners.push(owner.clone());
        }
    }
}

/// When the Lease can be released for a holder that is dead, of whom it is the record (rules O1 and R1).
///
/// A name that somebody edited into the record, or a record that was applied again, says nothing of who acts: the holder must
/// have been seen to write it, and nothing later be known.
fn releases_at(snapshot: &ElectionSnapshot, seen: &LeaseSeen) -> Option<Duration> {
    let Lease { record, agent, .. } = &seen.lease;
    agent.as_ref().filter(|agent| agent.transitions == record.transitions && agent.release.is_none())?;
    let holder = snapshot.holder_pod.as_ref();
    let holder = holder.filter(|pod| identity::of_pod(&pod.name, &pod.uid) == record.holder)?;
    let is_latest = seen.seen_to_write && record.transitions >= snapshot.history.transitions;
    let release_delay = seen.lease.timings.unwrap_or_default().release_delay();
    holder.dead_since.filter(|_| is_latest).map(|since| since + release_delay)
}

/// Rule O1: the pod of the holder's uid has no process left that could act, and will have none.
pub(super) fn release(view: &PlanInput<'_>) -> Option<Release> {
    let seen = view.ours()?;
    releases_at(view.snapshot, seen).filter(|at| view.is_due(*at) && view.may(Part::Release))?;
    let Lease { record, agent, .. } = &seen.lease;
    let agent = agent.as_ref()?;
    let (wall, transitions) = (Timestamp::from_microseconds(view.now.wall.as_microsecond()), record.transitions);
    let renew_time = record.renew_time.map_or(wall, |last| wall.max(last.next()));
    let mark = ReleaseMark { uid: record.uid.clone(), transitions, renew_time };
    let write = Write {
        holder: String::new(),
        lease_duration_seconds: 1,
        acquire_time: renew_time,
        renew_time,
        transitions,
        agent: AgentMark { start: agent.start.clone(), transitions, release: Some(mark) },
    };
    Some(Release { of: record.clone(), write })
}

pub(super) fn ownership<'a>(election: &LeaderElection, snapshot: &'a ElectionSnapshot) -> Ownership<'a> {
    // A LeaderElection that steers that one can stop the operator for good.
    if snapshot.is_operators_own {
        return Ownership::Foreign;
    }
    let Some(seen) = &snapshot.lease else { return Ownership::Absent };
    if is_ours(seen.managed, &seen.owners, &election.name_any()) {
        return Ownership::Own(seen);
    }
    if seen.adopt && is_adoptable_in(&election.namespace().unwrap_or_default()) {
        return Ownership::Adopted(seen);
    }
    Ownership::Foreign
}

/// Creates it, or brings its metadata up to date.
pub(super) fn maintain(view: &PlanInput<'_>, timings: Timings, hints: &Hints) -> LeaseAction {
    let PlanInput { election, now, .. } = *view;
    let may = |part| view.may(part);
    let (seen, owner) = match view.ownership {
        Ownership::Absent if !may(Part::Lease) => return LeaseAction::None,
        Ownership::Absent => return LeaseAction::Create(Box::new(create(election, view.snapshot, timings, now))),
        Ownership::Own(seen) => (seen, election.controller_owner_ref(&())),
        Ownership::Adopted(seen) => (seen, None),
        Ownership::Foreign => return LeaseAction::None,
    };
    // One that was adopted has candidates that may have named themselves.
    let strict = owner.is_some().then(|| is_strict(election)).filter(|strict| seen.strict != Some(*strict));
    let strict = strict.filter(|_| may(Part::Mark));
    let owner = owner.filter(|owner| seen.owners.iter().all(|known| known.uid != owner.uid));
    let owner = owner.filter(|_| may(Part::Owner));
    let hints = Some(hints).filter(|hints| seen.lease.hints != **hints && may(Part::Hints)).cloned();
    let is_current = seen.annotation.timings == Some(timings) && !seen.is_to_be_confirmed();
    // What else the annotation says is brought up to date with them, and is no reason to write.
    let timings = Some(timings).filter(|_| !is_current && may(Part::Timings));
    if timings.is_none() && owner.is_none() && strict.is_none() && hints.is_none() {
        return LeaseAction::None;
    }
    let timings = timings.map(|timings| annotation(view, seen, timings));
    let (uid, upon) = (seen.lease.record.uid.clone(), seen.annotation);
    LeaseAction::Amend(Amendment { uid, upon, timings, owner, strict, hints })
}

fn annotation(view: &PlanInput<'_>, seen: &LeaseSeen, timings: Timings) -> TimingsAnnotation {
    if seen.is_to_be_confirmed() {
        return confirmed(view.election, view.snapshot, seen, timings);
    }
    let TimingsAnnotation { unconfirmed, wait_seconds, .. } = seen.annotation;
    let of_agents = seen.lease.agent.is_some();
    TimingsAnnotation {
        timings: Some(timings),
        never_held: seen.lease.never_held && view.phase(seen) == TenurePhase::NeverHeld,
        unconfirmed: unconfirmed && !of_agents,
        wait_seconds: if of_agents { 0 } else { wait_seconds },
    }
}

/// What is known of the past once the watch has shown a Lease that an operator made, and all that was before (rule O2).
fn confirmed(
    election: &LeaderElection,
    snapshot: &ElectionSnapshot,
    seen: &LeaseSeen,
    timings: Timings,
) -> TimingsAnnotation {
    let never_held = seen.lease.is_blank() && is_new(election, snapshot);
    let known = snapshot.history.duration_seconds.max(timings.lease_duration_seconds());
    TimingsAnnotation {
        timings: Some(timings),
        never_held,
        unconfirmed: false,
        // Where the record says it already, there is nothing to add.
        wait_seconds: if never_held || known <= seen.lease.lease_duration_seconds { 0 } else { known },
    }
}

/// The mark stays on a Lease, and says whether its holder can only be the pod that writes: the policy that looks for it
/// also keeps everything else on the Lease the operator's.
fn mark(stored: &mut StoredLease, strict: bool) {
    stored.labels_mut().insert(STRICT_IDENTITY_LABEL.to_owned(), strict.to_string());
}

fn is_strict(election: &LeaderElection) -> bool {
    match election.spec.candidates.identity {
        CandidateIdentity::Pod => true,
        CandidateIdentity::Any => false,
    }
}

/// Reads a Lease that has fallen silent, once.
pub(super) fn look(view: &PlanInput<'_>) -> LeaseAction {
    let Some(seen) = view.ours() else { return LeaseAction::None };
    let expired_at = seen.seen_at + seen.effective_duration(view.own_duration());
    match view.phase(seen) {
        TenurePhase::Expired if seen.read_at.is_none_or(|read_at| read_at < expired_at) => LeaseAction::Look,
        TenurePhase::Expired
        | TenurePhase::NeverHeld
        | TenurePhase::Released
        | TenurePhase::Held
        | TenurePhase::NotObserved
        | TenurePhase::WaitingOut => LeaseAction::None,
    }
}

fn create(election: &LeaderElection, snapshot: &ElectionSnapshot, timings: Timings, now: ClockReading) -> StoredLease {
    let record = first_record(election, snapshot, timings, now);
    let annotation = TimingsAnnotation { timings: Some(timings), unconfirmed: true, ..TimingsAnnotation::default() };
    let mut lease = StoredLease::new(metadata(election, election.name_any()));
    mark(&mut lease, is_strict(election));
    lease.set_annotation(TIMINGS_ANNOTATION, annotation.to_json());
    record.apply(&mut lease);
    lease
}

/// Rule O2.
fn first_record(
    election: &LeaderElection,
    snapshot: &ElectionSnapshot,
    timings: Timings,
    now: ClockReading,
) -> FirstRecord {
    let own = timings.lease_duration_seconds();
    if is_new(election, snapshot) {
        return FirstRecord::NeverHeld { lease_duration_seconds: own };
    }
    let status = election.status.clone().unwrap_or_default();
    let history = &snapshot.history;
    let holder = history.holder.clone().or(status.holder.map(|holder| holder.identity));
    let transitions = status.lease_transitions.and_then(|transitions| u32::try_from(transitions).ok()).unwrap_or(0);
    FirstRecord::Restored {
        holder: holder.unwrap_or_else(|| UNKNOWN_HOLDER.to_owned()),
        lease_duration_seconds: own.max(history.duration_seconds),
        at: elector_election::Timestamp::from_microseconds(now.wall.as_microsecond()),
        transitions: transitions.max(history.transitions),
    }
}

/// Whether nobody can have held it before.
fn is_new(election: &LeaderElection, snapshot: &ElectionSnapshot) -> bool {
    let status = election.status.clone().unwrap_or_default();
    let status_names_none =
        status.holder.is_none() && status.lease_uid.is_none() && status.lease_transitions.unwrap_or(0) == 0;
    let has_older_pod = snapshot.pods.iter().any(|pod| is_older(pod, election));
    // One that is left out may be older.
    let knows_all = !snapshot.is_partial;
    snapshot.creation_watched && snapshot.name_is_new && status_names_none && !has_older_pod && knows_all
}

/// Both times are the API server's, in whole seconds: of the same second is not older, or hardly any first installation
/// would be one.
fn is_older(pod: &Pod, election: &LeaderElection) -> bool {
    let created = election.creation_timestamp().map(|time| time.0);
    match (pod.created, created) {
        (Some(pod), Some(election)) => pod < election,
        _ => true,
    }
}
