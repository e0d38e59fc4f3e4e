//! What stands around an operator: its watch, and the way from its plans to the API server.

use elector_election::Timings;

use crate::clock::{MILLISECOND, SECOND, Time};
use crate::operator::{Operator, Step, Word};
use crate::server::set;
use crate::trace;
use crate::world::{Event, World};

/// The longest that one of its requests is under way. Whoever waits longer has given it up.
const SLOWEST_REQUEST: Time = 3 * SECOND;
/// After so long it gives up a request, which may arrive all the same.
const TIMEOUT: Time = 10 * SECOND;
/// The latest that a request arrives which was given up.
const LATEST: Time = 40 * SECOND;
/// Between two attempts while the API server is down.
const AGAIN: Time = SECOND;

/// The life of no operator.
const NOBODY: u64 = u64::MAX;

/// An operator at work.
#[derive(Debug)]
pub(crate) struct Operations {
    operator: Box<dyn Operator>,
    /// How much of the API server's history its watch has shown.
    position: usize,
    /// Counts its restarts.
    life: u64,
    /// A request is under way.
    busy: bool,
    /// When it wants to plan next, which is an event by then.
    next_look: Option<Time>,
}

impl Operations {
    pub(crate) fn new(operator: Box<dyn Operator>) -> Operations {
        Operations { operator, position: 0, life: 0, busy: false, next_look: None }
    }
}

impl World {
    pub(crate) fn spread_to_operator(&mut self) {
        if self.operations.is_some() {
            let most = if self.random.u8(..32) == 0 { 10 * SECOND } else { 100 * MILLISECOND };
            let lag = self.random.u64(..most);
            self.after(lag, Event::OperatorWatch);
        }
    }

    pub(crate) fn show_operator(&mut self) {
        let Some(operations) = &mut self.operations else { return };
        let news = self.server.since(operations.position);
        if news.is_empty() {
            return;
        }
        for event in news {
            operations.operator.handle_watch(event, self.now);
        }
        operations.position = self.server.position();
        self.after(5 * MILLISECOND, Event::Operator);
    }

    pub(crate) fn operate(&mut self) {
        let Some(operations) = self.operations.as_mut().filter(|operations| !operations.busy) else { return };
        operations.next_look = operations.next_look.filter(|at| *at > self.now);
        let plan = operations.operator.plan(self.now);
        operations.busy = plan.step.is_some();
        let look = plan.next_look.filter(|at| operations.next_look != Some(*at));
        operations.next_look = look.or(operations.next_look);
        let life = operations.life;
        match plan.step {
            // Nobody waits for its answer any more when it comes.
            Some(step @ Step::Create(_)) if self.random.u8(..8) == 0 => {
                let time = self.random.u64(..LATEST);
                self.after(time, Event::OperatorStep { life: NOBODY, step });
                self.after(TIMEOUT, Event::OperatorTimeout { life });
            }
            Some(step) => self.send_step(life, step),
            None => {}
        }
        if let Some(at) = look {
            self.at(at.max(self.now), Event::Operator);
        }
    }

    fn send_step(&mut self, life: u64, step: Step) {
        let most = if self.random.u8(..8) == 0 { SLOWEST_REQUEST } else { 20 * MILLISECOND };
        let time = self.random.u64(..most);
        self.after(time, Event::OperatorStep { life, step });
    }

    pub(crate) fn give_up(&mut self, life: u64) {
        let Some(operations) = self.operations.as_mut().filter(|operations| operations.life == life) else { return };
        operations.busy = false;
        operations.operator.handle_failure(self.now);
        self.after(0, Event::Operator);
    }

    /// Of an operator that lives no more, too: what it sent is on its way.
    pub(crate) fn carry_out(&mut self, life: u64, step: Step) {
        let down = self.down_until > self.now;
        if !down {
            let before = self.server.position();
            self.perform_step(step);
            self.spread(before);
        }
        let Some(operations) = self.operations.as_mut().filter(|operations| operations.life == life) else { return };
        operations.busy = false;
        if down {
            operations.operator.handle_failure(self.now);
        } else {
            operations.operator.handle_answer(self.server.lease(), self.now);
        }
        self.after(if down { AGAIN } else { 0 }, Event::Operator);
    }

    fn perform_step(&mut self, step: Step) {
        match step {
            Step::Create(lease) => {
                self.trace.note(self.now, || format!("operator creates {}", trace::of_lease(&lease)));
                self.server.create(|made| *made = *lease);
            }
            Step::Amend { uid, upon, word, hints } => {
                if self.server.lease().is_some_and(|lease| lease.record.uid == uid && Word::on(lease) == upon) {
                    self.trace.note(self.now, || format!("operator says {word:?}"));
                    self.server.edit(|lease| {
                        word.put_on(lease);
                        if let Some(hints) = hints {
                            lease.hints = hints;
                        }
                    });
                }
            }
            Step::Release { of, write } => {
                if self.server.lease().is_some_and(|lease| lease.record == of) {
                    self.trace.note(self.now, || format!("operator releases it for {}, who is dead", of.holder));
                    let lives = self.agents.iter().position(|agent| agent.identity == of.holder);
                    self.judge.released_for_dead(lives);
                    self.server.edit(|lease| set(lease, &write));
                }
            }
            Step::Look => {}
        }
    }

    pub(crate) fn ask_operator(&mut self, timings: Timings) {
        if let Some(operations) = &mut self.operations {
            operations.operator.handle_spec(timings, self.now);
            self.after(0, Event::Operator);
        }
    }

    /// Whether there is one to ask.
    pub(crate) fn ask_operator_to_pause(&mut self, paused: bool) -> bool {
        let Some(operations) = &mut self.operations else { return false };
        operations.operator.handle_pause(paused, self.now);
        self.after(0, Event::Operator);
        true
    }

    /// What kubelet reports reaches the operator.
    pub(crate) fn report_death(&mut self, identity: &str) {
        let Some(operations) = &mut self.operations else { return };
        operations.operator.handle_death(identity, self.now);
        self.after(5 * MILLISECOND, Event::Operator);
    }

    pub(crate) fn restart_operator(&mut self) {
        let Some(operations) = &mut self.operations else { return };
        operations.position = self.server.position();
        operations.operator.restart(&self.server.listed(operations.position), self.now);
        operations.life += 1;
        operations.busy = false;
        self.after(0, Event::Operator);
    }
}
