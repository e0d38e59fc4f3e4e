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

pub use self::lease::LeaseAction;
use self::lease::Ownership;
pub use self::traffic::TrafficWrite;
use crate::index::{ClockReading, ElectionSnapshot, LeaseSeen, Part, TenurePhase, Unreadable, own_duration, phase};

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
    let ownership = lease::ownership(election, snapshot);
    if let Some(Unreadable::NamespaceTooLarge { .. }) = snapshot.unreadable {
        let view = PlanInput { election, snapshot, ownership, now };
        let status = status::unattended(&view);
        let may = snapshot.failed_writes.allow(Part::Status, now.at);
        let status = (election.status.as_ref() != Some(&status) && may).then_some(status);
        return plan_look(&view, Plan { status, ..Plan::default() });
    }
    // A Lease is read once more before its holder is taken for gone.
    let is_looked_at = lease::look(ownership, own_duration(&election.spec), now) == LeaseAction::None;
    let may = |part| snapshot.failed_writes.allow(part, now.at);
    if is_looked_at && snapshot.unreadable.is_none() {
        let mut traffic = traffic::writes(election, snapshot, ownership, now);
        traffic.retain(|write| may(write.part()));
        if !traffic.is_empty() {
            return Plan { traffic, ..Plan::default() };
        }
    }
    let steering = hints::steer(election, snapshot, ownership, now);
    let objects = plan_objects(election, snapshot, ownership, &steering.hints, now);
    if objects.has_objects() {
        return objects;
    }
    if let Some(release) = lease::release(snapshot, ownership, now) {
        return Plan { lease: LeaseAction::Release(Box::new(release)), ..Plan::default() };
    }
    let view = PlanInput { election, snapshot, ownership, now };
    // Nothing to be said of a Lease that is about to be confirmed.
    if let Ownership::Own(seen) | Ownership::Adopted(seen) = ownership
        && seen.is_unconfirmed()
        && may(Part::Timings)
    {
        return plan_look(&view, Plan::default());
    }
    let status = status::status(&view);
    let stored = election.status.clone().unwrap_or_default();
    let verdict = steering.verdict.filter(|_| may(Part::Request));
    let mut events = if may(Part::Event) { snapshot.refused_events.clone() } else { Vec::new() };
    // Of a status that cannot be stored they are planned again and again.
    let is_known = |event: &ElectionEvent| {
        let refused = snapshot.refused_events.iter().any(|refused| refused.name == event.name);
        refused || snapshot.created_events.contains(&event.name)
    };
    events.extend(events::events(&view, &stored, &status).into_iter().filter(|event| !is_known(event)));
    let status = (stored != status && may(Part::Status)).then_some(status);
    events.extend(verdict.as_ref().map(|verdict| events::transferred(&view, verdict)));
    let request_done = verdict.and_then(|_| hints::request(election)).map(str::to_owned);
    plan_look(&view, Plan { events, request_done, status, ..Plan::default() })
}

/// The input from which status and events are made.
struct PlanInput<'a> {
    election: &'a LeaderElection,
    snapshot: &'a ElectionSnapshot,
    ownership: Ownership<'a>,
    now: ClockReading,
}

impl PlanInput<'_> {
    fn own_duration(&self) -> Duration {
        own_duration(&self.election.spec)
    }

    fn phase(&self, seen: &LeaseSeen) -> TenurePhase {
        phase(seen, self.own_duration(), self.now)
    }
}

fn plan_objects(
    election: &LeaderElection,
    snapshot: &ElectionSnapshot,
    ownership: Ownership<'_>,
    hints: &Hints,
    now: ClockReading,
) -> Plan {
    let may = |part| snapshot.failed_writes.allow(part, now.at);
    if let Ownership::Foreign = ownership {
        // Nobody has rights by the operator on somebody else's Lease, nor keeps them on one that has become so.
        let role = rbac::role_to_empty(election, snapshot.role.as_ref()).filter(|_| may(Part::Role));
        return Plan { role, ..Plan::default() };
    }
    let look = |own| if may(Part::Look) { lease::look(ownership, own, now) } else { LeaseAction::None };
    // An invalid spec says nothing that could be put in place: what there is stays.
    let Some(timings) = election.spec.timings().ok().filter(|_| snapshot.unreadable.is_none()) else {
        return Plan { lease: look(own_duration(&election.spec)), ..Plan::default() };
    };
    let lease = match lease::maintain(election, snapshot, ownership, timings, hints, now) {
        LeaseAction::None => look(timings.lease_duration()),
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

fn plan_look(view: &PlanInput<'_>, plan: Plan) -> Plan {
    let expiry = match view.ownership {
        Ownership::Own(seen) | Ownership::Adopted(seen) => match view.phase(seen) {
            TenurePhase::Held | TenurePhase::NotObserved | TenurePhase::WaitingOut => {
                Some(seen.seen_at + seen.effective_duration(view.own_duration()))
            }
            TenurePhase::NeverHeld | TenurePhase::Released | TenurePhase::Expired => None,
        },
        Ownership::Absent | Ownership::Foreign => None,
    };
    let retry = view.snapshot.failed_writes.all().map(|failed| failed.retry_at).filter(|at| *at > view.now.at).min();
    let gives_up = hints::gives_up_at(view.election, view.snapshot);
    let prefers = hints::prefers_at(view);
    let releases = lease::releases_at(view.snapshot, view.ownership);
    let overdue = [candidates::overdue_at(view), hints_followed::overdue_at(view), flapping::settles_at(view)];
    let held_back = traffic::held_back_until(view.snapshot, view.ownership);
    let others = [retry, gives_up, prefers, releases, held_back].into_iter().chain(overdue);
    let later = |at: &Duration| *at > view.now.at;
    let next_look_if_renewed = others.flatten().filter(later).min();
    let next_look = expiry.filter(later).into_iter().chain(next_look_if_renewed).min();
    Plan { next_look, next_look_if_renewed, ..plan }
}

/// The name of the election, which is the name of its Lease.
fn name(election: &LeaderElection) -> String {
    election.name_any()
}
