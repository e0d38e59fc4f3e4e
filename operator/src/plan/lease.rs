//! The plan for the Lease: whether the operator may write it, what to create if there is none, and what to keep current
//! on one that exists (rules O1–O3).

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

/// What to do about the Lease.
#[derive(Debug, Clone, Default, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "a plan has one, on the stack")]
pub enum LeaseAction {
    /// Do nothing.
    #[default]
    None,
    /// Create the Lease, unconfirmed (rule O2).
    Create(Box<StoredLease>),
    /// Replace the metadata of the Lease, in any version. `spec` is sent back as it is read (rule O1), without times
    /// that the API server would refuse.
    Amend(Amendment),
    /// Release the Lease in the name of a holder that is dead (rule O1).
    Release(Box<Release>),
    /// Read the Lease from the store before it is called expired: the watch may be dead.
    Look,
}

/// The changes to the metadata of a Lease that exists.
#[derive(Debug, Clone, PartialEq)]
pub struct Amendment {
    /// The uid of the Lease that is meant.
    pub uid: String,
    /// The timings annotation on which the plan is based: another replica may have changed it meanwhile.
    pub upon: TimingsAnnotation,
    /// The new timings annotation, if it changes.
    pub timings: Option<TimingsAnnotation>,
    /// The election to add as an owner, if it is missing.
    pub owner: Option<OwnerReference>,
    /// The new mark for the policy that checks which pod writes the Lease, if it changes.
    pub strict: Option<bool>,
    /// The new hints for the candidates, if they change (rule F4).
    pub hints: Option<Hints>,
}

/// The release that a dead holder would have written.
#[derive(Debug, Clone, PartialEq)]
pub struct Release {
    /// The record that the Lease must show.
    pub of: Record,
    /// The write that releases the Lease.
    pub write: Write,
}

