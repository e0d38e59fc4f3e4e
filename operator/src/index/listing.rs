//! Turns the events of a watch into changes of single objects, even if the watch begins again.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{BuildHasher as _, RandomState};

use kube::ResourceExt;
use kube::runtime::watcher::Event;

use crate::key::Key;

/// A change of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ListChange<K> {
    /// The object was found in a list: it may be older than this process.
    Listed(K),
    /// The object was created or changed while it was watched.
    Changed(K),
    /// The object was deleted while it was watched.
    Deleted(K),
    /// The object is no longer in the list: it was deleted while it was not watched.
    Vanished(Key),
}

impl<K: ResourceExt> ListChange<K> {
    /// The object that has changed.
    pub(super) fn key(&self) -> Key {
        match self {
            ListChange::Listed(object) | ListChange::Changed(object) | ListChange::Deleted(object) => Key::of(object),
            ListChange::Vanished(key) => key.clone(),
        }
    }
}

/// The objects of one kind that the watch has shown.
///
/// There may be more objects than there is room for. So of an object that is kept only a hash is remembered, and of
/// another one nothing.
#[derive(Debug, Default)]
pub(super) struct Listing {
    present: HashSet<u64>,
    /// The hashes of the objects that the current list has shown so far; `None` without a list under way.
    listed: Option<HashSet<u64>>,
    /// The object that was shown last: only at the next event is it known whether it was kept.
    last: Option<Key>,
    hasher: RandomState,
    complete: bool,
}

/// The objects of one kind that are kept.
pub(super) trait Kept {
    fn contains(&self, key: &Key) -> bool;
    fn all(&self) -> impl Iterator<Item = &Key>;
}

impl<V> Kept for HashMap<Key, V> {
    fn contains(&self, key: &Key) -> bool {
        self.contains_key(key)
    }

    fn all(&self) -> impl Iterator<Item = &Key> {
        self.keys()
    }
}

impl<V> Kept for BTreeMap<Key, V> {
    fn contains(&self, key: &Key) -> bool {
        self.contains_key(key)
    }

    fn all(&self) -> impl Iterator<Item = &Key> {
        self.keys()
    }
}

impl Listing {
    /// Whether a whole list has been seen.
    pub(super) fn is_complete(&self) -> bool {
        self.complete
    }

    /// Turns an event into changes. `kept` are the objects that are kept before this event.
    pub(super) fn handle<K: ResourceExt>(&mut self, event: Event<K>, kept: &impl Kept) -> Vec<ListChange<K>> {
        if let Some(last) = self.last.take().filter(|last| kept.contains(last)) {
            let hash = self.hash(&last);
            self.present.insert(hash);
            self.listed.as_mut().map(|listed| listed.insert(hash));
        }
        match event {
            Event::Init => {
                self.listed = Some(HashSet::new());
                vec![]
            }
            Event::InitApply(object) => {
                self.listed.get_or_insert_default();
                self.last = Some(Key::of(&object));
                vec![ListChange::Listed(object)]
            }
            Event::InitDone => {
                self.complete = true;
                let before = std::mem::replace(&mut self.present, self.listed.take().unwrap_or_default());
                let has_vanished = |hash| before.contains(&hash) && !self.present.contains(&hash);
                kept.all().filter(|key| has_vanished(self.hash(key))).cloned().map(ListChange::Vanished).collect()
            }
            Event::Apply(object) => {
                self.last = Some(Key::of(&object));
                vec![ListChange::Changed(object)]
            }
            Event::Delete(object) => {
                let hash = self.hash(&Key::of(&object));
                self.present.remove(&hash);
                vec![ListChange::Deleted(object)]
            }
        }
    }

    fn hash(&self, key: &Key) -> u64 {
        self.hasher.hash_one(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::Pod;

    fn pod(name: &str) -> Pod {
        let mut pod = Pod::default();
        pod.metadata.name = Some(name.to_owned());
        pod.metadata.namespace = Some("shop".to_owned());
        pod
    }

    /// Handles events in a test in which everything is kept but what `left_out` names.
    fn handle(
        listing: &mut Listing,
        kept: &mut BTreeMap<Key, ()>,
        event: Event<Pod>,
        left_out: &str,
    ) -> Vec<ListChange<Pod>> {
        let changes = listing.handle(event, kept);
        for change in &changes {
            match change {
                ListChange::Listed(object) | ListChange::Changed(object) if object.name_any() != left_out => {
                    kept.insert(change.key(), ());
                }
                ListChange::Listed(_) | ListChange::Changed(_) => {}
                ListChange::Deleted(_) | ListChange::Vanished(_) => {
                    kept.remove(&change.key());
                }
            }
        }
        changes
    }

    #[test]
    fn what_a_later_list_lacks_has_vanished() {
        let (mut listing, mut kept) = (Listing::default(), BTreeMap::new());
        let mut handle = |event| {
            let changes = handle(&mut listing, &mut kept, event, "left-out");
            (changes, listing.is_complete())
        };
        assert_eq!(handle(Event::Init), (vec![], false));
        assert_eq!(handle(Event::InitApply(pod("a"))), (vec![ListChange::Listed(pod("a"))], false));
        assert_eq!(handle(Event::InitApply(pod("left-out"))), (vec![ListChange::Listed(pod("left-out"))], false));
        assert_eq!(handle(Event::InitDone), (vec![], true));
        assert_eq!(handle(Event::Apply(pod("b"))), (vec![ListChange::Changed(pod("b"))], true));
        assert_eq!(handle(Event::Apply(pod("c"))), (vec![ListChange::Changed(pod("c"))], true));
        assert_eq!(handle(Event::Delete(pod("c"))), (vec![ListChange::Deleted(pod("c"))], true));

        assert_eq!(handle(Event::Init), (vec![], true));
        assert_eq!(handle(Event::InitApply(pod("b"))), (vec![ListChange::Listed(pod("b"))], true));
        assert_eq!(handle(Event::InitDone), (vec![ListChange::Vanished(Key::new("shop", "a"))], true));
    }

    #[test]
    fn a_list_that_was_cut_short_makes_nothing_vanish() {
        let (mut listing, mut kept) = (Listing::default(), BTreeMap::new());
        let first = [Event::Init, Event::InitApply(pod("a")), Event::InitDone, Event::Init];
        for event in first.into_iter().chain([Event::Init, Event::InitApply(pod("a"))]) {
            handle(&mut listing, &mut kept, event, "");
        }
        assert_eq!(handle(&mut listing, &mut kept, Event::InitDone, ""), vec![]);
    }

    #[test]
    fn what_the_watch_has_not_shown_does_not_vanish() {
        let (mut listing, mut kept) = (Listing::default(), BTreeMap::new());
        kept.insert(Key::new("shop", "answered"), ());
        for event in [Event::Init, Event::InitDone] {
            assert_eq!(handle(&mut listing, &mut kept, event, ""), vec![]);
        }
    }
}
