//! How the index handles changes of pods: which elections they belong to, and what is known of pods that are gone.

use std::collections::BTreeMap;
use std::sync::Arc;

use elector_crds::{ROLE_LABEL, identity};
use kube::core::{Selector, SelectorExt};

use super::budget::Cost;
use super::listing::ListChange;
use super::role_label::RoleLabel;
use super::{ClockReading, Index, IndexedElection, Pod, StoredPod};
use crate::key::Key;

/// The memory of a pod, and of each of its labels, beside the texts, in bytes.
const POD_BYTES: usize = 512;
const LABEL_BYTES: usize = 96;

/// The most comparisons of a pod with a requirement in the search for another election that labels it. Beyond that, no
/// other election is found; two elections that label the same pods are then told by what they undo of each other.
const MAX_COMPARISONS: usize = 20_000;

impl Cost for Pod {
    fn cost(&self) -> usize {
        let labels = self.labels.iter().map(|(label, value)| LABEL_BYTES + label.len() + value.len());
        let ports = self.named_ports.iter().map(|port| 64 + port.name.len());
        POD_BYTES + self.name.len() + labels.chain(ports).sum::<usize>()
    }
}

impl Index {
    pub(super) fn change_pod(&mut self, change: ListChange<StoredPod>, now: ClockReading) -> Vec<Key> {
        let (key, pod) = match change {
            ListChange::Listed(stored) | ListChange::Changed(stored) => {
                let key = Key::of(&stored);
                let pod = Pod::new(stored, self.pods.get(&key).map(AsRef::as_ref), now);
                (key, Some(Arc::new(pod)))
            }
            ListChange::Deleted(stored) => {
                let key = Key::of(&stored);
                let pod = Pod::new(stored, self.pods.get(&key).map(AsRef::as_ref), now);
                if pod.dead_since.is_some() && self.is_named(&key) {
                    // What else it was is over.
                    let dead = Pod { labels: BTreeMap::new(), named_ports: Vec::new(), ..pod };
                    self.dead.insert(key.clone(), Arc::new(dead));
                }
                (key, None)
            }
            ListChange::Vanished(key) => (key, None),
        };
        let (last, pod) = self.keep_pod(&key, pod);
        if last == pod {
            return vec![];
        }
        self.note_stray(&key, last.as_deref(), pod.as_deref());
        if !self.is_complete() {
            // An operator that begins to plan looks at everything.
            return vec![];
        }
        let versions: Vec<&Pod> = last.iter().chain(&pod).map(AsRef::as_ref).collect();
        let selected = self.elections_in(&key.namespace);
        let selected = selected.filter(|(_, it)| versions.iter().any(|pod| it.selector.matches(&pod.labels)));
        let holding = self.holders.of(&key).filter(|lease| self.elections.contains_key(lease));
        let mut concerned: Vec<Key> = selected.map(|(election, _)| election.clone()).chain(holding).collect();
        concerned.sort();
        concerned.dedup();
        concerned
    }

    /// Replaces what is known of a pod by `pod`, if there is room. Returns the pod as it was known, and as it is kept.
    fn keep_pod(&mut self, key: &Key, pod: Option<Arc<Pod>>) -> (Option<Arc<Pod>>, Option<Arc<Pod>>) {
        let last = self.pods.remove(key);
        if let Some(last) = &last {
            self.budget.refund(&key.namespace, last.cost());
        }
        let Some(pod) = pod else { return (last, None) };
        let cost = pod.cost();
        if !self.budget.has_room(&key.namespace, cost) {
            self.leave_out("Pod", key);
            return (last, None);
        }
        self.budget.charge(&key.namespace, cost);
        self.pods.insert(key.clone(), Arc::clone(&pod));
        (last, Some(pod))
    }

