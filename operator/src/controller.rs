//! The controller's loop: watches feed the [reconciler](crate::reconciler), and the plans that it returns are carried
//! out.
//!
//! Everything runs in one task, so that nothing can die unseen.

use std::pin::pin;
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use jiff::Timestamp;
use kube::Client;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::apply::{Applier, Outcome};
use crate::heartbeat::{self, Heartbeat};
use crate::index::ClockReading;
use crate::leadership::Leading;
use crate::metrics::{Counts, Queried, Queries};
use crate::reconciler::{Job, Next, Reconciler, Ticket};
use crate::settings::Settings;
use crate::watches;

/// How long elections are planned before watches, answers and queries are looked at again: a namespace with thousands
/// of elections must not hold them up.
const MAX_PLANNING_TURN: Duration = Duration::from_millis(10);

/// Why the controller cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The stream of watches ended, which never happens otherwise.
    #[error("the watches ended")]
    WatchesEnded,
    /// The task of the operator's own election ended, so that nothing says any more whether this replica leads.
    #[error("the operator's own election ended")]
    ElectionEnded,
}

/// Runs the controller until `stop` completes: it watches always, and reconciles while `leading` is true. `ready` is
/// set once everything has been seen, and `heartbeat` beats at each turn of the loop.
///
/// # Errors
/// An error that no waiting can mend.
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
    let mut running: FuturesUnordered<BoxFuture<'static, (Ticket, Outcome)>> = FuturesUnordered::new();
    let mut stop = pin!(stop);
    loop {
        heartbeat.beat();
        let rest = loop {
            match controller.next_job() {
                Ok(job) => running.push(job),
                Err(why) => break why,
            }
        };
        if controller.reconciler.wants_list(controller.now()) {
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
            Some((ticket, outcome)) = running.next() => controller.handle_done(ticket, outcome),
            seen = watches.next() => {
                match seen.ok_or(Error::WatchesEnded)? {
                    Ok(seen) => controller.reconciler.handle_seen(seen, controller.now()),
                    Err(error) => {
                        controller.counts.rewatched(error.what);
                        warn!(what = error.what, error = error.words(), "watch failed; it is tried again");
                    }
                }
                if controller.reconciler.index().is_complete() {
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

/// Why there is no further job at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rest {
    /// No election is due that may be begun.
    Over,
    /// The time for planning in this turn is over; more elections may be due.
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
    reconciler: Reconciler,
    counts: Counts,
    started: Instant,
}

impl Controller {
    fn new(client: Client, settings: Settings, leading: Leading, counts: Counts) -> Controller {
        let Settings { identity, request_timeout, own_lease, concurrency, namespace_bytes, features, .. } =
            settings.clone();
        Controller {
            applier: Applier { client, leading, timeout: request_timeout, identity },
            reconciler: Reconciler::new(features, own_lease, concurrency, namespace_bytes),
            settings,
            counts,
            started: Instant::now(),
        }
    }

    fn now(&self) -> ClockReading {
        ClockReading { at: self.started.elapsed(), wall: Timestamp::now() }
    }

    fn view(&self) -> Queried<'_> {
        Queried { index: self.reconciler.index(), queue: self.reconciler.queue(), now: self.now() }
    }

    fn may_write(&self) -> bool {
        self.reconciler.index().is_complete() && self.applier.leading.holds()
    }

    fn wake_at(&self) -> Option<Instant> {
        let at = self.reconciler.poll_timeout(self.now());
        at.filter(|_| self.may_write()).map(|at| self.started + at)
    }

    fn handle_leading(&mut self) {
        let leads = self.applier.leading.holds();
        info!(leads, "leadership of this replica has changed");
        self.reconciler.handle_leading(leads, self.now());
    }

    fn handle_done(&mut self, ticket: Ticket, outcome: Outcome) {
        for reason in self.reconciler.handle_done(ticket, outcome, self.now()) {
            self.counts.failed(reason);
        }
    }

    /// The next plan that writes something. Plans that write nothing are dealt with on the way, for as long as a turn
    /// may take.
    fn next_job(&mut self) -> Result<BoxFuture<'static, (Ticket, Outcome)>, Rest> {
        if !self.may_write() {
            return Err(Rest::Over);
        }
        let began_at = self.now().at;
        loop {
            let now = self.now();
            if now.at > began_at + MAX_PLANNING_TURN {
                return Err(Rest::Later);
            }
            match self.reconciler.poll_job(now) {
                Next::Job(job) => {
                    self.counts.reconciled();
                    let (applier, Job { election, plan, ticket }) = (self.applier.clone(), *job);
                    return Ok(Box::pin(async move { (ticket, applier.apply(&election, plan, now).await) }));
                }
                Next::Planned => {}
                Next::Nothing => return Err(Rest::Over),
            }
        }
    }
}
