//! Decides which election is planned next, and when. It decides from what is seen, from the results of writes, and from
//! the time, which is a parameter. It does no IO: the [controller](crate::controller) does, and so does the simulation.
//!
//! kube's `Controller` is not used: it would reconcile on every renewal or, with predicates, not see expiry. Here a
//! renewal only moves a time in the index, and the queue wakes the election when that time is over.

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

/// The longest wait before the operator tries again what it could not write, as long as that concerns few elections. A
/// right that is granted is thus used within seconds.
const MAX_RETRY_DELAY_OF_FEW: Duration = Duration::from_secs(5);

/// How many elections with failed writes may try again in a second.
const RETRIES_PER_SECOND: u32 = 20;

/// The wait between two rounds of retries of elections with failed writes.
const RETRY_PERIOD: Duration = Duration::from_secs(1);

/// The shortest time between two new lists of what was left out.
const MIN_LIST_PERIOD: Duration = Duration::from_secs(300);

/// The next thing to do.
#[derive(Debug)]
pub enum Next {
    /// Carry out a plan.
    Job(Box<Job>),
    /// Ask again: an election was planned that needs nothing.
    Planned,
    /// Do nothing before [`Reconciler::poll_timeout`], or until something happens.
    Nothing,
}

/// A plan that writes something. No other job of the same election begins before [`Reconciler::handle_done`].
#[derive(Debug)]
pub struct Job {
    /// The election as it was planned.
    pub election: Arc<LeaderElection>,
    /// The plan to carry out.
    pub plan: Plan,
    /// The ticket to hand back with the outcome.
    pub ticket: Ticket,
}

/// Identifies the job that an outcome belongs to.
#[derive(Debug)]
pub struct Ticket {
    key: Key,
    flow: Flow,
    began_at: Duration,
    /// The number of deletions when the plan was made.
    deletions: Option<u64>,
}

/// The elections, and the work that is to be done for them.
#[derive(Debug)]
pub struct Reconciler {
    features: Features,
    own_lease: Key,
    /// Whether this replica leads, as last reported.
    leads: bool,
    index: Index,
    queue: Queue,
    work: HashMap<Key, Work>,
    /// The elections with a part that could not be written.
    troubled: HashSet<Key>,
    /// When elections with failed writes were last tried again because a write of another one succeeded.
    retried_at: Duration,
    /// The places of the plans that are being carried out.
    places: Places,
    /// When the watches last began again for what was left out.
    listed_at: Duration,
}

impl Reconciler {
    /// A reconciler that has seen nothing. `own_lease` is the Lease of the operator's own election. At most
    /// `concurrency` jobs are under way at a time, and at most `namespace_bytes` bytes are kept of each namespace.
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

    /// What has been seen of the cluster.
    #[must_use]
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// The elections that wait to be planned.
    #[must_use]
    pub fn queue(&self) -> &Queue {
        &self.queue
    }

    /// Takes in an event of a watch.
    pub fn handle_seen(&mut self, seen: Observation, now: ClockReading) {
        let changed = self.index.handle_seen(seen, now);
        // A replica that begins to lead plans every election anyway.
        if self.leads {
            for key in changed {
                self.queue.push(key, Why::Change, now.at);
            }
        }
    }

    /// Takes in whether this replica leads. A new leader plans every election once, to finish what the last leader left
    /// undone.
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

    /// Whether the watches should begin again now, because there is room for what was left out.
    pub fn wants_list(&mut self, now: ClockReading) -> bool {
        let wants = self.index.wants_list() && now.at >= self.listed_at + MIN_LIST_PERIOD;
        if wants {
            self.index.expect_lists();
            self.listed_at = now.at;
        }
        wants
    }

    /// How long to wait before asking for a job again, if nothing happens until then.
    #[must_use]
    pub fn poll_timeout(&self, now: ClockReading) -> Option<Duration> {
        self.queue.next_at().into_iter().chain(self.places.pause_ends_at(now.at)).min()
    }

    /// The next thing to do. Only a replica that leads and has seen everything may ask.
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

    /// Takes in the outcome of a job. Returns the reasons of the parts that failed, to be counted.
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

    /// What is remembered of the election called `key`, but of no earlier one of its name.
    fn work_on(&mut self, key: &Key) -> &mut Work {
        let uid = self.index.uid(key);
        let work = self.work.entry(key.clone()).or_default();
        if work.uid.as_deref() != uid {
            *work = Work { uid: uid.map(str::to_owned), ..Work::default() };
        }
        work
    }

    /// Puts `key` back into the queue if its time has not come.
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

    /// The longest wait before an election is tried again.
    fn patience(&self) -> Duration {
        let troubled = u32::try_from(self.troubled.len()).unwrap_or(u32::MAX);
        Duration::from_secs((troubled / RETRIES_PER_SECOND).into()).clamp(MAX_RETRY_DELAY_OF_FEW, MAX_BACKOFF)
    }

    /// Has other elections try `parts` again, after a right that was missing turned out to be granted; a limited number
    /// each second.
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