    /// Updates the role label of the pod that the index keeps, after the operator has written that label.
    pub(super) fn take_label(&mut self, key: &Key, label: RoleLabel) {
        let RoleLabel { uid, role, .. } = label;
        let Some(pod) = self.pods.get_mut(key).filter(|pod| pod.uid == uid) else { return };
        let cost = pod.cost();
        let labels = &mut Arc::make_mut(pod).labels;
        labels.remove(ROLE_LABEL);
        labels.extend(role.map(|role| (ROLE_LABEL.to_owned(), role.as_str().to_owned())));
        self.budget.charge(&key.namespace, pod.cost());
        self.budget.refund(&key.namespace, cost);
        if role.is_none() {
            self.strays.remove(key);
        }
    }

    /// Notes a stray: a pod that was taken out of its election, for example to look into a problem, keeps its label.
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

    /// Notes as strays the pods with a role label that `election` selected by `before` and does not select any more.
    pub(super) fn find_strays(&mut self, election: &Key, before: Option<&Selector>) {
        let now = self.elections.get(election).map(|it| &it.selector);
        let (Some(before), Some(now)) = (before, now) else { return };
        if before == now {
            return;
        }
        let pods = self.pods_of(&election.namespace).filter(|(_, pod)| pod.labels.contains_key(ROLE_LABEL));
        let strays = pods.filter(|(_, pod)| before.matches(&pod.labels) && !now.matches(&pod.labels));
        let strays: Vec<Key> = strays.map(|(key, _)| key.clone()).collect();
        self.strays.extend(strays.into_iter().map(|pod| (pod, election.clone())));
    }

    pub(super) fn strays_of(&self, election: &Key) -> Vec<Arc<Pod>> {
        let strays = in_namespace(&self.strays, &election.namespace).filter(|(_, of)| *of == election);
        strays.filter_map(|(pod, _)| self.pods.get(pod).cloned()).collect()
    }

    /// Whether the Lease of any election names this pod.
    fn is_named(&self, pod: &Key) -> bool {
        self.holders.of(pod).any(|lease| self.elections.contains_key(&lease))
    }

    /// Forgets the dead pods that no Lease names any more.
    pub(super) fn forget_dead(&mut self) {
        if self.dead.is_empty() {
            return;
        }
        let dead = std::mem::take(&mut self.dead);
        self.dead = dead.into_iter().filter(|(pod, _)| self.is_named(pod)).collect();
    }

    /// The name of the first other election that labels one of `pods`.
    pub(super) fn labelled_by(&self, key: &Key, pods: &[Arc<Pod>]) -> Option<String> {
        let others = self.elections_in(&key.namespace);
        let mut others = others.filter(|(other, election)| *other != key && election.has_pods_labelled());
        let mut comparisons = 0;
        let labels = |election: &IndexedElection| {
            comparisons += pods.len() * election.requirements;
            comparisons <= MAX_COMPARISONS && pods.iter().any(|pod| election.selector.matches(&pod.labels))
        };
        let mut labels = labels;
        others.find(|(_, election)| labels(election)).map(|(other, _)| other.name.clone())
    }

    /// The holder's pod; if the identity states a uid, the pod must have it.
    pub(super) fn holder_pod(&self, namespace: &str, holder: &str) -> Option<&Arc<Pod>> {
        match identity::pod_and_uid(holder) {
            Some((name, uid)) => {
                let key = Key::new(namespace, name);
                [self.pods.get(&key), self.dead.get(&key)].into_iter().flatten().find(|pod| pod.uid == uid)
            }
            None => self.pods.get(&Key::new(namespace, holder)),
        }
    }

    pub(super) fn pods_of<'a>(&'a self, namespace: &'a str) -> impl Iterator<Item = (&'a Key, &'a Arc<Pod>)> {
        in_namespace(&self.pods, namespace)
    }
}

fn in_namespace<'a, V>(objects: &'a BTreeMap<Key, V>, namespace: &'a str) -> impl Iterator<Item = (&'a Key, &'a V)> {
    objects.range(Key::new(namespace, "")..).take_while(move |(key, _)| key.namespace == namespace)
}
