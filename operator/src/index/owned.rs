//! Objects that operators made, as they were last seen. Objects whose names people choose are found by the election
//! that owns them, Roles and RoleBindings by their names.

use std::collections::{BTreeMap, HashMap};

use elector_crds::{ELECTION_LABEL, LeaderElection};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::{Resource, ResourceExt};
use serde::Serialize;

use super::Index;
use super::budget::Budget;
use super::lease_history::{MAX_OWNERS, shorten_owner};
use super::listing::{Kept, ListChange};
use crate::key::Key;
use elector_crds::leader_slice::{SERVICE_NAME_LABEL, SLICE_MANAGED_BY_LABEL};
use elector_crds::ownership::MANAGED_BY_LABEL;
use elector_crds::ownership::owner;
use elector_crds::rbac::election_of_rbac;

/// The labels that plans look at; others are not kept.
const LABELS: [&str; 4] = [MANAGED_BY_LABEL, ELECTION_LABEL, SERVICE_NAME_LABEL, SLICE_MANAGED_BY_LABEL];

/// The largest object that is kept whole, in bytes of JSON: operators make no object as large.
const MAX_BYTES: usize = 32 * 1024;

/// The memory of an object beside its texts, in bytes.
const OBJECT_BYTES: usize = 512;

/// An object whose content can be dropped.
pub(super) trait Contents: ResourceExt + Serialize {
    /// Removes the content, so that the object equals none that a plan asks for.
    fn drop_content(&mut self);
}

impl Contents for Role {
    fn drop_content(&mut self) {
        self.rules = None;
    }
}

impl Contents for RoleBinding {
    fn drop_content(&mut self) {
        self.role_ref.name.clear();
        self.subjects = None;
    }
}

impl Contents for Service {
    fn drop_content(&mut self) {
        self.spec = None;
    }
}

impl Contents for EndpointSlice {
    fn drop_content(&mut self) {
        self.address_type.clear();
        self.endpoints.clear();
        self.ports = None;
    }
}

/// An object reduced to what plans look at, and the memory that it takes, in bytes.
#[derive(Debug)]
struct Reduced<K> {
    object: K,
    cost: usize,
}

impl<K: Contents> Reduced<K> {
    fn new(mut object: K) -> Reduced<K> {
        let metadata = std::mem::take(object.meta_mut());
        *object.meta_mut() = kept_metadata(metadata);
        let bytes = |object: &K| serde_json::to_string(object).map_or(0, |json| json.len());
        if bytes(&object) > MAX_BYTES {
            object.drop_content();
        }
        let cost = OBJECT_BYTES + 2 * bytes(&object);
        Reduced { object, cost }
    }
}

fn kept_metadata(metadata: ObjectMeta) -> ObjectMeta {
    let ObjectMeta { name, namespace, uid, resource_version, labels, owner_references, .. } = metadata;
    let is_of_interest =
        |owner: &OwnerReference| owner.controller == Some(true) || owner.kind == LeaderElection::kind(&());
    let owners = owner_references.into_iter().flatten().filter(is_of_interest).take(MAX_OWNERS);
    ObjectMeta {
        name,
        namespace,
        uid,
        resource_version,
        labels: labels.map(|labels| labels.into_iter().filter(|(label, _)| LABELS.contains(&label.as_str())).collect()),
        owner_references: Some(owners.map(shorten_owner).collect()),
        ..ObjectMeta::default()
    }
}

/// The effect of a change.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changed {
    /// The elections to plan again.
    pub(super) elections: Vec<Key>,
    /// Whether an object is gone.
    pub(super) gone: bool,
    /// The object for which there was no room, if so.
    pub(super) left_out: Option<Key>,
}

/// The objects of one kind, found by the election that owns them.
#[derive(Debug)]
pub(super) struct Owned<K> {
    /// The objects, by the election that owns them and then by their own names.
    objects: HashMap<Key, BTreeMap<String, Reduced<K>>>,
    /// The election that owns each object, by the object's key.
    owners: HashMap<Key, Key>,
}

impl<K> Default for Owned<K> {
    fn default() -> Self {
        Owned { objects: HashMap::new(), owners: HashMap::new() }
    }
}

