//! What the index makes of pods: whose they are, and what is known of those that are gone.

use elector_crds::{PodLabels, identity};
use k8s_openapi::api::core::v1 as core;
use kube::core::SelectorExt;

use super::listing::Change;
use super::{Election, Index, Now, Pod};
use crate::key::Key;

impl Index {
    pub(super) fn change_pod(&mut self, change: Change<core::Pod>, now: Now) -> Vec<Key> {
        let (key, pod) = match change {
            Change::Listed(stored) | Change::Changed(stored) => {
                let key = Key::of(&stored);
                let pod = Pod::new(stored, self.pods.get(&key), now);
                (key, Some(pod))
            }
            Change::Deleted(stored) => {
                let key = Key::of(&stored);
                let pod = Pod::new(stored, self.pods.get(&key), now);
                if pod.dead
                    && self.elections_in(&key.namespace).any(|(election, _)| self.is_held_by(election, &key.name))
                {
                    self.dead.insert(key.clone(), pod);
                }
                (key, None)
            }
            Change::Vanished(key) => (key, None),
        };
        let last = match &pod {
            Some(pod) => self.pods.insert(key.clone(), pod.clone()),
            None => self.pods.remove(&key),
        };
        if last == pod {
            return vec![];
        }
        let versions: Vec<&Pod> = last.iter().chain(&pod).collect();
        self.elections_in(&key.namespace)
            .filter(|(election, Election { selector, .. })| {
                versions.iter().any(|pod| selector.matches(&pod.labels)) || self.is_held_by(election, &key.name)
            })
            .map(|(election, _)| election.clone())
            .collect()
    }

    /// The first of the other elections that have labels put on one of `pods`.
    pub(super) fn labelled_by(&self, key: &Key, pods: &[Pod]) -> Option<String> {
        let mut others = self.elections_in(&key.namespace).filter(|(other, _)| *other != key);
        let labels = |election: &Election| {
            election.object.spec.pod_labels == PodLabels::Enabled
                && pods.iter().any(|pod| election.selector.matches(&pod.labels))
        };
        others.find(|(_, election)| labels(election)).map(|(other, _)| other.name.clone())
    }

    /// The holder's pod: of that uid, if the identity says one.
    pub(super) fn holder_pod(&self, namespace: &str, holder: &str) -> Option<&Pod> {
        match identity::pod_and_uid(holder) {
            Some((name, uid)) => {
                let key = Key::new(namespace, name);
                [self.pods.get(&key), self.dead.get(&key)].into_iter().flatten().find(|pod| pod.uid == uid)
            }
            None => self.pods.get(&Key::new(namespace, holder)),
        }
    }

    pub(super) fn pods_of<'a>(&'a self, namespace: &'a str) -> impl Iterator<Item = &'a Pod> {
        let from_here = self.pods.range(Key::new(namespace, "")..);
        from_here.take_while(move |(key, _)| key.namespace == namespace).map(|(_, pod)| pod)
    }
}
