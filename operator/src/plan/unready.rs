//! A leader whose pod is not ready: after a while it is asked to hand over to a candidate whose pod is.
//!
//! An agent leads on beside an app that crashes all the time: what is to be done by the leader is not done. Each handover in a row
//! within the last hour doubles the wait, and so does each tenure that the other pod has lost in it.

use std::time::Duration;

use elector_crds::{LeaderElection, identity};

use super::PlanInput;
use super::preference::{self, Better};
use crate::index::{ElectionSnapshot, LeaseSeen, Pod};

/// Whether `identity` is a pod that is ready, while the leader's is not, and may not be for ever.
pub(super) fn is_better(election: &LeaderElection, snapshot: &ElectionSnapshot, identity: &str) -> bool {
    let leader = snapshot.holder_pod.as_ref();
    let is_it = |pod: &Pod| identity::of_pod(&pod.name, &pod.uid) == identity;
    election.spec.unready_leader_seconds > 0
        && leader.is_some_and(|leader| leader.unready_since.is_some())
        && snapshot.pods.iter().any(|pod| is_it(pod) && is_ready(election, pod))
}

/// The candidate that had better lead than one whose pod is not ready: of those that are due the one that is preferred.
pub(super) fn better<'a>(view: &PlanInput<'a>, seen: &LeaseSeen) -> Option<Better<'a>> {
    let PlanInput { election, snapshot, now, .. } = *view;
    let leader = preference::leader(view, seen)?;
    let unready_since = leader.unready_since?.max(seen.tenure_since);
    let asked_at = unready_since + patience(view)?;
    let ready_for = view.own_duration() * preference::SETTLED_LEASE_DURATIONS;
    let others = snapshot.pods.iter().filter(|pod| is_ready(election, pod) && pod.uid != leader.uid);
    let others = others.map(|pod| {
        let ready_since = pod.ready_since.unwrap_or(now.at);
        let due = preference::due(view.history(), pod, ready_since, ready_for, now);
        Better { pod, due: due.max(asked_at) }
    });
    others
        .min_by_key(|better| (better.due.max(now.at), preference::rank(election, better.pod), better.pod.name.clone()))
}

/// For how long a leader may not be ready. `None`: for ever.
pub(super) fn patience(view: &PlanInput<'_>) -> Option<Duration> {
    let seconds = u64::try_from(view.election.spec.unready_leader_seconds).ok().filter(|seconds| *seconds > 0)?;
    Some(preference::wait(Duration::from_secs(seconds), preference::handovers(view.history(), view.now)))
}

/// Whether it could lead, and its app is ready.
fn is_ready(election: &LeaderElection, pod: &Pod) -> bool {
    let is_listed = election.spec.candidates.lists(&pod.service_account);
    pod.is_candidate() && pod.ready_since.is_some() && is_listed && !pod.lacks_agent
}
