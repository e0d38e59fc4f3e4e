//! A pod with an agent: what the driver, the status file and the parent process are in real life.

use elector_election::{Action, Candidate, Loss, Predecessor, Recorder, Request, Tenure, Timings};

use crate::clock::{Clock, MILLISECOND, SECOND, Time, micros};
use crate::fault::Fault;
use crate::history::{Cast, History};
use crate::judge::{RETRACT, Violation};
use crate::trace;
use crate::world::{Event, World};

/// Half of `w` for the alarm to be late, half for the retraction.
const LATE: Time = RETRACT / 2;
/// How long after the validity the kernel kills a process whose file is still there.
const LEEWAY: Time = 50 * MILLISECOND;
/// Within which a parent sees that its child is dead, and removes the file.
const SWEEP: Time = 100 * MILLISECOND;

/// What the watch does at present.
#[derive(Debug, Clone, Default)]
pub(crate) struct Watch {
    pub(crate) position: usize,
    /// It has not begun, or it shows nothing more.
    pub(crate) broken: bool,
    pub(crate) silent_until: Time,
    pub(crate) late_until: Time,
    pub(crate) refused_until: Time,
}

/// Until when the network or the API server treats an agent badly.
#[derive(Debug, Clone, Default)]
pub(crate) struct Network {
    pub(crate) cut_off_until: Time,
    pub(crate) loses_requests_until: Time,
    pub(crate) loses_answers_until: Time,
    pub(crate) slow_until: Time,
    pub(crate) zombie_until: Time,
    pub(crate) errors_until: Time,
    pub(crate) unauthorized_until: Time,
    pub(crate) forbidden_until: Time,
    pub(crate) throttled_until: Time,
}

#[derive(Debug)]
pub(crate) struct Agent {
    pub(crate) identity: String,
    pub(crate) election: Option<Recorder>,
    /// Counts its processes.
    pub(crate) life: u64,
    pub(crate) clock: Clock,
    pub(crate) timings: Timings,
    pub(crate) may_create: bool,
    pub(crate) watch: Watch,
    pub(crate) network: Network,
    pub(crate) stopped_until: Time,
    pub(crate) asleep_until: Time,
    pods: u64,
    wake: u64,
    /// The process that has a timer of the kernel's, and when that goes off next.
    alarm: Option<(u64, Time)>,
    /// It has been told to remove its file, and has not done so yet.
    retracting: bool,
    /// Counts the requests, so that an answer that comes too late is known.
    pub(crate) sent: u64,
    /// What its file says.
    tenure: Option<Tenure>,
    /// What the report of the last process says, with its nonce.
    report: Option<(Tenure, u64)>,
}

impl Agent {
    pub(crate) fn new(who: usize, history: &History, timings: Timings, random: &mut fastrand::Rng) -> Agent {
        let (may_create, timings) = match history.cast {
            Cast::Operated { .. } => (false, timings),
            Cast::Alone | Cast::WithPeers => (who == 0 || random.bool(), timings),
            Cast::AloneAtOdds => (true, history.timings(random)),
        };
        Agent {
            identity: format!("pod-{who}_0"),
            election: None,
            life: 0,
            clock: Clock::new(random),
            timings,
            may_create,
            watch: Watch { broken: true, ..Watch::default() },
            network: Network::default(),
            stopped_until: 0,
            asleep_until: 0,
            pods: 0,
            wake: 0,
            alarm: None,
            retracting: false,
            sent: 0,
            tenure: None,
            report: None,
        }
    }

    fn start_nonce(&self, life: u64) -> String {
        format!("{}/{life}", self.identity)
    }
}

