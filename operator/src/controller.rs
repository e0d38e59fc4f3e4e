//! The loop: watches feed the index, the index says which elections to look at, plans are made and carried out.
//!
//! Everything runs in one task, so that nothing can die unseen. kube's `Controller` is not used: it would reconcile on
//! every renewal or, with predicates, not see expiry; here a renewal only moves a time in the index, and the queue wakes
//! the election when that time is over.

use std::collections::{HashMap, HashSet};
use std::pin::pin;
use std::time::Duration;

use elector_crds::conditions::Reason;
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
use crate::key::Key;
use crate::leadership::Leading;
use crate::metrics::{Counts, Subject, View};
use crate::observe::{Index, Now, Part, Trouble, Troubles};
use crate::places::Places;
use crate::plan::{Event, Plan, plan};
use crate::queue::{Flow, Queue, Why};
use crate::settings::Settings;
use crate::watches;

/// The longest wait after a failure.
const MAX_BACKOFF: Duration = Duration::from_secs(60);

/// The longest wait as long as few elections have troubles: whoever grants a right that was missing sees it used within seconds.
const MIN_PATIENCE: Duration = Duration::from_secs(5);

/// How many elections with troubles may try again in a second.
const RETRIES_PER_SECOND: u32 = 20;

/// How many refused events of an election are kept to be created later.
const MAX_REFUSED_EVENTS: usize = 8;

/// How many names of created events are kept while the status cannot be stored.
const MAX_CREATED_EVENTS: usize = 64;

/// How many plans in a row may write something for one election before it has to wait as after failures.
const PATIENCE: u32 = 8;

/// How long plans are made before watches, answers and questions are looked at again: a namespace with thousands of elections to
/// plan must not hold them up.
const MAX_TURN: Duration = Duration::from_millis(10);

/// How long after the watches began anew they may do so again for what was left out.
const MIN_LIST_PERIOD: Duration = Duration::from_secs(300);

/// Of traffic that had to be written again each time.
const TAKEN_BACK: &str = "the Service, its EndpointSlices or the label on pods do not stay as they are written: somebody else changes \
                          them; see their managedFields";

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
    mut subject: Subject,
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
                        warn!(what = error.what, error = %error.source, "watch failed; it is tried again");
                    }
                }
                if controller.index.is_complete() {
                    ready.send_if_modified(|ready| !std::mem::replace(ready, true));
                }
            }
            Some(question) = subject.questions.recv() => question(controller.view()),
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
    /// Those that have troubles.
    troubled: HashSet<Key>,
    /// Those whose plans are being carried out.
    places: Places,
    /// When the watches last began anew for what was left out.
    listed_at: Duration,
    counts: Counts,
    started: Instant,
}

