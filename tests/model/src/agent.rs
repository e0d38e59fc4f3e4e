//! One agent: the process, its machine's clocks, its network, its status file.

use std::time::Duration;

use elector_election::{
    Action, Answer, Candidate, Election, Loss, Moment, Now, Predecessor, Request, ResourceVersion, State, Tenure,
    Timestamp, Timings, WatchEvent,
};

use crate::fingerprint::{BOOTTIME, Canon, MONOTONIC_RAW};
use crate::landmarks::Landmark;
use crate::oracle::{Noticed, Violation};

/// Beyond it, a watch that lags has to begin anew.
pub(crate) const LAG: usize = 3;
/// Of the requests that were given up and may yet arrive, only the latest are followed.
pub(crate) const GIVEN_UP: usize = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Pace {
    Awake,
    /// The process stands.
    Frozen,
    /// The process and `CLOCK_MONOTONIC_RAW` stand.
    Suspended,
    /// The process runs, `CLOCK_BOOTTIME` stands.
    Slewed,
}

#[derive(Debug, Clone, Hash)]
pub(crate) struct Flight {
    pub(crate) request: Request,
    /// On `CLOCK_BOOTTIME`.
    pub(crate) sent_at: Duration,
    /// Since it reached the store.
    pub(crate) answer: Option<Answer>,
}

#[derive(Debug, Clone, Hash)]
pub(crate) enum Watch {
    /// What it has yet to show.
    Live(Vec<WatchEvent>),
    Silent,
}

#[derive(Debug, Clone)]
pub(crate) struct Agent {
    pub(crate) index: usize,
    pub(crate) identity: String,
    pub(crate) election: Option<Election>,
    pub(crate) clock: Moment,
    /// Counts the processes.
    lives: u32,
    /// Of the process that runs, or ran.
    start: String,
    pub(crate) pace: Pace,
    pub(crate) cut: bool,
    /// It leaves the Lease to others.
    pub(crate) yields: bool,
    pub(crate) watch: Watch,
    pub(crate) flight: Option<Flight>,
    /// May yet arrive.
    pub(crate) given_up: Vec<Request>,
    /// What the process knows of its tenure.
    pub(crate) tenure: Option<Tenure>,
    /// What the status file says.
    pub(crate) published: Option<Tenure>,
    pub(crate) retracting: bool,
    retracted_at: Option<Moment>,
    /// What a next process may find out about this one.
    pub(crate) report: Option<Predecessor>,
    /// Of the process before: this one knows of it, and has not led.
    pub(crate) predecessor: Option<String>,
}

/// What all agents share.
pub(crate) struct Surroundings<'a> {
    /// Wall-clock times, and each of them once.
    pub(crate) calls: &'a mut i64,
    /// The largest fencing token so far.
    pub(crate) token: &'a mut ResourceVersion,
    pub(crate) noticed: &'a mut Noticed,
}

impl Agent {
    pub(crate) fn new(index: usize, identity: String) -> Agent {
        let (boottime, monotonic_raw) = (Duration::from_secs(BOOTTIME), Duration::from_secs(MONOTONIC_RAW));
        Agent {
            index,
            identity,
            election: None,
            clock: Moment { boottime, monotonic_raw },
            lives: 0,
            start: String::new(),
            pace: Pace::Awake,
            cut: false,
            yields: false,
            watch: Watch::Silent,
            flight: None,
            given_up: Vec::new(),
            tenure: None,
            published: None,
            retracting: false,
            retracted_at: None,
            report: None,
            predecessor: None,
        }
    }

    /// All that decides what can follow.
    pub(crate) fn describe(&self, canon: &mut Canon) {
        let Agent {
            index: _,
            identity: _,
            election,
            clock,
            lives: _,
            start,
            pace,
            cut,
            yields,
            watch,
            flight,
            given_up,
            tenure,
            published,
            retracting,
            retracted_at,
            report,
            predecessor,
        } = self;
        canon.set_now(*clock);
        canon.take(election);
        canon.take(&(start, pace, cut, yields, watch, flight, given_up));
        canon.take(&(tenure, published, retracting, retracted_at, report, predecessor));
    }

