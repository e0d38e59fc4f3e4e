//! What leads traffic to the leader: a Service of its own, and labels on pods. Both follow the Lease, and wait for nothing else.

mod labels;
pub(crate) mod service;

use elector_crds::LeaderElection;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;

pub(super) use self::labels::rival;
pub use self::labels::{Label, Role};
use super::lease::Standing;
use crate::observe::{Now, Observed, Phase, Pod, own_duration, phase};

/// One change.
#[derive(Debug, Clone, PartialEq)]
pub enum Write {
    /// Create it, or make it so.
    Service(Box<Service>),
    /// Create it, or make it so.
    Slice(Box<EndpointSlice>),
    /// Delete it, as it was seen.
    DeleteService(Box<Service>),
    /// Delete it, as it was seen.
    DeleteSlice(Box<EndpointSlice>),
    /// Label a pod.
    Label(Label),
}

/// Whom traffic is to reach.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Target<'a> {
    Nobody,
    Leader(&'a Pod),
    /// Who may lead, and has not been seen to renew: not a reason to begin sending traffic there, nor to end it.
    Unchanged(Option<&'a Pod>),
}

/// What to write, in this order.
pub(super) fn writes(election: &LeaderElection, observed: &Observed, standing: Standing<'_>, now: Now) -> Vec<Write> {
    let target = target(election, observed, standing, now);
    let mut writes = service::writes(election, observed, target);
    writes.extend(labels::labels(election, observed, target).into_iter().map(Write::Label));
    writes
}

fn target<'a>(election: &LeaderElection, observed: &'a Observed, standing: Standing<'_>, now: Now) -> Target<'a> {
    let (Standing::Own(seen) | Standing::Adopted(seen)) = standing else { return Target::Nobody };
    let leader = observed.holder_pod.as_ref().filter(|pod| pod.dead_since.is_none());
    match phase(seen, own_duration(&election.spec), now) {
        Phase::Held => leader.map_or(Target::Nobody, Target::Leader),
        Phase::NotObserved => Target::Unchanged(leader),
        Phase::NeverHeld | Phase::Released | Phase::WaitingOut | Phase::Expired => Target::Nobody,
    }
}
