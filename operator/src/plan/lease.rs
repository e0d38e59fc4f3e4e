//! The Lease: whose it is, what to create where there is none, and what to keep current on one that exists (rules O1–O3).

use std::time::Duration;

use elector_crds::annotations::TimingsAnnotation;
use elector_crds::lease::FirstRecord;
use elector_crds::{
    CandidateIdentity, ELECTION_LABEL, GROUP, LeaderElection, STRICT_IDENTITY_LABEL, StoredLease, TIMINGS_ANNOTATION,
};
use elector_election::{Timings, UNKNOWN_HOLDER};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::{Resource, ResourceExt};

use crate::observe::{LeaseSeen, Now, Observed, Phase, Pod, phase};
use crate::{MANAGED_BY_LABEL, NAME};

/// In namespaces of this kind Leases belong to the control plane.
const CONTROL_PLANE_NAMESPACES: &str = "kube-";

/// The value of the label, as its presence says all.
const STRICT: &str = "true";

/// What to do to the Lease.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum LeaseAction {
    /// Nothing.
    #[default]
    None,
    /// Create it unconfirmed, and confirm that very version with these annotations.
    Create(Box<StoredLease>),
    /// Replace its metadata, at whatever version it is; `spec` is sent back as it is read (rule O1).
    Amend(Amendment),
    /// Read it from the store: it is about to be called expired, and the watch may be dead.
    Look,
}

/// What is to become of the metadata of a Lease that exists.
#[derive(Debug, Clone, PartialEq)]
pub struct Amendment {
    /// Of the Lease that is meant.
    pub uid: String,
    /// The value of the timings annotation.
    pub timings: String,
    /// The election that owns it; `None` if it was adopted.
    pub owner: Option<OwnerReference>,
    /// Whether it is marked for the policy that checks who writes.
    pub strict: bool,
}

/// Whose Lease it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Standing<'a> {
    /// There is none.
    Absent,
    /// An operator made it, for this election or an earlier one of its name.
    Own(&'a LeaseSeen),
    /// An agent of ours or a person vouches for it (rule O3).
    Adopted(&'a LeaseSeen),
    /// Somebody else's.
    Foreign(&'a LeaseSeen),
}

impl Amendment {
    /// Carries it out on what was read.
    pub fn apply(&self, stored: &mut StoredLease) {
        stored.set_annotation(TIMINGS_ANNOTATION, self.timings.clone());
        if self.strict {
            stored.labels_mut().insert(STRICT_IDENTITY_LABEL.to_owned(), STRICT.to_owned());
        } else {
            stored.labels_mut().remove(STRICT_IDENTITY_LABEL);
        }
        if let Some(owner) = &self.owner {
            let owners = stored.metadata.owner_references.get_or_insert_default();
            owners.retain(|earlier| !is_election(earlier, &owner.name));
            owners.push(owner.clone());
        }
    }
}

pub(super) fn standing<'a>(election: &LeaderElection, observed: &'a Observed) -> Standing<'a> {
    let Some(seen) = &observed.lease else { return Standing::Absent };
    if is_ours(seen.managed, &seen.owners, &election.name_any()) {
        return Standing::Own(seen);
    }
    let in_control_plane = election.namespace().unwrap_or_default().starts_with(CONTROL_PLANE_NAMESPACES);
    if (seen.lease.agent.is_some() || seen.adopt) && !in_control_plane {
        return Standing::Adopted(seen);
    }
    Standing::Foreign(seen)
}

/// Whether an operator made the object for an election called `name`: its controller says so, or, if it has none, its label.
pub(super) fn is_ours(managed: bool, owners: &[OwnerReference], name: &str) -> bool {
    let mut controllers = owners.iter().filter(|owner| owner.controller == Some(true));
    controllers.next().map_or(managed, |controller| is_election(controller, name))
}

fn is_election(owner: &OwnerReference, name: &str) -> bool {
    let (group, _) = owner.api_version.split_once('/').unwrap_or_default();
    group == GROUP && owner.kind == LeaderElection::kind(&()) && owner.name == name
}

