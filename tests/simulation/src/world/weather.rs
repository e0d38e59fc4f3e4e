//! How each fault comes about.

use std::time::Duration;

use elector_election::{ReleaseMark, Timestamp};

use crate::clock::{MILLISECOND, SECOND, Time};
use crate::fault::Fault;
use crate::history::{LONGEST_FAULT, RAISED_BY, STORM};
use crate::world::{Event, World};

/// In microseconds.
const TEN_YEARS: i64 = 315_360_000_000_000;

impl World {
    pub(crate) fn fault(&mut self) {
        if self.now >= STORM {
            return;
        }
        let fault = self.history.pick(&mut self.random);
        // Most of what goes wrong matters only where somebody leads.
        let leader = self.judge.leader().filter(|leader| *leader < self.agents.len());
        let who = match leader {
            Some(leader) if self.random.u8(..5) < 3 => leader,
            Some(_) | None => self.random.usize(..self.agents.len()),
        };
        let lasting = match self.random.u8(..3) {
            0 => self.random.u64(..2 * SECOND),
            1 => self.random.u64(..12 * SECOND),
            _ => self.random.u64(..LONGEST_FAULT),
        };
        self.trace.note(self.now, || {
            let lasting = if fault.is_instant() { 0.0 } else { lasting as f64 / SECOND as f64 };
            format!("FAULT: {fault}, of {who}, for {lasting:.1} s")
        });
        if fault.is_instant() {
            self.hit(fault);
        }
        let position = self.server.position();
        self.strike(fault, who, lasting);
        self.spread(position);
        // Sometimes two at once.
        let next = if self.random.u8(..4) == 0 { 0 } else { self.random.u64(..2 * self.history.gap) };
        self.after(next, Event::Fault);
    }

    fn strike(&mut self, fault: Fault, who: usize, lasting: Time) {
        let until = self.now + lasting;
        match fault {
            Fault::Kill => self.kill(who),
            Fault::KillContainer => self.kill_container(who),
            Fault::ReplacePod => self.replace_pod(who),
            Fault::PodDead => self.replace_dead_pod(who),
            Fault::Terminate => self.after(0, Event::Stop { who }),
            Fault::Pause => {
                self.hit(fault);
                self.pause(true);
                self.at(until, Event::Unpause);
            }
            Fault::HandOver => self.ask_for_another(),
            Fault::Yield => {
                self.hit(fault);
                self.make_reluctant(who, until);
            }
            Fault::Stop => self.stop(who, lasting),
            Fault::Suspend => {
                self.hit(fault);
                self.suspend(who, lasting);
            }
            Fault::WallJump => {
                let by = self.random.i64(-TEN_YEARS..TEN_YEARS);
                self.agents[who].clock.jump(by);
            }
            Fault::CutOff => self.cut_off(who, until),
            Fault::LoseRequests => self.agents[who].network.loses_requests_until = until,
            Fault::LoseAnswers => {
                self.agents[who].network.loses_answers_until = until;
                if self.random.bool() {
                    self.silence(who, lasting);
                }
            }
            Fault::Slow => {
                self.agents[who].network.slow_until = until;
                // Without a watch, what it reads late is all that it sees.
                if self.random.bool() {
                    self.silence(who, lasting);
                }
            }
            Fault::Zombie => self.agents[who].network.zombie_until = until,
            Fault::Down => {
                self.down_until = until;
                for who in 0..self.agents.len() {
                    self.silence(who, lasting);
                }
            }
            Fault::Errors => self.agents[who].network.errors_until = until,
            Fault::Unauthorized => self.agents[who].network.unauthorized_until = until,
            Fault::Forbidden => self.agents[who].network.forbidden_until = until,
            Fault::Throttled => self.agents[who].network.throttled_until = until,
            Fault::WatchForbidden => {
                self.agents[who].watch.refused_until = until;
                self.after(0, Event::List { who, behind: 0 });
            }
            Fault::WatchSilent => {
                self.hit(fault);
                self.silence(who, lasting);
            }
            Fault::WatchLate => {
                self.hit(fault);
                self.agents[who].watch.late_until = until;
            }
            Fault::WatchBack => {
                let behind = self.random.usize(1..6);
                self.after(0, Event::List { who, behind });
            }
            Fault::WatchRepeats => {
                let again = self.random.usize(1..4);
                let watch = &mut self.agents[who].watch;
                watch.position = watch.position.saturating_sub(again);
                self.after(0, Event::Watch { who });
            }
            Fault::Timings => self.change_timings(who, until),
            Fault::OperatorRestart => self.restart_operator(),
            Fault::EditLabel
            | Fault::EditHolder
            | Fault::EditEmpty
            | Fault::EditReleased
            | Fault::EditTimes
            | Fault::EditDuration
            | Fault::EditTransitions
            | Fault::Delete
            | Fault::Recreate => self.edit(fault),
        }
    }

