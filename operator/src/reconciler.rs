//! Decides which election is planned next, and when: from what is seen, from what became of writes, and from the time, which is
//! a parameter. It does nothing itself: the [controller](crate::controller) does, and so does the simulation.
//!
//! kube's `Controller` is not used: it would reconcile on every renewal or, with predicates, not see expiry; here a renewal only
//! moves a time in the index, and the queue wakes the election when that time is over.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use elector_crds::LeaderElection;
use elector_crds::conditions::Reason;
use tracing::debug;

use crate::apply::{Error as ApplyError, Outcome};
use crate::features::Features;
use crate::index::{ClockReading, Index, Observation, Part};
use crate::key::Key;
use crate::places::Places;
use crate::plan::{Plan, plan};
use crate::queue::{Flow, Queue, Why};
use crate::work::{MAX_BACKOFF, MAX_WRITES_IN_A_ROW, Work};

/// How long the operator waits at most before it tries again what it could not write, as long as that concerns few elections. A
/// right that is granted is so used within seconds.
const MAX_RETRY_DELAY_OF_FEW: Duration = Duration::from_secs(5);

/// How many elections of which something could not be written may try again in a second.
const RETRIES_PER_SECOND: u32 = 20;

/// How long after some of them were tried again others may be.
const RETRY_PERIOD: Duration = Duration::from_secs(1);

/// How long after the watches began anew they may do so again for what was left out.
const MIN_LIST_PERIOD: Duration = Duration::from_secs(300);

/// What there is to do next.
#[derive(Debug)]
pub enum Next {
    /// To carry out a plan.
    Job(Box<Job>),
    /// To ask again: an election was planned that needs nothing.
    Planned,
    /// Nothing, before [`Reconciler::poll_timeout`] or until something happens.
    Nothing,
}

/// A plan that writes something. No other of the same election begins before [`Reconciler::handle_done`].
#[derive(Debug)]
pub struct Job {
    /// The election, as it was planned.
    pub election: Arc<LeaderElection>,
    /// What to do.
    pub plan: Plan,
    /// What to hand back with the outcome.
    pub ticket: Ticket,
}

/// Which job an outcome is of.
#[derive(Debug)]
pub struct Ticket {
    key: Key,
    flow: Flow,
    began_at: Duration,
    /// When the plan was made.
    deletions: Option<u64>,
}

/// The elections, and what is to be done for them.
#[derive(Debug)]
pub struct Reconciler {
    features: Features,
    own_lease: Key,
    /// As it was last told.
    leads: bool,
    index: Index,
    queue: Queue,
    work: HashMap<Key, Work>,
    /// Those of which something could not be written.
    troubled: HashSet<Key>,
    /// When others were last tried again because one could be written.
    retried_at: Duration,
    /// Those whose plans are being carried out.
    places: Places,
    /// When the watches last began anew for what was left out.
    listed_at: Duration,
}

impl Reconciler {
    /// One that has seen nothing yet. `own_lease` is of the operator's own election; at most `concurrency` jobs are under way at
    /// a time, and at most so many bytes are kept of a namespace.
    #[must_use]
    pub fn new(features: Features, own_lease: Key, concurrency: usize, namespace_bytes: usize) -> Reconciler {
        Reconciler {
            features,
            own_lease,
            leads: false,
            index: Index::new(namespace_bytes),
            queue: Queue::default(),
            work: HashMap::new(),
            troubled: HashSet::new(),
            retried_at: Duration::ZERO,
            places: Places::new(concurrency),
            listed_at: Duration::ZERO,
        }
    }

    /// What has been seen.
    #[must_use]
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// What waits to be planned.
    #[must_use]
    pub fn queue(&self) -> &Queue {
        &self.queue
    }

    /// Takes in what a watch shows.
    pub fn handle_seen(&mut self, seen: Observation, now: ClockReading) {
        let changed = self.index.handle_seen(seen, now);
        // A replica that begins to lead plans every election anyway.
        if self.leads {
            for key in changed {
                self.queue.push(key, Why::Change, now.at);
            }
        }
    }

