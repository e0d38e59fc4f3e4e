//! What leads traffic to the leader: a Service of its own, and labels on pods. Both follow the Lease, and wait for nothing else.

mod labels;
pub(crate) mod service;

use std::time::Duration;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;

pub(super) use self::labels::rival;
use super::PlanInput;
use crate::index::{Part, Pod, RoleLabel, TenurePhase};

/// One change.
#[derive(Debug, Clone, PartialEq)]
pub enum TrafficWrite {
    /// Create it, or make it so.
    Service(Box<Service>),
    /// Create it, or make it so.
    Slice(Box<EndpointSlice>),
    /// Delete it, as it was seen.
    DeleteService(Box<Service>),
    /// Delete it, as it was seen.
    DeleteSlice(Box<EndpointSlice>),
    /// Label a pod.
    Label(RoleLabel),
}

impl TrafficWrite {
    /// What of the election it is.
    #[must_use]
    pub fn part(&self) -> Part {
        match self {
            TrafficWrite::Service(_) | TrafficWrite::DeleteService(_) => Part::Service,
            TrafficWrite::Slice(_) | TrafficWrite::DeleteSlice(_) => Part::Slice,
            TrafficWrite::Label(_) => Part::Label,
        }
    }
}

/// Whom traffic is to reach.
#[derive(Debug, Clone, Copy, PartialEq)]
enum TrafficTarget<'a> {
    Nobody,
    Leader(&'a Pod),
    /// Who may lead, and has not been seen to renew: not a reason to begin sending traffic there, nor to end it.
    Unchanged(Option<&'a Pod>),
    /// Still the last leader, for a moment.
    Last,
}

/// How long traffic stays with a leader that has released, for the next one comes within milliseconds: a service proxy waits
/// up to a second between two changes, and would take the second of two for that much later.
const RELEASE_HOLD: Duration = Duration::from_millis(100);

/// What to write, in this order.
pub(super) fn writes(view: &PlanInput<'_>) -> Vec<TrafficWrite> {
    let PlanInput { election, snapshot, .. } = *view;
    let target = target(view);
    let mut writes = service::writes(election, snapshot, target);
    writes.extend(labels::labels(election, snapshot, target).into_iter().map(TrafficWrite::Label));
    writes
}

fn target<'a>(view: &PlanInput<'a>) -> TrafficTarget<'a> {
    let Some(seen) = view.ours() else { return TrafficTarget::Nobody };
    let has_service = !view.snapshot.services.is_empty();
    let leader = view.snapshot.holder_pod.as_deref().filter(|pod| pod.dead_since.is_none());
    match view.phase(seen) {
        TenurePhase::Held => leader.map_or(TrafficTarget::Nobody, TrafficTarget::Leader),
        TenurePhase::NotObserved => TrafficTarget::Unchanged(leader),
        TenurePhase::Released if has_service && !view.is_due(seen.seen_at + RELEASE_HOLD) => TrafficTarget::Last,
        TenurePhase::NeverHeld | TenurePhase::Released | TenurePhase::WaitingOut | TenurePhase::Expired => {
            TrafficTarget::Nobody
        }
    }
}
