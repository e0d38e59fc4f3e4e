//! What has been seen of the cluster: a synchronous index, fed by watches and by the answers to the operator's own writes.
//!
//! Each `handle_*` returns the elections that must be looked at again. A mere renewal moves the time at which a Lease was last
//! seen to change, and nothing else; at 5,000 renewals a second that is all that happens.
//!
//! Answers and watches race: of two versions of an object the later one counts, by resourceVersion. Only a new list may bring
//! back a lower one, for after a restore of etcd it is the truth. Of a version and a deletion nothing tells which is later, so
//! answers to a plan during which something was deleted are dropped: the watches say the same soon after.

mod lease;
mod leases;
mod listing;
mod observed;
mod owned;
mod pod;
mod pods;
mod sight;
mod tenure;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use elector_crds::{LeaderElection, PodLabels, ROLE_LABEL, StoredLease, TRANSFER_ANNOTATION, identity};
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::ResourceExt;
use kube::core::{Selector, SelectorExt};
use kube::runtime::watcher::Event;

pub use self::lease::{Ended, History, LeaseSeen};
use self::listing::{Change, Listing};
pub use self::observed::{Now, Observed, Transfer, Trouble, Troubles};
use self::owned::{Owned, change_owned, is_news};
pub use self::pod::{NamedPort, Pod};
pub use self::sight::Sight;
pub use self::tenure::{Phase, own_duration, phase};
pub(crate) use self::tenure::{was_released, was_restored};
use crate::key::{self, Key};
use crate::plan::Label;
use crate::settings::Features;

/// How many names are remembered. Beyond that no Lease is made as never held any more: waiting is always safe.
const MAX_HISTORIES: usize = 200_000;

/// Everything that has been seen.
#[derive(Debug, Default)]
pub struct Index {
    elections: BTreeMap<Key, Election>,
    leases: HashMap<Key, LeaseSeen>,
    /// Of every name that ever had a Lease or an earlier election (rule O2).
    histories: HashMap<Key, History>,
    histories_overflowed: bool,
    pods: BTreeMap<Key, Pod>,
    /// Pods that are gone, of which the last that was seen proves that they are dead, as long as a Lease names them.
    dead: HashMap<Key, Pod>,
    /// Pods that an election has had labelled and that do not match it any more.
    strays: HashMap<Key, Key>,
    roles: HashMap<Key, Role>,
    role_bindings: HashMap<Key, RoleBinding>,
    services: Owned<core::Service>,
    slices: Owned<EndpointSlice>,
    listings: Listings,
}

#[derive(Debug)]
struct Election {
    object: Arc<LeaderElection>,
    selector: Selector,
    /// This process watched it being created (rule O2).
    creation_watched: bool,
    /// How often something of this name was deleted.
    deletions: u64,
    /// Another leader that was asked for.
    transfer: Option<Transfer>,
}

#[derive(Debug, Default)]
struct Listings {
    elections: Listing,
    leases: Listing,
    pods: Listing,
    roles: Listing,
    role_bindings: Listing,
    services: Listing,
    slices: Listing,
}

/// An event of one of the watches.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "one lives at a time, on the stack")]
pub enum Seen {
    /// Of elections.
    Election(Event<LeaderElection>),
    /// Of Leases.
    Lease(Event<StoredLease>),
    /// Of pods.
    Pod(Event<core::Pod>),
    /// Of Roles that operators made.
    Role(Event<Role>),
    /// Of RoleBindings that operators made.
    RoleBinding(Event<RoleBinding>),
    /// Of Services that operators made.
    Service(Event<core::Service>),
    /// Of EndpointSlices that operators made.
    Slice(Event<EndpointSlice>),
}

