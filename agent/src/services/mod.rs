//! Optional services beside the election: the HTTP servers, the hooks and the check of the app's health. They run on
//! one thread of their own, so that they can never delay the election. Without any service there is no thread.
//!
//! ```text
//!   election ──── Snapshot, Metrics ────► servers, hooks
//!            ◄─────── yield_requests ──────── health
//! ```

mod app_health;
mod hooks;
mod http;
mod metrics;
mod snapshot;

use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::time::Duration;
use std::{io, thread};

use elector_crds::ReleaseReason;
use elector_election::{Loss, Now, Tenure, Vacancy};
use futures::stream::{self, StreamExt as _};
use leader_elector::observer::{CampaignHooks, LeaseView, Observer, YieldRequest, YieldRequests};
use leader_elector::publication::Publication;
use leader_elector::status::{Author, Marker};
use tokio::sync::watch;
use tokio::time::timeout;

pub(crate) use self::app_health::{AppHealth, Probe};
pub(crate) use self::hooks::Hooks;
use self::http::Servers;
pub(crate) use self::http::{Addresses, ListenError};
use self::metrics::Metrics;
use self::snapshot::Snapshot;

/// The stack of the services' thread, in bytes: nothing in it goes deep.
const STACK_BYTES: usize = 256 * 1024;

/// How long the process waits at its end for the services to say the last, beyond the longest time of the last hook.
const LAST_MESSAGES_TIMEOUT: Duration = Duration::from_secs(1);

/// How long listeners have to read that this pod leads no more. A listener that does not read keeps the process no
/// longer.
const FAREWELL_TIMEOUT: Duration = Duration::from_millis(200);

/// The services to run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ServiceOptions {
    pub(crate) addresses: Addresses,
    pub(crate) hooks: Option<Hooks>,
    pub(crate) health: Option<AppHealth>,
}

/// The services, as the election sees them.
#[derive(Debug)]
pub(crate) struct Services {
    snapshot: watch::Sender<Snapshot>,
    metrics: Option<Arc<Metrics>>,
    /// Whether the candidate should leave the Lease to others, if the app's health is checked.
    yield_requests: Option<watch::Receiver<Option<Duration>>>,
    /// The end of the services' thread, if there is one.
    end: Option<ThreadEnd>,
}

#[derive(Debug)]
struct ThreadEnd {
    end: mpsc::Receiver<()>,
    /// How long the election waits for the thread to end.
    patience: Duration,
}

impl Services {
    /// Listens, and starts the services' thread. `marker` is a file that exists from before `on-acquired` to after
    /// `on-lost`.
    ///
    /// # Errors
    /// If an address can never be listened on.
    pub(crate) fn start(
        wanted: ServiceOptions,
        author: &Author,
        marker: Marker,
        now: Now,
    ) -> Result<Services, ListenError> {
        let ServiceOptions { addresses, hooks, health } = wanted;
        let (snapshot, receiver) = watch::channel(Snapshot::new(author.clone(), now));
        let metrics = addresses.observe.map(|_| Arc::new(Metrics::new(&author.lease)));
        let servers = Servers::listen(addresses, &receiver, metrics.as_ref())?;
        let gate = health.map(|health| {
            let (gate, yield_requests) = watch::channel(Some(health.grace));
            (health, gate, yield_requests)
        });
        let yield_requests = gate.as_ref().map(|(_, _, yield_requests)| yield_requests.clone());
        if servers.is_empty() && hooks.is_none() && gate.is_none() {
            return Ok(Services { snapshot, metrics, yield_requests, end: None });
        }
        let patience = hooks.as_ref().map_or(Duration::ZERO, |hooks| hooks.timeout) + LAST_MESSAGES_TIMEOUT;
        let (ended, end) = mpsc::channel();
        let run = move |runtime: tokio::runtime::Runtime| {
            runtime.block_on(async move {
                let farewell = servers.spawn();
                if let Some((health, gate, _)) = gate {
                    tokio::spawn(health.watch(gate));
                }
                match hooks {
                    Some(hooks) => hooks.run(receiver, &marker).await,
                    None => Snapshot::until_over(receiver).await,
                }
                let _ = timeout(FAREWELL_TIMEOUT, farewell).await;
            });
            // A look at a file may never come back.
            runtime.shutdown_background();
            let _ = ended.send(());
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(ListenError::Thread)?;
        let thread = thread::Builder::new().name("services".to_owned()).stack_size(STACK_BYTES);
        thread.spawn(move || run(runtime)).map_err(ListenError::Thread)?;
        Ok(Services { snapshot, metrics, yield_requests, end: Some(ThreadEnd { end, patience }) })
    }

    /// The hooks of the campaign, by which the driver tells the services what happens.
    pub(crate) fn campaign_hooks(&self) -> CampaignHooks<'_> {
        CampaignHooks { observer: self, yield_requests: self.yield_requests() }
    }

