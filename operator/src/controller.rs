//! The loop: watches feed the index, the index says which elections to look at, plans are made and carried out.
//!
//! Everything runs in one task, so that nothing can die unseen. kube's `Controller` is not used: it would reconcile on
//! every renewal or, with predicates, not see expiry; here a renewal only moves a time in the index, and the queue wakes
//! the election when that time is over.

use std::collections::{HashMap, HashSet};
use std::pin::pin;
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use jiff::Timestamp;
use kube::Client;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use crate::apply::{Applier, Error as ApplyError, Outcome};
use crate::heartbeat::{self, Heartbeat};
use crate::index::{ClockReading, Index, Part};
use crate::key::Key;
use crate::leadership::Leading;
use crate::metrics::{Counts, Queried, Queries};
use crate::places::Places;
use crate::plan::{Plan, plan};
use crate::queue::{Flow, Queue, Why};
use crate::settings::Settings;
use crate::watches;
use crate::work::{MAX_BACKOFF, MAX_WRITES_IN_A_ROW, Work};

/// How long the operator waits at most before it tries again what it could not write, as long as that concerns few elections. A
/// right that is granted is so used within seconds.
const MAX_RETRY_DELAY_OF_FEW: Duration = Duration::from_secs(5);

/// How many elections with failed_writes may try again in a second.
const RETRIES_PER_SECOND: u32 = 20;

/// How long after some of them were tried again others may be.
const RETRY_PERIOD: Duration = Duration::from_secs(1);

/// How long plans are made before watches, answers and queries are looked at again: a namespace with thousands of elections to
/// plan must not hold them up.
const MAX_PLANNING_TURN: Duration = Duration::from_millis(10);

/// How long after the watches began anew they may do so again for what was left out.
const MIN_LIST_PERIOD: Duration = Duration::from_secs(300);

/// Why the controller cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The watches ended, which they never do.
    #[error("the watches ended")]
    WatchesEnded,
    /// Nobody can say any more whether this replica leads.
    #[error("the operator's own election ended")]
    ElectionEnded,
}

/// Watches and, while `leading` is true, reconciles, until `stop` completes. `ready` is told once everything has been seen,
/// `heartbeat` at each turn of the loop.
///
/// # Errors
/// Only what no waiting can mend.
pub async fn run(
    client: Client,
    settings: Settings,
    mut leading: Leading,
    ready: watch::Sender<bool>,
    mut subject: Queries,
    heartbeat: Heartbeat,
    stop: impl Future<Output = ()>,
) -> Result<(), Error> {
    let mut watches = watches::all(&client, settings.namespace.as_deref(), settings.features);
    let mut controller = Controller::new(client, settings, leading.clone(), subject.counts);
    let mut running: FuturesUnordered<BoxFuture<'static, Done>> = FuturesUnordered::new();
    let mut stop = pin!(stop);
    loop {
        heartbeat.beat();
        let mut rest = Rest::Over;
        while !controller.places.are_full() {
            match controller.next_job() {
                Ok(job) => running.push(job),
                Err(why) => {
                    rest = why;
                    break;
                }
            }
        }
        if controller.wants_list() {
            watches = watches::all(
                &controller.applier.client,
                controller.settings.namespace.as_deref(),
                controller.settings.features,
            );
        }
        let wake = controller.wake_at();
        tokio::select! {
            () = &mut stop => return Ok(()),
            changed = leading.changed() => {
                changed.map_err(|_| Error::ElectionEnded)?;
                controller.handle_leading();
            }
            Some(done) = running.next() => controller.handle_done(done),
            seen = watches.next() => {
                match seen.ok_or(Error::WatchesEnded)? {
                    Ok(seen) => controller.handle_seen(seen),
                    Err(error) => {
                        controller.counts.rewatched(error.what);
                        warn!(what = error.what, error = error.words(), "watch failed; it is tried again");
                    }
                }
                if controller.index.is_complete() {
                    ready.send_if_modified(|ready| !std::mem::replace(ready, true));
                }
            }
            Some(query) = subject.queries.recv() => query(controller.view()),
            () = sleep_until(wake) => {}
            () = tokio::task::yield_now(), if rest == Rest::Later => {}
            () = tokio::time::sleep(heartbeat::TURN) => {}
        }
    }
}

/// Why there is no further job for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rest {
    /// Nothing is due that may begin.
    Over,
    /// The turn is over; there may be more to plan.
    Later,
}

async fn sleep_until(wake: Option<Instant>) {
    match wake {
        Some(wake) => tokio::time::sleep_until(wake).await,
        None => std::future::pending().await,
    }
}

struct Controller {
    settings: Settings,
    applier: Applier,
    /// As it was last told.
    leads: bool,
    index: Index,
    queue: Queue,
    work: HashMap<Key, Work>,
    /// Those that have failed_writes.
    troubled: HashSet<Key>,
    /// When others were last tried again because one could be written.
    retried_at: Duration,
    /// Those whose plans are being carried out.
    places: Places,
    /// When the watches last began anew for what was left out.
    listed_at: Duration,
    counts: Counts,
    started: Instant,
}

