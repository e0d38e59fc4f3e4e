//! Every state once, by the least number of faults that leads to it, and by a short way among those.
//!
//! A history that had fewer faults can go on in every way in which one with more can. So the faults that are left are no part of
//! a state, as they would have to be for a search that does not go by them, and none is visited once for each number of them.
//! Worlds are kept until each fault has struck each of them; of the last ones, which none strikes, only fingerprints are.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::mem::discriminant;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::bounds::Bounds;
use crate::landmarks::Landmarks;
use crate::oracle::{Noticed, Violation};
use crate::step::Step;
use crate::world::World;

const THREADS: usize = 2;
/// How many states are expanded between two looks at what they have in common.
const BATCH: usize = 16_384;
/// How many states are struck by faults before what follows is explored.
const STRUCK: usize = 1024;
/// One of so many states is kept, to be compared with the others of its fingerprint.
const SAMPLE: u128 = 128;

/// What a search has seen.
#[derive(Debug)]
pub struct Report {
    /// What it covered.
    pub bounds: Arc<Bounds>,
    /// Different states, by how many faults they need at least.
    pub states: Vec<usize>,
    /// Steps tried.
    pub steps: usize,
    /// The most steps that a state needs, by the way that was found first.
    pub depth: usize,
    /// Pairs of states with one fingerprint, of different histories, that were seen to go on in the same ways.
    pub compared: usize,
    /// How long it took.
    pub time: Duration,
    /// What it came by.
    pub landmarks: Landmarks,
    /// The first that was found. The search ends with it.
    pub counterexample: Option<Counterexample>,
}

/// How something that must never happen comes about.
#[derive(Debug, Clone)]
pub struct Counterexample {
    /// What happens.
    pub violation: Violation,
    /// All steps up to it.
    pub steps: Vec<Step>,
}

/// Looks at every state within `bounds`.
#[must_use]
pub fn search(bounds: Bounds) -> Report {
    let begun = Instant::now();
    let bounds = Arc::new(bounds);
    let mut search = Search {
        report: Report {
            bounds: Arc::clone(&bounds),
            states: Vec::new(),
            steps: 0,
            depth: 0,
            compared: 0,
            time: Duration::ZERO,
            landmarks: Landmarks::default(),
            counterexample: None,
        },
        visited: Visited::default(),
    };
    let first = World::new(&bounds);
    let first = search.visited.add(None, 0, first.fingerprint(), first);
    let mut reached = search.explore(vec![first], bounds.faults > 0);
    search.count();
    for faults in 1..=bounds.faults {
        let struck = std::mem::take(&mut reached);
        for batch in struck.chunks(STRUCK) {
            let seeds = search.expand(batch, Kind::Faults);
            reached.extend(search.explore(seeds, faults < bounds.faults));
            if search.report.counterexample.is_some() {
                break;
            }
        }
        search.count();
    }
    let Search { mut report, visited } = search;
    report.depth = visited.depth;
    report.time = begun.elapsed();
    report
}

struct Search {
    report: Report,
    visited: Visited,
}

impl Search {
    /// All that can be reached from `level` without a fault, `level` too, if it shall be kept.
    fn explore(&mut self, mut level: Vec<State>, keep: bool) -> Vec<State> {
        let mut reached = Vec::new();
        while !level.is_empty() && self.report.counterexample.is_none() {
            let mut next = Vec::new();
            for batch in level.chunks(BATCH) {
                next.extend(self.expand(batch, Kind::Free));
            }
            if keep {
                reached.extend(level);
            }
            level = next;
        }
        reached
    }

    /// What is new one step beyond.
    fn expand(&mut self, batch: &[State], kind: Kind) -> Vec<State> {
        let mut new = Vec::new();
        for expansion in expand_all(batch, &self.visited, kind) {
            self.report.join(&expansion, &self.visited);
            for Found { fingerprint, world, from, depth } in expansion.found {
                if !self.visited.has(fingerprint) {
                    new.push(self.visited.add(Some(from), depth, fingerprint, world));
                }
            }
        }
        new
    }

    fn count(&mut self) {
        let before = self.report.unique();
        self.report.states.push(self.visited.ways.len() - before);
    }
}

/// Which steps.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Free,
    Faults,
}

/// A state that is still to be expanded.
struct State {
    fingerprint: u128,
    world: World,
    depth: usize,
}

/// All that was found so far.
#[derive(Default)]
struct Visited {
    /// From which state, by which step.
    ways: HashMap<u128, Option<(u128, Step)>>,
    /// Some of them.
    sample: HashMap<u128, World>,
    depth: usize,
}

impl Visited {
    fn has(&self, fingerprint: u128) -> bool {
        self.ways.contains_key(&fingerprint)
    }