    /// Another set of timings; sometimes just when somebody leads who will not hear of it, or hears and is not heard.
    fn change_timings(&mut self, who: usize, until: Time) {
        let soon = self.now + self.random.u64(..2 * SECOND);
        match self.random.u8(..4) {
            // The longest set comes before the answer to what was sent under the last one, and its end is never heard of.
            0 => {
                let [shortest, longest] = self.history.extreme_timings();
                let later = soon + self.random.u64(..2 * SECOND);
                self.agents[who].network.slow_until = later;
                self.at(soon, Event::Timings { timings: longest });
                self.at(later, Event::CutOff { who, until: until.max(later) });
                self.at(later, Event::Timings { timings: shortest });
            }
            // And somebody begins who has not seen what was before.
            1 | 2 => {
                let timings = self.history.timings(&mut self.random);
                self.ask_operator(timings);
                self.agents[who].network.loses_answers_until = until;
                self.at(soon, Event::Deafen { who, until });
            }
            _ => {
                let timings = self.history.timings(&mut self.random);
                self.ask_operator(timings);
            }
        }
    }

    /// Of whatever tenure the Lease speaks: anybody, or somebody.
    fn ask_for_another(&mut self) {
        let somebody = self.random.usize(..self.agents.len());
        let successor = self.random.bool().then(|| self.agents[somebody].identity.clone());
        let of_this = self.random.u8(..4) > 0;
        self.server.edit(|lease| {
            lease.hints.end_tenure = of_this.then_some(lease.record.transitions);
            lease.hints.successor = successor;
        });
    }

    /// Somebody may lead again.
    pub(crate) fn unpause(&mut self) {
        let position = self.server.position();
        self.pause(false);
        self.spread(position);
    }

    fn pause(&mut self, paused: bool) {
        if !self.ask_operator_to_pause(paused) {
            self.server.edit(|lease| lease.hints.paused = paused);
        }
    }

    /// Until then it takes the Lease only after a grace, or not at all; sometimes it is told so twice.
    fn make_reluctant(&mut self, who: usize, until: Time) {
        for _ in 0..self.random.u8(1..3) {
            let grace = match self.random.u8(..3) {
                0 => Duration::MAX,
                1 => Duration::ZERO,
                _ => Duration::from_micros(self.random.u64(..LONGEST_FAULT)),
            };
            let at = self.random.u64(self.now..=until);
            self.at(at, Event::Reluctance { who, reluctance: Some(grace) });
        }
        self.at(until, Event::Reluctance { who, reluctance: None });
    }

    /// Nothing arrives any more, in either direction.
    pub(crate) fn cut_off(&mut self, who: usize, until: Time) {
        self.agents[who].network.cut_off_until = until;
        self.silence(who, until.saturating_sub(self.now));
    }

    /// Somebody who labels the Lease again and again.
    pub(crate) fn label_again(&mut self) {
        let position = self.server.position();
        self.server.touch();
        self.spread(position);
        let next = self.random.u64(300 * MILLISECOND..3 * SECOND);
        self.after(next, Event::LabelAgain);
    }

    /// The watch of `who` falls silent, and another agent is started anew.
    pub(crate) fn deafen(&mut self, who: usize, until: Time) {
        self.silence(who, until.saturating_sub(self.now));
        let next = (who + 1) % self.agents.len();
        self.kill_container(next);
    }

    /// What somebody with all rights does to the Lease by hand.
    fn edit(&mut self, fault: Fault) {
        let wild = self.random.i64(-TEN_YEARS..TEN_YEARS);
        let raised = u32::try_from(RAISED_BY).unwrap_or_default();
        match fault {
            Fault::EditLabel => self.server.touch(),
            Fault::EditHolder => self.server.edit(|lease| lease.record.holder = "somebody".to_owned()),
            Fault::EditEmpty => self.server.edit(|lease| lease.record.holder.clear()),
            Fault::EditReleased => self.server.edit(|lease| {
                // Without an agent's mark nothing tells it from a release by client-go: SAFETY.md says so.
                if lease.agent.as_ref().is_none_or(|agent| agent.transitions < lease.record.transitions) {
                    return;
                }
                lease.record.holder.clear();
                lease.lease_duration_seconds = 1;
                // As it was, or with a mark that somebody made up.
                if let (Some(agent), true) = (&mut lease.agent, wild > 0) {
                    let (uid, transitions) = (lease.record.uid.clone(), lease.record.transitions);
                    let renew_time = Timestamp::from_microseconds(wild);
                    agent.release = Some(ReleaseMark { uid, transitions, renew_time });
                }
            }),
            Fault::EditTimes => self.server.edit(|lease| {
                lease.record.renew_time = (wild % 3 != 0).then(|| Timestamp::from_microseconds(8 * wild));
            }),
            // Not again and again: somebody is to lead before the history ends.
            Fault::EditDuration => self.server.edit(|lease| {
                let once = lease.lease_duration_seconds <= self.history.longest_duration_seconds();
                lease.lease_duration_seconds += if once { raised } else { 0 };
            }),
            Fault::EditTransitions => self.server.edit(|lease| lease.record.transitions /= 2),
            Fault::Delete => self.server.delete(),
            Fault::Recreate => {
                self.server.delete();
                self.server.create(|_| {});
            }
            _ => {}
        }
    }
}
