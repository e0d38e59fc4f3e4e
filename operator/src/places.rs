//! Places for work: how many elections are worked on at the same time, and of which flow.

use std::collections::HashMap;
use std::time::Duration;

use crate::queue::Flow;

/// How many elections may be worked on beyond the usual number, if their flow has none under way: so no flow can take
/// all places.
const RESERVED_PLACES: usize = 8;

/// The size of an election, in bytes of JSON, from which it counts as large. Elections that people write have some
/// hundred bytes.
///
/// A write to an election of 1.2 MB, such as each write of its status, takes the API server 0.8 s of a processor, for
/// which writes in other namespaces wait.
const LARGE_BYTES: usize = 64 * 1024;

/// The places that are taken, by flow.
#[derive(Debug)]
pub struct Places {
    concurrency: usize,
    running: HashMap<Flow, usize>,
    total: usize,
    /// The time before which no large election is begun: the API server gets as much time for other work as the last
    /// large one took.
    pause_until: Duration,
}

impl Flow {
    /// The flow of an election in `namespace` whose JSON has `json_bytes` bytes.
    #[must_use]
    pub fn of(namespace: &str, json_bytes: usize) -> Flow {
        if json_bytes < LARGE_BYTES { Flow::Namespace(namespace.to_owned()) } else { Flow::Large }
    }
}

impl Places {
    /// Places for `concurrency` elections of any flow, beside the reserved places.
    #[must_use]
    pub fn new(concurrency: usize) -> Places {
        Places { concurrency, running: HashMap::new(), total: 0, pause_until: Duration::ZERO }
    }

    /// Whether no flow may begin another election.
    #[must_use]
    pub fn are_full(&self) -> bool {
        self.total >= self.concurrency + RESERVED_PLACES
    }

    /// Whether `flow` may begin another election. Large elections take turns, whatever their namespace.
    #[must_use]
    pub fn has_room(&self, flow: &Flow, now: Duration) -> bool {
        let has_none = !self.running.contains_key(flow);
        match flow {
            Flow::Large => has_none && now >= self.pause_until,
            Flow::Namespace(_) => has_none || self.total < self.concurrency,
        }
    }

    /// When a large election may be begun, if that is later than `now`.
    #[must_use]
    pub fn pause_ends_at(&self, now: Duration) -> Option<Duration> {
        Some(self.pause_until).filter(|at| *at > now)
    }

    /// Takes a place for an election of `flow`.
    pub fn begin(&mut self, flow: Flow) {
        self.total += 1;
        *self.running.entry(flow).or_default() += 1;
    }

    /// Frees the place of an election of `flow`, which took the time `took`.
    pub fn end(&mut self, flow: &Flow, took: Duration, now: Duration) {
        let Some(running) = self.running.get_mut(flow) else { return };
        *running -= 1;
        self.total -= 1;
        if *running == 0 {
            self.running.remove(flow);
        }
        if *flow == Flow::Large {
            self.pause_until = now + took;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(60);

    fn of(namespace: &str) -> Flow {
        Flow::of(namespace, 1000)
    }

    #[test]
    fn a_namespace_with_nothing_under_way_finds_a_place() {
        let mut places = Places::new(2);
        places.begin(of("crowded"));
        assert!(places.has_room(&of("crowded"), NOW));
        places.begin(of("crowded"));
        assert!(!places.has_room(&of("crowded"), NOW) && places.has_room(&of("quiet"), NOW));
        for number in 0..RESERVED_PLACES {
            assert!(!places.are_full());
            places.begin(of(&format!("quiet-{number}")));
        }
        assert!(places.are_full());
        places.end(&of("crowded"), Duration::ZERO, NOW);
        places.end(&of("crowded"), Duration::ZERO, NOW);
        assert!(!places.are_full() && !places.has_room(&of("quiet-0"), NOW) && places.has_room(&of("crowded"), NOW));
        places.end(&of("nobody"), Duration::ZERO, NOW);
        assert_eq!(places.total, RESERVED_PLACES);
    }

    #[test]
    fn large_elections_take_no_more_than_half_of_the_time() {
        let large = Flow::of("crowded", LARGE_BYTES);
        assert_eq!(
            (Flow::of("other", LARGE_BYTES), Flow::of("crowded", LARGE_BYTES - 1)),
            (large.clone(), of("crowded"))
        );
        let mut places = Places::new(16);
        assert!(places.has_room(&large, NOW) && places.pause_ends_at(NOW).is_none());
        places.begin(large.clone());
        assert!(!places.has_room(&large, NOW) && places.has_room(&of("crowded"), NOW));
        let took = Duration::from_millis(700);
        places.end(&large, took, NOW);
        assert!(!places.has_room(&large, NOW) && places.has_room(&of("crowded"), NOW));
        assert_eq!(places.pause_ends_at(NOW), Some(NOW + took));
        assert!(places.has_room(&large, NOW + took) && places.pause_ends_at(NOW + took).is_none());
    }
}
