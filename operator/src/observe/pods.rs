//! What the index makes of pods: whose they are, and what is known of those that are gone.

use elector_crds::{ROLE_LABEL, identity};
use k8s_openapi::api::core::v1 as core;
use kube::core::{Selector, SelectorExt};

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
                if pod.dead_since.is_some() && self.is_named(&key) {
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
        self.note_stray(&key, last.as_ref(), pod.as_ref());
        let versions: Vec<&Pod> = last.iter().chain(&pod).collect();
        self.elections_in(&key.namespace)
            .filter(|(election, Election { selector, .. })| {
                versions.iter().any(|pod| selector.matches(&pod.labels)) || self.is_held_by(election, &key.name)
            })
            .map(|(election, _)| election.clone())
            .collect()
    }

    /// One that is taken out of its election, as for a look at what is wrong with it, takes its label along.
    fn note_stray(&mut self, key: &Key, last: Option<&Pod>, pod: Option<&Pod>) {
        let Some(pod) = pod.filter(|pod| pod.labels.contains_key(ROLE_LABEL)) else {
            self.strays.remove(key);
            return;
        };
        let matches = |pod: &Pod| {
            let mut elections = self.elections_in(&key.namespace);
            elections
                .find(|(_, it)| it.has_pods_labelled() && it.selector.matches(&pod.labels))
                .map(|(election, _)| election.clone())
        };
        if matches(pod).is_some() {
            self.strays.remove(key);
        } else if let Some(election) = last.and_then(matches) {
            self.strays.insert(key.clone(), election);
        }
    }

    /// The same of those that `election` selected by `before`, and does not by what it says now.
    pub(super) fn find_strays(&mut self, election: &Key, before: Option<&Selector>) {
        let now = self.elections.get(election).map(|it| &it.selector);
        let (Some(before), Some(now)) = (before, now) else { return };
        if before == now {
            return;
        }
        let pods = self.pods_of(&election.namespace).filter(|pod| pod.labels.contains_key(ROLE_LABEL));
        let strays = pods.filter(|pod| before.matches(&pod.labels) && !now.matches(&pod.labels));
        let strays: Vec<Key> = strays.map(|pod| Key::new(&election.namespace, &pod.name)).collect();
        self.strays.extend(strays.into_iter().map(|pod| (pod, election.clone())));
    }

    pub(super) fn strays_of(&self, election: &Key) -> Vec<Pod> {
        let strays = self.strays.iter().filter(|(_, of)| *of == election);
        strays.filter_map(|(pod, _)| self.pods.get(pod).cloned()).collect()
    }

    /// Whether the Lease of any election names a pod called so.
    fn is_named(&self, pod: &Key) -> bool {
        self.elections_in(&pod.namespace).any(|(election, _)| self.is_held_by(election, &pod.name))
    }

    /// Forgets those of the dead whom no Lease names any more.
    pub(super) fn forget_dead(&mut self) {
        if self.dead.is_empty() {
            return;
        }
        let dead = std::mem::take(&mut self.dead);
        self.dead = dead.into_iter().filter(|(pod, _)| self.is_named(pod)).collect();
    }

    /// The first of the other elections that have labels put on one of `pods`.
    pub(super) fn labelled_by(&self, key: &Key, pods: &[Pod]) -> Option<String> {
        let mut others = self.elections_in(&key.namespace).filter(|(other, _)| *other != key);
        let labels = |election: &Election| {
            election.has_pods_labelled() && pods.iter().any(|pod| election.selector.matches(&pod.labels))
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
