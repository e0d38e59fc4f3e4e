//! Events: what has happened since the status was last written.
//!
//! Events come from the difference between the stored status and the new one, so that a restart repeats none. The name
//! of an event is made of what it speaks of. So if a crash kept the status from being written, the event is not created
//! twice: the API server has it already.

use elector_crds::conditions::{ConditionType, Reason, Status, find};
use elector_crds::display_text::{MAX_MESSAGE, MAX_NAME, shown};
use elector_crds::event::{ElectionEvent, EventReason};
use elector_crds::{Holder, LeaderElectionStatus, TenureEnd, identity, parse_timestamp};
use elector_election::UNKNOWN_HOLDER;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt;

use super::hints::{Verdict, request};
use super::lease::Ownership;
use super::{PlanInput, name};
use crate::index::was_restored;

/// The longest part of an event's name, in bytes: the longest name of an election. Three such parts, a reason and
/// separators fit into a name.
const MAX_PART: usize = 63;

pub(super) fn events(
    input: &PlanInput<'_>,
    old: &LeaderElectionStatus,
    new: &LeaderElectionStatus,
) -> Vec<ElectionEvent> {
    let mut events = Vec::new();
    events.extend(not_ready(input, old, new));
    events.extend(lease_appeared(input, old));
    events.extend(tenure_ended(input, old, new));
    events.extend(paused_or_resumed(input, old, new));
    events.extend(tenure_began(input, old, new));
    events
}

fn not_ready(input: &PlanInput<'_>, old: &LeaderElectionStatus, new: &LeaderElectionStatus) -> Option<ElectionEvent> {
    let ready = find(&new.conditions, ConditionType::Ready)?;
    let said = find(&old.conditions, ConditionType::Ready).map(|ready| (&ready.reason, &ready.message));
    if said == Some((&ready.reason, &ready.message)) {
        return None;
    }
    let reason = match ready.reason.as_str() {
        reason if reason == Reason::InvalidSpec.as_str() => EventReason::InvalidSpec,
        reason if reason == Reason::ObjectConflict.as_str() => EventReason::ObjectConflict,
        _ => return None,
    };
    // The same conflict may come back after it was mended: the stored transition then is another.
    let generation = input.election.metadata.generation.unwrap_or_default();
    let last = find(&old.conditions, ConditionType::Ready).map(|ready| ready.last_transition_time.0.as_second());
    let what = format!("{generation}.{}", last.unwrap_or_default());
    Some(event(input, &what, reason, ready.message.clone(), None))
}

fn lease_appeared(input: &PlanInput<'_>, old: &LeaderElectionStatus) -> Option<ElectionEvent> {
    let (seen, adopted) = match input.ownership {
        Ownership::Own(seen) => (seen, false),
        Ownership::Adopted(seen) => (seen, true),
        Ownership::Absent | Ownership::Foreign => return None,
    };
    let uid = &seen.lease.record.uid;
    if old.lease_uid.as_ref() == Some(uid) {
        return None;
    }
    let lease = name(input.election);
    if adopted {
        let note = format!("adopted Lease {lease}");
        return Some(event(input, uid, EventReason::LeaseAdopted, note, None));
    }
    if !was_restored(seen) {
        return None;
    }
    let seconds = seen.effective_duration(input.own_duration()).as_secs();
    if old.lease_uid.is_none() && seen.lease.record.holder == UNKNOWN_HOLDER {
        let note = format!("made Lease {lease}; candidates that may be older than it wait {seconds} s once");
        return Some(event(input, uid, EventReason::LeaseCreated, note, None));
    }
    let holder = identity::shown_name(&seen.lease.record.holder);
    let note = format!("made Lease {lease} anew; candidates wait {seconds} s in case {holder} still leads");
    Some(event(input, uid, EventReason::LeaseRestored, note, None))
}

fn tenure_ended(
    input: &PlanInput<'_>,
    old: &LeaderElectionStatus,
    new: &LeaderElectionStatus,
) -> Option<ElectionEvent> {
    let holder = leader(old)?;
    let tenure = tenure_of(old)?;
    if leader(new).is_some() && tenure_of(new).as_ref() == Some(&tenure) {
        return None;
    }
    let elected = leader_elected(new)?;
    let same_lease = new.lease_uid == old.lease_uid;
    let pod = related_old(input, holder);
    if same_lease && elected.reason == Reason::LeaseExpired.as_str() {
        return Some(event(input, &tenure, EventReason::LeaseExpired, elected.message.clone(), pod));
    }
    let name = shown(&holder.name, MAX_NAME);
    let mut ended = new.history.iter().filter(|led| led.until.is_some());
    let reason =
        ended.find(|led| identity::is_same(&led.identity, &holder.identity)).and_then(|led| led.reason.as_deref());
    let note = match TenureEnd::ALL.iter().find(|end| reason == Some(end.as_str())) {
        Some(end) => format!("{name} no longer leads: {}", end.in_words()),
        None => format!("{name} no longer leads"),
    };
    Some(event(input, &tenure, EventReason::LeaderLost, note, pod))
}

