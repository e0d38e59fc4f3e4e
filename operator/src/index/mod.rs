//! What has been seen of the cluster: a synchronous index, fed by watches and by the answers to the operator's own
//! writes.
//!
//! Each `handle_*` returns the elections that must be planned again. A mere renewal moves the time at which a Lease was
//! last seen to change, and nothing else; at 5,000 renewals a second that is all that happens.
//!
//! Answers and watches race: of two versions of an object the one with the higher resourceVersion counts. Only a new
//! list may bring back a lower one, because after a restore of etcd it is the truth. Whether a version or a deletion is
//! later cannot be told. So answers to a plan during which something was deleted are dropped: the watches say the same
//! soon after.
//!
//! Others may write the objects. Of each object only what plans use is kept, and of each namespace only as much as its
//! `Budget` has room for. The rest is left out, and the elections of that namespace say so.

mod budget;
mod election_view;
mod elections;
mod histories;
mod holders;
mod lease_changes;
mod lease_history;
mod listing;
mod observation;
mod owned;
mod phase;
mod pod;
mod pod_changes;
mod role_label;
mod snapshot;
mod stored_pod;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::mem::{Discriminant, discriminant};
use std::sync::Arc;
use std::time::Duration;

use elector_crds::{LeaderElection, PodLabels, ROLE_LABEL};
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::ResourceExt;
use kube::core::{Selector, SelectorExt};
use kube::runtime::watcher::Event;

use self::budget::Budget;
pub use self::budget::NAMESPACE_BYTES;
pub use self::election_view::ElectionView;
use self::histories::Histories;
use self::holders::Holders;
pub use self::lease_history::{Ended, History, LeaseSeen};
use self::listing::{ListChange, Listing};
pub use self::observation::{Observation, WriteAnswer};
use self::owned::{Owned, OwnedByName};
pub(crate) use self::phase::was_restored;
pub use self::phase::{TenurePhase, own_duration, phase};
pub use self::pod::{NamedPort, Pod};
pub use self::role_label::{PodRole, RoleLabel};
pub use self::snapshot::{ClockReading, ElectionSnapshot, FailedWrite, FailedWrites, Part, Transfer, Unreadable};
pub use self::stored_pod::StoredPod;
use crate::features::Features;
use crate::key::Key;
use elector_crds::leader_slice::is_slice_of;
use elector_crds::rbac::rbac_name;

/// The most Services, and the most slices, of one election that are looked at at a time. Any person who may edit in a
/// namespace can make more that look like an operator's.
const MAX_OWNED: usize = 16;

/// Everything that has been seen of the cluster.
#[derive(Debug)]
pub struct Index {
    elections: BTreeMap<Key, IndexedElection>,
    leases: HashMap<Key, LeaseSeen>,
    /// The Leases that name each pod.
    holders: Holders,
    histories: Histories,
    pods: BTreeMap<Key, Arc<Pod>>,
    /// Pods that are gone and whose last version proves that they are dead, as long as a Lease names them.
    dead: HashMap<Key, Arc<Pod>>,
    /// Pods that an election has labelled and that do not match it any more, with that election.
    strays: BTreeMap<Key, Key>,
    roles: OwnedByName<Role>,
    role_bindings: OwnedByName<RoleBinding>,
    services: Owned<core::Service>,
    slices: Owned<EndpointSlice>,
    listings: Listings,
    budget: Budget,
    /// The namespaces of which something is left out, and whether anything was left out since the lists began again.
    left_out: HashMap<String, bool>,
    /// The kinds of which a list has ended since the lists began again; `None` if no lists are under way.
    ended_lists: Option<HashSet<Discriminant<Observation>>>,
    /// The elections whose Lease is left out, and whether the current list has shown that Lease.
    left_out_leases: HashMap<Key, bool>,
}

