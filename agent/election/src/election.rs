//! The state machine.
//!
//! ```text
//!                  stored, in time            lost, deadline, step down, stop       handle_retracted
//!   ┌─► Candidate ────────────────► Leading ────────────────────► Retracting ─────────┬───────────┐
//!   │                Acquire        │     ▲ Extend                    Retract         │           │ reluctant, or told to stop
//!   │                               └─────┘                                           │           ▼
//!   ├─────────────────────────────────────────────────────────────────────────────────┘        Releasing ──► Finished
//!   └─────────────────────────────────────────────────────────────────────────────────────────────┘   told to stop
//! ```

mod answers;
mod requests;
mod takeover;

use std::collections::VecDeque;
use std::time::Duration;

use self::requests::Due;
use crate::attempt::{Attempt, Own};
use crate::lease::{Lease, ResourceVersion};
use crate::protocol::{Action, Answer, Candidate, Loss, Request, State, Tenure, Vacancy, WatchEvent};
use crate::time::{Moment, Now, Timestamp, Validity};
use crate::timings::Timings;
use crate::view::View;

/// How many writes with an unknown fate are remembered. A write that was forgotten counts as another candidate's, and
/// is waited for.
const REMEMBERED_ATTEMPTS: usize = 8;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Phase {
    Candidate,
    Leading {
        tenure: Tenure,
        /// `t0` of the last write that was credited.
        renewed_at: Moment,
    },
    Retracting,
    Releasing {
        give_up: Validity,
    },
    Finished,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct InFlight {
    sent_at: Moment,
    kind: InFlightKind,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum InFlightKind {
    Get { seen: Option<ResourceVersion> },
    Create,
    Write { renew_time: Timestamp, replaces: ResourceVersion, after_expiry: bool },
}

/// One candidate in one election, for ever: after a loss it is a candidate again. See the crate's documentation for how
/// to drive it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Election {
    identity: String,
    start: String,
    /// The last valid set of timings (rule L6).
    timings: Timings,
    view: View,
    own: Option<Own>,
    phase: Phase,
    /// Writes of this process that may have been stored and were not credited.
    attempts: Vec<Attempt>,
    last_renew_time: Option<Timestamp>,
    in_flight: Option<InFlight>,
    /// Whether a read of the Lease must come before anything else.
    look: bool,
    /// Whether the watch is refused, so that the Lease is read every retry period instead.
    polling: bool,
    looked_at: Option<Moment>,
    /// When the last write left, if its fate was unknown.
    failed_at: Option<Moment>,
    /// The time of the last failed request, and how long after it nothing is sent.
    pause: Option<(Moment, Duration)>,
    /// Whether the last write met a conflict.
    conflicted: bool,
    /// The version that this candidate tried to replace after its expiry, too late: the watch may have fallen silent.
    overtaken: Option<ResourceVersion>,
    /// When the last create left, if it was refused.
    creation_refused_at: Option<Moment>,
    retracted_at: Option<Moment>,
    /// How long this candidate leaves a Lease to others that it could take, as its driver has asked; `None`: not at all
    /// (rule F4).
    reluctance: Option<Duration>,
    /// The start of the grace: the last time at which others could not take the Lease, or this process could not know
    /// it.
    grace_from: Option<Moment>,
    /// The transitions of the tenure that this process ended so that another candidate can lead.
    handed_over: Option<u32>,
    stopping: bool,
    actions: VecDeque<Action>,
}

impl Election {
    /// A standby that has seen nothing.
    #[must_use]
    pub fn new(candidate: Candidate, now: Now) -> Election {
        let Candidate { identity, start, timings, predecessor } = candidate;
        // Another candidate's report says nothing of this one, and its writer may live.
        let predecessor = predecessor.filter(|predecessor| predecessor.identity == identity);
        // What the predecessor showed was there until just now: readers are left the release delay from here (rule R1).
        let retracted_at = predecessor.is_some().then_some(now.moment);
        Election {
            identity,
            start,
            timings,
            view: View::new(now.moment),
            own: predecessor.map(Own::from),
            phase: Phase::Candidate,
            attempts: Vec::new(),
            last_renew_time: None,
            in_flight: None,
            look: false,
            polling: false,
            looked_at: None,
            failed_at: None,
            pause: None,
            conflicted: false,
            overtaken: None,
            creation_refused_at: None,
            retracted_at,
            reluctance: None,
            grace_from: None,
            handed_over: None,
            stopping: false,
            actions: VecDeque::new(),
        }
    }

    // What can be asked at any time.

    /// What this candidate is doing.
    #[must_use]
    pub fn state(&self) -> State {
        match self.phase {
            Phase::Candidate => State::Candidate,
            Phase::Leading { .. } => State::Leading,
            Phase::Retracting => State::Retracting,
            Phase::Releasing { .. } => State::Releasing,
            Phase::Finished => State::Finished,
        }
    }

    /// The latest version of the Lease that counts; `None` if there is no Lease, or none was seen.
    #[must_use]
    pub fn lease(&self) -> Option<&Lease> {
        self.view.lease()
    }

    /// The timings in use.
    #[must_use]
    pub fn timings(&self) -> Timings {
        self.timings
    }

    /// How long the driver waits for an answer before it gives [`Answer::Unknown`].
    #[must_use]
    pub fn request_timeout(&self) -> Duration {
        self.timings.request_timeout()
    }

    /// How much longer this candidate waits for a silent or unknown holder; `None` where there is no Lease to wait for.
    #[must_use]
    pub fn takeover_in(&self, now: Now) -> Option<Duration> {
        let waits = self.phase == Phase::Candidate && self.view.lease().is_some();
        waits.then(|| self.wait(now.moment))
    }

    /// How long ago the record in the Lease was first seen as it is now. Before any Lease was seen: the age of this
    /// candidate.
    #[must_use]
    pub fn record_age(&self, now: Now) -> Duration {
        now.moment.longest_since(self.view.seen_at())
    }

    /// How much longer the holder that the Lease names may hold it, if nothing more is seen of it.
    #[must_use]
    pub fn holder_expires_in(&self, now: Now) -> Duration {
        let nobody = self.view.lease().is_none_or(|lease| lease.record.holder.is_empty());
        if nobody { Duration::ZERO } else { self.expires_in(Duration::ZERO, now.moment) }
    }

    /// Why the Lease can be taken now, or will be once the wait for its holder is over.
    #[must_use]
    pub fn vacancy(&self) -> Vacancy {
        if self.own_lease().is_some() {
            Vacancy::Own
        } else if !self.view.is_free() {
            Vacancy::Expired
        } else if self.view.lease().is_some_and(|lease| lease.record.acquire_time.is_some()) {
            Vacancy::Released
        } else {
            Vacancy::NeverHeld
        }
    }

    // What happens.

    /// Takes in an event of the watch.
    pub fn handle_watch(&mut self, event: WatchEvent, now: Now) {
        self.expire(now);
        self.polling = event == WatchEvent::Refused;
        match event {
            WatchEvent::Present(lease) => {
                if self.view.is_news(lease.resource_version) {
                    self.observe(lease, now);
                } else {
                    self.view.observe_past(&lease);
                }
            }
            WatchEvent::Deleted { uid } => {
                if self.view.lease().is_some_and(|lease| lease.record.uid == uid) {
                    self.observe_absence();
                } else {
                    self.view.doubt();
                }
            }
            WatchEvent::Empty => {
                self.view.doubt();
                self.look = true;
            }
            WatchEvent::Refused => {}
        }
        self.settle(now);
    }

    /// Takes in the answer to the request under way. Does nothing if no request is under way.
    pub fn handle_answer(&mut self, answer: Answer, now: Now) {
        self.expire(now);
        let Some(InFlight { sent_at, kind }) = self.in_flight.take() else { return };
        match kind {
            InFlightKind::Get { seen } => self.handle_get(answer, seen, sent_at, now),
            InFlightKind::Create => self.handle_create(answer, sent_at, now),
            InFlightKind::Write { renew_time, replaces, after_expiry } => {
                if after_expiry && matches!(answer, Answer::Conflict | Answer::NotFound) {
                    self.overtaken = Some(replaces);
                }
                self.handle_write(answer, renew_time, replaces, sent_at, now);
            }
        }
        self.settle(now);
    }

    /// Takes in that time has passed: the driver calls this whenever it wakes, for any reason.
    pub fn handle_timeout(&mut self, now: Now) {
        self.expire(now);
        self.settle(now);
    }

    /// Takes in that the driver has done what [`Action::Retract`] asked for.
    pub fn handle_retracted(&mut self, now: Now) {
        if self.phase != Phase::Retracting {
            return;
        }
        self.retracted_at = Some(now.moment);
        self.phase = Phase::Candidate;
        if self.stopping || self.grace().is_some() && self.may_be_ours() {
            self.begin_release(now);
        }
        self.settle(now);
    }

    /// Sets for how long this candidate leaves a Lease that it could take to other candidates; `None`: it takes the Lease
    /// as soon as it can (rule F4).
    ///
    /// A leader that becomes reluctant steps down: it retracts, releases and goes on as a standby. A candidate that was
    /// reluctant when it took the Lease leads on: no other took it, so stepping down would only hand over to itself.
    pub fn handle_reluctance(&mut self, reluctance: Option<Duration>, now: Now) {
        self.expire(now);
        let was_willing = self.reluctance.is_none();
        self.reluctance = reluctance;
        self.grace_from = self.grace_from.filter(|_| reluctance.is_some());
        if was_willing && reluctance.is_some() {
            match self.phase {
                Phase::Leading { .. } => self.lose(Loss::SteppedDown),
                // An acquisition may be under way.
                Phase::Candidate if self.may_be_ours() => self.begin_release(now),
                Phase::Candidate | Phase::Retracting | Phase::Releasing { .. } | Phase::Finished => {}
            }
        }
        self.settle(now);
    }

    /// Ends the candidacy: retracts, releases and finishes (rule R1).
    pub fn handle_stop(&mut self, now: Now) {
        self.stopping = true;
        match self.phase {
            Phase::Leading { .. } => self.lose(Loss::Stopped),
            Phase::Candidate => self.begin_release(now),
            Phase::Retracting | Phase::Releasing { .. } | Phase::Finished => {}
        }
        self.settle(now);
    }

    // What is to be done.

    /// The next thing that the driver must do.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Whether [`Election::poll_action`] would return an action.
    #[must_use]
    pub fn has_actions(&self) -> bool {
        !self.actions.is_empty()
    }

    /// The next request to send, at `now`. `None` while a request is under way or an action is waiting.
    pub fn poll_request(&mut self, now: Now) -> Option<Request> {
        self.handle_timeout(now);
        if !self.actions.is_empty() {
            return None;
        }
        match self.due(now.moment) {
            Due::Nothing | Due::In(_) => None,
            Due::Get => {
                self.looked_at = Some(now.moment);
                self.send(InFlightKind::Get { seen: self.view.version() }, now);
                Some(Request::Get)
            }
            Due::Create => Some(self.request_create(now)),
            Due::Write(_) if self.shrink(now) => None,
            Due::Write(purpose) => self.request_write(purpose, now),
        }
    }

    /// How long until the driver should call [`Election::handle_timeout`] and [`Election::poll_request`] again.
    #[must_use]
    pub fn poll_timeout(&self, now: Now) -> Option<Duration> {
        let due = match self.due(now.moment) {
            Due::Nothing => None,
            Due::In(wait) => Some(wait),
            Due::Get | Due::Create | Due::Write(_) => Some(Duration::ZERO),
        };
        let deadline = match &self.phase {
            Phase::Leading { tenure, .. } => Some(tenure.validity.remaining(now.moment)),
            Phase::Releasing { give_up } if !self.is_writing() => Some(give_up.remaining(now.moment)),
            Phase::Candidate | Phase::Retracting | Phase::Releasing { .. } | Phase::Finished => None,
        };
        due.into_iter().chain(deadline).min()
    }

    fn send(&mut self, kind: InFlightKind, now: Now) {
        self.pause = None;
        self.in_flight = Some(InFlight { sent_at: now.moment, kind });
    }

    /// Ends the tenure when its validity has passed (rule L4).
    fn expire(&mut self, now: Now) {
        if let Phase::Leading { tenure, .. } = &self.phase
            && tenure.validity.has_expired(now.moment)
        {
            self.lose(Loss::DeadlinePassed);
        }
    }

    fn lose(&mut self, loss: Loss) {
        self.phase = Phase::Retracting;
        self.actions.push_back(Action::Retract(loss));
    }

    fn begin_release(&mut self, now: Now) {
        let give_up =
            Validity { since: now.moment, lasting: self.timings.renew_deadline() + self.timings.release_delay() };
        // What cannot be ours needs no look: a standby goes at once, even if the API does not answer.
        let may_be_ours = self.may_be_ours();
        self.look = may_be_ours && (self.look || self.in_flight.is_none() && !self.attempts.is_empty());
        self.phase = Phase::Releasing { give_up };
    }

    /// Whether the Lease shows a write of this process, or may come to show one.
    fn may_be_ours(&self) -> bool {
        self.own_lease().is_some() || !self.attempts.is_empty()
    }

    fn is_writing(&self) -> bool {
        matches!(&self.in_flight, Some(InFlight { kind: InFlightKind::Write { .. }, .. }))
    }

    /// Ends a tenure that is to end. When nothing is left to release, or a release would gain nothing, the candidacy
    /// finishes or goes on as a standby.
    fn settle(&mut self, now: Now) {
        if let Some(loss) = self.told_to_end() {
            self.lose(loss);
        }
        let Phase::Releasing { give_up } = &self.phase else { return };
        let pointless = give_up.has_expired(now.moment);
        let to_release = self.look || self.own_lease().is_some();
        if self.is_writing() || (!pointless && to_release) {
            return;
        }
        if self.stopping {
            self.phase = Phase::Finished;
            self.actions.push_back(Action::Finish);
        } else {
            self.phase = Phase::Candidate;
        }
    }
}
