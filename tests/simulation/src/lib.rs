//! Elections as they ship, in virtual time and in all the bad weather there is; judged by what readers would believe.
//!
//! What is simulated is what stands around [`elector_election::Election`] in the agent's driver: clocks, requests, watch,
//! alarm, status file, parent process. Everything follows from the seed of a history.
//!
//! Each history has three or more candidates and 600 s of faults, then fine weather for as long as it may take somebody to lead.

pub mod cli;
pub mod clock;
pub mod fault;
mod history;
mod judge;
pub mod operator;
pub mod replay;
mod server;
pub mod tally;
pub mod trace;
mod world;

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

pub use self::judge::Violation;
use self::operator::NewOperator;
use self::tally::Tally;
use self::trace::Trace;
use self::world::World;

/// A history in which something happened that must not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Of the history.
    pub seed: u64,
    /// What happened.
    pub violation: Violation,
}

/// Plays one history.
#[must_use]
pub fn play(seed: u64, operator: NewOperator, trace: Trace) -> (Tally, Option<Violation>, Trace) {
    World::new(seed, operator, trace).play()
}

/// Plays histories on all CPUs, from seed `first` on, up to the first in which something is found; of several that are under
/// way the one with the lowest seed counts.
#[must_use]
pub fn search(first: u64, histories: u64, operator: NewOperator) -> (Tally, Option<Found>) {
    let next = AtomicU64::new(first);
    let end = AtomicU64::new(first.saturating_add(histories));
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let worker = || {
        let mut tally = Tally::new();
        let mut found = None;
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= end.load(Ordering::Relaxed) {
                return (tally, found);
            }
            let (one, violation, _) = play(seed, operator, Trace::default());
            tally.add(&one);
            if let Some(violation) = violation {
                end.fetch_min(seed, Ordering::Relaxed);
                found = Some(Found { seed, violation });
            }
        }
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        let mut tally = Tally::new();
        let mut first: Option<Found> = None;
        for one in workers {
            let Ok((more, found)) = one.join() else { continue };
            tally.add(&more);
            first = [first, found].into_iter().flatten().min_by_key(|found| found.seed);
        }
        (tally, first)
    })
}