impl<K> Kept for Owned<K> {
    fn contains(&self, key: &Key) -> bool {
        self.owners.contains_key(key)
    }

    fn all(&self) -> impl Iterator<Item = &Key> {
        self.owners.keys()
    }
}

impl<K: Contents> Owned<K> {
    /// The objects of `election`, in the order of their names.
    pub(super) fn of(&self, election: &Key) -> impl Iterator<Item = &K> {
        self.objects.get(election).into_iter().flat_map(BTreeMap::values).map(|reduced| &reduced.object)
    }

    /// Takes in a change, within `budget`. An object of an election that `is_kept` may take more of the budget.
    pub(super) fn change(
        &mut self,
        change: ListChange<K>,
        budget: &mut Budget,
        is_kept: impl Fn(&Key) -> bool,
    ) -> Changed {
        let (object, listed) = match change {
            ListChange::Listed(object) => (object, true),
            ListChange::Changed(object) => (object, false),
            ListChange::Deleted(object) => {
                let key = Key::of(&object);
                let same = self.get(&key).is_some_and(|known| known.uid() == object.uid());
                let concerned = if same { self.remove(&key, budget) } else { None };
                return Changed { elections: concerned.into_iter().collect(), gone: true, left_out: None };
            }
            ListChange::Vanished(key) => {
                let concerned = self.remove(&key, budget);
                return Changed { elections: concerned.into_iter().collect(), gone: true, left_out: None };
            }
        };
        let key = Key::of(&object);
        if !listed && self.get(&key).is_some_and(|known| !is_news(&object, known)) {
            return Changed::default();
        }
        let before = self.remove(&key, budget);
        let reduced = Reduced::new(object);
        let now = owner(&reduced.object).map(|name| Key::new(&key.namespace, name));
        let has_room = now.as_ref().is_none_or(|election| admits(budget, election, reduced.cost, &is_kept));
        if let Some(election) = now.as_ref().filter(|_| has_room) {
            budget.charge(&key.namespace, reduced.cost);
            self.objects.entry(election.clone()).or_default().insert(key.name.clone(), reduced);
            self.owners.insert(key.clone(), election.clone());
        }
        let gone = before.is_some() && before != now;
        let elections = before.into_iter().chain(now).collect();
        Changed { elections, gone, left_out: (!has_room).then_some(key) }
    }

    fn get(&self, key: &Key) -> Option<&K> {
        self.objects.get(self.owners.get(key)?)?.get(&key.name).map(|reduced| &reduced.object)
    }

    fn remove(&mut self, key: &Key, budget: &mut Budget) -> Option<Key> {
        let election = self.owners.remove(key)?;
        if let Some(objects) = self.objects.get_mut(&election) {
            if let Some(reduced) = objects.remove(&key.name) {
                budget.refund(&key.namespace, reduced.cost);
            }
            if objects.is_empty() {
                self.objects.remove(&election);
            }
        }
        Some(election)
    }
}

/// The Roles or RoleBindings, found by their own names.
#[derive(Debug)]
pub(super) struct OwnedByName<K>(HashMap<Key, Reduced<K>>);

impl<K> Default for OwnedByName<K> {
    fn default() -> Self {
        OwnedByName(HashMap::new())
    }
}

impl<K> Kept for OwnedByName<K> {
    fn contains(&self, key: &Key) -> bool {
        self.0.contains_key(key)
    }

    fn all(&self) -> impl Iterator<Item = &Key> {
        self.0.keys()
    }
}

impl<K: Contents> OwnedByName<K> {
    /// The object called `key`.
    pub(super) fn of(&self, key: &Key) -> Option<&K> {
        self.0.get(key).map(|reduced| &reduced.object)
    }

