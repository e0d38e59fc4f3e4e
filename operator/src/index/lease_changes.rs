//! How the index handles changes of Leases: it keeps their latest versions, and remembers what was before (rule O2).

use elector_crds::StoredLease;
use kube::runtime::watcher::Event;

use super::budget::Cost;
use super::listing::ListChange;
use super::{ClockReading, Index, LeaseSeen, phase};
use crate::key::Key;

impl Index {
    /// Takes in a change that the watch shows. With it, everything is known that was before.
    pub(super) fn watch_lease(&mut self, change: ListChange<StoredLease>, now: ClockReading) -> Option<Key> {
        let shown = match &change {
            ListChange::Listed(stored) | ListChange::Changed(stored) => {
                Some((Key::of(stored), stored.metadata.uid.clone()))
            }
            ListChange::Deleted(_) | ListChange::Vanished(_) => None,
        };
        let changed = self.change_lease(change, now);
        let Some((key, uid)) = shown else { return changed };
        let seen = self.leases.get_mut(&key).filter(|seen| Some(&seen.lease.record.uid) == uid.as_ref());
        let news = seen.is_some_and(|seen| !std::mem::replace(&mut seen.watched, true) && seen.is_unconfirmed());
        changed.or_else(|| (news && self.elections.contains_key(&key)).then_some(key))
    }

    /// Remembers every election's name as one with a past: a list does not show what came and went since the last
    /// event.
    pub(super) fn forget_novelty(&mut self) {
        let keys: Vec<Key> = self.elections.keys().cloned().collect();
        for key in keys {
            self.remember(&key);
        }
    }

    pub(super) fn change_lease(&mut self, change: ListChange<StoredLease>, now: ClockReading) -> Option<Key> {
        let (stored, listed) = match change {
            ListChange::Listed(stored) => (stored, true),
            ListChange::Changed(stored) => (stored, false),
            ListChange::Deleted(stored) => {
                let key = Key::of(&stored);
                self.learn(&key, &stored, now);
                if self.left_out_leases.remove(&key).is_some() {
                    return self.forget_lease(key);
                }
                let known = self.leases.get(&key)?;
                let same = stored.metadata.uid.as_ref() == Some(&known.lease.record.uid);
                return if same { self.forget_lease(key) } else { None };
            }
            ListChange::Vanished(key) => return self.forget_lease(key),
        };
        let key = Key::of(&stored);
        let last = self.leases.get(&key);
        let seen = match last {
            Some(last) => last.then(&stored, now),
            None => LeaseSeen::first(&stored, now),
        };
        let mut seen = match seen {
            Ok(seen) => seen,
            Err(error) => {
                tracing::warn!(lease = %key, %error, "unusable lease");
                return None;
            }
        };
        if !listed && last.is_some_and(|last| last.lease.resource_version >= seen.lease.resource_version) {
            self.learn(&key, &stored, now);
            return None;
        }
        let last_holder = last.map(|last| last.lease.record.holder.clone()).unwrap_or_default();
        let replaced = last_holder != seen.lease.record.holder;
        if replaced && self.holder_pod(&key.namespace, &last_holder).is_some_and(|pod| pod.dead_since.is_some()) {
            seen.note_death();
        }
        let begun = last.is_some_and(|last| seen.begins_after(last));
        let own_duration = self.own_duration(&key);
        let changed = match (last, own_duration) {
            (_, None) => false,
            (None, Some(_)) => true,
            (Some(last), Some(own)) => last.differs(&seen) || phase(last, own, now) != phase(&seen, own, now),
        };
        // What was made for an earlier absence tells nothing that is not known better.
        if !seen.is_unconfirmed() {
            self.remember(&key).take_in(&seen, begun);
        }
        if !self.keep_lease(&key, seen) {
            return own_duration.is_some().then_some(key);
        }
        if replaced {
            self.forget_dead();
        }
        changed.then_some(key)
    }

    /// Keeps a Lease if there is room. Returns whether there was.
    fn keep_lease(&mut self, key: &Key, seen: LeaseSeen) -> bool {
        let cost = seen.cost();
        let known = self.leases.get(key).map_or(0, Cost::cost);
        let more = cost.saturating_sub(known);
        let has_room = if self.elections.contains_key(key) {
            self.budget.has_room_for_needed(&key.namespace, more)
        } else {
            self.budget.has_room(&key.namespace, more)
        };
        if !has_room {
            self.remove_lease(key);
            self.leave_out("Lease", key);
            if self.elections.contains_key(key) {
                self.left_out_leases.insert(key.clone(), true);
            }
            return false;
        }
        self.left_out_leases.remove(key);
        self.budget.charge(&key.namespace, cost);
        self.holders.insert(key, &seen.lease.record.holder);
        if let Some(last) = self.leases.insert(key.clone(), seen) {
            self.budget.refund(&key.namespace, known);
            let holder = last.lease.record.holder;
            if self.leases.get(key).is_some_and(|seen| seen.lease.record.holder != holder) {
                self.holders.remove(key, &holder);
            }
        }
        true
    }

    /// Takes in an event of the list of Leases. Returns the elections whose Lease was left out and, by a whole list, no
    /// longer exists.
    pub(super) fn left_out_leases_gone(&mut self, event: &Event<StoredLease>) -> Vec<Key> {
        match event {
            Event::Init => self.left_out_leases.values_mut().for_each(|listed| *listed = false),
            Event::InitDone => {
                let gone = self.left_out_leases.iter().filter(|(_, listed)| !**listed);
                let gone: Vec<Key> = gone.map(|(key, _)| key.clone()).collect();
                gone.iter().for_each(|key| self.count_deletion(key));
                self.left_out_leases.retain(|_, listed| *listed);
                return gone;
            }
            Event::InitApply(_) | Event::Apply(_) | Event::Delete(_) => {}
        }
        Vec::new()
    }

    pub(super) fn remove_lease(&mut self, key: &Key) {
        if let Some(last) = self.leases.remove(key) {
            self.budget.refund(&key.namespace, last.cost());
            self.holders.remove(key, &last.lease.record.holder);
        }
    }

    /// Learns from an outdated version of a Lease. The watch may show such a version late, after a newer one was read.
    fn learn(&mut self, key: &Key, stored: &StoredLease, now: ClockReading) {
        if let Ok(seen) = LeaseSeen::first(stored, now)
            && !seen.is_unconfirmed()
        {
            self.remember(key).learn(&seen);
        }
    }

    fn forget_lease(&mut self, key: Key) -> Option<Key> {
        self.remove_lease(&key);
        self.forget_dead();
        self.count_deletion(&key);
        self.elections.contains_key(&key).then_some(key)
    }
}
