//! Which elections to look at, and when: each at most once at a time.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

use crate::key::Key;

/// Why to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Why {
    /// Time has passed.
    Time,
    /// Something changed.
    Change,
}

/// A queue by time, without duplicates.
#[derive(Debug, Default)]
pub struct Queue {
    order: BTreeSet<(Duration, Key)>,
    entries: HashMap<Key, (Duration, Why)>,
    /// Those being worked on: they wait until it is done.
    busy: HashSet<Key>,
    waiting: HashMap<Key, (Duration, Why)>,
}

impl Queue {
    /// Looks at `key` at `at` or earlier.
    pub fn push(&mut self, key: Key, why: Why, at: Duration) {
        if self.busy.contains(&key) {
            let entry = self.waiting.entry(key).or_insert((at, why));
            *entry = (entry.0.min(at), entry.1.max(why));
            return;
        }
        let entry = match self.entries.get(&key) {
            Some(&(known_at, known_why)) => {
                self.order.remove(&(known_at, key.clone()));
                (known_at.min(at), known_why.max(why))
            }
            None => (at, why),
        };
        self.order.insert((entry.0, key.clone()));
        self.entries.insert(key, entry);
    }

    /// Takes the next one that is due.
    pub fn pop(&mut self, now: Duration) -> Option<(Key, Why)> {
        let (at, _) = self.order.first()?;
        if *at > now {
            return None;
        }
        let (_, key) = self.order.pop_first()?;
        let (_, why) = self.entries.remove(&key)?;
        Some((key, why))
    }

    /// From now on `key` is worked on.
    pub fn begin(&mut self, key: Key) {
        if let Some((at, why)) = self.entries.remove(&key) {
            self.order.remove(&(at, key.clone()));
            self.waiting.insert(key.clone(), (at, why));
        }
        self.busy.insert(key);
    }

    /// The work on `key` is done: what was pushed meanwhile is in the queue again.
    pub fn end(&mut self, key: &Key) {
        self.busy.remove(key);
        if let Some((at, why)) = self.waiting.remove(key) {
            self.push(key.clone(), why, at);
        }
    }

    /// When the next one is due.
    #[must_use]
    pub fn next_at(&self) -> Option<Duration> {
        self.order.first().map(|(at, _)| *at)
    }

    /// How many are due.
    #[must_use]
    pub fn due(&self, now: Duration) -> usize {
        self.order.iter().take_while(|(at, _)| *at <= now).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        Key::new("shop", name)
    }

    fn second(second: u64) -> Duration {
        Duration::from_secs(second)
    }

    #[test]
    fn the_earliest_time_and_the_strongest_reason_count() {
        let mut queue = Queue::default();
        queue.push(key("a"), Why::Time, second(5));
        queue.push(key("a"), Why::Change, second(9));
        queue.push(key("b"), Why::Time, second(3));
        assert_eq!(queue.next_at(), Some(second(3)));
        assert_eq!(queue.pop(second(2)), None);
        assert_eq!((queue.due(second(2)), queue.due(second(3)), queue.due(second(5))), (0, 1, 2));
        assert_eq!(queue.pop(second(9)), Some((key("b"), Why::Time)));
        assert_eq!(queue.pop(second(9)), Some((key("a"), Why::Change)));
        assert_eq!(queue.pop(second(9)), None);
        assert_eq!(queue.next_at(), None);
    }

    #[test]
    fn what_is_being_worked_on_waits() {
        let mut queue = Queue::default();
        queue.begin(key("a"));
        queue.push(key("a"), Why::Change, second(1));
        queue.push(key("a"), Why::Time, second(2));
        assert_eq!(queue.pop(second(3)), None);
        queue.end(&key("a"));
        assert_eq!(queue.pop(second(3)), Some((key("a"), Why::Change)));
        assert_eq!(queue.pop(second(3)), None);
    }
}