impl World {
    pub(crate) fn start(&mut self, who: usize) {
        let agent = &mut self.agents[who];
        if agent.election.is_some() {
            return;
        }
        if agent.asleep_until > self.now {
            let awake = agent.asleep_until;
            return self.at(awake, Event::Start { who });
        }
        let identity = agent.identity.clone();
        let predecessor = agent.report.take().map(|(tenure, life)| Predecessor {
            uid: tenure.uid,
            identity: identity.clone(),
            start: agent.start_nonce(life),
            acquire_time: tenure.acquire_time,
            transitions: tenure.transitions,
        });
        agent.life += 1;
        let start = agent.start_nonce(agent.life);
        let candidate = Candidate { identity, start, timings: agent.timings, predecessor };
        let begin = if self.trace.is_kept() { Recorder::recording } else { Recorder::silent };
        agent.election = Some(begin(candidate, agent.clock.at(self.now)));
        agent.watch.broken = true;
        self.trace.note(self.now, || format!("{who} starts"));
        // Its first act is to remove what an earlier process left behind.
        self.judge.removed(who, self.now, None);
        self.judge.seats[who].abandoned = false;
        self.agents[who].tenure = None;
        self.after(10 * MILLISECOND, Event::List { who, behind: 0 });
        self.drive(who);
    }

    /// Lets an event reach its agent, once that can take it in.
    pub(crate) fn reach(&mut self, who: usize, event: Event) {
        let Agent { stopped_until, asleep_until, .. } = self.agents[who];
        let until = stopped_until.max(asleep_until);
        if until > self.now {
            // After what was there before, in this order.
            return self.at(until, event);
        }
        let now = self.agents[who].clock.at(self.now);
        let agent = &mut self.agents[who];
        let Some(election) = &mut agent.election else { return };
        match event {
            Event::Wake { wake, .. } if wake == agent.wake => election.handle_timeout(now),
            Event::Answer { life, sent, answer, .. } if life == agent.life && sent == agent.sent => {
                self.trace.note(self.now, || format!("{who} <- {}", trace::of_answer(&answer)));
                agent.sent += 1;
                election.handle_answer(answer, now);
            }
            Event::Watch { .. } if !agent.watch.broken => {
                for event in self.server.since(agent.watch.position) {
                    election.handle_watch(event.clone(), now);
                }
                agent.watch.position = self.server.position();
            }
            Event::List { behind, .. } => {
                let Some(event) = self.list(who, behind) else { return };
                if let Some(election) = &mut self.agents[who].election {
                    election.handle_watch(event, now);
                }
            }
            Event::Retracted { life, .. } if life == agent.life => {
                election.handle_retracted(now);
                self.trace.note(self.now, || format!("{who} has retracted"));
                agent.report = None;
                agent.retracting = false;
                let delay = agent.tenure.take().map(|_| micros(election.timings().release_delay()));
                self.judge.removed(who, self.now, delay);
            }
            Event::Stop { .. } => election.handle_stop(now),
            Event::Reluctance { reluctance, .. } => election.handle_reluctance(reluctance, now),
            _ => return,
        }
        self.drive(who);
    }

    /// Does all that the election asks for, as the driver does.
    pub(crate) fn drive(&mut self, who: usize) {
        let now = self.agents[who].clock.at(self.now);
        if let Some(election) = &mut self.agents[who].election {
            election.handle_timeout(now);
        }
        for round in 0.. {
            if round > 20 {
                return self.judge.accuse(Violation::Spins { who });
            }
            let Some(election) = &mut self.agents[who].election else { return };
            if let Some(action) = election.poll_action() {
                self.perform(who, action);
            } else if let Some(request) = election.poll_request(now) {
                self.check_request(who, &request);
                self.send(who, request);
            } else if !election.has_actions() {
                break;
            }
        }
        let agent = &mut self.agents[who];
        let Some(wait) = agent.election.as_mut().and_then(|election| election.poll_timeout(now)) else { return };
        agent.wake += 1;
        let wake = agent.wake;
        let late = if self.random.u8(..5) == 0 { self.random.u64(..LATE) } else { 0 };
        let takes = self.agents[who].clock.takes(wait);
        self.after(takes + late + MILLISECOND / 10, Event::Wake { who, wake });
    }