    /// Takes in whether this replica leads. A new leader looks at everything once: what the last one left undone, it finishes.
    pub fn handle_leading(&mut self, leads: bool, now: ClockReading) {
        self.leads = leads;
        self.queue.clear();
        // What another leader has found meanwhile is not known here.
        self.work.clear();
        self.troubled.clear();
        if leads {
            for key in self.index.elections() {
                self.queue.push(key.clone(), Why::Change, now.at);
            }
        }
    }

    /// Whether what was left out is to be listed now, because there is room for it again.
    pub fn wants_list(&mut self, now: ClockReading) -> bool {
        let wants = self.index.wants_list() && now.at >= self.listed_at + MIN_LIST_PERIOD;
        if wants {
            self.index.expect_lists();
            self.listed_at = now.at;
        }
        wants
    }

    /// When to ask for a job again, if nothing happens until then.
    #[must_use]
    pub fn poll_timeout(&self, now: ClockReading) -> Option<Duration> {
        self.queue.next_at().into_iter().chain(self.places.pause_ends_at(now.at)).min()
    }

    /// What there is to do next. To be asked only by a replica that leads and has seen everything.
    pub fn poll_job(&mut self, now: ClockReading) -> Next {
        if self.places.are_full() {
            return Next::Nothing;
        }
        loop {
            let (index, places) = (&self.index, &self.places);
            let flow = |key: &Key| Flow::of(&key.namespace, index.json_bytes(key).unwrap_or_default());
            let popped = self.queue.pop(now.at, flow, |flow| places.has_room(flow, now.at));
            let Some((key, why, flow)) = popped else { return Next::Nothing };
            if self.is_early(&key, why, now) {
                continue;
            }
            let Some((election, mut snapshot)) = self.index.snapshot(&key) else {
                self.work.remove(&key);
                self.troubled.remove(&key);
                continue;
            };
            if let Some(work) = self.work.get(&key) {
                snapshot.failed_writes = work.failed_writes.clone();
                snapshot.refused_events.clone_from(&work.refused_events);
                snapshot.created_events.clone_from(&work.created_events);
            }
            snapshot.features = self.features;
            snapshot.is_operators_own = key == self.own_lease;
            let plan = plan(&election, &snapshot, now);
            debug!(election = %key, ?plan, "planned");
            if plan.is_idle() {
                self.rest(key, &plan, now);
                return Next::Planned;
            }
            self.work_on(&key).attempts += 1;
            self.queue.begin(key.clone());
            self.places.begin(flow.clone());
            let deletions = self.index.deletions(&key);
            let ticket = Ticket { key, flow, began_at: now.at, deletions };
            return Next::Job(Box::new(Job { election, plan, ticket }));
        }
    }

