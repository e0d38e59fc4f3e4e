//! A leader whose pod is not ready: after a while it is asked to hand over to a candidate whose pod is ready.
//!
//! An agent leads on beside an app that crashes all the time, while the work of the leader is not done. Each handover
//! in a row within the last hour doubles the wait, and so does each tenure that the other pod has lost in that time.

use std::time::Duration;

use elector_crds::{LeaderElection, identity};

use super::preference::{self, Better};
use crate::index::{ClockReading, ElectionSnapshot, LeaseSeen, Pod, own_duration};

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
pub(super) fn better<'a>(
    election: &LeaderElection,
    snapshot: &'a ElectionSnapshot,
    seen: &LeaseSeen,
    now: ClockReading,
) -> Option<Better<'a>> {
    let leader = preference::leader(election, snapshot, seen, now)?;
    let unready_since = leader.unready_since?.max(seen.tenure_since);
    let history = preference::history(election);
    let asked_at = unready_since + patience(election, now)?;
    let ready_for = own_duration(&election.spec) * preference::SETTLED_LEASE_DURATIONS;
    let others = snapshot.pods.iter().filter(|pod| is_ready(election, pod) && pod.uid != leader.uid);
    let others = others.map(|pod| {
        let ready_since = pod.ready_since.unwrap_or(now.at);
        let due = preference::due(history, pod, ready_since, ready_for, now);
        Better { pod, due: due.max(asked_at) }
    });
    others
        .min_by_key(|better| (better.due.max(now.at), preference::rank(election, better.pod), better.pod.name.clone()))
}

/// How long the leader's pod may be unready. `None`: for ever.
pub(super) fn patience(election: &LeaderElection, now: ClockReading) -> Option<Duration> {
    let seconds = u64::try_from(election.spec.unready_leader_seconds).ok().filter(|seconds| *seconds > 0)?;
    Some(preference::wait(Duration::from_secs(seconds), preference::handovers(preference::history(election), now)))
}

/// Whether the pod can lead and its app is ready.
fn is_ready(election: &LeaderElection, pod: &Pod) -> bool {
    let is_listed = election.spec.candidates.service_account_names.contains(&pod.service_account);
    pod.is_candidate() && pod.ready_since.is_some() && is_listed && !pod.lacks_agent
}