    /// Takes in a change, as [`Owned::change`] does.
    pub(super) fn change(
        &mut self,
        change: ListChange<K>,
        budget: &mut Budget,
        is_kept: impl Fn(&Key) -> bool,
    ) -> Changed {
        let key = change.key();
        let election = election_of_rbac(&key.name).map(|name| Key::new(&key.namespace, name));
        let (object, listed) = match change {
            ListChange::Listed(object) => (object, true),
            ListChange::Changed(object) => (object, false),
            ListChange::Deleted(object) => {
                if self.of(&key).is_some_and(|known| known.uid() == object.uid()) {
                    self.remove(&key, budget);
                }
                return Changed { elections: election.into_iter().collect(), gone: true, left_out: None };
            }
            ListChange::Vanished(key) => {
                self.remove(&key, budget);
                return Changed { elections: election.into_iter().collect(), gone: true, left_out: None };
            }
        };
        let Some(election) = election else { return Changed::default() };
        let elections = vec![election.clone()];
        if !listed && self.of(&key).is_some_and(|known| !is_news(&object, known)) {
            return Changed { elections, ..Changed::default() };
        }
        self.remove(&key, budget);
        let reduced = Reduced::new(object);
        if !admits(budget, &election, reduced.cost, &is_kept) {
            return Changed { elections, gone: false, left_out: Some(key) };
        }
        budget.charge(&key.namespace, reduced.cost);
        self.0.insert(key, reduced);
        Changed { elections, ..Changed::default() }
    }

    fn remove(&mut self, key: &Key, budget: &mut Budget) {
        if let Some(reduced) = self.0.remove(key) {
            budget.refund(&key.namespace, reduced.cost);
        }
    }
}

fn admits(budget: &Budget, election: &Key, cost: usize, is_kept: &impl Fn(&Key) -> bool) -> bool {
    if is_kept(election) {
        budget.has_room_for_needed(&election.namespace, cost)
    } else {
        budget.has_room(&election.namespace, cost)
    }
}

impl Index {
    pub(super) fn change_role(&mut self, change: ListChange<Role>) -> Vec<Key> {
        let changed = self.roles.change(change, &mut self.budget, |key| self.elections.contains_key(key));
        self.take_changed("Role", changed)
    }

    pub(super) fn change_role_binding(&mut self, change: ListChange<RoleBinding>) -> Vec<Key> {
        let changed = self.role_bindings.change(change, &mut self.budget, |key| self.elections.contains_key(key));
        self.take_changed("RoleBinding", changed)
    }

    pub(super) fn change_service(&mut self, change: ListChange<Service>) -> Vec<Key> {
        let changed = self.services.change(change, &mut self.budget, |key| self.elections.contains_key(key));
        self.take_changed("Service", changed)
    }

    pub(super) fn change_slice(&mut self, change: ListChange<EndpointSlice>) -> Vec<Key> {
        let changed = self.slices.change(change, &mut self.budget, |key| self.elections.contains_key(key));
        self.take_changed("EndpointSlice", changed)
    }

    fn take_changed(&mut self, kind: &'static str, Changed { elections, gone, left_out }: Changed) -> Vec<Key> {
        if let Some(key) = left_out {
            self.leave_out(kind, &key);
        }
        self.count_deletions(&elections, gone);
        elections
    }
}

