//! The plan for traffic to the leader: a Service of its own, and labels on pods. Both follow the Lease, and wait for
//! nothing else.

mod labels;
pub(crate) mod service;

use std::time::Duration;

use elector_crds::LeaderElection;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;

pub(super) use self::labels::rival;
use super::lease::Ownership;
use crate::index::{ClockReading, ElectionSnapshot, Part, Pod, RoleLabel, TenurePhase, own_duration, phase};

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

/// When traffic that was held back is looked at again.
pub(super) fn held_back_until(snapshot: &ElectionSnapshot, ownership: Ownership<'_>) -> Option<Duration> {
    let (Ownership::Own(seen) | Ownership::Adopted(seen)) = ownership else { return None };
    let asked = !snapshot.services.is_empty();
    (asked && seen.lease.tells_of_release()).then(|| seen.seen_at + RELEASE_HOLD)
}

/// The changes to write, in this order.
pub(super) fn writes(
    election: &LeaderElection,
    snapshot: &ElectionSnapshot,
    ownership: Ownership<'_>,
    now: ClockReading,
) -> Vec<TrafficWrite> {
    let target = target(election, snapshot, ownership, now);
    let mut writes = service::writes(election, snapshot, target);
    writes.extend(labels::labels(election, snapshot, target).into_iter().map(TrafficWrite::Label));
    writes
}

fn target<'a>(
    election: &LeaderElection,
    snapshot: &'a ElectionSnapshot,
    ownership: Ownership<'_>,
    now: ClockReading,
) -> TrafficTarget<'a> {
    let (Ownership::Own(seen) | Ownership::Adopted(seen)) = ownership else { return TrafficTarget::Nobody };
    let leader = snapshot.holder_pod.as_deref().filter(|pod| pod.dead_since.is_none());
    match phase(seen, own_duration(&election.spec), now) {
        TenurePhase::Held => leader.map_or(TrafficTarget::Nobody, TrafficTarget::Leader),
        TenurePhase::NotObserved => TrafficTarget::Unchanged(leader),
        TenurePhase::Released if now.at < seen.seen_at + RELEASE_HOLD => TrafficTarget::Last,
        TenurePhase::NeverHeld | TenurePhase::Released | TenurePhase::WaitingOut | TenurePhase::Expired => {
            TrafficTarget::Nobody
        }
    }
}