/// What is remembered of an election between two plans.
#[derive(Debug, Default)]
struct Work {
    /// Of the election: another of its name begins with nothing.
    uid: Option<String>,
    /// How many plans in a row were not idle.
    attempts: u32,
    /// How many attempts in a row came to nothing for the sake of others.
    failures: u32,
    /// What could not be written.
    troubles: Troubles,
    /// Events that the API server has refused.
    refused_events: Vec<Event>,
    /// The names of events that were created for a status that could not be stored.
    created_events: Vec<String>,
    /// Nothing is done before.
    not_before: Duration,
    /// The next look is for the Lease's expiry, unless that was put off; then it is at this time, if at all.
    awaits_expiry: Option<Option<Duration>>,
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
            listed_at: Duration::ZERO,
            counts,
            started: Instant::now(),
        }
    }

    fn now(&self) -> Now {
        Now { at: self.started.elapsed(), wall: Timestamp::now() }
    }

    fn view(&self) -> View<'_> {
        View { index: &self.index, queue: &self.queue, now: self.now() }
    }

    fn may_write(&self) -> bool {
        self.index.is_complete() && self.applier.leading.holds()
    }

    fn wake_at(&self) -> Option<Instant> {
        let at = self.queue.next_at().into_iter().chain(self.places.pause_ends_at(self.now().at)).min();
        at.filter(|_| self.may_write()).map(|at| self.started + at)
    }

    fn handle_seen(&mut self, seen: crate::observe::Seen) {
        let now = self.now();
        let changed = self.index.handle_seen(seen, now);
        // Whoever begins to lead looks at everything.
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
            if now.at > began_at + MAX_TURN {
                return Err(Rest::Later);
            }
            let (index, places) = (&self.index, &self.places);
            let flow = |key: &Key| Flow::of(&key.namespace, index.json_bytes(key).unwrap_or_default());
            let popped = self.queue.pop(now.at, flow, |flow| places.has_room(flow, now.at));
            let (key, why, flow) = popped.ok_or(Rest::Over)?;
            if self.is_early(&key, why, now) {
                continue;
            }
            let Some((election, mut observed)) = self.index.observed(&key) else {
                self.work.remove(&key);
                self.troubled.remove(&key);
                continue;
            };
            if let Some(work) = self.work.get(&key) {
                observed.troubles = work.troubles.clone();
                observed.refused_events.clone_from(&work.refused_events);
                observed.created_events.clone_from(&work.created_events);
            }
            observed.features = self.settings.features;
            observed.is_operators_own = key == self.settings.own_lease;
            let plan = plan(&election, &observed, now);
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
    fn is_early(&mut self, key: &Key, why: Why, now: Now) -> bool {
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

    fn rest(&mut self, key: Key, plan: &Plan, now: Now) {
        let expires_at = self.index.expires_at(&key);
        let work = self.work_on(&key);
        work.attempts = 0;
        let awaits_expiry = plan.next_look.is_some() && plan.next_look == expires_at;
        work.awaits_expiry = awaits_expiry.then_some(plan.next_look_if_renewed);
        let is_news = work.troubles.forget_over(now.at);
        if work.troubles.is_empty() {
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
        // Whoever leads next looks at everything.
        if failures.iter().any(|(_, error)| matches!(error, ApplyError::NotLeading)) {
            return;
        }
        let patience = self.patience();
        let work = self.work_on(&key);
        work.awaits_expiry = None;
        work.note_events(created_events, refused_events, written.contains(&Part::Status));
        let mended: Vec<Part> = written.iter().copied().filter(|part| work.troubles.of(*part).is_some()).collect();
        for part in &mended {
            work.troubles.remove(*part);
        }
        let is_about_traffic = written.iter().any(|part| matches!(part, Part::Service | Part::Slice | Part::Label));
        if failures.is_empty() && is_about_traffic && work.attempts > PATIENCE {
            work.give_way(&written, now);
        } else {
            work.pause(now);
        }
        for (part, error) in &failures {
            match error {
                ApplyError::Stale(_) => debug!(election = %key, %error, "planning again"),
                ApplyError::Terminating(_) => work.wait_for_end(&key, error, now),
                error => work.fail(&key, *part, error, patience, now),
            }
        }
        let (at, is_troubled) = (work.not_before, !work.troubles.is_empty());
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

    /// The longest wait before an election with troubles tries again.
    fn patience(&self) -> Duration {
        let troubled = u32::try_from(self.troubled.len()).unwrap_or(u32::MAX);
        Duration::from_secs((troubled / RETRIES_PER_SECOND).into()).clamp(MIN_PATIENCE, MAX_BACKOFF)
    }

    /// What could be written for one election after it could not may be written for others, too.
    fn retry_others(&mut self, parts: &[Part], now: Now) {
        for key in &self.troubled {
            let Some(work) = self.work.get_mut(key) else { continue };
            if parts.iter().any(|part| work.troubles.of(*part).is_some()) {
                work.troubles.retry(now.at);
                self.queue.push(key.clone(), Why::Change, now.at);
            }
        }
    }
}

impl Work {
    /// After a plan that wrote something the next one is made at once, but two writers that undo each other's work must not do
    /// so as fast as they can.
    fn pause(&mut self, now: Now) {
        self.not_before = now.at + backoff(self.attempts.saturating_sub(PATIENCE));
    }

    /// What leads traffic to the leader does not stay as it is written. All else must not wait for whoever changes it.
    fn give_way(&mut self, parts: &[Part], now: Now) {
        self.failures += 1;
        self.attempts = 0;
        self.not_before = now.at;
        let retry_at = now.at + backoff(self.failures);
        for part in parts {
            let message = TAKEN_BACK.to_owned();
            let trouble = Trouble { reason: Reason::ReconcileFailed, message, retry_at, failures: self.failures };
            self.troubles.insert(*part, trouble);
        }
    }

    /// The namespace is going.
    fn wait_for_end(&mut self, key: &Key, error: &ApplyError, now: Now) {
        self.failures += 1;
        self.not_before = now.at + backoff(self.failures);
        debug!(election = %key, %error, "waiting for its end");
    }

    /// The status can say what is wrong, and everything else can be written.
    fn fail(&mut self, key: &Key, part: Part, error: &ApplyError, patience: Duration, now: Now) {
        let (message, last) = (error.to_string(), self.troubles.of(part));
        if last.is_none_or(|last| last.message != message) {
            warn!(election = %key, reason = %error.reason(), error = message, "failed to reconcile");
        }
        let failures = last.map_or(0, |last| last.failures) + 1;
        let retry_at = now.at + backoff(failures).min(patience);
        self.troubles.insert(part, Trouble { reason: error.reason(), message, retry_at, failures });
    }

    fn note_events(&mut self, created: Vec<String>, refused: Vec<Event>, is_stored: bool) {
        self.refused_events.retain(|event| !created.contains(&event.name));
        for event in refused {
            self.refused_events.retain(|known| known.name != event.name);
            self.refused_events.push(event);
        }
        let excess = self.refused_events.len().saturating_sub(MAX_REFUSED_EVENTS);
        self.refused_events.drain(..excess);
        if is_stored {
            self.created_events.clear();
        } else {
            self.created_events.extend(created);
            let excess = self.created_events.len().saturating_sub(MAX_CREATED_EVENTS);
            self.created_events.drain(..excess);
        }
    }
}

/// 1 s after the first failure, twice as long after each further one; nothing without any.
fn backoff(failures: u32) -> Duration {
    match failures.checked_sub(1) {
        None => Duration::ZERO,
        Some(further) => Duration::from_secs(1 << further.min(6)).min(MAX_BACKOFF),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::EventReason;

    fn at(second: u64) -> Now {
        Now { at: Duration::from_secs(second), wall: Timestamp::UNIX_EPOCH }
    }

    fn refused() -> ApplyError {
        ApplyError::Conflict("no".to_owned())
    }

    fn event(name: &str) -> Event {
        Event { name: name.to_owned(), reason: EventReason::LeaderElected, note: String::new(), related_pod: None }
    }

    #[test]
    fn each_part_waits_for_itself_and_longer_each_time() {
        let (key, mut work) = (Key::new("shop", "billing"), Work::default());
        let patience = Duration::from_secs(5);
        for (second, retry_at) in [(10, 11), (20, 22), (30, 34), (40, 45), (50, 55)] {
            work.fail(&key, Part::Role, &refused(), patience, at(second));
            assert_eq!(work.troubles.of(Part::Role).unwrap().retry_at, Duration::from_secs(retry_at));
        }
        work.fail(&key, Part::Service, &refused(), patience, at(50));
        assert_eq!(work.troubles.of(Part::Service).unwrap().retry_at, Duration::from_secs(51));
        assert!(work.troubles.allow(Part::Service, at(51).at) && !work.troubles.allow(Part::Role, at(51).at));
        assert_eq!(work.not_before, Duration::ZERO, "nothing else waits");
        // What is not asked for any more by then is forgotten.
        assert!(work.troubles.forget_over(at(52).at) && !work.troubles.forget_over(at(52).at));
        assert!(work.troubles.of(Part::Service).is_none() && work.troubles.of(Part::Role).is_some());
    }

    #[test]
    fn refused_events_are_kept_until_they_are_created_and_not_without_end() {
        let mut work = Work::default();
        work.note_events(vec![], vec![event("a"), event("b"), event("a")], false);
        let names = |work: &Work| work.refused_events.iter().map(|event| event.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&work), ["b", "a"]);
        work.note_events(vec!["b".to_owned()], vec![], false);
        assert_eq!((names(&work), &work.created_events), (vec!["a".to_owned()], &vec!["b".to_owned()]));
        work.note_events((0..100).map(|number| number.to_string()).collect(), vec![], false);
        assert_eq!(work.created_events.len(), MAX_CREATED_EVENTS);
        work.note_events(vec![], (0..100).map(|number| event(&number.to_string())).collect(), true);
        assert_eq!((work.refused_events.len(), work.created_events.len()), (MAX_REFUSED_EVENTS, 0));
        assert_eq!(names(&work).last().map(String::as_str), Some("99"));
    }

    #[test]
    fn what_is_taken_back_waits_and_all_else_goes_on() {
        let mut work = Work { attempts: 9, ..Work::default() };
        work.give_way(&[Part::Service], at(10));
        assert!(!work.troubles.allow(Part::Service, at(10).at) && work.troubles.allow(Part::Label, at(10).at));
        assert_eq!((work.attempts, work.not_before), (0, at(10).at));
        assert_eq!([0, 1, 2, 7, 99].map(|failures| backoff(failures).as_secs()), [0, 1, 2, 60, 60]);
    }
}