/// The event that a pause has taken effect, or has ended. Each change of the spec has another generation.
fn paused_or_resumed(
    input: &PlanInput<'_>,
    old: &LeaderElectionStatus,
    new: &LeaderElectionStatus,
) -> Option<ElectionEvent> {
    let seen = input.ours()?;
    let is_paused = |status| leader_elected(status).is_some_and(|it| it.reason == Reason::Paused.as_str());
    let (reason, note) = match (is_paused(old), is_paused(new)) {
        (false, true) => (EventReason::Paused, "paused: nobody leads until spec.paused is false"),
        // Who leads in spite of a pause does not end it.
        (true, false) if !seen.lease.hints.paused => {
            (EventReason::Resumed, "resumed: spec.paused is false, and candidates contend again")
        }
        (true | false, _) => return None,
    };
    let generation = input.election.metadata.generation.unwrap_or_default();
    Some(event(input, &generation.to_string(), reason, note.to_owned(), None))
}

fn leader_elected(status: &LeaderElectionStatus) -> Option<&Condition> {
    find(&status.conditions, ConditionType::LeaderElected)
}

fn tenure_began(
    input: &PlanInput<'_>,
    old: &LeaderElectionStatus,
    new: &LeaderElectionStatus,
) -> Option<ElectionEvent> {
    let holder = leader(new)?;
    let tenure = tenure_of(new)?;
    if leader(old).is_some() && tenure_of(old).as_ref() == Some(&tenure) {
        return None;
    }
    let note = format!("{} leads", holder.name);
    let pod = input.snapshot.holder_pod.as_ref().map(|pod| (pod.name.clone(), pod.uid.clone()));
    Some(event(input, &tenure, EventReason::LeaderElected, note, pod))
}

/// The event that answers a request for another leader.
pub(super) fn transferred(input: &PlanInput<'_>, verdict: &Verdict) -> ElectionEvent {
    let target = shown(request(input.election).unwrap_or_default(), MAX_NAME);
    let (reason, note) = match verdict {
        Verdict::Completed(who) => (EventReason::TransferCompleted, format!("asked for {target}: {who}")),
        Verdict::Refused(why) => (EventReason::TransferRefused, format!("asked for {target}: {why}")),
    };
    // Somebody may ask again for the same: the version of the election that first asks is another then.
    let version = input.snapshot.transfer.as_ref().and_then(|transfer| transfer.version.as_deref());
    let asked_for = Some(target.into_owned());
    ElectionEvent { asked_for, ..event(input, version.unwrap_or_default(), reason, note, None) }
}

/// The leader that a status names, if it is certain.
fn leader(status: &LeaderElectionStatus) -> Option<&Holder> {
    let elected = leader_elected(status)?;
    status.holder.as_ref().filter(|_| elected.status == Status::True.as_str())
}

/// The leader's tenure as part of an event's name: the Lease's uid and the number of the tenure, or else the time at
/// which it began.
fn tenure_of(status: &LeaderElectionStatus) -> Option<String> {
    let (uid, number) = (status.lease_uid.as_deref()?, status.lease_transitions?);
    let uncounted = status.history.first().filter(|tenure| tenure.lease_transitions.is_none());
    let begun = uncounted.and_then(|tenure| parse_timestamp(tenure.from.as_deref()?));
    Some(match begun {
        Some(begun) => format!("{uid}.{number}.{}", begun.as_microseconds()),
        None => format!("{uid}.{number}"),
    })
}

/// The pod of a holder that may be gone: its identity states the uid.
fn related_old(input: &PlanInput<'_>, holder: &Holder) -> Option<(String, String)> {
    let (name, uid) = identity::pod_and_uid(&holder.identity)?;
    let pods = input.snapshot.pods.iter().chain(&input.snapshot.holder_pod);
    let pod = pods.into_iter().find(|pod| pod.name == name && pod.uid == uid)?;
    Some((pod.name.clone(), pod.uid.clone()))
}

fn event(
    input: &PlanInput<'_>,
    what: &str,
    reason: EventReason,
    note: String,
    related_pod: Option<(String, String)>,
) -> ElectionEvent {
    let election = name(input.election);
    let uid = input.election.uid().unwrap_or_default();
    let name =
        [election, uid, what.to_owned(), reason.as_str().to_lowercase()].map(|part| object_name(&part)).join(".");
    let note = shown(&note, MAX_MESSAGE).into_owned();
    ElectionEvent { name, reason, note, asked_for: None, related_pod }
}

/// `part` as a part of an object's name. Names, uids and versions are valid parts already, except in a store that was
/// edited by hand.
fn object_name(part: &str) -> String {
    let is_allowed = |letter: &char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || "-.".contains(*letter);
    let allowed: String = part.chars().filter(is_allowed).take(MAX_PART).collect();
    let pieces = allowed.split('.').map(|piece| piece.trim_matches('-')).filter(|piece| !piece.is_empty());
    let name = pieces.collect::<Vec<_>>().join(".");
    if name.is_empty() { "unknown".to_owned() } else { name }
}
