//! The leader of an election, from the two objects that name it. The Lease changes at once; the operator's status tells
//! when nothing happens any more.

use std::time::Duration;

use elector_crds::conditions::{ConditionType, Reason, Status, find};
use elector_crds::{LeaderElection, ReleaseReason, StoredLease, identity, lease};
use elector_election::{Lease, UNKNOWN_HOLDER};
use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Error, Resource};
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout_at};

use crate::cluster::Cluster;
use crate::lenient::Lenient;
use elector_program::failure::chain;

/// How long one watch request lasts: a peer that died without a sign is noticed a little later.
const TIMEOUT_SECONDS: u32 = 60;

/// The LeaderElection and its Lease, as they were last seen.
#[derive(Debug, Clone)]
pub(crate) struct LiveView {
    pub(crate) election: LeaderElection,
    pub(crate) lease: LeaseSight,
}

/// The Lease, if this user may see it.
#[derive(Debug, Clone)]
pub(crate) enum LeaseSight {
    /// The Lease, and why its last holder gave it up, if that holder says so.
    There(Box<Lease>, Option<ReleaseReason>),
    Absent,
    /// The Lease cannot be read, with the reason.
    Unreadable(String),
}

/// The leader of an election, if there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Leads {
    Somebody {
        /// The name to show.
        name: String,
        /// The identity in the Lease, as it can be shown.
        identity: String,
        /// The number of the tenure.
        tenure: Option<i64>,
    },
    /// No candidate leads, for this reason.
    Nobody(String),
}

impl LiveView {
    /// The leader, as far as the two objects tell.
    pub(crate) fn leads(&self) -> Leads {
        match &self.lease {
            LeaseSight::There(..) if self.is_foreign() => {
                Leads::Nobody("the Lease of that name is not this LeaderElection's".to_owned())
            }
            LeaseSight::There(lease, reason) => self.by_lease(lease, *reason),
            LeaseSight::Absent => Leads::Nobody("there is no Lease".to_owned()),
            LeaseSight::Unreadable(_) => self.by_operator(),
        }
    }

    fn by_lease(&self, lease: &Lease, reason: Option<ReleaseReason>) -> Leads {
        let holder = &lease.record.holder;
        if holder.is_empty() {
            if lease.hints.paused {
                return Leads::Nobody("the election is paused".to_owned());
            }
            let told = self.elected().filter(|told| self.speaks_of(lease) && told.status != Status::True.as_str());
            return Leads::Nobody(told.map_or_else(|| lease::given_up(reason), |told| told.message.clone()));
        }
        if let Some(silent) = self.elected().filter(|elected| self.speaks_of(lease) && is_over(elected)) {
            return Leads::Nobody(silent.message.clone());
        }
        if holder == UNKNOWN_HOLDER {
            return Leads::Nobody("nobody knows who held the Lease last, and candidates wait".to_owned());
        }
        Leads::Somebody {
            name: identity::shown_name(holder).into_owned(),
            identity: identity::shown(holder).into_owned(),
            tenure: Some(lease.record.transitions.into()),
        }
    }

    fn by_operator(&self) -> Leads {
        let status = self.election.status.as_ref();
        let elected = self.elected();
        match status.and_then(|status| status.holder.as_ref()) {
            Some(holder) => Leads::Somebody {
                name: identity::shown_name(&holder.name).into_owned(),
                identity: identity::shown(&holder.identity).into_owned(),
                tenure: status.and_then(|status| status.lease_transitions),
            },
            None => Leads::Nobody(elected.map_or_else(
                || "the operator has not looked at this LeaderElection yet".to_owned(),
                |elected| elected.message.clone(),
            )),
        }
    }

    /// Whether the operator's status is about this generation of the spec, or a later one.
    pub(crate) fn is_answer_to(&self, generation: Option<i64>) -> bool {
        self.election.status.as_ref().is_some_and(|status| status.observed_generation >= generation)
    }

    /// Why what was asked for is not in place, as the operator says; `None` if it is.
    pub(crate) fn obstacle(&self) -> Option<&str> {
        let ready = self.condition(ConditionType::Ready)?;
        (ready.status == Status::False.as_str()).then_some(ready.message.as_str())
    }

    pub(crate) fn condition(&self, type_: ConditionType) -> Option<&Condition> {
        find(&self.election.status.as_ref()?.conditions, type_)
    }

    fn elected(&self) -> Option<&Condition> {
        self.condition(ConditionType::LeaderElected)
    }

    /// Whether the operator's status is about the tenure that this Lease shows.
    fn speaks_of(&self, lease: &Lease) -> bool {
        self.election.status.as_ref().is_some_and(|status| {
            status.lease_uid.as_ref() == Some(&lease.record.uid)
                && status.lease_transitions == Some(lease.record.transitions.into())
        })
    }

    /// Whether the Lease was made by others, so that the operator leaves it alone.
    fn is_foreign(&self) -> bool {
        let conflicts = |ready: &Condition| ready.reason == Reason::ObjectConflict.as_str();
        let knows_lease = self.election.status.as_ref().is_some_and(|status| status.lease_uid.is_some());
        !knows_lease && self.condition(ConditionType::Ready).is_some_and(conflicts)
    }
}

/// Whether the condition says that the tenure which the Lease shows is over, or may be.
fn is_over(elected: &Condition) -> bool {
    let over = [Reason::LeaseExpired, Reason::WaitingOutUnknownHolder, Reason::Paused];
    over.iter().any(|reason| elected.reason == reason.as_str())
}

