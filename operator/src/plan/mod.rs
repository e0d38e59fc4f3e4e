//! The plan for one election: a pure function of what is asked for, what is observed, and the time.
//!
//! Objects come first. As long as an object is to be written, nothing is reported about it: status and events are
//! planned once the answers have been observed.

mod candidates;
mod events;
pub mod flapping;
mod hints;
mod hints_followed;
mod history;
mod input;
pub mod lease;
mod preference;
pub mod rbac;
mod status;
#[cfg(test)]
mod tests;
pub mod traffic;
mod unready;

use std::time::Duration;

use elector_crds::event::ElectionEvent;
use elector_crds::{LeaderElection, LeaderElectionStatus};
use elector_election::Hints;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::ResourceExt;

use self::input::PlanInput;
pub use self::lease::LeaseAction;
use self::lease::Ownership;
pub use self::traffic::TrafficWrite;
use crate::index::{ClockReading, ElectionSnapshot, LeaseSeen, Part, Unreadable};

/// What to do for one election.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    /// The changes to Services, slices and labels, which lead traffic to the leader. They come first because traffic
    /// waits for them.
    pub traffic: Vec<TrafficWrite>,
    /// The change to the Lease.
    pub lease: LeaseAction,
    /// The Role to apply.
    pub role: Option<Role>,
    /// The RoleBinding to apply.
    pub role_binding: Option<RoleBinding>,
    /// The events to create, before the status says the same; their names make sure that no event is created twice.
    pub events: Vec<ElectionEvent>,
    /// The target of a request that is done or refused, to be removed after the events are created.
    pub request_done: Option<String>,
    /// The status to apply.
    pub status: Option<LeaderElectionStatus>,
    /// How long to wait before the next plan, even if no change is seen.
    pub next_look: Option<Duration>,
    /// How long to wait before the next plan if the Lease goes on being renewed.
    pub next_look_if_renewed: Option<Duration>,
}

impl Plan {
    /// Whether the plan writes or asks for nothing.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.traffic.is_empty()
            && !self.has_objects()
            && self.events.is_empty()
            && self.request_done.is_none()
            && self.status.is_none()
    }

    /// Whether the plan writes or asks for anything but events and status.
    #[must_use]
    pub fn has_objects(&self) -> bool {
        self.lease != LeaseAction::None || self.role.is_some() || self.role_binding.is_some()
    }
}

/// Plans what to do about `election`.
#[must_use]
pub fn plan(election: &LeaderElection, snapshot: &ElectionSnapshot, now: ClockReading) -> Plan {
    // The garbage collector is about to take everything.
    if election.metadata.deletion_timestamp.is_some() {
        return Plan::default();
    }
    let input = PlanInput::new(election, snapshot, now);
    if let Some(Unreadable::NamespaceTooLarge { .. }) = snapshot.unreadable {
        let status = status::unattended(&input);
        let status = (election.status.as_ref() != Some(&status) && input.may(Part::Status)).then_some(status);
        return Plan { status, ..idle(&input) };
    }
    // A Lease is read once more before its holder is taken for gone.
    let is_looked_at = lease::look(&input) == LeaseAction::None;
    if is_looked_at && snapshot.unreadable.is_none() {
        let mut traffic = traffic::writes(&input);
        traffic.retain(|write| input.may(write.part()));
        if !traffic.is_empty() {
            return Plan { traffic, ..Plan::default() };
        }
    }
    let steering = hints::steer(&input);
    let objects = plan_objects(&input, &steering.hints);
    if objects.has_objects() {
        return objects;
    }
    if let Some(release) = lease::release(&input) {
        return Plan { lease: LeaseAction::Release(Box::new(release)), ..Plan::default() };
    }
    // Nothing to be said of a Lease that is about to be confirmed. With an invalid spec none is.
    if input.timings().is_some() && input.ours().is_some_and(LeaseSeen::is_unconfirmed) && input.may(Part::Timings) {
        return idle(&input);
    }
    let status = status::status(&input);
    let stored = election.status.clone().unwrap_or_default();
    let verdict = steering.verdict.filter(|_| input.may(Part::Request));
    let mut events = if input.may(Part::Event) { snapshot.refused_events.clone() } else { Vec::new() };
    // Of a status that cannot be stored they are planned again and again.
    let is_known = |event: &ElectionEvent| {
        let refused = snapshot.refused_events.iter().any(|refused| refused.name == event.name);
        refused || snapshot.created_events.contains(&event.name)
    };
    events.extend(events::events(&input, &stored, &status).into_iter().filter(|event| !is_known(event)));
    let status = (stored != status && input.may(Part::Status)).then_some(status);
    events.extend(verdict.as_ref().map(|verdict| events::transferred(&input, verdict)));
    let request_done = verdict.and_then(|_| hints::request(election)).map(str::to_owned);
    Plan { events, request_done, status, ..idle(&input) }
}

fn plan_objects(input: &PlanInput<'_>, hints: &Hints) -> Plan {
    let PlanInput { election, snapshot, .. } = input;
    let may = |part| input.may(part);
    if let Ownership::Foreign = input.ownership {
        // Nobody has rights by the operator on somebody else's Lease, nor keeps them on one that has become so.
        let role = rbac::role_to_empty(election, snapshot.role.as_ref()).filter(|_| may(Part::Role));
        return Plan { role, ..Plan::default() };
    }
    let look = || if may(Part::Look) { lease::look(input) } else { LeaseAction::None };
    // An invalid spec says nothing that could be put in place: what there is stays.
    let Some(timings) = input.timings() else {
        return Plan { lease: look(), ..Plan::default() };
    };
    let lease = match lease::maintain(input, timings, hints) {
        LeaseAction::None => look(),
        action => action,
    };
    if rbac::conflict(election, snapshot).is_some() {
        return Plan { lease, ..Plan::default() };
    }
    Plan {
        lease,
        role: rbac::role_to_apply(election, snapshot.role.as_ref()).filter(|_| may(Part::Role)),
        // The API server binds nobody to a Role that there is not.
        role_binding: rbac::role_binding_to_apply(election, snapshot.role_binding.as_ref())
            .filter(|_| may(Part::RoleBinding) && (may(Part::Role) || snapshot.role.is_some())),
        ..Plan::default()
    }
}

/// Nothing, until a rule says something else.
fn idle(input: &PlanInput<'_>) -> Plan {
    Plan { next_look: input.next_look(), next_look_if_renewed: input.next_look_if_renewed(), ..Plan::default() }
}

/// The name of the election, which is the name of its Lease.
fn name(election: &LeaderElection) -> String {
    election.name_any()
}
