//! How the driver handles events: what it passes on to the election, to the observer and to the log.

use std::time::Duration;

use elector_crds::display_text::{self, MAX_MESSAGE};
use elector_crds::{StoredLease, identity};
use elector_election::{Answer, Hints, Lease, Loss, Now, ResourceVersion, WatchEvent};
use kube::Client;
use tokio::runtime::Handle;
use tokio::time::Instant;
use tracing::{info, warn};

use super::{Driver, Error, Event, InFlight};
use crate::clock;
use crate::connect::Access;
use crate::lease_api::{self, LeaseApi, Reply};
use crate::observer::{LeaseView, YieldRequest};
use crate::problem::{Problem, Rights};
use crate::watch::Seen;

/// Longer than any candidate waits for a Lease by a time; a longer wait means until a pause ends.
const FOR_EVER: Duration = Duration::from_secs(365 * 86_400);

impl Driver<'_> {
    pub(super) fn take_in(&mut self, event: Event) -> Result<(), Error> {
        match event {
            Event::Stop(reason) => {
                // Leadership that could not be shown has ended it already.
                self.reasons.stop.get_or_insert(reason);
                self.election.handle_stop(clock::now()?);
            }
            Event::Rung(rung) => rung?,
            Event::YieldRequests(request) => self.take_in_yield_request(request)?,
            Event::Connected(connected) => self.move_to(connected),
            Event::Reply(Reply { answer, object, problem }) => {
                if let Some(InFlight { request, sent_at, .. }) = self.in_flight.take() {
                    self.hooks.observer.answered(request, lease_api::outcome(&answer), sent_at.elapsed());
                }
                let problem = self.reconnect_after(problem);
                if self.problems.of_requests(problem, answer == Answer::NotFound) == Rights::Granted {
                    // What refused the requests refused the watch.
                    self.watch.resume();
                }
                let answer = match answer {
                    Answer::Found(lease) => Answer::Found(self.obeyed(lease)),
                    Answer::Stored(lease) => Answer::Stored(self.obeyed(lease)),
                    answer @ (Answer::NotFound | Answer::Conflict | Answer::Refused { .. } | Answer::Unknown) => answer,
                };
                self.election.handle_answer(answer, clock::now()?);
                self.keep(object);
            }
            Event::Seen(seen) => self.take_in_seen(seen)?,
        }
        self.log_holder()
    }

    /// `lease` as the election may see it: without hints if this candidate does not obey them.
    fn obeyed(&self, lease: Lease) -> Lease {
        if self.obeys_hints { lease } else { Lease { hints: Hints::default(), ..lease } }
    }

    fn take_in_yield_request(&mut self, request: Option<YieldRequest>) -> Result<(), Error> {
        let reluctance = request.map(|request| request.grace);
        self.reasons.yielding = request.map(|request| request.reason);
        match request {
            Some(YieldRequest { grace, reason }) => info!(
                namespace = %self.namespace,
                lease = %self.lease,
                seconds = grace.as_secs(),
                %reason,
                "leaving the lease to others"
            ),
            None => info!(namespace = %self.namespace, lease = %self.lease, "contending again"),
        }
        self.election.handle_reluctance(reluctance, clock::now()?);
        Ok(())
    }

    pub(super) fn lease_view(&self, now: Now) -> LeaseView<'_> {
        let lease = self.election.lease();
        let age = self.election.record_age(now);
        // Who goes by these timings acts no longer than that after its last renewal; others wait longer for it.
        let acts_for = self.election.timings().renew_deadline().saturating_sub(age);
        LeaseView {
            holder: lease.map(|lease| lease.record.holder.as_str()),
            transitions: lease.map_or(0, |lease| lease.record.transitions),
            age,
            expires_in: self.election.holder_expires_in(now).min(acts_for),
            problem: self.problems.reason(),
        }
    }

    fn take_in_seen(&mut self, seen: Seen) -> Result<(), Error> {
        let problem = match seen {
            Seen::Nothing => return Ok(()),
            Seen::Empty => {
                self.election.handle_watch(WatchEvent::Empty, clock::now()?);
                None
            }
            Seen::Present(object) => match elector_crds::lease::read(&object) {
                Ok((lease, warnings)) => {
                    let lease = self.obeyed(lease);
                    self.election.handle_watch(WatchEvent::Present(lease), clock::now()?);
                    self.keep(Some(object));
                    Problem::of_warnings(&warnings)
                }
                Err(error) => Some(Problem::Garbage(error.to_string())),
            },
            Seen::Deleted(object) => {
                let uid = object.metadata.uid.unwrap_or_default();
                self.election.handle_watch(WatchEvent::Deleted { uid }, clock::now()?);
                self.keep(None);
                None
            }
            Seen::Failed(problem) => {
                self.hooks.observer.rewatched();
                if let Problem::Forbidden(_) = problem {
                    self.election.handle_watch(WatchEvent::Refused, clock::now()?);
                }
                self.reconnect_after(Some(problem))
            }
        };
        self.problems.of_watch(problem);
        Ok(())
    }

    /// Keeps `object` as the base of updates if it is the version that the election goes by.
    fn keep(&mut self, object: Option<StoredLease>) {
        let version = self.election.lease().map(|lease| lease.resource_version);
        if object.as_ref().and_then(version_of) == version && version.is_some() {
            self.base = object;
        } else if version.is_none() {
            self.base = None;
        }
    }

    /// Reads the credentials again if that may help. A token that is refused was rotated or has expired, and the client
    /// would look only after some seconds; a failure to connect may come from a new certificate authority. They are
    /// read on another thread, because a kubeconfig may run a program that takes its time. Returns the problem, with
    /// why the last reading failed if that is known.
    fn reconnect_after(&mut self, problem: Option<Problem>) -> Option<Problem> {
        let may_help = match &problem {
            Some(Problem::Credentials(_) | Problem::Unauthorized) => true,
            Some(Problem::Unreachable(_) | Problem::Failing(_)) => {
                self.connecting_since.elapsed() > self.election.timings().lease_duration()
            }
            Some(Problem::Forbidden(_) | Problem::NoNamespace | Problem::Refused(..) | Problem::Garbage(_)) | None => {
                false
            }
        };
        if may_help && self.connecting.is_none() {
            let runtime = Handle::current();
            let server = self.server.clone();
            self.connecting = Some(tokio::task::spawn_blocking(move || {
                let _in_runtime = runtime.enter();
                Access::renewed_client(&server)
            }));
            self.connecting_since = Instant::now();
        }
        match &problem {
            Some(problem) if problem.is_of_credentials() => self.unreadable.clone().or(Some(problem.clone())),
            Some(_) | None => problem,
        }
    }

    fn move_to(&mut self, connected: Result<Client, Problem>) {
        match connected {
            Ok(client) => {
                self.api = LeaseApi::new(client.clone(), &self.namespace, &self.lease);
                self.watch.move_to(client);
                self.unreadable = None;
            }
            Err(problem) => self.unreadable = Some(problem),
        }
    }

    pub(super) fn log_missing(&mut self) {
        if !self.missing {
            info!(namespace = %self.namespace, lease = %self.lease, "there is no lease: creating it, held by an unknown candidate");
        }
        self.missing = true;
    }

    fn log_holder(&mut self) -> Result<(), Error> {
        let lease = self.election.lease();
        self.missing &= lease.is_none();
        let holder = lease.map(|lease| lease.record.holder.clone());
        if holder != self.holder {
            // Who waits for the end of a pause waits for no time.
            let wait = self.election.takeover_in(clock::now()?).filter(|wait| *wait < FOR_EVER);
            let wait = wait.map(|wait| wait.as_secs_f32().ceil());
            info!(
                namespace = %self.namespace,
                lease = %self.lease,
                holder = &*identity::shown(holder.as_deref().unwrap_or("")),
                wait_seconds = wait,
                "observed holder"
            );
            self.holder = holder;
        }
        Ok(())
    }

    pub(super) fn log_loss(&self, loss: &Loss) {
        let (namespace, lease) = (&self.namespace, &self.lease);
        let said = loss.to_string();
        let reason = display_text::shown(&said, MAX_MESSAGE);
        match loss {
            Loss::Stopped | Loss::SteppedDown | Loss::Paused | Loss::HandedOver => {
                info!(%namespace, %lease, %reason, "gave up leadership")
            }
            Loss::DeadlinePassed
            | Loss::HeldByAnother { .. }
            | Loss::Emptied
            | Loss::Deleted
            | Loss::Replaced
            | Loss::RolledBack => {
                warn!(%namespace, %lease, %reason, "lost leadership");
            }
        }
    }
}

fn version_of(object: &StoredLease) -> Option<ResourceVersion> {
    object.metadata.resource_version.as_ref()?.parse().ok().map(ResourceVersion)
}
