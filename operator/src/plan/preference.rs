//! Preferred candidates: a leader to whom another is preferred is asked to hand over, once that one has been able to lead for
//! long.
//!
//! Each handover in a row within the last hour doubles the wait, and so does each tenure that the preferred pod has lost in it.
//! A person who has moved the tenure away from a preferred pod is not contradicted as long as that pod lives.

use std::sync::Arc;
use std::time::Duration;

use elector_crds::{LeaderElection, PastTenure, TenureEnd, identity};
use kube::core::SelectorExt as _;

use super::PlanInput;
use crate::index::{ClockReading, ElectionSnapshot, LeaseSeen, Pod, TenurePhase};

/// How many lease durations a preferred pod must have been able to lead, and the leader have led.
pub(super) const SETTLED_LEASE_DURATIONS: u32 = 2;

/// The longest wait.
const MAX_WAIT: Duration = Duration::from_secs(3600);

/// A candidate that had better lead, and when it may be asked to.
pub(super) struct Better<'a> {
    pub(super) pod: &'a Pod,
    pub(super) due: Duration,
}

/// Whether `identity` is a pod that can lead, and preferred to the one that leads.
pub(super) fn is_better(election: &LeaderElection, snapshot: &ElectionSnapshot, identity: &str) -> bool {
    let Some(leader) = &snapshot.holder_pod else { return false };
    let is_it = |pod: &&Arc<Pod>| identity::of_pod(&pod.name, &pod.uid) == identity;
    let pod = snapshot.pods.iter().find(is_it).filter(|pod| is_able(pod));
    pod.is_some_and(|pod| rank(election, pod) < rank(election, leader))
}

/// The pod of who leads for certain and can be asked to hand over.
pub(super) fn leader<'a>(view: &PlanInput<'a>, seen: &LeaseSeen) -> Option<&'a Arc<Pod>> {
    let leads = !view.election.spec.paused && view.phase(seen) == TenurePhase::Held;
    view.snapshot.holder_pod.as_ref().filter(|leader| leads && !leader.terminating)
}

/// The candidate that had better lead than the one that does.
pub(super) fn better<'a>(view: &PlanInput<'a>, seen: &LeaseSeen) -> Option<Better<'a>> {
    let PlanInput { election, snapshot, now, .. } = *view;
    if election.spec.candidates.preferred.is_empty() {
        return None;
    }
    let leader = leader(view, seen)?;
    let history = view.history();
    if was_moved_away(election, snapshot, history, leader) {
        return None;
    }
    let patience = view.own_duration() * SETTLED_LEASE_DURATIONS;
    let led_long_enough = seen.tenure_since + wait(patience, handovers(history, now));
    let rank_of_leader = rank(election, leader);
    let is_better = |pod: &Pod| is_able(pod) && rank(election, pod) < rank_of_leader;
    let better = snapshot.pods.iter().filter(|pod| is_better(pod) && !was_unready(history, pod, now));
    let better = better.map(|pod| {
        let due = due(history, pod, pod.able_since.unwrap_or(now.at), patience, now);
        Better { pod, due: due.max(led_long_enough) }
    });
    // One that is better still is waited for, unless it is known to lose what it gets.
    let soon = |better: &Better<'_>| better.due <= now.at + patience;
    better.min_by_key(|better| (!soon(better), rank(election, better.pod), better.due, better.pod.name.clone()))
}

/// The index of the first selector that matches; one that none matches comes last.
pub(super) fn rank(election: &LeaderElection, pod: &Pod) -> usize {
    let preferred = &election.spec.candidates.preferred;
    preferred.iter().position(|selector| selector.to_selector().matches(&pod.labels)).unwrap_or(preferred.len())
}

/// Whether it can lead, though its app may not be ready before.
pub(super) fn is_able(pod: &Pod) -> bool {
    pod.is_candidate() && pod.able_since.is_some()
}

/// When it has been as it should for that long, or longer if it has lost tenures: it is so since `since`.
pub(super) fn due(
    history: &[PastTenure],
    pod: &Pod,
    since: Duration,
    patience: Duration,
    now: ClockReading,
) -> Duration {
    let lost = |tenure: &&PastTenure| {
        let reason = tenure.reason.as_deref().unwrap_or_default();
        let given = [TenureEnd::Transferred, TenureEnd::Preferred, TenureEnd::Paused, TenureEnd::LeaseDeleted];
        let is_given = given.iter().any(|given| given.as_str() == reason);
        tenure.holder == pod.name && !is_given && ago(tenure, now).is_some_and(|ago| ago < MAX_WAIT)
    };
    let mut lost = history.iter().filter(lost);
    let count = lost.clone().count();
    let last = lost.next().and_then(|tenure| ago(tenure, now));
    let last = last.map_or(Duration::ZERO, |ago| now.at.saturating_sub(ago));
    since.max(last) + wait(patience, count)
}

/// How long ago it ended: by the wall clock of operators alone, and for advice only.
fn ago(tenure: &PastTenure, now: ClockReading) -> Option<Duration> {
    let until: jiff::Timestamp = tenure.until.as_ref()?.parse().ok()?;
    Some(now.wall.duration_since(until).unsigned_abs())
}

pub(super) fn wait(patience: Duration, times: usize) -> Duration {
    let factor = u32::try_from(times).ok().and_then(|times| 2_u32.checked_pow(times)).unwrap_or(u32::MAX);
    patience.saturating_mul(factor).min(MAX_WAIT.max(patience))
}

/// Whether it is not ready, and was not when it led last, within the last hour: its app is so wherever it leads or not.
fn was_unready(history: &[PastTenure], pod: &Pod, now: ClockReading) -> bool {
    let last = history.iter().find(|tenure| tenure.holder == pod.name && tenure.until.is_some());
    let is_recent = |tenure: &&PastTenure| ago(tenure, now).is_some_and(|ago| ago < MAX_WAIT);
    let ended = last.filter(is_recent).and_then(|tenure| tenure.reason.as_deref());
    pod.ready_since.is_none() && ended == Some(TenureEnd::Unready.as_str())
}

/// How many of the last tenures ended in favour of another, one after the other, within the last hour.
pub(super) fn handovers(history: &[PastTenure], now: ClockReading) -> usize {
    let ended = history.iter().skip_while(|tenure| tenure.until.is_none());
    let handovers = [TenureEnd::Transferred, TenureEnd::Preferred, TenureEnd::Unready].map(TenureEnd::as_str);
    let is_handover = |tenure: &&PastTenure| {
        let is_recent = ago(tenure, now).is_some_and(|ago| ago < MAX_WAIT);
        is_recent && tenure.reason.as_deref().is_some_and(|reason| handovers.contains(&reason))
    };
    ended.take_while(is_handover).count()
}

/// Whether the last tenure was handed over on request by a pod that is preferred to the one that leads: as somebody wishes.
fn was_moved_away(
    election: &LeaderElection,
    snapshot: &ElectionSnapshot,
    history: &[PastTenure],
    leader: &Pod,
) -> bool {
    let is_of_others = |tenure: &&PastTenure| tenure.reason.as_deref() != Some(TenureEnd::Unready.as_str());
    let mut ended = history.iter().filter(|tenure| tenure.until.is_some());
    let Some(last) = ended.find(is_of_others) else { return false };
    let by = snapshot.pods.iter().find(|pod| identity::of_pod(&pod.name, &pod.uid) == last.identity);
    last.reason.as_deref() == Some(TenureEnd::Transferred.as_str())
        && by.is_some_and(|by| by.is_candidate() && rank(election, by) < rank(election, leader))
}