/// The ownership of the Lease.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Ownership<'a> {
    /// There is no Lease.
    Absent,
    /// An operator made the Lease, for this election or an earlier one of its name.
    Own(&'a LeaseSeen),
    /// The owner of the Lease lets the operator adopt it (rule O3).
    Adopted(&'a LeaseSeen),
    /// The Lease belongs to others, or it would be that of the operator's own election, whether it exists or not.
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
    /// Whether the Lease that was read is the one that the plan is based on.
    #[must_use]
    pub fn is_meant_for(&self, stored: &StoredLease) -> bool {
        stored.metadata.uid.as_ref() == Some(&self.uid) && stored.timings_annotation() == self.upon
    }

    /// The parts of this amendment that have fates of their own.
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

    /// This amendment of a Lease without all of its parts but `part`.
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

    /// Applies the amendment to the Lease that was read.
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

/// When the Lease can be released for a holder that is dead, whose record it must show (rules O1 and R1).
///
/// A name that was edited into the record, or a record that was applied again, says nothing about who acts. So the
/// holder must have been seen to write the record, and no later holder be known.
fn releases_at(snapshot: &ElectionSnapshot, seen: &LeaseSeen) -> Option<Duration> {
    let Lease { record, agent, .. } = &seen.lease;
    agent.as_ref().filter(|agent| agent.transitions == record.transitions && agent.release.is_none())?;
    let holder = snapshot.holder_pod.as_ref();
    let holder = holder.filter(|pod| identity::of_pod(&pod.name, &pod.uid) == record.holder)?;
    let is_latest = seen.seen_to_write && record.transitions >= snapshot.history.transitions;
    let release_delay = seen.lease.timings.unwrap_or_default().release_delay();
    holder.dead_since.filter(|_| is_latest).map(|since| since + release_delay)
}

/// The release for a holder whose pod, by its uid, has no process left that could act, and will have none (rule O1).
pub(super) fn release(input: &PlanInput<'_>) -> Option<Release> {
    let seen = input.ours()?;
    releases_at(input.snapshot, seen).filter(|at| input.is_due(*at) && input.may(Part::Release))?;
    let Lease { record, agent, .. } = &seen.lease;
    let agent = agent.as_ref()?;
    let (wall, transitions) = (Timestamp::from_microseconds(input.now.wall.as_microsecond()), record.transitions);
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

/// Creates the Lease, or brings its metadata up to date.
pub(super) fn maintain(input: &PlanInput<'_>, timings: Timings, hints: &Hints) -> LeaseAction {
    let PlanInput { election, now, .. } = *input;
    let may = |part| input.may(part);
    let (seen, owner) = match input.ownership {
        Ownership::Absent if !may(Part::Lease) => return LeaseAction::None,
        Ownership::Absent => return LeaseAction::Create(Box::new(create(election, input.snapshot, timings, now))),
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
    // The rest of the annotation is brought up to date when timings are written. That alone is no reason to write: it counts for
    // nothing once a candidate has written the Lease.
    let timings = Some(timings).filter(|_| !is_current && may(Part::Timings));
    if timings.is_none() && owner.is_none() && strict.is_none() && hints.is_none() {
        return LeaseAction::None;
    }
    let timings = timings.map(|timings| annotation(input, seen, timings));
    let (uid, upon) = (seen.lease.record.uid.clone(), seen.annotation);
    LeaseAction::Amend(Amendment { uid, upon, timings, owner, strict, hints })
}

fn annotation(input: &PlanInput<'_>, seen: &LeaseSeen, timings: Timings) -> TimingsAnnotation {
    if seen.is_to_be_confirmed() {
        return confirmed(input.election, input.snapshot, seen, timings);
    }
    let TimingsAnnotation { unconfirmed, wait_seconds, .. } = seen.annotation;
    let of_agents = seen.lease.agent.is_some();
    TimingsAnnotation {
        timings: Some(timings),
        never_held: seen.lease.never_held && input.phase(seen) == TenurePhase::NeverHeld,
        unconfirmed: unconfirmed && !of_agents,
        wait_seconds: if of_agents { 0 } else { wait_seconds },
    }
}

/// The annotation that confirms a Lease which an operator created, once the watch has shown that Lease and with it
/// everything before (rule O2).
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

/// Sets the mark that says whether only the pod that writes can be the holder. The mark always stays on the Lease: the
/// policy that looks for it also keeps others from changing the operator's part of the Lease.
fn mark(stored: &mut StoredLease, strict: bool) {
    stored.labels_mut().insert(STRICT_IDENTITY_LABEL.to_owned(), strict.to_string());
}

fn is_strict(election: &LeaderElection) -> bool {
    match election.spec.candidates.identity {
        CandidateIdentity::Pod => true,
        CandidateIdentity::Any => false,
    }
}

/// Reads a Lease whose holder has fallen silent, once.
pub(super) fn look(input: &PlanInput<'_>) -> LeaseAction {
    let Some(seen) = input.ours() else { return LeaseAction::None };
    let expired_at = seen.seen_at + seen.effective_duration(input.own_duration());
    match input.phase(seen) {
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

/// The first record of a Lease: never held, or restored (rule O2).
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

/// Whether no candidate can have held this election's Lease before.
fn is_new(election: &LeaderElection, snapshot: &ElectionSnapshot) -> bool {
    let status = election.status.clone().unwrap_or_default();
    let status_names_none =
        status.holder.is_none() && status.lease_uid.is_none() && status.lease_transitions.unwrap_or(0) == 0;
    let has_older_pod = snapshot.pods.iter().any(|pod| is_older(pod, election));
    // One that is left out may be older.
    let knows_all = !snapshot.is_partial;
    snapshot.creation_watched && snapshot.name_is_new && status_names_none && !has_older_pod && knows_all
}

/// Whether the pod is older than the election. Both times are the API server's, in whole seconds. A pod of the same
/// second does not count as older, because first installations create both together.
fn is_older(pod: &Pod, election: &LeaderElection) -> bool {
    let created = election.creation_timestamp().map(|time| time.0);
    match (pod.created, created) {
        (Some(pod), Some(election)) => pod < election,
        _ => true,
    }
}