impl LeaseSight {
    pub(crate) fn of(stored: Option<StoredLease>) -> LeaseSight {
        let Some(stored) = stored else { return LeaseSight::Absent };
        match lease::read(&stored) {
            Ok((lease, _)) => {
                let reason = lease::release_reason(&stored, &lease);
                LeaseSight::There(Box::new(lease), reason)
            }
            Err(unusable) => LeaseSight::Unreadable(unusable.to_string()),
        }
    }
}

/// A stream of views, one for each change of the LeaderElection or its Lease.
pub(crate) struct Sights {
    seen: BoxStream<'static, LiveUpdate>,
    election: Option<LeaderElection>,
    lease: Option<LeaseSight>,
}

/// Why a view could not be had.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Lost {
    /// The LeaderElection was deleted.
    Gone,
    /// A watch failed; it begins again by itself.
    Failed(String),
}

/// The result of waiting for a view.
#[derive(Debug)]
pub(crate) enum Until {
    Holds(Box<LiveView>),
    /// The time is over; this view was the last.
    TimeIsOver(Option<Box<LiveView>>),
    /// The LeaderElection was deleted.
    Gone,
}

enum LiveUpdate {
    Election(Option<Box<LeaderElection>>),
    Lease(LeaseSight),
    Failed(String),
}

impl Sights {
    /// The views of the election called `name`, from now on.
    pub(crate) fn of(cluster: &Cluster, name: &str) -> Sights {
        let elections = watch::<LeaderElection>(cluster, name).map(|seen| match seen {
            Ok(election) => LiveUpdate::Election(election.map(Box::new)),
            Err(error) => LiveUpdate::Failed(chain(&error)),
        });
        let leases = watch::<StoredLease>(cluster, name).map(|seen| match seen {
            Ok(lease) => LiveUpdate::Lease(LeaseSight::of(lease)),
            Err(error) => match refusal(&error) {
                Some(refusal) => LiveUpdate::Lease(LeaseSight::Unreadable(refusal)),
                None => LiveUpdate::Failed(chain(&error)),
            },
        });
        Sights { seen: stream::select(elections, leases).boxed(), election: None, lease: None }
    }

    /// The next view. If this future is dropped, no view is lost.
    ///
    /// # Errors
    /// As [`Lost`] says.
    pub(crate) async fn next(&mut self) -> Result<LiveView, Lost> {
        loop {
            match self.seen.next().await {
                Some(LiveUpdate::Election(Some(election))) => self.election = Some(*election),
                Some(LiveUpdate::Election(None)) => return Err(Lost::Gone),
                Some(LiveUpdate::Lease(lease)) => self.lease = Some(lease),
                Some(LiveUpdate::Failed(why)) => return Err(Lost::Failed(why)),
                None => return Err(Lost::Failed("the watch has ended".to_owned())),
            }
            if let (Some(election), Some(lease)) = (&self.election, &self.lease) {
                return Ok(LiveView { election: election.clone(), lease: lease.clone() });
            }
        }
    }

    /// Waits up to `patience` for the first view for which `holds` returns true.
    pub(crate) async fn until(&mut self, patience: Duration, holds: impl Fn(&LiveView) -> bool) -> Until {
        let deadline = Instant::now() + patience;
        let mut last = None;
        loop {
            match timeout_at(deadline, self.next()).await {
                Ok(Ok(live)) if holds(&live) => return Until::Holds(Box::new(live)),
                Ok(Ok(live)) => last = Some(Box::new(live)),
                Ok(Err(Lost::Failed(_))) => {}
                Ok(Err(Lost::Gone)) => return Until::Gone,
                Err(_) => return Until::TimeIsOver(last),
            }
        }
    }
}

/// The object called `name`, each time that it changes.
fn watch<K>(cluster: &Cluster, name: &str) -> BoxStream<'static, Result<Option<K>, watcher::Error>>
where
    K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug
        + Send
        + 'static,
{
    let only = watcher::Config::default().fields(&format!("metadata.name={name}")).timeout(TIMEOUT_SECONDS);
    let mut listed = false;
    let seen = watcher(cluster.api::<Lenient<K>>(), only).default_backoff().filter_map(move |event| {
        let seen = match event {
            Ok(Event::Init) => {
                listed = false;
                None
            }
            Ok(Event::InitApply(object)) => {
                listed = true;
                object.into_readable().map(|object| Ok(Some(object)))
            }
            Ok(Event::InitDone) => (!listed).then_some(Ok(None)),
            Ok(Event::Apply(object)) => object.into_readable().map(|object| Ok(Some(object))),
            Ok(Event::Delete(_)) => Some(Ok(None)),
            Err(error) => Some(Err(error)),
        };
        std::future::ready(seen)
    });
    seen.boxed()
}

/// The message of the API server, if this user may not watch the object.
fn refusal(error: &watcher::Error) -> Option<String> {
    match error {
        watcher::Error::InitialListFailed(Error::Api(status))
        | watcher::Error::WatchStartFailed(Error::Api(status)) => status.is_forbidden().then(|| status.message.clone()),
        watcher::Error::InitialListFailed(_)
        | watcher::Error::WatchStartFailed(_)
        | watcher::Error::WatchError(_)
        | watcher::Error::WatchFailed(_)
        | watcher::Error::NoResourceVersion => None,
    }
}