#[derive(Debug)]
struct IndexedElection {
    object: Arc<LeaderElection>,
    /// Why `spec` is not what is stored, if so.
    unreadable: Option<Unreadable>,
    /// The size of the stored election as JSON, in bytes.
    json_bytes: usize,
    selector: Selector,
    /// The number of requirements of the selector.
    requirements: usize,
    /// Whether this process watched the election being created (rule O2).
    creation_watched: bool,
    /// How often an object of this name was deleted.
    deletions: u64,
    /// The request for another leader, if there is one.
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

impl Listings {
    /// The number of kinds.
    const COUNT: usize = 7;
}

impl IndexedElection {
    fn has_pods_labelled(&self) -> bool {
        self.object.spec.pod_labels == PodLabels::Enabled
    }
}

impl Default for Index {
    fn default() -> Self {
        Index::new(NAMESPACE_BYTES)
    }
}

impl Index {
    /// An empty index that keeps up to `namespace_bytes` bytes of each namespace.
    #[must_use]
    pub fn new(namespace_bytes: usize) -> Index {
        Index {
            elections: BTreeMap::new(),
            leases: HashMap::new(),
            holders: Holders::default(),
            histories: Histories::default(),
            pods: BTreeMap::new(),
            dead: HashMap::new(),
            strays: BTreeMap::new(),
            roles: OwnedByName::default(),
            role_bindings: OwnedByName::default(),
            services: Owned::default(),
            slices: Owned::default(),
            listings: Listings::default(),
            budget: Budget::new(namespace_bytes),
            left_out: HashMap::new(),
            ended_lists: None,
            left_out_leases: HashMap::new(),
        }
    }

    /// Whether every kind has been listed: before that, the absence of an object means nothing.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        let Listings { elections, leases, pods, roles, role_bindings, services, slices } = &self.listings;
        [elections, leases, pods, roles, role_bindings, services, slices].into_iter().all(Listing::is_complete)
    }

    /// The keys of all elections.
    pub fn elections(&self) -> impl Iterator<Item = &Key> {
        self.elections.keys()
    }

    /// What [`plan`](crate::plan::plan) needs to know of one election, without what the caller adds: `failed_writes`
    /// and `features`. `None` if there is no such election.
    #[must_use]
    pub fn snapshot(&self, key: &Key) -> Option<(Arc<LeaderElection>, ElectionSnapshot)> {
        let election = self.elections.get(key)?;
        let IndexedElection { object, unreadable, selector, creation_watched, transfer, .. } = election;
        // That there is one is known, and nothing else: it must not be taken for absent.
        let limit_bytes = self.budget.limit();
        let lacks_lease =
            self.left_out_leases.contains_key(key).then_some(Unreadable::NamespaceTooLarge { limit_bytes });
        let unreadable = &lacks_lease.or_else(|| unreadable.clone());
        let lease = self.leases.get(key).cloned();
        let holder_pod = lease.as_ref().and_then(|seen| self.holder_pod(&key.namespace, &seen.lease.record.holder));
        let pods: Vec<Arc<Pod>> = match unreadable {
            Some(Unreadable::NamespaceTooLarge { .. }) => Vec::new(),
            Some(Unreadable::Spec(_)) | None => {
                let pods = self.pods_of(&key.namespace).map(|(_, pod)| pod);
                pods.filter(|pod| selector.matches(&pod.labels)).cloned().collect()
            }
        };
        let is_labelled = pods.iter().any(|pod| pod.labels.contains_key(ROLE_LABEL));
        let labelled_by = (is_labelled || election.has_pods_labelled()).then(|| self.labelled_by(key, &pods)).flatten();
        let rbac_key = Key::new(&key.namespace, &rbac_name(&key.name));
        let snapshot = ElectionSnapshot {
            creation_watched: *creation_watched,
            name_is_new: self.histories.is_new(key),
            history: self.histories.of(key),
            unreadable: unreadable.clone(),
            is_partial: self.left_out.contains_key(&key.namespace),
            lease,
            role: self.roles.of(&rbac_key).cloned(),
            role_binding: self.role_bindings.of(&rbac_key).cloned(),
            pods,
            holder_pod: holder_pod.cloned(),
            services: some(self.services.of(key), |name| {
                object.spec.leader_service.as_ref().is_some_and(|asked| asked.name == name)
            }),
            slices: some(self.slices.of(key), |name| is_slice_of(name, &key.name)),
            labelled_by,
            strays: self.strays_of(key),
            transfer: transfer.clone(),
            failed_writes: FailedWrites::default(),
            refused_events: Vec::new(),
            created_events: Vec::new(),
            features: Features::default(),
            is_operators_own: false,
        };
        Some((Arc::clone(object), snapshot))
    }