/// What the API server said of one object.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// It is so.
    Election(Box<LeaderElection>),
    /// It is so.
    Lease(Box<StoredLease>),
    /// It was read from the store, not written.
    LeaseRead(Box<StoredLease>),
    /// There is no Lease of that name.
    NoLease(Key),
    /// It is so.
    Role(Box<Role>),
    /// It is so.
    RoleBinding(Box<RoleBinding>),
    /// It is so.
    Service(Box<core::Service>),
    /// It is so.
    Slice(Box<EndpointSlice>),
    /// A pod is labelled so.
    Label(Key, Label),
    /// It is gone.
    NoService(Box<core::Service>),
    /// It is gone.
    NoSlice(Box<EndpointSlice>),
}

impl Election {
    fn has_pods_labelled(&self) -> bool {
        self.object.spec.pod_labels == PodLabels::Enabled
    }
}

impl Index {
    /// Whether every kind has been listed: before that, absence means nothing.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        let Listings { elections, leases, pods, roles, role_bindings, services, slices } = &self.listings;
        [elections, leases, pods, roles, role_bindings, services, slices].into_iter().all(Listing::is_complete)
    }

    /// All elections.
    pub fn elections(&self) -> impl Iterator<Item = &Key> {
        self.elections.keys()
    }

    /// What [`plan`](crate::plan::plan) needs to know of one election, but for what is known of the operator itself: its
    /// troubles and features. `None` if there is no such election.
    #[must_use]
    pub fn observed(&self, key: &Key) -> Option<(Arc<LeaderElection>, Observed)> {
        let election = self.elections.get(key)?;
        let Election { object, selector, creation_watched, transfer, .. } = election;
        let lease = self.leases.get(key).cloned();
        let holder_pod = lease.as_ref().and_then(|seen| self.holder_pod(&key.namespace, &seen.lease.record.holder));
        let pods: Vec<Pod> =
            self.pods_of(&key.namespace).filter(|pod| selector.matches(&pod.labels)).cloned().collect();
        let is_labelled = pods.iter().any(|pod| pod.labels.contains_key(ROLE_LABEL));
        let labelled_by = (is_labelled || election.has_pods_labelled()).then(|| self.labelled_by(key, &pods)).flatten();
        let rbac_key = Key::new(&key.namespace, &key::rbac_name(&key.name));
        let observed = Observed {
            creation_watched: *creation_watched,
            name_is_new: !self.histories.contains_key(key) && !self.histories_overflowed,
            history: self.histories.get(key).cloned().unwrap_or_default(),
            lease,
            role: self.roles.get(&rbac_key).cloned(),
            role_binding: self.role_bindings.get(&rbac_key).cloned(),
            pods,
            holder_pod: holder_pod.cloned(),
            services: self.services.of(key).cloned().collect(),
            slices: self.slices.of(key).cloned().collect(),
            labelled_by,
            strays: self.strays_of(key),
            transfer: transfer.clone(),
            troubles: Troubles::default(),
            features: Features::default(),
            is_operators_own: false,
        };
        Some((Arc::clone(object), observed))
    }

    /// Takes in what a watch says.
    pub fn handle_seen(&mut self, seen: Seen, now: Now) -> Vec<Key> {
        match seen {
            Seen::Election(event) => {
                let changes = self.listings.elections.handle(event);
                changes.into_iter().flat_map(|change| self.change_election(change, now)).collect()
            }
            Seen::Lease(event) => {
                if matches!(event, Event::Init) && self.listings.leases.is_complete() {
                    self.forget_novelty();
                }
                let changes = self.listings.leases.handle(event);
                changes.into_iter().flat_map(|change| self.watch_lease(change, now)).collect()
            }
            Seen::Pod(event) => {
                let changes = self.listings.pods.handle(event);
                changes.into_iter().flat_map(|change| self.change_pod(change, now)).collect()
            }
            Seen::Role(event) => {
                let changes = self.listings.roles.handle(event);
                changes.into_iter().filter_map(|change| self.change_role(change)).collect()
            }
            Seen::RoleBinding(event) => {
                let changes = self.listings.role_bindings.handle(event);
                changes.into_iter().filter_map(|change| self.change_role_binding(change)).collect()
            }
            Seen::Service(event) => {
                let changes = self.listings.services.handle(event);
                changes.into_iter().flat_map(|change| self.change_service(change)).collect()
            }
            Seen::Slice(event) => {
                let changes = self.listings.slices.handle(event);
                changes.into_iter().flat_map(|change| self.change_slice(change)).collect()
            }
        }
    }

    /// How often something of that name was deleted. `None` if there is no such election.
    #[must_use]
    pub fn deletions(&self, key: &Key) -> Option<u64> {
        self.elections.get(key).map(|election| election.deletions)
    }

    /// Takes in what the requests of one plan were answered with; `deletions` is what there were when it was made.
    pub fn handle_answers(&mut self, key: &Key, answers: Vec<Answer>, deletions: Option<u64>, now: Now) {
        for answer in answers {
            if self.deletions(key) == deletions {
                self.handle_answer(answer, now);
            }
        }
    }

    fn handle_answer(&mut self, answer: Answer, now: Now) {
        match answer {
            Answer::Election(election) => {
                self.change_election(Change::Changed(*election), now);
            }
            Answer::Lease(lease) => {
                self.change_lease(Change::Changed(*lease), now);
            }
            Answer::LeaseRead(lease) => {
                let key = Key::of(&*lease);
                self.change_lease(Change::Changed(*lease), now);
                if let Some(seen) = self.leases.get_mut(&key) {
                    seen.read_at = Some(now.at);
                }
            }
            Answer::NoLease(key) => {
                self.leases.remove(&key);
            }
            Answer::Role(role) => {
                self.change_role(Change::Changed(*role));
            }
            Answer::RoleBinding(role_binding) => {
                self.change_role_binding(Change::Changed(*role_binding));
            }
            Answer::Service(service) => {
                self.change_service(Change::Changed(*service));
            }
            Answer::Slice(slice) => {
                self.change_slice(Change::Changed(*slice));
            }
            Answer::Label(key, Label { uid, role, .. }) => {
                if let Some(pod) = self.pods.get_mut(&key).filter(|pod| pod.uid == uid) {
                    pod.labels.remove(ROLE_LABEL);
                    pod.labels.extend(role.map(|role| (ROLE_LABEL.to_owned(), role.as_str().to_owned())));
                    if role.is_none() {
                        self.strays.remove(&key);
                    }
                }
            }
            Answer::NoService(service) => {
                self.change_service(Change::Deleted(*service));
            }
            Answer::NoSlice(slice) => {
                self.change_slice(Change::Deleted(*slice));
            }
        }
    }

    /// When the Lease of an election falls silent for good, as far as is known now: looking earlier shows nothing new.
    #[must_use]
    pub fn expires_at(&self, key: &Key) -> Option<Duration> {
        let seen = self.leases.get(key)?;
        Some(seen.seen_at + seen.effective_duration(self.own_duration(key)?))
    }

    /// Others that wait for an election to leave the labels of pods to them look again.
    fn change_election(&mut self, change: Change<LeaderElection>, now: Now) -> Vec<Key> {
        let key = change.key();
        let labelled = |index: &Index| {
            index.elections.get(&key).filter(|it| it.has_pods_labelled()).map(|election| election.selector.clone())
        };
        let before = labelled(self);
        let changed = self.replace_election(change, now);
        self.find_strays(&key, before.as_ref());
        let gives_up = before.is_some() && before != labelled(self);
        let waits = |(other, it): &(&Key, &Election)| gives_up && **other != key && it.has_pods_labelled();
        let others = self.elections_in(&key.namespace).filter(waits).map(|(other, _)| other.clone());
        changed.into_iter().chain(others).collect()
    }

    fn replace_election(&mut self, change: Change<LeaderElection>, now: Now) -> Option<Key> {
        let (object, creation_watched) = match change {
            Change::Listed(object) => (object, false),
            Change::Changed(object) => {
                if let Some(known) = self.elections.get(&Key::of(&object))
                    && !is_news(&object, &*known.object)
                {
                    return None;
                }
                (object, true)
            }
            Change::Deleted(object) => {
                let key = Key::of(&object);
                let known = self.elections.get(&key)?;
                return (known.object.uid() == object.uid()).then(|| self.forget_election(key));
            }
            Change::Vanished(key) => return Some(self.forget_election(key)),
        };
        Some(self.remember_election(object, creation_watched, now))
    }

    fn remember_election(&mut self, mut object: LeaderElection, creation_watched: bool, now: Now) -> Key {
        let key = Key::of(&object);
        object.metadata.managed_fields = None;
        // Not found at the start.
        let is_live = creation_watched || self.elections.contains_key(&key);
        let (mut creation_watched, mut deletions, mut transfer) = (creation_watched, 0, None);
        if let Some(known) = self.elections.get(&key) {
            deletions = known.deletions;
            if known.object.uid() == object.uid() {
                creation_watched = known.creation_watched;
                transfer = known.transfer.clone();
            } else {
                deletions += 1;
                self.remember(&key);
            }
        }
        let selector = object.spec.selector(&key.name);
        let target = object.annotations().get(TRANSFER_ANNOTATION);
        let transfer = target.map(|target| match transfer {
            Some(known) if known.target == *target => known,
            _ => Transfer {
                target: target.clone(),
                since: now.at,
                version: object.resource_version(),
                // What was there at the start may be this very request's.
                hinted_before: self.leases.get(&key).and_then(|seen| seen.lease.hints.end_tenure).filter(|_| is_live),
            },
        });
        let election = Election { object: Arc::new(object), selector, creation_watched, deletions, transfer };
        self.elections.insert(key.clone(), election);
        key
    }

    fn forget_election(&mut self, key: Key) -> Key {
        self.elections.remove(&key);
        self.remember(&key);
        self.forget_dead();
        key
    }

    fn change_role(&mut self, change: Change<Role>) -> Option<Key> {
        let (key, deleted) = change_owned(&mut self.roles, change)?;
        if deleted {
            self.count_deletion(&key);
        }
        Some(key)
    }

    fn change_role_binding(&mut self, change: Change<RoleBinding>) -> Option<Key> {
        let (key, deleted) = change_owned(&mut self.role_bindings, change)?;
        if deleted {
            self.count_deletion(&key);
        }
        Some(key)
    }

    fn change_service(&mut self, change: Change<core::Service>) -> Vec<Key> {
        let (elections, gone) = self.services.change(change);
        self.count_deletions(&elections, gone);
        elections
    }

    fn change_slice(&mut self, change: Change<EndpointSlice>) -> Vec<Key> {
        let (elections, gone) = self.slices.change(change);
        self.count_deletions(&elections, gone);
        elections
    }

    fn count_deletions(&mut self, elections: &[Key], gone: bool) {
        for election in elections.iter().filter(|_| gone) {
            self.count_deletion(election);
        }
    }

    fn count_deletion(&mut self, key: &Key) {
        if let Some(election) = self.elections.get_mut(key) {
            election.deletions += 1;
        }
    }

    /// Remembers that this name has had a past.
    fn remember(&mut self, key: &Key) -> &mut History {
        if self.histories.len() >= MAX_HISTORIES && !self.histories.contains_key(key) {
            self.histories_overflowed = true;
            // Those of today's elections are wanted when a Lease must be restored; the rest may go.
            self.histories.retain(|key, _| self.elections.contains_key(key));
        }
        self.histories.entry(key.clone()).or_default()
    }

    fn own_duration(&self, key: &Key) -> Option<Duration> {
        self.elections.get(key).map(|election| own_duration(&election.object.spec))
    }

    fn is_held_by(&self, election: &Key, pod: &str) -> bool {
        self.leases.get(election).is_some_and(|seen| identity::display_name(&seen.lease.record.holder) == pod)
    }

    fn elections_in<'a>(&'a self, namespace: &'a str) -> impl Iterator<Item = (&'a Key, &'a Election)> {
        self.elections.range(Key::new(namespace, "")..).take_while(move |(key, _)| key.namespace == namespace)
    }
}
