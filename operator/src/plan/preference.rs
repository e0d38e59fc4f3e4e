//! Preferred candidates: a leader is asked to hand over to a preferred candidate that has been able to lead for long
//! enough.
//!
//! Each handover in a row within the last hour doubles the wait, and so does each tenure that the preferred pod has
//! lost in that time. If a person has moved the leadership away from a preferred pod, that is left so as long as the
//! pod lives.

use std::sync::Arc;
use std::time::Duration;

use elector_crds::{LeaderElection, PastTenure, TenureEnd, identity};
use kube::core::SelectorExt as _;

use super::PlanInput;
use crate::index::{ClockReading, ElectionSnapshot, LeaseSeen, Pod, TenurePhase};

/// How many lease durations a preferred pod must have been able to lead, and the leader have led.
pub(super) const SETTLED_LEASE_DURATIONS: u32 = 2;

/// The longest wait before a handover.
const MAX_WAIT: Duration = Duration::from_secs(3600);

/// A candidate that should lead in place of the leader, and when it may be asked to.
pub(super) struct Better<'a> {
    pub(super) pod: &'a Pod,
    pub(super) due: Duration,
}

/// Whether `identity` is a pod that can lead and is preferred to the leader.
pub(super) fn is_better(election: &LeaderElection, snapshot: &ElectionSnapshot, identity: &str) -> bool {
    let Some(leader) = &snapshot.holder_pod else { return false };
    let is_it = |pod: &&Arc<Pod>| identity::of_pod(&pod.name, &pod.uid) == identity;
    let pod = snapshot.pods.iter().find(is_it).filter(|pod| is_able(pod));
    pod.is_some_and(|pod| rank(election, pod) < rank(election, leader))
}

/// The leader's pod, if the leader is certain and can be asked to hand over.
pub(super) fn leader<'a>(input: &PlanInput<'a>, seen: &LeaseSeen) -> Option<&'a Arc<Pod>> {
    let leads = !input.election.spec.paused && input.phase(seen) == TenurePhase::Held;
    input.snapshot.holder_pod.as_ref().filter(|leader| leads && !leader.terminating)
}

/// The preferred candidate that should lead in place of the leader.
pub(super) fn better<'a>(input: &PlanInput<'a>, seen: &LeaseSeen) -> Option<Better<'a>> {
    let PlanInput { election, snapshot, now, .. } = *input;
    if election.spec.candidates.preferred.is_empty() {
        return None;
    }
    let leader = leader(input, seen)?;
    let history = input.history();
    if was_moved_away(election, snapshot, history, leader) {
        return None;
    }
    let patience = input.own_duration() * SETTLED_LEASE_DURATIONS;
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

/// The index of the first selector that matches the pod; a pod that matches none comes last.
pub(super) fn rank(election: &LeaderElection, pod: &Pod) -> usize {
    let preferred = &election.spec.candidates.preferred;
    preferred.iter().position(|selector| selector.to_selector().matches(&pod.labels)).unwrap_or(preferred.len())
}

/// Whether the pod can lead; its app need not be ready.
pub(super) fn is_able(pod: &Pod) -> bool {
    pod.is_candidate() && pod.able_since.is_some()
}

/// When a pod that has been fit since `since` may be asked to lead: after `patience`, or later if it has lost tenures.
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

/// How long ago a tenure ended, by the wall clocks of operators. It is exact enough for hints only.
fn ago(tenure: &PastTenure, now: ClockReading) -> Option<Duration> {
    let until: jiff::Timestamp = tenure.until.as_ref()?.parse().ok()?;
    Some(now.wall.duration_since(until).unsigned_abs())
}

pub(super) fn wait(patience: Duration, times: usize) -> Duration {
    let factor = u32::try_from(times).ok().and_then(|times| 2_u32.checked_pow(times)).unwrap_or(u32::MAX);
    patience.saturating_mul(factor).min(MAX_WAIT.max(patience))
}

/// Whether the pod is not ready, and lost its last tenure within the last hour because it was not ready: its app is not
/// ready wherever it leads.
fn was_unready(history: &[PastTenure], pod: &Pod, now: ClockReading) -> bool {
    let last = history.iter().find(|tenure| tenure.holder == pod.name && tenure.until.is_some());
    let is_recent = |tenure: &&PastTenure| ago(tenure, now).is_some_and(|ago| ago < MAX_WAIT);
    let ended = last.filter(is_recent).and_then(|tenure| tenure.reason.as_deref());
    pod.ready_since.is_none() && ended == Some(TenureEnd::Unready.as_str())
}

/// How many of the last tenures, one after the other, ended by a handover within the last hour.
pub(super) fn handovers(history: &[PastTenure], now: ClockReading) -> usize {
    let ended = history.iter().skip_while(|tenure| tenure.until.is_none());
    let handovers = [TenureEnd::Transferred, TenureEnd::Preferred, TenureEnd::Unready].map(TenureEnd::as_str);
    let is_handover = |tenure: &&PastTenure| {
        let is_recent = ago(tenure, now).is_some_and(|ago| ago < MAX_WAIT);
        is_recent && tenure.reason.as_deref().is_some_and(|reason| handovers.contains(&reason))
    };
    ended.take_while(is_handover).count()
}

/// Whether a person has moved the leadership away from a pod that is preferred to the leader: the last tenure of that
/// pod ended on request.
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
