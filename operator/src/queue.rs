//! The queue of elections to plan, each at most once.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::time::Duration;

use crate::key::Key;

/// Why an election is to be planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Why {
    /// The time for which the election was queued has come.
    Time,
    /// Something about the election has changed.
    Change,
}

/// A group of elections that takes turns with other groups: one with many elections must not keep the others waiting.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Flow {
    /// The elections of one namespace.
    Namespace(String),
    /// The large elections of all namespaces.
    Large,
}

/// A queue ordered by time, without duplicates. Among the elections that are due, the flows take turns.
#[derive(Debug, Default)]
pub struct Queue {
    entries: HashMap<Key, Entry>,
    /// The elections that were not due at the last look.
    later: BTreeSet<(Duration, Key)>,
    /// The elections that were due at the last look, by flow.
    due: HashMap<Flow, VecDeque<Key>>,
    /// The flows that have an election that is due, the next one first.
    turns: VecDeque<Flow>,
    /// The elections that are being worked on: they are not taken until that is done.
    busy: HashSet<Key>,
    waiting: HashMap<Key, (Duration, Why)>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    at: Duration,
    why: Why,
    is_due: bool,
}

impl Queue {
    /// Has `key` planned at `at` or earlier.
    pub fn push(&mut self, key: Key, why: Why, at: Duration) {
        if self.busy.contains(&key) {
            let entry = self.waiting.entry(key).or_insert((at, why));
            *entry = (entry.0.min(at), entry.1.max(why));
            return;
        }
        let entry = self.entries.entry(key.clone()).or_insert(Entry { at, why, is_due: false });
        entry.why = entry.why.max(why);
        if entry.is_due {
            return;
        }
        self.later.remove(&(entry.at, key.clone()));
        entry.at = entry.at.min(at);
        self.later.insert((entry.at, key));
    }

    /// Takes the next election that is due and whose flow `has_room`. `flow` returns the flow of an election.
    pub fn pop(
        &mut self,
        now: Duration,
        flow: impl Fn(&Key) -> Flow,
        has_room: impl Fn(&Flow) -> bool,
    ) -> Option<(Key, Why, Flow)> {
        self.find_due(now, flow);
        for _ in 0..self.turns.len() {
            let flow = self.turns.pop_front()?;
            if !has_room(&flow) {
                self.turns.push_back(flow);
                continue;
            }
            let due = self.due.get_mut(&flow)?;
            let key = due.pop_front()?;
            if due.is_empty() {
                self.due.remove(&flow);
            } else {
                self.turns.push_back(flow.clone());
            }
            let why = self.entries.remove(&key)?.why;
            return Some((key, why, flow));
        }
        None
    }

    fn find_due(&mut self, now: Duration, flow: impl Fn(&Key) -> Flow) {
        while self.later.first().is_some_and(|(at, _)| *at <= now) {
            let Some((_, key)) = self.later.pop_first() else { return };
            if let Some(entry) = self.entries.get_mut(&key) {
                entry.is_due = true;
            }
            let flow = flow(&key);
            let due = self.due.entry(flow.clone()).or_default();
            if due.is_empty() {
                self.turns.push_back(flow);
            }
            due.push_back(key);
        }
    }

    /// Removes all elections but those that are being worked on.
    pub fn clear(&mut self) {
        *self = Queue { busy: std::mem::take(&mut self.busy), ..Queue::default() };
    }

    /// Notes that the work on `key`, which was just taken, begins.
    pub fn begin(&mut self, key: Key) {
        self.busy.insert(key);
    }

    /// Notes that the work on `key` is done: if it was pushed meanwhile, it is in the queue again.
    pub fn end(&mut self, key: &Key) {
        self.busy.remove(key);
        if let Some((at, why)) = self.waiting.remove(key) {
            self.push(key.clone(), why, at);
        }
    }

    /// When the next election is due that was not due when one was last taken.
    #[must_use]
    pub fn next_at(&self) -> Option<Duration> {
        self.later.first().map(|(at, _)| *at)
    }

    /// The number of elections that are due.
    #[must_use]
    pub fn due(&self, now: Duration) -> usize {
        let due: usize = self.due.values().map(VecDeque::len).sum();
        due + self.later.iter().take_while(|(at, _)| *at <= now).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        Key::new("shop", name)
    }