    /// A process begins: its first act is to remove what the one before has left.
    pub(crate) fn begin(&mut self, timings: Timings, vouched: bool, wall: i64) {
        self.lives += 1;
        self.start = format!("#process-{}-{:06}", self.index, self.lives);
        let (identity, start) = (self.identity.clone(), self.start.clone());
        let predecessor = self.report.take().filter(|_| vouched);
        self.predecessor = predecessor.as_ref().map(|predecessor| predecessor.start.clone());
        self.published = None;
        let now = self.now(wall);
        self.election = Some(Election::new(Candidate { identity, start, timings, predecessor }, now));
    }

    pub(crate) fn crash(&mut self) {
        if let Some(Flight { request, answer: None, .. }) = self.flight.take() {
            self.give_up(request);
        }
        self.end();
    }

    fn end(&mut self) {
        self.election = None;
        self.flight = None;
        self.watch = Watch::Silent;
        self.pace = Pace::Awake;
        self.yields = false;
        (self.tenure, self.retracting, self.retracted_at, self.predecessor) = (None, false, None, None);
        self.start.clear();
    }

    pub(crate) fn give_up(&mut self, request: Request) {
        if request != Request::Get {
            self.given_up.push(request);
        }
        if self.given_up.len() > GIVEN_UP {
            self.given_up.remove(0);
        }
    }

    /// The wall clocks of two agents are years apart: no rule may need them.
    fn now(&self, calls: i64) -> Now {
        let years = i64::try_from(self.index).unwrap_or_default() * 4;
        let wall = Timestamp::from_microseconds(years * 31_536_000_000_000 + calls);
        Now { moment: self.clock, wall }
    }

    pub(crate) fn runs(&self) -> bool {
        self.election.is_some() && matches!(self.pace, Pace::Awake | Pace::Slewed)
    }

    /// Whether its driver's timer has fired.
    pub(crate) fn is_woken(&self) -> bool {
        let timeout = self.election.as_ref().and_then(|election| election.poll_timeout(self.now(0)));
        self.runs() && timeout == Some(Duration::ZERO)
    }

    pub(crate) fn is_timed_out(&self) -> bool {
        let (Some(flight), Some(election)) = (&self.flight, &self.election) else { return false };
        self.runs() && self.clock.boottime.saturating_sub(flight.sent_at) >= election.request_timeout()
    }

    /// Whether everything that happens at this instant has happened to it.
    pub(crate) fn is_settled(&self) -> bool {
        let answered = self.flight.as_ref().is_some_and(|flight| flight.answer.is_some());
        let waits = self.flight.is_some() && !answered;
        let shown = matches!(&self.watch, Watch::Live(events) if !events.is_empty());
        let network = self.cut || !waits && !(self.runs() && (answered || shown));
        network && !(self.runs() && (self.retracting || self.is_woken() || self.is_timed_out()))
    }

    pub(crate) fn show(&mut self, event: WatchEvent) {
        let Watch::Live(events) = &mut self.watch else { return };
        events.push(event);
        if events.len() > LAG {
            self.watch = Watch::Silent;
        }
    }

    /// Whether a reader may act on the status file, which it looked at `reading` ago, by this clock.
    pub(crate) fn is_believed(&self, reading: Duration) -> bool {
        self.published.as_ref().is_some_and(|tenure| {
            let validity = tenure.validity;
            self.clock.longest_since(validity.since) < validity.lasting + reading
        })
    }

    /// Gives `input` to the process, and does what it asks for. Whether it wants another watch.
    pub(crate) fn drive(
        &mut self,
        read: bool,
        around: &mut Surroundings<'_>,
        input: impl FnOnce(&mut Election, Now),
    ) -> bool {
        let Some(mut election) = self.election.take() else { return false };
        *around.calls += 1;
        input(&mut election, self.now(*around.calls));
        let (mut rewatch, mut finished) = (false, false);
        loop {
            while let Some(action) = election.poll_action() {
                rewatch |= action == Action::Rewatch;
                finished |= action == Action::Finish;
                self.act(action, read, around);
            }
            *around.calls += 1;
            if let Some(request) = election.poll_request(self.now(*around.calls)) {
                self.check(&request, &election, around.noticed);
                self.flight = Some(Flight { request, sent_at: self.clock.boottime, answer: None });
            } else if !election.has_actions() {
                break;
            }
        }
        if finished {
            around.noticed.expect(self.published.is_none(), Violation::FinishedUnretracted(self.index));
            self.end();
            return false;
        }
        self.election = Some(election);
        self.check_state(around.noticed);
        rewatch
    }