    /// Takes in an event of a watch. Returns the elections to plan again.
    pub fn handle_seen(&mut self, seen: Observation, now: ClockReading) -> Vec<Key> {
        let ended = seen.ends_list().then(|| discriminant(&seen));
        let mut changed = self.take_in(seen, now);
        if let Some(kind) = ended {
            changed.extend(self.end_list(kind));
        }
        changed
    }

    fn take_in(&mut self, seen: Observation, now: ClockReading) -> Vec<Key> {
        match seen {
            Observation::Election(event) => {
                let changes = self.listings.elections.handle(event, &self.elections);
                changes.into_iter().flat_map(|change| self.change_election(change, now)).collect()
            }
            Observation::Lease(event) => {
                if matches!(event, Event::Init) && self.listings.leases.is_complete() {
                    self.forget_novelty();
                }
                let gone = self.left_out_leases_gone(&event);
                let changes = self.listings.leases.handle(event, &self.leases);
                changes.into_iter().flat_map(|change| self.watch_lease(change, now)).chain(gone).collect()
            }
            Observation::Pod(event) => {
                let changes = self.listings.pods.handle(event, &self.pods);
                changes.into_iter().flat_map(|change| self.change_pod(change, now)).collect()
            }
            Observation::Role(event) => {
                let changes = self.listings.roles.handle(event, &self.roles);
                changes.into_iter().flat_map(|change| self.change_role(change)).collect()
            }
            Observation::RoleBinding(event) => {
                let changes = self.listings.role_bindings.handle(event, &self.role_bindings);
                changes.into_iter().flat_map(|change| self.change_role_binding(change)).collect()
            }
            Observation::Service(event) => {
                let changes = self.listings.services.handle(event, &self.services);
                changes.into_iter().flat_map(|change| self.change_service(change)).collect()
            }
            Observation::Slice(event) => {
                let changes = self.listings.slices.handle(event, &self.slices);
                changes.into_iter().flat_map(|change| self.change_slice(change)).collect()
            }
        }
    }

    /// How often an object of this election's name was deleted. `None` if there is no such election.
    #[must_use]
    pub fn deletions(&self, key: &Key) -> Option<u64> {
        self.elections.get(key).map(|election| election.deletions)
    }

    /// The uid of the election.
    #[must_use]
    pub fn uid(&self, key: &Key) -> Option<&str> {
        self.elections.get(key)?.object.metadata.uid.as_deref()
    }

    /// The size of the election as JSON, in bytes.
    #[must_use]
    pub fn json_bytes(&self, key: &Key) -> Option<usize> {
        self.elections.get(key).map(|election| election.json_bytes)
    }

    /// Takes in the answers to the requests of one plan. `deletions` is the number of deletions when the plan was made;
    /// if it has changed, the answers are dropped.
    pub fn handle_answers(&mut self, key: &Key, answers: Vec<WriteAnswer>, deletions: Option<u64>, now: ClockReading) {
        for answer in answers {
            if self.deletions(key) == deletions {
                self.handle_answer(answer, now);
            }
        }
    }

    fn handle_answer(&mut self, answer: WriteAnswer, now: ClockReading) {
        match answer {
            WriteAnswer::Election(election) => {
                self.change_election(ListChange::Changed(*election), now);
            }
            WriteAnswer::Lease(lease) => {
                self.change_lease(ListChange::Changed(*lease), now);
            }
            WriteAnswer::LeaseRead(lease) => {
                let key = Key::of(&*lease);
                self.change_lease(ListChange::Changed(*lease), now);
                if let Some(seen) = self.leases.get_mut(&key) {
                    seen.read_at = Some(now.at);
                }
            }
            WriteAnswer::NoLease(key) => {
                self.remove_lease(&key);
            }
            WriteAnswer::Role(role) => {
                self.change_role(ListChange::Changed(*role));
            }
            WriteAnswer::RoleBinding(role_binding) => {
                self.change_role_binding(ListChange::Changed(*role_binding));
            }
            WriteAnswer::Service(service) => {
                self.change_service(ListChange::Changed(*service));
            }
            WriteAnswer::Slice(slice) => {
                self.change_slice(ListChange::Changed(*slice));
            }
            WriteAnswer::Label(key, label) => self.take_label(&key, label),
            WriteAnswer::NoService(service) => {
                self.change_service(ListChange::Deleted(*service));
            }
            WriteAnswer::NoSlice(slice) => {
                self.change_slice(ListChange::Deleted(*slice));
            }
        }
    }