    /// Takes the next election that is due, of any flow.
    fn pop(queue: &mut Queue, now: Duration) -> Option<(Key, Why)> {
        queue.pop(now, by_namespace, |_| true).map(|(key, why, _)| (key, why))
    }

    fn by_namespace(key: &Key) -> Flow {
        if key.name == "large" { Flow::Large } else { Flow::Namespace(key.namespace.clone()) }
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
        assert_eq!(pop(&mut queue, second(2)), None);
        assert_eq!((queue.due(second(2)), queue.due(second(3)), queue.due(second(5))), (0, 1, 2));
        assert_eq!(pop(&mut queue, second(9)), Some((key("b"), Why::Time)));
        assert_eq!(pop(&mut queue, second(9)), Some((key("a"), Why::Change)));
        assert_eq!(pop(&mut queue, second(9)), None);
        assert_eq!(queue.next_at(), None);
    }

    #[test]
    fn what_is_being_worked_on_waits() {
        let mut queue = Queue::default();
        queue.begin(key("a"));
        queue.push(key("a"), Why::Change, second(1));
        queue.push(key("a"), Why::Time, second(2));
        assert_eq!(pop(&mut queue, second(3)), None);
        queue.end(&key("a"));
        assert_eq!(pop(&mut queue, second(3)), Some((key("a"), Why::Change)));
        assert_eq!(pop(&mut queue, second(3)), None);
    }

    #[test]
    fn flows_take_turns() {
        let mut queue = Queue::default();
        for name in ["a", "b", "large", "c"] {
            queue.push(Key::new("crowded", name), Why::Change, second(1));
        }
        queue.push(Key::new("quiet", "a"), Why::Change, second(2));
        queue.push(Key::new("later", "a"), Why::Change, second(7));
        let crowded = Flow::Namespace("crowded".to_owned());
        let mut pop = |full: &[&Flow]| {
            let popped = queue.pop(second(3), by_namespace, |flow| !full.contains(&flow));
            popped.map(|(key, _, flow)| (key.to_string(), flow))
        };
        assert_eq!(pop(&[]), Some(("crowded/a".to_owned(), crowded.clone())));
        assert_eq!(pop(&[]), Some(("crowded/large".to_owned(), Flow::Large)));
        assert_eq!(pop(&[]), Some(("quiet/a".to_owned(), Flow::Namespace("quiet".to_owned()))));
        assert_eq!(pop(&[&crowded]), None);
        let rest = [pop(&[]), pop(&[]), pop(&[])];
        assert_eq!(
            rest.map(|popped| popped.map(|(name, _)| name)),
            [Some("crowded/b".into()), Some("crowded/c".into()), None]
        );
        assert_eq!((queue.due(second(3)), queue.due(second(7)), queue.next_at()), (0, 1, Some(second(7))));
    }

    #[test]
    fn it_is_cleared_of_all_but_what_is_being_worked_on() {
        let mut queue = Queue::default();
        queue.begin(key("a"));
        for name in ["a", "b", "c"] {
            queue.push(key(name), Why::Change, second(1));
        }
        assert!(pop(&mut queue, second(1)).is_some());
        queue.clear();
        assert_eq!((pop(&mut queue, second(9)), queue.due(second(9)), queue.next_at()), (None, 0, None));
        queue.push(key("a"), Why::Change, second(1));
        assert_eq!(pop(&mut queue, second(9)), None, "it is still under way");
        queue.end(&key("a"));
        assert_eq!(pop(&mut queue, second(9)), Some((key("a"), Why::Change)));
    }

    #[test]
    fn one_that_is_due_stays_once_in_the_queue() {
        let mut queue = Queue::default();
        queue.push(key("a"), Why::Time, second(1));
        queue.push(key("b"), Why::Time, second(1));
        assert_eq!(pop(&mut queue, second(2)), Some((key("a"), Why::Time)));
        queue.push(key("b"), Why::Change, second(9));
        assert_eq!(pop(&mut queue, second(2)), Some((key("b"), Why::Change)));
        assert_eq!((pop(&mut queue, second(9)), queue.due(second(9))), (None, 0));
    }
}