    fn check_request(&mut self, who: usize, request: &Request) {
        self.trace.note(self.now, || format!("{who} -> {}", trace::of_request(request)));
        if let Request::Update { write, .. } = request {
            let delay = self.agents[who].election.as_ref().map(|election| election.timings().release_delay());
            self.judge.sends(who, &write.holder, write.acquire_time, delay.unwrap_or_default(), self.now);
        }
    }

    fn perform(&mut self, who: usize, action: Action) {
        let now = self.agents[who].clock.at(self.now).moment;
        match action {
            Action::Acquire(tenure) => {
                let left = tenure.validity.remaining(now).as_secs_f64();
                let token = tenure.fencing_token.0;
                self.trace.note(self.now, || format!("{who} LEADS, token {token}, for {left:.3} s by its clocks"));
                if !tenure.validity.has_expired(now) {
                    let until = self.agents[who].clock.when(tenure.validity.until_boottime());
                    self.judge.published(who, tenure.fencing_token, until, self.now);
                    let agent = &mut self.agents[who];
                    agent.report = Some((tenure.clone(), agent.life));
                    self.set_alarm(who);
                }
                self.agents[who].tenure = Some(tenure);
            }
            Action::Extend(tenure) => {
                if !tenure.validity.has_expired(now) {
                    let until = self.agents[who].clock.when(tenure.validity.until_boottime());
                    self.judge.extended(who, until, self.now);
                    self.set_alarm(who);
                }
                self.agents[who].tenure = Some(tenure);
            }
            Action::Retract(loss) => self.retract(who, &loss),
            Action::Rewatch => self.after(10 * MILLISECOND, Event::List { who, behind: 0 }),
            Action::Finish => {
                self.trace.note(self.now, || format!("{who} has finished"));
                self.end(who);
                self.judge.died(who, self.now);
                if self.judge.has_file(who) {
                    self.judge.accuse(Violation::Overstayed { who });
                }
                let time = self.random.u64(..10 * SECOND);
                self.after(time, Event::Start { who });
            }
        }
    }

    fn retract(&mut self, who: usize, loss: &Loss) {
        self.trace.note(self.now, || format!("{who} RETRACTS: {loss}"));
        let agent = &mut self.agents[who];
        if let Some(tenure) = &agent.tenure {
            self.judge.retired(who, tenure);
        }
        // Only who was told to stop, or to leave it to others, hands over at once, after the release delay.
        if !matches!(loss, Loss::Stopped | Loss::SteppedDown | Loss::Paused | Loss::HandedOver) {
            agent.tenure = None;
        }
        agent.retracting = true;
        let life = agent.life;
        let time = self.random.u64(..LATE);
        self.after(time, Event::Retracted { who, life });
    }

    /// Nothing more is called of its process, if there is one.
    pub(crate) fn end(&mut self, who: usize) -> bool {
        let election = self.agents[who].election.take();
        let was_there = election.is_some();
        self.trace.keep(election);
        was_there
    }

    /// The electing process dies at once; its parent sees that.
    pub(crate) fn kill(&mut self, who: usize) {
        if !self.end(who) {
            return;
        }
        let agent = &mut self.agents[who];
        agent.tenure = None;
        agent.retracting = false;
        agent.stopped_until = 0;
        let life = agent.life;
        self.judge.died(who, self.now);
        let time = self.random.u64(..SWEEP);
        self.after(time, Event::Swept { who, life });
        let time = time + self.random.u64(..10 * SECOND);
        self.after(time, Event::Start { who });
    }

    pub(crate) fn sweep(&mut self, who: usize, life: u64) {
        if self.agents[who].life == life {
            self.judge.removed(who, self.now, None);
        }
    }