    /// Takes in what became of a job. Why parts of it failed, for those who count that.
    pub fn handle_done(&mut self, ticket: Ticket, outcome: Outcome, now: ClockReading) -> Vec<Reason> {
        let Ticket { key, flow, began_at, deletions } = ticket;
        let Outcome { answers, written, failures, created_events, refused_events } = outcome;
        self.index.handle_answers(&key, answers, deletions, now);
        self.queue.end(&key);
        self.places.end(&flow, now.at.saturating_sub(began_at), now.at);
        // The next leader plans every election. It may be this replica, which is not told if its tenure was only renewed late.
        if failures.iter().any(|(_, error)| matches!(error, ApplyError::NotLeading)) {
            self.queue.push(key, Why::Change, now.at);
            return Vec::new();
        }
        let patience = self.patience();
        let work = self.work_on(&key);
        work.awaits_expiry = None;
        work.note_events(created_events, refused_events, written.contains(&Part::Status));
        let mended = work.mend(&written);
        let is_about_traffic = written.iter().any(|part| matches!(part, Part::Service | Part::Slice | Part::Label));
        if failures.is_empty() && is_about_traffic && work.attempts > MAX_WRITES_IN_A_ROW {
            work.give_way(&written, now);
        } else {
            work.pause(now);
        }
        for (part, error) in &failures {
            match error {
                ApplyError::Stale(_) if work.attempts <= MAX_WRITES_IN_A_ROW => {
                    debug!(election = %key, %error, "planning again")
                }
                ApplyError::Terminating(_) => work.wait_for_end(&key, error, now),
                error => work.fail(&key, *part, error, patience, now),
            }
        }
        let (at, is_troubled) = (work.not_before, !work.failed_writes.is_empty());
        let counts = |error: &ApplyError| !matches!(error, ApplyError::Stale(_) | ApplyError::Terminating(_));
        let reasons = failures.iter().filter(|(_, error)| counts(error)).map(|(_, error)| error.reason()).collect();
        if is_troubled {
            self.troubled.insert(key.clone());
        }
        self.queue.push(key, Why::Change, at);
        if !mended.is_empty() {
            self.retry_others(&mended, now);
        }
        reasons
    }

    /// What is remembered of the election called `key`, and of no earlier one of its name.
    fn work_on(&mut self, key: &Key) -> &mut Work {
        let uid = self.index.uid(key);
        let work = self.work.entry(key.clone()).or_default();
        if work.uid.as_deref() != uid {
            *work = Work { uid: uid.map(str::to_owned), ..Work::default() };
        }
        work
    }

    /// Puts `key` back into the queue if it is not time for it yet.
    fn is_early(&mut self, key: &Key, why: Why, now: ClockReading) -> bool {
        if !self.work.contains_key(key) {
            return false;
        }
        let work = self.work_on(key);
        let (expiry, not_before) = (work.awaits_expiry.filter(|_| why == Why::Time), work.not_before);
        let at = expiry.and_then(|otherwise| Some(self.index.expires_at(key)?.min(otherwise.unwrap_or(Duration::MAX))));
        let at = at.unwrap_or_default().max(not_before);
        let early = at > now.at;
        if early {
            self.queue.push(key.clone(), why, at);
        }
        early
    }

    fn rest(&mut self, key: Key, plan: &Plan, now: ClockReading) {
        let expires_at = self.index.expires_at(&key);
        let work = self.work_on(&key);
        work.attempts = 0;
        let awaits_expiry = plan.next_look.is_some() && plan.next_look == expires_at;
        work.awaits_expiry = awaits_expiry.then_some(plan.next_look_if_renewed);
        let is_news = work.failed_writes.forget_over(now.at);
        if work.failed_writes.is_empty() {
            work.failures = 0;
            self.troubled.remove(&key);
        }
        if is_news {
            self.queue.push(key, Why::Change, now.at);
        } else if let Some(at) = plan.next_look {
            self.queue.push(key, Why::Time, at);
        }
    }

    /// The longest wait before an election tries again.
    fn patience(&self) -> Duration {
        let troubled = u32::try_from(self.troubled.len()).unwrap_or(u32::MAX);
        Duration::from_secs((troubled / RETRIES_PER_SECOND).into()).clamp(MAX_RETRY_DELAY_OF_FEW, MAX_BACKOFF)
    }

    /// What may be written for one election, after it might not, may be written for others, too: so many of them a second.
    fn retry_others(&mut self, parts: &[Part], now: ClockReading) {
        if now.at < self.retried_at + RETRY_PERIOD {
            return;
        }
        self.retried_at = now.at;
        let mut left = RETRIES_PER_SECOND;
        for key in &self.troubled {
            let Some(work) = self.work.get_mut(key).filter(|_| left > 0) else { continue };
            if work.failed_writes.retry(parts, now.at) {
                left -= 1;
                self.queue.push(key.clone(), Why::Change, now.at);
            }
        }
    }
}

#[cfg(test)]
mod tests;
