//! Objects that operators made, as they were last seen: those whose names people choose are found by the election that owns
//! them, Roles and RoleBindings by their names.

use std::collections::{BTreeMap, HashMap};

use kube::ResourceExt;

use super::listing::Change;
use crate::key::{Key, election_of_rbac};
use crate::plan::owner;

/// What there is of one kind.
#[derive(Debug)]
pub(super) struct Owned<K> {
    /// By the election that owns them, then by their own names.
    objects: HashMap<Key, BTreeMap<String, K>>,
    /// Which election owns what is called so.
    owners: HashMap<Key, Key>,
}

impl<K> Default for Owned<K> {
    fn default() -> Self {
        Owned { objects: HashMap::new(), owners: HashMap::new() }
    }
}

impl<K: ResourceExt> Owned<K> {
    /// Those of `election`, in the order of their names.
    pub(super) fn of(&self, election: &Key) -> impl Iterator<Item = &K> {
        self.objects.get(election).into_iter().flat_map(BTreeMap::values)
    }

    /// Takes in a change. Returns the elections that it concerns, and whether something is gone.
    pub(super) fn change(&mut self, change: Change<K>) -> (Vec<Key>, bool) {
        let (object, listed) = match change {
            Change::Listed(object) => (object, true),
            Change::Changed(object) => (object, false),
            Change::Deleted(object) => {
                let key = Key::of(&object);
                let same = self.get(&key).is_some_and(|known| known.uid() == object.uid());
                let concerned = if same { self.remove(&key) } else { None };
                return (concerned.into_iter().collect(), true);
            }
            Change::Vanished(key) => return (self.remove(&key).into_iter().collect(), true),
        };
        let key = Key::of(&object);
        if !listed && self.get(&key).is_some_and(|known| !is_news(&object, known)) {
            return (vec![], false);
        }
        let before = self.remove(&key);
        let now = self.insert(key, object);
        let lost = before.is_some() && before != now;
        (before.into_iter().chain(now).collect(), lost)
    }

    fn get(&self, key: &Key) -> Option<&K> {
        self.objects.get(self.owners.get(key)?)?.get(&key.name)
    }

    fn insert(&mut self, key: Key, mut object: K) -> Option<Key> {
        let election = Key::new(&key.namespace, owner(&object)?);
        object.meta_mut().managed_fields = None;
        self.objects.entry(election.clone()).or_default().insert(key.name.clone(), object);
        self.owners.insert(key, election.clone());
        Some(election)
    }

    fn remove(&mut self, key: &Key) -> Option<Key> {
        let election = self.owners.remove(key)?;
        if let Some(objects) = self.objects.get_mut(&election) {
            objects.remove(&key.name);
            if objects.is_empty() {
                self.objects.remove(&election);
            }
        }
        Some(election)
    }
}

/// Roles and RoleBindings: kept as they are. Returns the election that they belong to, and whether it was a deletion.
pub(super) fn change_owned<K: ResourceExt>(known: &mut HashMap<Key, K>, change: Change<K>) -> Option<(Key, bool)> {
    let (key, deleted) = match change {
        Change::Listed(object) => (keep(known, object), false),
        Change::Changed(object) => {
            let key = Key::of(&object);
            match known.get(&key) {
                Some(known) if !is_news(&object, known) => (key, false),
                _ => (keep(known, object), false),
            }
        }
        Change::Deleted(object) => {
            let key = Key::of(&object);
            if known.get(&key).is_some_and(|known| known.uid() == object.uid()) {
                known.remove(&key);
            }
            (key, true)
        }
        Change::Vanished(key) => {
            known.remove(&key);
            (key, true)
        }
    };
    Some((Key::new(&key.namespace, election_of_rbac(&key.name)?), deleted))
}

fn keep<K: ResourceExt>(known: &mut HashMap<Key, K>, mut object: K) -> Key {
    object.meta_mut().managed_fields = None;
    let key = Key::of(&object);
    known.insert(key.clone(), object);
    key
}

/// Whether `object` is a later version than `known`. Versions that are no numbers always are.
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
    use k8s_openapi::api::core::v1::Service;
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

    #[test]
    fn what_changes_hands_concerns_both() {
        let mut owned = Owned::default();
        assert_eq!(owned.change(Change::Changed(service("billing", "1", "7"))), (vec![key("billing")], false));
        assert_eq!(owned.of(&key("billing")).count(), 1);
        let moved = owned.change(Change::Changed(service("stock", "1", "8")));
        assert_eq!(moved, (vec![key("billing"), key("stock")], true));
        assert_eq!((owned.of(&key("billing")).count(), owned.of(&key("stock")).count()), (0, 1));
        assert_eq!(owned.change(Change::Changed(service("billing", "1", "7"))), (vec![], false), "an older version");
        assert_eq!(owned.of(&key("stock")).count(), 1);
    }

    #[test]
    fn what_is_nobodys_is_not_kept() {
        let mut owned = Owned::default();
        let mut orphan = service("billing", "1", "8");
        owned.change(Change::Changed(service("billing", "1", "7")));
        orphan.metadata.owner_references = None;
        assert_eq!(owned.change(Change::Changed(orphan)), (vec![key("billing")], true));
        assert_eq!(owned.of(&key("billing")).count(), 0);
    }

    #[test]
    fn the_end_of_an_earlier_one_of_its_name_ends_nothing() {
        let mut owned = Owned::default();
        owned.change(Change::Changed(service("billing", "2", "9")));
        assert_eq!(owned.change(Change::Deleted(service("billing", "1", "8"))), (vec![], true));
        assert_eq!(owned.change(Change::Deleted(service("billing", "2", "10"))), (vec![key("billing")], true));
        assert_eq!(owned.change(Change::Vanished(key("billing-leader"))), (vec![], true));
        assert_eq!(owned.of(&key("billing")).count(), 0);
    }
}