    /// The requests to leave the Lease to others: the current one, and then each change.
    fn yield_requests(&self) -> YieldRequests<'_> {
        let Some(receiver) = self.yield_requests.clone() else { return Box::pin(stream::pending()) };
        let first = stream::iter([*receiver.borrow()]);
        let changes = stream::unfold(receiver, async |mut receiver| {
            receiver.changed().await.ok()?;
            let yield_requests = *receiver.borrow_and_update();
            Some((yield_requests, receiver))
        });
        // It is asked again after its end, which would be an error of `unfold`.
        let request =
            |grace: Option<Duration>| grace.map(|grace| YieldRequest { grace, reason: ReleaseReason::AppUnhealthy });
        Box::pin(first.chain(changes).fuse().map(request))
    }

    /// Ends the services once the last hook has ended. Called when this pod leads no more.
    pub(crate) fn end(&self) {
        self.snapshot.send_modify(Snapshot::end);
        if let Some(ThreadEnd { end, patience }) = &self.end {
            let _ = end.recv_timeout(*patience);
        }
    }

    fn tell(&self, change: impl FnOnce(&mut Snapshot)) {
        if self.end.is_some() {
            self.snapshot.send_modify(change);
        }
    }

    fn count(&self, what: impl FnOnce(&Metrics)) {
        if let Some(metrics) = &self.metrics {
            what(metrics);
        }
    }
}

impl Observer for Services {
    fn saw(&self, view: &LeaseView<'_>, now: Now) {
        self.tell(|snapshot| snapshot.see(view, now));
    }

    fn answered(&self, request: &'static str, outcome: &'static str, took: Duration) {
        self.count(|metrics| metrics.answered(request, outcome, took));
    }

    fn acquired(&self, vacancy: Vacancy) {
        self.count(|metrics| metrics.acquired(vacancy));
    }

    fn renewed(&self) {
        self.count(|metrics| metrics.renewed());
    }

    fn lost(&self, loss: &Loss) {
        self.count(|metrics| metrics.lost(loss));
    }

    fn rewatched(&self) {
        self.count(|metrics| metrics.rewatched());
    }
}

/// A publication that tells the services of each tenure: after it is published, and before it is taken back.
#[derive(Debug)]
pub(crate) struct Notifying<P> {
    pub(crate) publication: P,
    pub(crate) services: Rc<Services>,
}

impl<P: Publication> Publication for Notifying<P> {
    fn publish(&mut self, tenure: &Tenure, now: Now) -> io::Result<()> {
        self.publication.publish(tenure, now)?;
        self.services.tell(|snapshot| snapshot.lead(tenure, now));
        Ok(())
    }

    fn extend(&mut self, tenure: &Tenure, now: Now) -> io::Result<()> {
        self.publication.extend(tenure, now)?;
        self.services.tell(|snapshot| snapshot.lead(tenure, now));
        Ok(())
    }

    fn retract(&mut self) -> io::Result<()> {
        self.services.tell(Snapshot::retire);
        self.publication.retract()
    }

    fn turned(&mut self, now: Now) {
        self.publication.turned(now);
    }
}