    pub(crate) fn retract(&mut self, around: &mut Surroundings<'_>) -> bool {
        let delay = self.election.as_ref().is_some_and(|election| !election.timings().release_delay().is_zero());
        self.published = None;
        self.retracting = false;
        self.retracted_at = delay.then_some(self.clock);
        self.drive(false, around, Election::handle_retracted)
    }

    fn act(&mut self, action: Action, read: bool, around: &mut Surroundings<'_>) {
        match action {
            Action::Acquire(tenure) => {
                let (before, token) = (*around.token, tenure.fencing_token);
                around.noticed.expect(token > before, Violation::TokenDoesNotGrow { before, token });
                *around.token = token.max(before);
                if read {
                    around.noticed.come_by(Landmark::FoundByRead);
                }
                self.report = Some(Predecessor {
                    uid: tenure.uid.clone(),
                    identity: self.identity.clone(),
                    start: self.start.clone(),
                    acquire_time: tenure.acquire_time,
                    transitions: tenure.transitions,
                });
                self.predecessor = None;
                if !tenure.validity.has_expired(self.clock) {
                    self.published = Some(tenure.clone());
                }
                self.tenure = Some(tenure);
            }
            Action::Extend(tenure) => {
                let earlier = self.tenure.as_ref().is_some_and(|before| {
                    before.validity.remaining(self.clock) > tenure.validity.remaining(self.clock)
                });
                around.noticed.come_by(if earlier { Landmark::Shortened } else { Landmark::Renewed });
                self.published = self.published.is_some().then(|| tenure.clone());
                self.tenure = Some(tenure);
            }
            Action::Retract(loss) => {
                match loss {
                    Loss::DeadlinePassed => around.noticed.come_by(Landmark::DeadlinePassed),
                    Loss::HeldByAnother { .. } | Loss::Emptied => around.noticed.come_by(Landmark::Displaced),
                    Loss::Deleted | Loss::Replaced => around.noticed.come_by(Landmark::Deleted),
                    Loss::SteppedDown => around.noticed.come_by(Landmark::SteppedDown),
                    Loss::Paused | Loss::HandedOver => around.noticed.come_by(Landmark::Hinted),
                    Loss::RolledBack | Loss::Stopped => {}
                }
                self.tenure = None;
                self.retracting = true;
            }
            Action::Rewatch => around.noticed.come_by(Landmark::Rewatched),
            Action::Finish => {}
        }
    }

    /// Rules L3, L4 and R1, at the moment when a write leaves.
    fn check(&self, request: &Request, election: &Election, noticed: &mut Noticed) {
        let Request::Update { write, .. } = request else { return };
        let agent = self.index;
        if write.holder.is_empty() {
            let delay = election.timings().release_delay();
            let delayed = self.retracted_at.is_none_or(|at| self.clock.shortest_since(at) >= delay);
            noticed.expect(self.published.is_none() && delayed, Violation::ReleasedBeforeRetracted(agent));
        }
        let acquires = write.acquire_time == write.renew_time;
        let in_turn = match election.state() {
            State::Candidate => acquires && !write.holder.is_empty() && self.published.is_none(),
            State::Leading => {
                !write.holder.is_empty()
                    && self.tenure.as_ref().is_some_and(|tenure| {
                        tenure.acquire_time == write.acquire_time && !tenure.validity.has_expired(self.clock)
                    })
            }
            State::Releasing => write.holder.is_empty(),
            State::Retracting | State::Finished => false,
        };
        noticed.expect(in_turn, Violation::WroteOutOfTurn(agent));
    }

    /// Rule L3, and that it sleeps when there is nothing to do.
    fn check_state(&self, noticed: &mut Noticed) {
        let Some(election) = &self.election else { return };
        if election.state() == State::Leading {
            let is_own = election.lease().is_some_and(|lease| {
                lease.record.holder == self.identity
                    && lease.agent.as_ref().is_some_and(|mark| mark.start == self.start)
                    && self.tenure.as_ref().is_some_and(|tenure| {
                        lease.record.uid == tenure.uid && lease.record.acquire_time == Some(tenure.acquire_time)
                    })
            });
            noticed.expect(is_own, Violation::LeadsOnAnothers(self.index));
        }
        noticed.expect(!self.is_woken(), Violation::Restless(self.index));
    }
}
