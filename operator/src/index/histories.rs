//! What the index remembers of names that ever had a Lease or an election (rule O2).

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{History, Index, IndexedElection};
use crate::key::Key;

/// The most names that are remembered. Beyond that, no Lease is created as never held any more: to wait is always safe.
const MAX_NAMES: usize = 200_000;

/// The most names of one namespace that are remembered, beside those of its elections. Beyond that, no Lease of the
/// namespace is created as never held any more.
const MAX_NAMES_OF_NAMESPACE: usize = 10_000;

/// The histories of all names.
#[derive(Debug, Default)]
pub(super) struct Histories {
    histories: HashMap<Key, History>,
    /// The number of remembered names in each namespace.
    counts: HashMap<String, usize>,
    /// The namespaces of which names have been forgotten.
    forgetful: HashSet<String>,
    /// Whether names of any namespace have been forgotten because there were too many in all.
    overflowed: bool,
    /// The history of a name that is not remembered.
    unremembered: History,
}

impl Histories {
    /// Whether this process cannot have seen a Lease or an earlier election of this name.
    pub(super) fn is_new(&self, key: &Key) -> bool {
        !self.overflowed && !self.forgetful.contains(&key.namespace) && !self.histories.contains_key(key)
    }

    pub(super) fn of(&self, key: &Key) -> History {
        self.histories.get(key).cloned().unwrap_or_default()
    }

    fn entry(&mut self, key: &Key, elections: &BTreeMap<Key, IndexedElection>) -> &mut History {
        if !self.histories.contains_key(key) {
            if self.histories.len() >= MAX_NAMES {
                self.overflowed = true;
                self.forget(|_| true, elections);
            }
            let count = self.counts.get(&key.namespace).copied().unwrap_or_default();
            if count >= MAX_NAMES_OF_NAMESPACE && !elections.contains_key(key) {
                if !self.forgetful.insert(key.namespace.clone()) {
                    self.unremembered = History::default();
                    return &mut self.unremembered;
                }
                self.forget(|other| other.namespace == key.namespace, elections);
            }
            *self.counts.entry(key.namespace.clone()).or_default() += 1;
        }
        self.histories.entry(key.clone()).or_default()
    }

    /// Applies the limit of `namespace` again, since names of former elections now count.
    fn trim(&mut self, namespace: &str, elections: &BTreeMap<Key, IndexedElection>, of_elections: usize) {
        let count = self.counts.get(namespace).copied().unwrap_or_default();
        if count > MAX_NAMES_OF_NAMESPACE + of_elections {
            self.forgetful.insert(namespace.to_owned());
            self.forget(|other| other.namespace == namespace, elections);
        }
    }

    /// Forgets names, but not those of existing elections: their history is needed when a Lease must be restored.
    fn forget(&mut self, which: impl Fn(&Key) -> bool, elections: &BTreeMap<Key, IndexedElection>) {
        let counts = &mut self.counts;
        self.histories.retain(|key, _| {
            let stays = !which(key) || elections.contains_key(key);
            if !stays && let Some(count) = counts.get_mut(&key.namespace) {
                *count -= 1;
            }
            stays
        });
        counts.retain(|_, count| *count > 0);
    }
}

impl Index {
    /// Remembers that this name has had a past. Returns its history.
    pub(super) fn remember(&mut self, key: &Key) -> &mut History {
        self.histories.entry(key, &self.elections)
    }

    /// Applies the limit of `namespace` after one of its elections is gone.
    pub(super) fn trim_histories(&mut self, namespace: &str) {
        let of_elections = self.elections_in(namespace).count();
        self.histories.trim(namespace, &self.elections, of_elections);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_with_too_many_names_has_none_that_is_new() {
        let (mut histories, none) = (Histories::default(), BTreeMap::new());
        let key = |namespace: &str, number: usize| Key::new(namespace, &format!("billing-{number}"));
        for number in 0..MAX_NAMES_OF_NAMESPACE {
            histories.entry(&key("shop", number), &none);
        }
        assert!(!histories.is_new(&key("shop", 7)) && histories.is_new(&key("shop", MAX_NAMES_OF_NAMESPACE)));
        histories.entry(&key("shop", MAX_NAMES_OF_NAMESPACE), &none);
        assert!(!histories.is_new(&key("shop", MAX_NAMES_OF_NAMESPACE + 1)) && histories.is_new(&key("bank", 0)));
        assert_eq!((histories.histories.len(), histories.counts.len()), (1, 1));
    }
}
