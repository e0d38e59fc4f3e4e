//! The candidates: the pods that may lead, and why none of them leads.

use std::time::Duration;

use elector_crds::conditions::{ConditionType, Reason, Status, condition};
use elector_crds::display_text::{MAX_NAME, shown};
use elector_crds::selector_text;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::{PlanInput, name, unready};
use crate::index::{Pod, TenurePhase};

/// The number of lease durations after which a free Lease that able candidates do not take counts as without a taker.
const NO_TAKER_LEASE_DURATIONS: u32 = 2;

/// The candidates among the pods that match, in the order of their names, so that messages name the same pod each time.
pub(super) fn candidates<'a>(input: &PlanInput<'a>) -> Vec<&'a Pod> {
    let mut candidates: Vec<&Pod> =
        input.snapshot.pods.iter().map(AsRef::as_ref).filter(|pod| pod.is_candidate()).collect();
    candidates.sort_by(|one, other| one.name.cmp(&other.name));
    candidates
}

pub(super) fn ready_count(candidates: &[&Pod]) -> usize {
    candidates.iter().filter(|pod| pod.ready_since.is_some()).count()
}

pub(super) fn candidates_ready(input: &PlanInput<'_>, candidates: &[&Pod]) -> Condition {
    let not = |reason, message: String| condition(ConditionType::CandidatesReady, Status::False, reason, message);
    if input.snapshot.is_partial {
        let message = "the namespace has more objects than the operator has room for: of some pods it knows nothing";
        return condition(ConditionType::CandidatesReady, Status::Unknown, Reason::PodsLeftOut, message);
    }
    if candidates.is_empty() {
        let selector = selector_text(&input.election.spec.selector(&name(input.election)));
        let selector = shown(&selector, MAX_NAME);
        return not(
            Reason::NoPodsMatch,
            format!("no pod matches {selector}; label the candidates so, or set spec.candidates.selector"),
        );
    }
    if let Some(message) = leader_not_ready(input) {
        return not(Reason::LeaderNotReady, message);
    }
    if let Some(pod) = candidates.iter().find(|pod| !input.election.spec.candidates.lists(&pod.service_account)) {
        return not(
            Reason::ServiceAccountNotListed,
            format!(
                "pod {} runs as service account {}, which may not contend; add it to spec.candidates.serviceAccountNames",
                pod.name, pod.service_account
            ),
        );
    }
    let mut able = candidates.iter().filter(|pod| pod.able_since.is_some());
    if overdue_at(input).is_some_and(|at| input.is_due(at))
        && let Some(pod) = able.clone().find(|pod| pod.lacks_agent).or(able.next())
    {
        let mend = if pod.lacks_agent {
            "it has no container leader-elector: if it was made before the chart, or while injection was off, restart its workload"
        } else {
            "look at the log of its agent"
        };
        let message = format!("pod {} runs and the Lease is free, but nobody takes it; {mend}", pod.name);
        return not(Reason::NoneContends, message);
    }
    if let Some(pod) = candidates.iter().find(|pod| pod.ready_since.is_none()) {
        let mend = if pod.able_since.is_some() {
            "all its containers run, so that it can lead; if its app is ready only on the leader, let the readiness probe ask /readyz of the agent"
        } else {
            "see kubectl describe pod"
        };
        return not(Reason::SomeNotReady, format!("pod {} is not ready; {mend}", pod.name));
    }
    condition(ConditionType::CandidatesReady, Status::True, Reason::AllReady, "all candidates are ready")
}

/// The message that the leader's pod is not ready, and what follows from it. `None` if it is ready, or no pod leads for
/// certain.
fn leader_not_ready(input: &PlanInput<'_>) -> Option<String> {
    let seen = input.ours()?;
    let is_certain = input.phase(seen) == TenurePhase::Held;
    let leader = input.snapshot.holder_pod.as_ref().filter(|leader| is_certain && !leader.terminating)?;
    leader.unready_since?;
    let other = unready::better(input, seen);
    let follows = match unready::patience(input) {
        Some(patience) if other.is_some() => {
            format!("after {} s it is asked to hand over to one that is", patience.as_secs())
        }
        Some(_) => "there is no other candidate that is".to_owned(),
        None => "spec.unreadyLeaderSeconds is 0, so that it is not asked to hand over".to_owned(),
    };
    Some(format!("pod {} leads and is not ready: {follows}; see kubectl describe pod", leader.name))
}

/// When a free Lease will have been without a taker for too long. `None` if it is not free, or no candidate is able to
/// lead.
fn overdue_at(input: &PlanInput<'_>) -> Option<Duration> {
    let seen = input.ours()?;
    if input.election.spec.paused {
        return None;
    }
    let wait = seen.effective_duration(input.own_duration());
    let free_since = match input.phase(seen) {
        TenurePhase::NeverHeld | TenurePhase::Released => seen.seen_at,
        TenurePhase::Expired => seen.seen_at + wait,
        TenurePhase::Held | TenurePhase::NotObserved | TenurePhase::WaitingOut => return None,
    };
    let able = candidates(input).into_iter().filter(|pod| input.election.spec.candidates.lists(&pod.service_account));
    let able_since = able.filter_map(|pod| pod.able_since).min()?;
    Some(free_since.max(able_since) + NO_TAKER_LEASE_DURATIONS * wait)
}