    fn add(&mut self, from: Option<(u128, Step)>, depth: usize, fingerprint: u128, world: World) -> State {
        self.ways.insert(fingerprint, from);
        if fingerprint.is_multiple_of(SAMPLE) {
            self.sample.insert(fingerprint, world.clone());
        }
        self.depth = self.depth.max(depth);
        State { fingerprint, world, depth }
    }

    /// The steps to `from`, and `last`.
    fn way(&self, from: u128, last: Step) -> Vec<Step> {
        let mut steps = vec![last];
        let mut at = from;
        while let Some(Some((before, step))) = self.ways.get(&at) {
            steps.push(*step);
            at = *before;
        }
        steps.reverse();
        steps
    }
}

/// What follows from a state.
struct Found {
    fingerprint: u128,
    world: World,
    from: (u128, Step),
    depth: usize,
}

#[derive(Default)]
struct Expansion {
    found: Vec<Found>,
    steps: usize,
    compared: usize,
    landmarks: Landmarks,
    violation: Option<(Violation, u128, Step)>,
}

fn expand_all(batch: &[State], visited: &Visited, kind: Kind) -> Vec<Expansion> {
    let part = batch.len().div_ceil(THREADS).max(1);
    thread::scope(|scope| {
        let expand = |part| scope.spawn(move || expand(part, visited, kind));
        let threads: Vec<_> = batch.chunks(part).map(expand).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    })
}

fn expand(part: &[State], visited: &Visited, kind: Kind) -> Expansion {
    let mut expansion = Expansion::default();
    let mut known = HashSet::new();
    for State { fingerprint: from, world, depth } in part {
        for (step, after) in ways_on(world, kind) {
            expansion.steps += 1;
            let Some((world, noticed)) = after else { continue };
            expansion.landmarks.join(noticed.landmarks);
            if let Some(violation) = noticed.violation {
                expansion.violation.get_or_insert((violation, *from, step));
                continue;
            }
            let fingerprint = world.fingerprint();
            if visited.has(fingerprint) {
                let twin = visited.sample.get(&fingerprint).filter(|twin| !world.has_the_history_of(twin));
                if let Some(twin) = twin {
                    expansion.compared += 1;
                    if !are_alike(&world, twin) {
                        expansion.violation.get_or_insert((Violation::Confused, *from, step));
                    }
                }
            } else if known.insert(fingerprint) {
                expansion.found.push(Found { fingerprint, world, from: (*from, step), depth: depth + 1 });
            }
        }
    }
    expansion
}

/// What can happen next, and what comes of it; `None` beyond the bounds.
fn ways_on(world: &World, kind: Kind) -> Vec<(Step, Option<(World, Noticed)>)> {
    let steps = match kind {
        Kind::Free => world.steps(),
        Kind::Faults => world.faults().into_iter().map(Step::Fault).collect(),
    };
    if let (Kind::Free, []) = (kind, steps.as_slice()) {
        return vec![(Step::Tick, Some((world.clone(), Noticed::of(Violation::Stuck))))];
    }
    steps.into_iter().map(|step| (step, world.after(step))).collect()
}

/// Whether two states of one fingerprint go on in the same ways.
fn are_alike(one: &World, other: &World) -> bool {
    let outcomes = |world, kind| {
        let outcome =
            |(world, noticed): (World, Noticed)| (world.fingerprint(), noticed.violation.as_ref().map(discriminant));
        let ways = ways_on(world, kind).into_iter();
        ways.map(|(step, after)| (step, after.map(outcome))).collect::<Vec<_>>()
    };
    [Kind::Free, Kind::Faults].into_iter().all(|kind| outcomes(one, kind) == outcomes(other, kind))
}

impl Report {
    fn join(&mut self, expansion: &Expansion, visited: &Visited) {
        self.steps += expansion.steps;
        self.compared += expansion.compared;
        self.landmarks.join(expansion.landmarks);
        if let (Some((violation, from, last)), None) = (&expansion.violation, &self.counterexample) {
            let (violation, steps) = (violation.clone(), visited.way(*from, *last));
            self.counterexample = Some(Counterexample { violation, steps });
        }
    }

    /// All different states.
    #[must_use]
    pub fn unique(&self) -> usize {
        self.states.iter().sum()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { bounds, states, steps, depth, compared, time, landmarks, counterexample } = self;
        writeln!(f, "{bounds}")?;
        let (unique, seconds) = (self.unique(), time.as_secs_f64());
        writeln!(f, "  {unique} states ({states:?} by faults), {steps} steps tried, depth {depth}, {seconds:.1} s")?;
        writeln!(f, "  {compared} pairs of states of one fingerprint go on in the same ways")?;
        writeln!(f, "  came by {landmarks:?}")?;
        match counterexample {
            None => writeln!(f, "  nothing is broken"),
            Some(counterexample) => write!(f, "{counterexample}"),
        }
    }
}

impl fmt::Display for Counterexample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  BROKEN: {}, after", self.violation)?;
        self.steps.iter().try_for_each(|step| writeln!(f, "    {step:?}"))
    }
}
