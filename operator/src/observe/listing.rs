//! Turns the events of a watch into changes of single objects, across its restarts.

use std::collections::HashSet;

use kube::ResourceExt;
use kube::runtime::watcher::Event;

use crate::key::Key;

/// What happened to one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change<K> {
    /// It was found in a list: it may be older than this process.
    Listed(K),
    /// It was created or changed while it was watched.
    Changed(K),
    /// It was deleted while it was watched.
    Deleted(K),
    /// It is no longer in the list: it was deleted while nobody watched.
    Vanished(Key),
}

impl<K: ResourceExt> Change<K> {
    /// Which object it is about.
    pub(super) fn key(&self) -> Key {
        match self {
            Change::Listed(object) | Change::Changed(object) | Change::Deleted(object) => Key::of(object),
            Change::Vanished(key) => key.clone(),
        }
    }
}

/// Which objects of one kind there are.
#[derive(Debug, Default)]
pub(super) struct Listing {
    present: HashSet<Key>,
    /// What the list under way has shown so far.
    listing: Option<HashSet<Key>>,
    complete: bool,
}

impl Listing {
    /// Whether a whole list has been seen.
    pub(super) fn is_complete(&self) -> bool {
        self.complete
    }

    pub(super) fn handle<K: ResourceExt>(&mut self, event: Event<K>) -> Vec<Change<K>> {
        match event {
            Event::Init => {
                self.listing = Some(HashSet::new());
                vec![]
            }
            Event::InitApply(object) => {
                let key = Key::of(&object);
                self.present.insert(key.clone());
                self.listing.get_or_insert_default().insert(key);
                vec![Change::Listed(object)]
            }
            Event::InitDone => {
                self.complete = true;
                let listed = self.listing.take().unwrap_or_default();
                let vanished = self.present.difference(&listed).cloned().map(Change::Vanished).collect();
                self.present = listed;
                vanished
            }
            Event::Apply(object) => {
                self.present.insert(Key::of(&object));
                vec![Change::Changed(object)]
            }
            Event::Delete(object) => {
                self.present.remove(&Key::of(&object));
                vec![Change::Deleted(object)]
            }
        }
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

    #[test]
    fn what_a_later_list_lacks_has_vanished() {
        let mut listing = Listing::default();
        assert_eq!(listing.handle::<Pod>(Event::Init), vec![]);
        assert_eq!(listing.handle(Event::InitApply(pod("a"))), vec![Change::Listed(pod("a"))]);
        assert!(!listing.is_complete());
        assert_eq!(listing.handle::<Pod>(Event::InitDone), vec![]);
        assert!(listing.is_complete());
        assert_eq!(listing.handle(Event::Apply(pod("b"))), vec![Change::Changed(pod("b"))]);
        assert_eq!(listing.handle(Event::Apply(pod("c"))), vec![Change::Changed(pod("c"))]);
        assert_eq!(listing.handle(Event::Delete(pod("c"))), vec![Change::Deleted(pod("c"))]);

        assert_eq!(listing.handle::<Pod>(Event::Init), vec![]);
        assert_eq!(listing.handle(Event::InitApply(pod("b"))), vec![Change::Listed(pod("b"))]);
        assert_eq!(listing.handle::<Pod>(Event::InitDone), vec![Change::Vanished(Key::new("shop", "a"))]);
    }

    #[test]
    fn a_list_that_was_cut_short_makes_nothing_vanish() {
        let mut listing = Listing::default();
        for event in [Event::Init, Event::InitApply(pod("a")), Event::InitDone, Event::Init] {
            listing.handle(event);
        }
        listing.handle::<Pod>(Event::Init);
        listing.handle(Event::InitApply(pod("a")));
        assert_eq!(listing.handle::<Pod>(Event::InitDone), vec![]);
    }
}
