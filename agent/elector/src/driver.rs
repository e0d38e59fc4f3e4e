//! Drives an [`Election`](elector_election::Election): clocks, API server, watch and publication on one side, the state machine on the other.
//!
//! The driver decides nothing that the election cannot see. What stands between the two, and what a simulation of the
//! shipped core therefore replaces:
//!
//! | here | there |
//! |---|---|
//! | [`clock::now`], read right before each call | `now` |
//! | `LeaseApi::send`, with a timeout | [`Recorder::poll_request`], [`Recorder::handle_answer`] |
//! | `LeaseWatch` | [`Recorder::handle_watch`] |
//! | [`Alarm`] | [`Recorder::poll_timeout`], [`Recorder::handle_timeout`] |
//! | [`CampaignHooks`] | [`Recorder::handle_reluctance`] |
//! | [`Publication`] | [`Recorder::poll_action`], [`Recorder::handle_retracted`] |
//!
//! Everything happens in one task: nothing that is detached can die unseen, and nothing in it waits but the one `select!`.

mod events;

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use elector_crds::{ReleaseReason, StoredLease};
use elector_election::{
    Action, Candidate, Loss, Now, Predecessor, Recorder, Recording, Request, State, Tenure, Timings, Vacancy,
};
use futures::StreamExt as _;
use http::Uri;
use kube::Client;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tracing::{error, info, trace};

use crate::clock::{self, Alarm};
use crate::connect::{self, Access};
use crate::lease_api::{self, LeaseApi, Reply};
use crate::observer::{CampaignHooks, YieldRequest, YieldRequests};
use crate::problem::{Problem, Problems};
use crate::publication::Publication;
use crate::publisher::Publisher;
use crate::watch::{LeaseWatch, Seen};

/// What a candidate contends for, and as whom.
#[derive(Debug, Clone)]
pub struct Campaign {
    /// The API server, and the credentials to ask it with.
    pub access: Access,
    /// The namespace of the Lease.
    pub namespace: String,
    /// The name of the Lease.
    pub lease: String,
    /// The identity in the Lease (`holderIdentity`); not empty.
    pub identity: String,
    /// [`nonce`](crate::nonce) of this process.
    pub start: String,
    /// The timings that are used until the Lease carries others.
    pub timings: Timings,
    /// The last tenure of an earlier process that is proven dead.
    pub predecessor: Option<Predecessor>,
    /// Whether this candidate obeys the Lease's hints (rule F4). A replica of the operator does not: its own election
    /// has no operator that gives hints.
    pub obeys_hints: bool,
}

