//! The plan for traffic to the leader: a Service of its own, and labels on pods. Both follow the Lease, and wait for
//! nothing else.

mod labels;
pub(crate) mod service;

use std::time::Duration;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;

pub(super) use self::labels::rival;
use super::PlanInput;
use crate::index::{Part, Pod, RoleLabel, TenurePhase};

/// One change to a Service, a slice or a label.
#[derive(Debug, Clone, PartialEq)]
pub enum TrafficWrite {
    /// Create the leader's Service, or replace it.
    Service(Box<Service>),
    /// Create an EndpointSlice of the leader's Service, or apply it.
    Slice(Box<EndpointSlice>),
    /// Delete the Service, if it is the one that was seen.
    DeleteService(Box<Service>),
    /// Delete the EndpointSlice, if it is the one that was seen.
    DeleteSlice(Box<EndpointSlice>),
    /// Label a pod.
    Label(RoleLabel),
}

impl TrafficWrite {
    /// The part of the election that this change belongs to.
    #[must_use]
    pub fn part(&self) -> Part {
        match self {
            TrafficWrite::Service(_) | TrafficWrite::DeleteService(_) => Part::Service,
            TrafficWrite::Slice(_) | TrafficWrite::DeleteSlice(_) => Part::Slice,
            TrafficWrite::Label(_) => Part::Label,
        }
    }
}

/// The pod that traffic should reach.
#[derive(Debug, Clone, Copy, PartialEq)]
enum TrafficTarget<'a> {
    Nobody,
    Leader(&'a Pod),
    /// The holder may lead, and has not been seen to renew: traffic that goes to it stays, and none is sent there anew.
    Unchanged(Option<&'a Pod>),
    /// The last leader, for a moment longer.
    Last,
}

/// How long traffic stays with a leader that has released, because the next one comes within milliseconds. A service
/// proxy waits up to a second between two changes, and would apply the second change that much later.
const RELEASE_HOLD: Duration = Duration::from_millis(100);

/// The changes to write, in this order.
pub(super) fn writes(input: &PlanInput<'_>) -> Vec<TrafficWrite> {
    let PlanInput { election, snapshot, .. } = *input;
    let target = target(input);
    let mut writes = service::writes(election, snapshot, target);
    writes.extend(labels::labels(election, snapshot, target).into_iter().map(TrafficWrite::Label));
    writes
}

fn target<'a>(input: &PlanInput<'a>) -> TrafficTarget<'a> {
    let Some(seen) = input.ours() else { return TrafficTarget::Nobody };
    let has_service = !input.snapshot.services.is_empty();
    let leader = input.snapshot.holder_pod.as_deref().filter(|pod| pod.dead_since.is_none());
    match input.phase(seen) {
        TenurePhase::Held => leader.map_or(TrafficTarget::Nobody, TrafficTarget::Leader),
        TenurePhase::NotObserved => TrafficTarget::Unchanged(leader),
        TenurePhase::Released if has_service && !input.is_due(seen.seen_at + RELEASE_HOLD) => TrafficTarget::Last,
        TenurePhase::NeverHeld | TenurePhase::Released | TenurePhase::WaitingOut | TenurePhase::Expired => {
            TrafficTarget::Nobody
        }
    }
}