/// Whether `object` is a later version than `known`. A version that is no number always counts as later.
pub(super) fn is_news(object: &impl ResourceExt, known: &impl ResourceExt) -> bool {
    let version = |version: Option<String>| version.and_then(|version| version.parse::<u64>().ok());
    match (version(object.resource_version()), version(known.resource_version())) {
        (Some(object), Some(known)) => object > known,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::{ServicePort, ServiceSpec};
    use serde_json::json;

    fn service(owner: &str, uid: &str, version: &str) -> Service {
        serde_json::from_value(json!({"metadata": {
            "name": "billing-leader", "namespace": "shop", "uid": uid, "resourceVersion": version,
            "labels": {"app.kubernetes.io/managed-by": "leader-elector-operator"},
            "ownerReferences": [{
                "apiVersion": "leader-elector.io/v1alpha1", "kind": "LeaderElection", "name": owner, "uid": "o",
                "controller": true,
            }],
        }}))
        .unwrap()
    }

    fn key(name: &str) -> Key {
        Key::new("shop", name)
    }

    /// Services, and room for them.
    struct OwnedServices(Owned<Service>, Budget);

    impl Default for OwnedServices {
        fn default() -> Self {
            OwnedServices(Owned::default(), Budget::new(10_000))
        }
    }

    impl OwnedServices {
        fn change(&mut self, change: ListChange<Service>) -> (Vec<Key>, bool) {
            let Changed { elections, gone, left_out } = self.0.change(change, &mut self.1, |_| false);
            assert_eq!(left_out, None);
            (elections, gone)
        }

        fn of(&self, election: &Key) -> impl Iterator<Item = &Service> {
            self.0.of(election)
        }
    }

    #[test]
    fn what_changes_hands_concerns_both() {
        let mut owned = OwnedServices::default();
        assert_eq!(owned.change(ListChange::Changed(service("billing", "1", "7"))), (vec![key("billing")], false));
        assert_eq!(owned.of(&key("billing")).count(), 1);
        let moved = owned.change(ListChange::Changed(service("stock", "1", "8")));
        assert_eq!(moved, (vec![key("billing"), key("stock")], true));
        assert_eq!((owned.of(&key("billing")).count(), owned.of(&key("stock")).count()), (0, 1));
        assert_eq!(
            owned.change(ListChange::Changed(service("billing", "1", "7"))),
            (vec![], false),
            "an older version"
        );
        assert_eq!(owned.of(&key("stock")).count(), 1);
    }

    #[test]
    fn what_is_nobodys_is_not_kept() {
        let mut owned = OwnedServices::default();
        let mut orphan = service("billing", "1", "8");
        owned.change(ListChange::Changed(service("billing", "1", "7")));
        orphan.metadata.owner_references = None;
        assert_eq!(owned.change(ListChange::Changed(orphan)), (vec![key("billing")], true));
        assert_eq!(owned.of(&key("billing")).count(), 0);
    }

    #[test]
    fn the_end_of_an_earlier_one_of_its_name_ends_nothing() {
        let mut owned = OwnedServices::default();
        owned.change(ListChange::Changed(service("billing", "2", "9")));
        assert_eq!(owned.change(ListChange::Deleted(service("billing", "1", "8"))), (vec![], true));
        assert_eq!(owned.change(ListChange::Deleted(service("billing", "2", "10"))), (vec![key("billing")], true));
        assert_eq!(owned.change(ListChange::Vanished(key("billing-leader"))), (vec![], true));
        assert_eq!(owned.of(&key("billing")).count(), 0);
    }

    #[test]
    fn only_what_plans_look_at_is_kept_of_each() {
        let mut large = service("billing", "1", "7");
        large.labels_mut().extend((0..1000).map(|number| (format!("label-{number}"), "x".repeat(60))));
        large.annotations_mut().insert("note".to_owned(), "x".repeat(200_000));
        large.owner_references_mut()[0].uid = "u".repeat(100_000);
        let ports = (0..5000).map(|_| ServicePort { app_protocol: Some("x".repeat(60)), ..ServicePort::default() });
        large.spec = Some(ServiceSpec { ports: Some(ports.collect()), ..ServiceSpec::default() });
        let reduced = Reduced::new(large);
        assert!(reduced.cost < 4000, "{}", reduced.cost);
        assert_eq!((reduced.object.spec.as_ref(), reduced.object.labels().len()), (None, 1));
        assert_eq!(owner(&reduced.object), Some("billing"));
    }

    #[test]
    fn what_has_no_room_is_left_out_and_named() {
        let (mut owned, mut budget) = (Owned::default(), Budget::new(1500));
        let changed = owned.change(ListChange::Changed(service("billing", "1", "7")), &mut budget, |_| false);
        assert_eq!((changed.left_out, owned.of(&key("billing")).count()), (None, 1));
        let mut second = service("billing", "2", "8");
        second.metadata.name = Some("second".to_owned());
        let changed = owned.change(ListChange::Changed(second.clone()), &mut budget, |_| false);
        assert_eq!((changed.left_out, owned.of(&key("billing")).count()), (Some(key("second")), 1));
        // The same, of an election that is kept.
        let mut budget = Budget::new(1500);
        budget.charge("shop", 1000);
        let changed = owned.change(ListChange::Changed(second), &mut budget, |_| true);
        assert_eq!((changed.left_out, owned.of(&key("billing")).count()), (None, 2));
    }
}