    /// When the holder of the election's Lease will have been silent for too long, if nothing more is seen.
    #[must_use]
    pub fn expires_at(&self, key: &Key) -> Option<Duration> {
        let seen = self.leases.get(key)?;
        Some(seen.seen_at + seen.effective_duration(self.own_duration(key)?))
    }

    /// The number of namespaces with more objects than there is room for.
    #[must_use]
    pub fn left_out_namespaces(&self) -> usize {
        self.left_out.len()
    }

    /// The number of elections whose spec cannot be read.
    #[must_use]
    pub fn unreadable_elections(&self) -> usize {
        let is_unreadable = |election: &&IndexedElection| matches!(election.unreadable, Some(Unreadable::Spec(_)));
        self.elections.values().filter(is_unreadable).count()
    }

    /// Whether a namespace of which something was left out has room again: only a new list shows what was left out.
    #[must_use]
    pub fn wants_list(&self) -> bool {
        self.left_out.keys().any(|namespace| self.budget.used(namespace) < self.budget.limit() / 2)
    }

    /// Notes that all watches begin again, and that what they show is kept if there is room. A namespace of which
    /// something was left out counts as such until the lists have ended.
    pub fn expect_lists(&mut self) {
        self.left_out.values_mut().for_each(|again| *again = false);
        self.ended_lists = Some(HashSet::new());
    }

    /// Notes that a list of this kind has ended. Returns the elections of which everything is known from now on.
    fn end_list(&mut self, kind: Discriminant<Observation>) -> Vec<Key> {
        let Some(ended) = &mut self.ended_lists else { return Vec::new() };
        ended.insert(kind);
        if ended.len() < Listings::COUNT {
            return Vec::new();
        }
        self.ended_lists = None;
        let whole: Vec<String> = self.left_out.extract_if(|_, again| !*again).map(|(namespace, _)| namespace).collect();
        whole.iter().flat_map(|namespace| self.elections_in(namespace)).map(|(key, _)| key.clone()).collect()
    }

    /// Notes that an object of the key's namespace is not kept.
    fn leave_out(&mut self, what: &'static str, key: &Key) {
        if self.left_out.insert(key.namespace.clone(), true).is_none() {
            tracing::warn!(
                namespace = key.namespace,
                kind = what,
                name = key.name,
                limit_bytes = self.budget.limit(),
                "namespace has more objects than there is room for: this one and later ones are left out"
            );
        }
    }

    fn own_duration(&self, key: &Key) -> Option<Duration> {
        self.elections.get(key).map(|election| own_duration(&election.object.spec))
    }

    fn elections_in<'a>(&'a self, namespace: &'a str) -> impl Iterator<Item = (&'a Key, &'a IndexedElection)> {
        self.elections.range(Key::new(namespace, "")..).take_while(move |(key, _)| key.namespace == namespace)
    }
}

/// The objects of `owned` whose names are asked for, and some of the others, which are to be deleted.
fn some<'a, K: ResourceExt + Clone + 'a>(
    owned: impl Iterator<Item = &'a K>,
    is_asked: impl Fn(&str) -> bool,
) -> Vec<K> {
    let (mut asked, mut others) = (Vec::new(), Vec::new());
    for object in owned {
        if is_asked(object.meta().name.as_deref().unwrap_or_default()) {
            asked.push(object);
        } else if others.len() < MAX_OWNED {
            others.push(object);
        }
    }
    asked.into_iter().chain(others).cloned().collect()
}