/// Why a campaign cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No connection can be tried.
    #[error(transparent)]
    Connect(#[from] connect::Error),
    /// A clock or a timer of the kernel fails.
    #[error("failed to use the clock: {0}")]
    Clock(#[from] io::Error),
    /// Leadership could not be published, so it was given up: a leader that nobody can see only keeps others from
    /// leading.
    #[error("failed to show leadership, which was given up: {0}")]
    Publication(#[source] io::Error),
}

/// Contends until `stop` completes; then retracts, releases the Lease with the reason, and returns.
///
/// # Errors
/// An error that no waiting can mend; by then nothing is published any more. Failures of the API server or the network
/// never end a campaign.
pub async fn run(
    campaign: Campaign,
    publication: &mut dyn Publication,
    hooks: CampaignHooks<'_>,
    stop: impl Future<Output = ReleaseReason>,
) -> Result<(), Error> {
    Driver::new(campaign, publication, hooks, Recorder::silent).await?.run(stop).await.map(|_| ())
}

/// [`run`] that also returns its recording: for tests of this module, since a recording only grows.
///
/// # Errors
/// As [`run`].
pub async fn run_recorded(
    campaign: Campaign,
    publication: &mut dyn Publication,
    stop: impl Future<Output = ReleaseReason>,
) -> Result<Recording, Error> {
    let election =
        Driver::new(campaign, publication, CampaignHooks::none(), Recorder::recording).await?.run(stop).await?;
    Ok(election.into_recording())
}

#[expect(clippy::large_enum_variant, reason = "one lives at a time, on the stack")]
enum Event {
    Stop(ReleaseReason),
    Connected(Result<Client, Problem>),
    Reply(Reply),
    Seen(Seen),
    YieldRequests(Option<YieldRequest>),
    Rung(io::Result<()>),
}

/// The longest time between two turns of the loop: a supervisor can tell one that hangs from one that has nothing to
/// do.
pub const TURN: Duration = Duration::from_secs(10);

struct InFlight {
    reply: Pin<Box<dyn Future<Output = Reply> + Send>>,
    request: &'static str,
    sent_at: Instant,
}

async fn answer(in_flight: &mut Option<InFlight>) -> Reply {
    match in_flight {
        Some(in_flight) => in_flight.reply.as_mut().await,
        None => std::future::pending().await,
    }
}

async fn next_request(requests: &mut YieldRequests<'_>) -> Option<YieldRequest> {
    match requests.next().await {
        Some(request) => request,
        None => std::future::pending().await,
    }
}

/// Why this process gives the Lease up, for people who look at the Lease later.
#[derive(Debug, Default)]
struct Reasons {
    /// Why the last tenure ended, once it is over.
    end_of_tenure: Option<ReleaseReason>,
    /// Why this candidacy ends.
    stop: Option<ReleaseReason>,
    /// Why the Lease is left to others, for as long as it is.
    yielding: Option<ReleaseReason>,
}

impl Reasons {
    fn take_in(&mut self, loss: &Loss) {
        self.end_of_tenure = match loss {
            Loss::Stopped => self.stop,
            Loss::SteppedDown => self.yielding,
            Loss::Paused => Some(ReleaseReason::Paused),
            Loss::HandedOver => Some(ReleaseReason::HandedOver),
            Loss::DeadlinePassed
            | Loss::HeldByAnother { .. }
            | Loss::Emptied
            | Loss::Deleted
            | Loss::Replaced
            | Loss::RolledBack => None,
        };
    }

    /// The reason that a release states. A Lease that is released without a tenure, because it was acquired too late,
    /// is given up for the reason that holds now.
    fn of_release(&self) -> Option<ReleaseReason> {
        self.end_of_tenure.or(self.stop).or(self.yielding)
    }
}

type Connecting = JoinHandle<Result<Client, connect::Error>>;

async fn connected(connecting: &mut Option<Connecting>) -> Result<Client, Problem> {
    let Some(job) = connecting else { return std::future::pending().await };
    let result = job.await;
    *connecting = None;
    match result {
        Ok(Ok(client)) => Ok(client),
        Ok(Err(error)) => Err(Problem::Credentials(error.to_string())),
        Err(error) => Err(Problem::Credentials(error.to_string())),
    }
}

struct Driver<'a> {
    election: Recorder,
    publisher: Publisher<'a>,
    hooks: CampaignHooks<'a>,
    /// Why leadership could not be published.
    unshown: Option<io::Error>,
    reasons: Reasons,
    finished: bool,
    api: LeaseApi,
    watch: LeaseWatch,
    in_flight: Option<InFlight>,
    /// Why the Lease could be taken when this process last tried to begin a tenure.
    vacancy: Vacancy,
    /// The API server's address.
    server: Uri,
    /// The task that reads the credentials again, if one is under way.
    connecting: Option<Connecting>,
    connecting_since: Instant,
    /// Why the credentials could not be read again.
    unreadable: Option<Problem>,
    /// The stored object of the version that the election goes by, with the fields that the election does not see.
    base: Option<StoredLease>,
    obeys_hints: bool,
    alarm: Alarm,
    problems: Problems,
    holder: Option<String>,
    /// Whether the log says already that there is no Lease.
    missing: bool,
    namespace: String,
    lease: String,
}

impl<'a> Driver<'a> {
    async fn new(
        campaign: Campaign,
        publication: &'a mut dyn Publication,
        hooks: CampaignHooks<'a>,
        election: fn(Candidate, Now) -> Recorder,
    ) -> Result<Driver<'a>, Error> {
        let Campaign { access, namespace, lease, identity, start, timings, predecessor, obeys_hints } = campaign;
        let client = access.client()?;
        info!(%namespace, %lease, %identity, "contending");
        let candidate = Candidate { identity, start, timings, predecessor };
        Ok(Driver {
            election: election(candidate, clock::now()?),
            publisher: Publisher::new(publication),
            hooks,
            unshown: None,
            reasons: Reasons::default(),
            finished: false,
            watch: LeaseWatch::open(client.clone(), &namespace, &lease),
            api: LeaseApi::new(client, &namespace, &lease),
            in_flight: None,
            vacancy: Vacancy::Expired,
            server: access.config.cluster_url,
            connecting: None,
            connecting_since: Instant::now(),
            unreadable: None,
            base: None,
            obeys_hints,
            alarm: Alarm::new()?,
            problems: Problems::new(&namespace, &lease),
            holder: None,
            missing: false,
            namespace,
            lease,
        })
    }

    async fn run(mut self, stop: impl Future<Output = ReleaseReason>) -> Result<Recorder, Error> {
        let result = self.contend(stop).await;
        if result.is_err() && !self.publisher.retract() {
            self.retract_what_takes_time().await;
        }
        result.map(|()| self.election)
    }

    async fn contend(&mut self, stop: impl Future<Output = ReleaseReason>) -> Result<(), Error> {
        let mut stop = std::pin::pin!(stop);
        let mut stopping = false;
        loop {
            self.act()?;
            if self.finished {
                return self.unshown.take().map_or(Ok(()), |error| Err(Error::Publication(error)));
            }
            let now = clock::now()?;
            self.publisher.turned(now);
            self.hooks.observer.saw(&self.lease_view(now), now);
            self.sleep()?;
            let timings = self.election.timings();
            let retract_again = self.publisher.retract_again();
            let Driver { watch, in_flight, connecting, alarm, hooks, .. } = &mut *self;
            let event = tokio::select! {
                biased;
                reason = &mut stop, if !stopping => Event::Stop(reason),
                request = next_request(&mut hooks.yield_requests) => Event::YieldRequests(request),
                connected = connected(connecting) => Event::Connected(connected),
                reply = answer(in_flight) => Event::Reply(reply),
                seen = watch.next(timings) => Event::Seen(seen),
                rung = alarm.rings() => Event::Rung(rung),
                () = tokio::time::sleep(retract_again.unwrap_or_default()), if retract_again.is_some() => {
                    Event::Rung(Ok(()))
                }
            };
            stopping |= matches!(event, Event::Stop(_));
            self.take_in(event)?;
        }
    }

    /// Does what the election asks for, until it asks for nothing more.
    fn act(&mut self) -> Result<(), Error> {
        self.election.handle_timeout(clock::now()?);
        if self.publisher.retract_again().is_some() {
            self.retract()?;
        }
        loop {
            while let Some(action) = self.election.poll_action() {
                self.perform(action)?;
            }
            // The clock is read here, before the request leaves (rule L1).
            let now = clock::now()?;
            if let Some(request) = self.election.poll_request(now) {
                let timeout = self.election.request_timeout();
                if let Request::Create(_) = request {
                    self.log_missing();
                }
                let acquires = self.election.state() == State::Candidate && matches!(request, Request::Update { .. });
                if acquires {
                    self.vacancy = self.election.vacancy();
                }
                self.in_flight = Some(InFlight {
                    request: lease_api::verb(&request),
                    sent_at: Instant::now(),
                    reply: Box::pin(self.api.clone().send(
                        request,
                        self.reasons.of_release(),
                        self.base.clone(),
                        timeout,
                    )),
                });
            } else if self.election.has_actions() {
                continue;
            }
            return Ok(());
        }
    }

    /// Performs an action of the election, and logs it afterwards: a log can be slow.
    fn perform(&mut self, action: Action) -> Result<(), Error> {
        match action {
            Action::Acquire(tenure) => {
                self.reasons.end_of_tenure = None;
                self.show(&tenure)?;
                info!(
                    namespace = %self.namespace,
                    lease = %self.lease,
                    transitions = tenure.transitions,
                    fencing_token = tenure.fencing_token.0,
                    "acquired leadership"
                );
                self.hooks.observer.acquired(self.vacancy);
            }
            Action::Extend(tenure) => {
                self.show(&tenure)?;
                trace!(valid_until = ?tenure.validity.until_boottime(), "renewed");
                self.hooks.observer.renewed();
            }
            Action::Retract(loss) => {
                self.reasons.take_in(&loss);
                self.retract()?;
                self.log_loss(&loss);
                self.hooks.observer.lost(&loss);
            }
            Action::Rewatch => {
                self.watch.restart();
                self.hooks.observer.rewatched();
            }
            Action::Finish => self.finished = true,
        }
        Ok(())
    }

    fn show(&mut self, tenure: &Tenure) -> Result<(), Error> {
        if let Err(error) = self.publisher.show(tenure, clock::now()?) {
            self.election.handle_stop(clock::now()?);
            self.reasons.stop = Some(ReleaseReason::PublishFailed);
            error!(namespace = %self.namespace, lease = %self.lease, %error, "failed to show leadership: the Lease is given up, and this process ends");
            self.unshown = Some(error);
        }
        Ok(())
    }

    fn retract(&mut self) -> Result<(), Error> {
        if self.publisher.retract() {
            self.election.handle_retracted(clock::now()?);
        }
        Ok(())
    }

    /// Waits for a retraction that only takes time, in a campaign that cannot go on. A retraction that was refused is
    /// not tried again.
    async fn retract_what_takes_time(&mut self) {
        while let Some(wait) = self.publisher.pending() {
            tokio::time::sleep(wait).await;
            self.publisher.retract();
        }
    }

    /// Sets the alarm for the time at which the election must be woken, or for the next turn if that is earlier.
    fn sleep(&mut self) -> Result<(), Error> {
        let wait = self.election.poll_timeout(clock::now()?);
        self.alarm.set(Some(wait.map_or(TURN, |wait| wait.min(TURN))))?;
        Ok(())
    }
}