    /// The container with all that runs in it. Its volume stays.
    pub(crate) fn kill_container(&mut self, who: usize) {
        self.end(who);
        let agent = &mut self.agents[who];
        agent.tenure = None;
        agent.retracting = false;
        agent.stopped_until = 0;
        // Nobody is left to do what was under way.
        self.judge.died(who, self.now);
        self.judge.seats[who].abandoned = true;
        let time = self.random.u64(..10 * SECOND);
        self.after(time, Event::Start { who });
    }

    /// Another pod, and the last one's kubelet lives to tell that it is dead.
    pub(crate) fn replace_dead_pod(&mut self, who: usize) {
        let identity = self.agents[who].identity.clone();
        self.replace_pod(who);
        self.judge.readers_died(who, self.now);
        let time = self.random.u64(..20 * SECOND);
        self.after(time, Event::PodDead { identity });
    }

    /// Another pod, which is nobody that was there before.
    pub(crate) fn replace_pod(&mut self, who: usize) {
        self.kill_container(who);
        self.judge.removed(who, self.now, None);
        let agent = &mut self.agents[who];
        agent.report = None;
        agent.pods += 1;
        agent.identity = format!("pod-{who}_{}", agent.pods);
    }

    pub(crate) fn stop(&mut self, who: usize, lasting: Time) {
        let agent = &mut self.agents[who];
        agent.stopped_until = agent.stopped_until.max(self.now + lasting);
    }

    /// The kernel's timer follows the validity. One event is enough as long as that only grows.
    fn set_alarm(&mut self, who: usize) {
        let Some(valid_until) = self.judge.valid_until(who) else { return };
        let due = (valid_until + LEEWAY).max(self.now);
        let agent = &mut self.agents[who];
        let life = agent.life;
        if agent.alarm.is_none_or(|(of, at)| of != life || at > due) {
            agent.alarm = Some((life, due));
            self.at(due, Event::Expired { who, life });
        }
    }

    /// The kernel kills a process whose file is still there when its time is over, whether it is stopped or only slow.
    pub(crate) fn expire(&mut self, who: usize, life: u64) {
        let Agent { life: current, stopped_until, asleep_until, .. } = self.agents[who];
        if current != life || self.agents[who].election.is_none() {
            return;
        }
        self.agents[who].alarm = None;
        // Disarmed once the file is gone.
        let Some(valid_until) = self.judge.valid_until(who) else { return };
        if valid_until + LEEWAY > self.now {
            self.set_alarm(who);
        } else if asleep_until > self.now {
            self.agents[who].alarm = Some((life, asleep_until));
            self.at(asleep_until, Event::Expired { who, life });
        } else {
            self.trace.note(self.now, || format!("{who} is killed by its timer"));
            if stopped_until > self.now {
                self.judge.tally.hit(Fault::Stop);
            } else if !self.retracts(who) {
                // Its timer is for those who cannot, and hides nobody who would not.
                self.judge.accuse(Violation::Overstayed { who });
            }
            self.kill(who);
        }
    }

    /// Whether it is about to remove its file, though late.
    fn retracts(&mut self, who: usize) -> bool {
        let agent = &mut self.agents[who];
        let now = agent.clock.at(self.now);
        let Some(election) = agent.election.as_mut().filter(|_| !agent.retracting) else { return true };
        election.handle_timeout(now);
        std::iter::from_fn(|| election.poll_action()).any(|action| matches!(action, Action::Retract(_)))
    }

    pub(crate) fn suspend(&mut self, who: usize, lasting: Time) {
        let agent = &mut self.agents[who];
        if agent.asleep_until > self.now {
            return;
        }
        agent.asleep_until = self.now + lasting;
        agent.clock.suspend(lasting);
        self.judge.sleeps(who, true);
        self.after(lasting, Event::Resume { who });
    }

    pub(crate) fn resume(&mut self, who: usize) {
        if self.agents[who].asleep_until > self.now {
            return;
        }
        self.judge.sleeps(who, false);
        // Timers that have passed meanwhile go off.
        let wake = self.agents[who].wake;
        self.after(MILLISECOND, Event::Wake { who, wake });
    }
}