struct Done {
    key: Key,
    flow: Flow,
    began_at: Duration,
    /// When the plan was made.
    deletions: Option<u64>,
    outcome: Outcome,
}

impl Controller {
    fn new(client: Client, settings: Settings, leading: Leading, counts: Counts) -> Controller {
        let Settings { identity, request_timeout, namespace_bytes, .. } = settings.clone();
        let places = Places::new(settings.concurrency);
        Controller {
            applier: Applier { client, leading, timeout: request_timeout, identity },
            settings,
            leads: false,
            index: Index::new(namespace_bytes),
            queue: Queue::default(),
            places,
            work: HashMap::new(),
            troubled: HashSet::new(),
            retried_at: Duration::ZERO,
            listed_at: Duration::ZERO,
            counts,
            started: Instant::now(),
        }
    }

    fn now(&self) -> ClockReading {
        ClockReading { at: self.started.elapsed(), wall: Timestamp::now() }
    }

    fn view(&self) -> Queried<'_> {
        Queried { index: &self.index, queue: &self.queue, now: self.now() }
    }

    fn may_write(&self) -> bool {
        self.index.is_complete() && self.applier.leading.holds()
    }

    fn wake_at(&self) -> Option<Instant> {
        let at = self.queue.next_at().into_iter().chain(self.places.pause_ends_at(self.now().at)).min();
        at.filter(|_| self.may_write()).map(|at| self.started + at)
    }

    fn handle_seen(&mut self, seen: crate::index::Observation) {
        let now = self.now();
        let changed = self.index.handle_seen(seen, now);
        // A replica that begins to lead plans every election anyway.
        if self.leads {
            for key in changed {
                self.queue.push(key, Why::Change, now.at);
            }
        }
    }

    /// A new leader looks at everything once: what the last one left undone, it finishes.
    fn handle_leading(&mut self) {
        let leads = self.applier.leading.holds();
        info!(leads, "own election");
        self.leads = leads;
        self.queue.clear();
        // What another leader has found meanwhile is not known here.
        self.work.clear();
        self.troubled.clear();
        if leads {
            let now = self.now();
            for key in self.index.elections() {
                self.queue.push(key.clone(), Why::Change, now.at);
            }
        }
    }

    /// Whether what was left out is to be listed now, because there is room for it again.
    fn wants_list(&mut self) -> bool {
        let now = self.now();
        let wants = self.index.wants_list() && now.at >= self.listed_at + MIN_LIST_PERIOD;
        if wants {
            self.index.expect_lists();
            self.listed_at = now.at;
        }
        wants
    }

    /// The next plan that writes something. Those that do not are dealt with on the way, for as long as a turn takes.
    fn next_job(&mut self) -> Result<BoxFuture<'static, Done>, Rest> {
        if !self.may_write() {
            return Err(Rest::Over);
        }
        let began_at = self.now().at;
        loop {
            let now = self.now();
            if now.at > began_at + MAX_PLANNING_TURN {
                return Err(Rest::Later);
            }
            let (index, places) = (&self.index, &self.places);
            let flow = |key: &Key| Flow::of(&key.namespace, index.json_bytes(key).unwrap_or_default());
            let popped = self.queue.pop(now.at, flow, |flow| places.has_room(flow, now.at));
            let (key, why, flow) = popped.ok_or(Rest::Over)?;
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
            snapshot.features = self.settings.features;
            snapshot.is_operators_own = key == self.settings.own_lease;
            let plan = plan(&election, &snapshot, now);
            debug!(election = %key, ?plan, "planned");
            if plan.is_idle() {
                self.rest(key, &plan, now);
                continue;
            }
            self.work_on(&key).attempts += 1;
            self.queue.begin(key.clone());
            self.places.begin(flow.clone());
            self.counts.reconciled();
            let applier = self.applier.clone();
            let deletions = self.index.deletions(&key);
            return Ok(Box::pin(async move {
                let outcome = applier.apply(&election, plan, now).await;
                Done { key, flow, began_at: now.at, deletions, outcome }
            }));
        }
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

    fn handle_done(&mut self, done: Done) {
        let now = self.now();
        let Done { key, flow, began_at, deletions, outcome } = done;
        let Outcome { answers, written, failures, created_events, refused_events } = outcome;
        self.index.handle_answers(&key, answers, deletions, now);
        self.queue.end(&key);
        self.places.end(&flow, now.at.saturating_sub(began_at), now.at);
        // The next leader plans every election. It may be this replica, which is not told if its tenure was only renewed late.
        if failures.iter().any(|(_, error)| matches!(error, ApplyError::NotLeading)) {
            self.queue.push(key, Why::Change, now.at);
            return;
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
        for (_, error) in &failures {
            if !matches!(error, ApplyError::Stale(_) | ApplyError::Terminating(_)) {
                self.counts.failed(error.reason());
            }
        }
        if is_troubled {
            self.troubled.insert(key.clone());
        }
        self.queue.push(key, Why::Change, at);
        if !mended.is_empty() {
            self.retry_others(&mended, now);
        }
    }

    /// The longest wait before an election with failed_writes tries again.
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
