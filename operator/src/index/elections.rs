//! How the index handles changes of LeaderElections.

use std::sync::Arc;

use elector_crds::untrusted::{StoredElection, shorten};
use elector_crds::{
    CandidateSelector, Holder, LeaderElection, LeaderElectionSpec, LeaderElectionStatus, TRANSFER_ANNOTATION,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;

use super::budget::Cost;
use super::listing::ListChange;
use super::owned::is_news;
use super::{ClockReading, Index, IndexedElection, Transfer, Unreadable};
use crate::key::Key;

/// The memory of an election beside its texts, in bytes.
const ELECTION_BYTES: usize = 1536;

/// The memory of a text beside its letters, in bytes: once in the spec, and once in the parsed selector.
const TEXT_BYTES: usize = 128;

/// What each requirement of a selector counts as, in bytes. It takes less memory, but also time: each change of a pod
/// is matched against every selector of its namespace, so this limits them to some 50,000 requirements.
const REQUIREMENT_BYTES: usize = 1024;

impl Cost for LeaderElection {
    fn cost(&self) -> usize {
        let spec = serde_json::to_string(&self.spec).unwrap_or_default();
        let texts = spec.bytes().filter(|byte| *byte == b'"').count() / 2;
        let candidates = &self.spec.candidates;
        let selectors = candidates.selector.iter().chain(&candidates.preferred);
        let requirements: usize = selectors.map(requirements).sum();
        ELECTION_BYTES
            + spec.len()
            + texts * TEXT_BYTES
            + requirements * REQUIREMENT_BYTES
            + self.status.as_ref().map_or(0, status_cost)
    }
}

fn requirements(selector: &CandidateSelector) -> usize {
    selector.match_labels.len() + selector.match_expressions.len()
}

fn status_cost(status: &LeaderElectionStatus) -> usize {
    let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    let conditions = status.conditions.iter().map(|it| 128 + it.type_.len() + it.reason.len() + it.message.len());
    let history = status.history.iter();
    let history = history
        .map(|it| 192 + it.holder.len() + it.identity.len() + text(&it.from) + text(&it.until) + text(&it.reason));
    let holder = status.holder.as_ref();
    let holder =
        holder.map_or(0, |it| 96 + it.name.len() + it.identity.len() + text(&it.node_name) + text(&it.acquire_time));
    conditions.chain(history).sum::<usize>() + holder + text(&status.selector) + text(&status.lease_uid)
}

impl Index {
    /// Takes in a change of an election. Returns the elections to plan again: also those that wait for this one to
    /// leave the labels of pods to them.
    pub(super) fn change_election(&mut self, change: ListChange<StoredElection>, now: ClockReading) -> Vec<Key> {
        let key = change.key();
        let labelled = |index: &Index| {
            index.elections.get(&key).filter(|it| it.has_pods_labelled()).map(|election| election.selector.clone())
        };
        let before = labelled(self);
        let changed = self.replace_election(change, now);
        self.find_strays(&key, before.as_ref());
        let gives_up = before.is_some() && before != labelled(self);
        let waits = |(other, it): &(&Key, &IndexedElection)| gives_up && **other != key && it.has_pods_labelled();
        let others = self.elections_in(&key.namespace).filter(waits).map(|(other, _)| other.clone());
        changed.into_iter().chain(others).collect()
    }

    fn replace_election(&mut self, change: ListChange<StoredElection>, now: ClockReading) -> Option<Key> {
        let (stored, creation_watched) = match change {
            ListChange::Listed(stored) => (stored, false),
            ListChange::Changed(stored) => {
                if let Some(known) = self.elections.get(&Key::of(&stored))
                    && !is_news(&stored, &*known.object)
                {
                    return None;
                }
                (stored, true)
            }
            ListChange::Deleted(stored) => {
                let key = Key::of(&stored);
                let known = self.elections.get(&key)?;
                return (known.object.uid() == stored.uid()).then(|| self.forget_election(key));
            }
            ListChange::Vanished(key) => return Some(self.forget_election(key)),
        };
        self.remember_election(stored, creation_watched, now)
    }

    fn remember_election(&mut self, stored: StoredElection, creation_watched: bool, now: ClockReading) -> Option<Key> {
        let StoredElection { election: mut object, unreadable, json_bytes } = stored;
        let key = Key::of(&object);
        object.metadata = kept_metadata(object.metadata);
        let known = self.elections.get(&key);
        // Not found at the start.
        let is_live = creation_watched || known.is_some();
        let same = known.filter(|known| known.object.uid() == object.uid());
        if let (Some(_), Some(same)) = (&unreadable, same) {
            // What there is stays, as with a spec that breaks a rule.
            object.spec = same.object.spec.clone();
        }
        let (object, unreadable) = self.within_budget(&key, object, unreadable.map(Unreadable::Spec))?;
        let (mut creation_watched, mut deletions, mut transfer) = (creation_watched, 0, None);
        let mut is_another = false;
        if let Some(known) = self.elections.get(&key) {
            deletions = known.deletions;
            is_another = known.object.uid() != object.uid();
            if is_another {
                deletions += 1;
            } else {
                creation_watched = known.creation_watched;
                transfer = known.transfer.clone();
            }
        }
        if is_another {
            self.remember(&key);
        }
        let selector = object.spec.selector(&key.name);
        let requirements = object.spec.candidates.selector.as_ref().map_or(1, requirements);
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
        self.budget.charge(&key.namespace, object.cost());
        let object = Arc::new(object);
        let election = IndexedElection {
            object,
            unreadable,
            json_bytes,
            selector,
            requirements,
            creation_watched,
            deletions,
            transfer,
        };
        if let Some(last) = self.elections.insert(key.clone(), election) {
            self.budget.refund(&key.namespace, last.object.cost());
        }
        Some(key)
    }

    /// Reduces `object` to what there is room for: all of it, or only what is needed to say that there is no room, or
    /// nothing.
    fn within_budget(
        &mut self,
        key: &Key,
        mut object: LeaderElection,
        unreadable: Option<Unreadable>,
    ) -> Option<(LeaderElection, Option<Unreadable>)> {
        let known = self.elections.get(key).map_or(0, |known| known.object.cost());
        if self.budget.has_room(&key.namespace, object.cost().saturating_sub(known)) {
            return Some((object, unreadable));
        }
        self.leave_out("LeaderElection", key);
        object.spec = LeaderElectionSpec::default();
        object.metadata.annotations = None;
        if let Some(status) = &mut object.status {
            let conditions = status.conditions.iter().filter(|it| it.message.len() <= ELECTION_BYTES).cloned();
            *status = LeaderElectionStatus {
                observed_generation: status.observed_generation,
                conditions: conditions.collect(),
                // What a Lease that is gone would be made again from.
                lease_uid: status.lease_uid.as_deref().map(|uid| shorten(uid).into_owned()),
                lease_transitions: status.lease_transitions,
                state: status.state.as_deref().map(|state| shorten(state).into_owned()),
                holder: status.holder.as_ref().map(|holder| Holder {
                    name: shorten(&holder.name).into_owned(),
                    identity: shorten(&holder.identity).into_owned(),
                    ..Holder::default()
                }),
                ..LeaderElectionStatus::default()
            };
        }
        if !self.budget.has_room_for_needed(&key.namespace, object.cost()) {
            if self.elections.contains_key(key) {
                self.forget_election(key.clone());
            }
            // It is not new when there is room for it again.
            self.remember(key);
            return None;
        }
        let limit_bytes = self.budget.limit();
        Some((object, Some(Unreadable::NamespaceTooLarge { limit_bytes })))
    }

    fn forget_election(&mut self, key: Key) -> Key {
        if let Some(last) = self.elections.remove(&key) {
            self.budget.refund(&key.namespace, last.object.cost());
        }
        self.remember(&key);
        self.trim_histories(&key.namespace);
        self.left_out_leases.remove(&key);
        self.forget_dead();
        key
    }

    pub(super) fn count_deletions(&mut self, elections: &[Key], gone: bool) {
        for election in elections.iter().filter(|_| gone) {
            self.count_deletion(election);
        }
    }

    pub(super) fn count_deletion(&mut self, key: &Key) {
        if let Some(election) = self.elections.get_mut(key) {
            election.deletions += 1;
        }
    }
}

/// The metadata that plans, requests and events need.
fn kept_metadata(metadata: ObjectMeta) -> ObjectMeta {
    let ObjectMeta {
        name, namespace, uid, resource_version, generation, creation_timestamp, deletion_timestamp, ..
    } = metadata;
    let mut annotations = metadata.annotations.unwrap_or_default();
    let request = annotations.remove_entry(TRANSFER_ANNOTATION);
    let request = request.map(|(key, target)| [(key, shorten(&target).into_owned())].into());
    ObjectMeta {
        annotations: request,
        name,
        namespace,
        uid,
        resource_version,
        generation,
        creation_timestamp,
        deletion_timestamp,
        ..ObjectMeta::default()
    }
}