/// Creates it, or brings its metadata up to date.
pub(super) fn maintain(
    election: &LeaderElection,
    observed: &Observed,
    standing: Standing<'_>,
    timings: Timings,
    now: Now,
) -> LeaseAction {
    let (seen, owner) = match standing {
        Standing::Absent => return LeaseAction::Create(Box::new(create(election, observed, timings, now))),
        Standing::Own(seen) => (seen, election.controller_owner_ref(&())),
        Standing::Adopted(seen) => (seen, None),
        Standing::Foreign(_) => return LeaseAction::None,
    };
    // What this process knows better than what it finds made.
    let outdated = seen.unconfirmed && seen.watched;
    let wait_seconds = match () {
        () if outdated => observed.history.duration_seconds.max(timings.lease_duration_seconds()),
        () if seen.unconfirmed => 0,
        () => seen.least_wait_seconds(),
    };
    let never_held = seen.lease.never_held && phase(seen, timings.lease_duration(), now) == Phase::NeverHeld;
    let owned = owner.as_ref().is_none_or(|owner| seen.owners.iter().any(|known| known.uid == owner.uid));
    // One that was adopted has candidates that may have named themselves.
    let strict = is_strict(election) && owner.is_some();
    if !outdated && owned && seen.lease.timings == Some(timings) && seen.strict == strict {
        return LeaseAction::None;
    }
    LeaseAction::Amend(Amendment {
        uid: seen.lease.record.uid.clone(),
        timings: TimingsAnnotation {
            timings: Some(timings),
            never_held,
            unconfirmed: seen.unconfirmed && !outdated,
            wait_seconds,
        }
        .to_json(),
        owner,
        strict,
    })
}

fn is_strict(election: &LeaderElection) -> bool {
    match election.spec.candidates.identity {
        CandidateIdentity::Pod => true,
        CandidateIdentity::Any => false,
    }
}

/// Reads a Lease that has fallen silent, once.
pub(super) fn look(standing: Standing<'_>, own: Duration, now: Now) -> LeaseAction {
    let (Standing::Own(seen) | Standing::Adopted(seen)) = standing else { return LeaseAction::None };
    let expired_at = seen.seen_at + seen.effective_duration(own);
    match phase(seen, own, now) {
        Phase::Expired if seen.read_at.is_none_or(|read_at| read_at < expired_at) => LeaseAction::Look,
        Phase::Expired | Phase::NeverHeld | Phase::Released | Phase::Held | Phase::NotObserved | Phase::WaitingOut => {
            LeaseAction::None
        }
    }
}

fn create(election: &LeaderElection, observed: &Observed, timings: Timings, now: Now) -> StoredLease {
    let record = first_record(election, observed, timings, now);
    let never_held = matches!(record, FirstRecord::NeverHeld { .. });
    let annotation = TimingsAnnotation { timings: Some(timings), never_held, ..TimingsAnnotation::default() };
    let mut lease = StoredLease::new(metadata(election, election.name_any()));
    if is_strict(election) {
        lease.labels_mut().insert(STRICT_IDENTITY_LABEL.to_owned(), STRICT.to_owned());
    }
    lease.set_annotation(TIMINGS_ANNOTATION, annotation.to_json());
    record.apply(&mut lease);
    lease
}

/// Of an object that is made for `election`.
pub(super) fn metadata(election: &LeaderElection, name: String) -> ObjectMeta {
    let labels = [(MANAGED_BY_LABEL, NAME.to_owned()), (ELECTION_LABEL, election.name_any())];
    ObjectMeta {
        name: Some(name),
        namespace: election.namespace(),
        labels: Some(labels.map(|(label, value)| (label.to_owned(), value)).into()),
        owner_references: election.controller_owner_ref(&()).map(|owner| vec![owner]),
        ..ObjectMeta::default()
    }
}

/// Rule O2.
fn first_record(election: &LeaderElection, observed: &Observed, timings: Timings, now: Now) -> FirstRecord {
    let status = election.status.clone().unwrap_or_default();
    let status_names_none =
        status.holder.is_none() && status.lease_uid.is_none() && status.lease_transitions.unwrap_or(0) == 0;
    let has_older_pod = observed.pods.iter().any(|pod| is_older(pod, election));
    let own = timings.lease_duration_seconds();
    if observed.creation_watched && observed.name_is_new && status_names_none && !has_older_pod {
        return FirstRecord::NeverHeld { lease_duration_seconds: own };
    }
    let history = &observed.history;
    let holder = history.holder.clone().or(status.holder.map(|holder| holder.identity));
    let transitions = status.lease_transitions.and_then(|transitions| u32::try_from(transitions).ok()).unwrap_or(0);
    FirstRecord::Restored {
        holder: holder.unwrap_or_else(|| UNKNOWN_HOLDER.to_owned()),
        lease_duration_seconds: own.max(history.duration_seconds),
        at: elector_election::Timestamp::from_microseconds(now.wall.as_microsecond()),
        transitions: transitions.max(history.transitions),
    }
}

/// Both times are the API server's, in whole seconds: of the same second is not older, or hardly any first installation
/// would be one.
fn is_older(pod: &Pod, election: &LeaderElection) -> bool {
    let created = election.creation_timestamp().map(|time| time.0);
    match (pod.created, created) {
        (Some(pod), Some(election)) => pod < election,
        _ => true,
    }
}
