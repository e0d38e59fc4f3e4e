//! A leader whose pod is not ready: after a while it is asked to hand over to a candidate whose pod is ready.
//!
//! An agent leads on beside an app that crashes all the time, while the work of the leader is not done. Each handover
//! in a row within the last hour doubles the wait, and so does each tenure that the other pod has lost in that time.

use std::time::Duration;

use elector_crds::{LeaderElection, identity};

use super::PlanInput;
use super::preference::{self, Better};
use crate::index::{ElectionSnapshot, LeaseSeen, Pod};

/// Whether `identity` is a pod that is ready, while the leader's is not and has limited time to become so.
pub(super) fn is_better(election: &LeaderElection, snapshot: &ElectionSnapshot, identity: &str) -> bool {
    let leader = snapshot.holder_pod.as_ref();
    let is_it = |pod: &Pod| identity::of_pod(&pod.name, &pod.uid) == identity;
    election.spec.unready_leader_seconds > 0
        && leader.is_some_and(|leader| leader.unready_since.is_some())
        && snapshot.pods.iter().any(|pod| is_it(pod) && is_ready(election, pod))
}

/// The candidate that should lead in place of a leader whose pod is not ready: of those that are due, the most
/// preferred.
pub(super) fn better<'a>(input: &PlanInput<'a>, seen: &LeaseSeen) -> Option<Better<'a>> {
    let PlanInput { election, snapshot, now, .. } = *input;
    let leader = preference::leader(input, seen)?;
    let unready_since = leader.unready_since?.max(seen.tenure_since);
    let asked_at = unready_since + patience(input)?;
    let ready_for = input.own_duration() * preference::SETTLED_LEASE_DURATIONS;
    let others = snapshot.pods.iter().filter(|pod| is_ready(election, pod) && pod.uid != leader.uid);
    let others = others.map(|pod| {
        let ready_since = pod.ready_since.unwrap_or(now.at);
        let due = preference::due(input.history(), pod, ready_since, ready_for, now);
        Better { pod, due: due.max(asked_at) }
    });
    others
        .min_by_key(|better| (better.due.max(now.at), preference::rank(election, better.pod), better.pod.name.clone()))
}

/// How long the leader's pod may be unready. `None`: for ever.
pub(super) fn patience(input: &PlanInput<'_>) -> Option<Duration> {
    let seconds = u64::try_from(input.election.spec.unready_leader_seconds).ok().filter(|seconds| *seconds > 0)?;
    Some(preference::wait(Duration::from_secs(seconds), preference::handovers(input.history(), input.now)))
}

/// Whether the pod can lead and its app is ready.
fn is_ready(election: &LeaderElection, pod: &Pod) -> bool {
    let is_listed = election.spec.candidates.lists(&pod.service_account);
    pod.is_candidate() && pod.ready_since.is_some() && is_listed && !pod.lacks_agent
}
