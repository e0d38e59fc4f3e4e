//! The plan for the labels that say on each candidate's pod whether it leads. A stale label is removed before another
//! is set.

use elector_crds::{LeaderElection, PodLabels, ROLE_LABEL};
use kube::ResourceExt as _;

use super::TrafficTarget;
use crate::index::{ElectionSnapshot, Pod, PodRole, RoleLabel};

/// The other election that labels the same pods and has the right to do so alone.
pub(in crate::plan) fn rival<'a>(election: &LeaderElection, snapshot: &'a ElectionSnapshot) -> Option<&'a str> {
    let enabled = election.spec.pod_labels == PodLabels::Enabled && snapshot.features.pod_labels;
    snapshot.labelled_by.as_deref().filter(|other| enabled && **other < *election.name_any())
}

/// The labels to write, in this order.
pub(super) fn labels(
    election: &LeaderElection,
    snapshot: &ElectionSnapshot,
    target: TrafficTarget<'_>,
) -> Vec<RoleLabel> {
    if !snapshot.features.pod_labels {
        return Vec::new();
    }
    let label = |pod: &Pod, role| RoleLabel { pod: pod.name.clone(), uid: pod.uid.clone(), role };
    let mut labels: Vec<RoleLabel> = snapshot.strays.iter().map(|pod| label(pod, None)).collect();
    if rival(election, snapshot).is_some() {
        return labels;
    }
    // Those that another election looks after are its business.
    let enabled = match election.spec.pod_labels {
        PodLabels::Enabled => true,
        PodLabels::Disabled if snapshot.labelled_by.is_some() => return labels,
        PodLabels::Disabled => false,
    };
    let wanted = |pod: &Pod| match role_of(pod) {
        _ if !enabled => None,
        // What ends or has ended is as it was, unless it was the leader.
        shown if !pod.is_candidate() && !is_target(pod, target) => shown.map(|_| PodRole::Standby),
        _ if is_target(pod, target) => Some(PodRole::Leader),
        _ => Some(PodRole::Standby),
    };
    let changes = snapshot
        .pods
        .iter()
        .filter(|pod| pod.labels.get(ROLE_LABEL).map(String::as_str) != wanted(pod).map(PodRole::as_str));
    labels.extend(changes.map(|pod| label(pod, wanted(pod))));
    labels.sort_by_key(|label| (label.role == Some(PodRole::Leader), label.pod.clone()));
    labels
}

fn is_target(pod: &Pod, target: TrafficTarget<'_>) -> bool {
    match target {
        TrafficTarget::Nobody | TrafficTarget::Last => false,
        TrafficTarget::Leader(leader) => leader.uid == pod.uid,
        TrafficTarget::Unchanged(holder) => {
            holder.is_some_and(|holder| holder.uid == pod.uid) && role_of(pod) == Some(PodRole::Leader)
        }
    }
}

fn role_of(pod: &Pod) -> Option<PodRole> {
    PodRole::parse(pod.labels.get(ROLE_LABEL)?)
}
