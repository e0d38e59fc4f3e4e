//! What lies between an agent and the API server.

use std::time::Duration;

use elector_election::{Answer, Request, WatchEvent};

use super::agent::{Agent, Network};
use crate::clock::{MILLISECOND, SECOND, Time, micros};
use crate::fault::Fault;
use crate::world::{Event, World};

impl World {
    /// Counts `fault` if it changed something that matters.
    pub(crate) fn hit(&mut self, fault: Fault) {
        if self.judge.somebody_leads() {
            self.judge.tally.hit(fault);
        }
    }

    pub(crate) fn send(&mut self, who: usize, request: Request) {
        self.judge.tally.requests += 1;
        let agent = &mut self.agents[who];
        agent.sent += 1;
        let Agent { life, sent, .. } = *agent;
        let timeout = agent.election.as_ref().map_or(Duration::ZERO, |election| election.request_timeout());
        let timeout = agent.clock.takes(timeout);
        let answer = |answer| Event::Answer { who, life, sent, answer };
        self.after(timeout, answer(Answer::Unknown));
        let there = self.random.u64(..10 * MILLISECOND);
        let back = self.random.u64(..10 * MILLISECOND);
        let arrive = |answer_after| Event::Arrive { who, life, sent, request, answer_after };
        match self.trouble(who) {
            Some(fault @ (Fault::Down | Fault::CutOff | Fault::LoseRequests)) => {
                self.hit(fault);
                // Refused at once, or never heard of.
                if fault == Fault::Down && self.random.bool() {
                    self.after(there + back, answer(Answer::Unknown));
                }
            }
            Some(fault @ (Fault::Unauthorized | Fault::Forbidden)) => {
                self.hit(fault);
                self.after(there + back, answer(Answer::Refused { retry_after: None }));
            }
            Some(Fault::Throttled) => {
                self.hit(Fault::Throttled);
                let retry_after = Some(Duration::from_secs(self.random.u64(1..30)));
                self.after(there + back, answer(Answer::Refused { retry_after }));
            }
            Some(Fault::Errors) => {
                self.hit(Fault::Errors);
                if self.random.bool() {
                    self.after(there, arrive(None));
                }
                self.after(there + back, answer(Answer::Unknown));
            }
            Some(Fault::LoseAnswers) => {
                self.hit(Fault::LoseAnswers);
                self.after(there, arrive(None));
            }
            Some(Fault::Slow) => {
                self.hit(Fault::Slow);
                let slow = self.random.u64(..2 * timeout);
                // On either way, or on both.
                let on_its_way = match self.random.u8(..3) {
                    0 => there,
                    1 => slow,
                    _ => self.random.u64(..=slow),
                };
                self.after(on_its_way, arrive(Some(back + slow.saturating_sub(on_its_way))));
            }
            Some(Fault::Zombie) => {
                self.hit(Fault::Zombie);
                let late = self.random.u64(..40 * SECOND);
                self.after(late, arrive(None));
            }
            Some(_) | None => self.after(there, arrive(Some(back))),
        }
    }

    /// What becomes of a request that leaves now.
    fn trouble(&mut self, who: usize) -> Option<Fault> {
        let Network {
            cut_off_until,
            loses_requests_until,
            loses_answers_until,
            slow_until,
            zombie_until,
            errors_until,
            unauthorized_until,
            forbidden_until,
            throttled_until,
        } = self.agents[who].network;
        // Those that come and go do not touch every request.
        [
            (Fault::Down, self.down_until, 100),
            (Fault::CutOff, cut_off_until, 100),
            (Fault::LoseRequests, loses_requests_until, 80),
            (Fault::LoseAnswers, loses_answers_until, 80),
            (Fault::Zombie, zombie_until, 60),
            (Fault::Unauthorized, unauthorized_until, 100),
            (Fault::Forbidden, forbidden_until, 100),
            (Fault::Throttled, throttled_until, 70),
            (Fault::Errors, errors_until, 70),
            (Fault::Slow, slow_until, 80),
        ]
        .into_iter()
        .find(|(_, until, percent)| *until > self.now && self.random.u32(..100) < *percent)
        .map(|(fault, ..)| fault)
    }

    pub(crate) fn arrive(&mut self, who: usize, life: u64, sent: u64, request: &Request, answer_after: Option<Time>) {
        let position = self.server.position();
        let before = self.server.lease().cloned();
        // Whatever becomes of the answer: who may not create does not.
        let is_allowed = self.agents[who].may_create || !matches!(request, Request::Create(_));
        let answer = if is_allowed { self.server.handle(request) } else { Answer::Refused { retry_after: None } };
        if self.server.position() != position
            && let Some(after) = self.server.lease()
        {
            self.judge.stored(who, author(request), before.as_ref(), after, self.now);
        }
        self.spread(position);
        if let Some(time) = answer_after {
            self.after(time, Event::Answer { who, life, sent, answer });
        }
    }

    /// The watch begins; what it shows first, if it may begin.
    pub(crate) fn list(&mut self, who: usize, behind: usize) -> Option<WatchEvent> {
        let position = self.server.position().saturating_sub(behind);
        let Agent { watch, network, .. } = &mut self.agents[who];
        let gone_until =
            self.down_until.max(network.cut_off_until).max(network.unauthorized_until).max(watch.silent_until);
        if gone_until > self.now {
            watch.broken = true;
            let again = gone_until - self.now + 10 * MILLISECOND;
            self.after(again, Event::List { who, behind });
            return None;
        }
        if watch.refused_until > self.now {
            watch.broken = true;
            let again = watch.refused_until - self.now;
            self.after(again + 10 * MILLISECOND, Event::List { who, behind });
            self.hit(Fault::WatchForbidden);
            return Some(WatchEvent::Refused);
        }
        (watch.broken, watch.position) = (false, position);
        self.after(MILLISECOND, Event::Watch { who });
        Some(self.server.listed(position))
    }

    /// The watch shows nothing more, until somebody begins it anew.
    pub(crate) fn silence(&mut self, who: usize, lasting: Time) {
        let watch = &mut self.agents[who].watch;
        watch.broken = true;
        watch.silent_until = self.now + lasting;
        self.after(lasting + micros(Duration::from_millis(10)), Event::List { who, behind: 0 });
    }
}

/// As whom a process wrote that may be gone by now, and its pod with it.
fn author(request: &Request) -> &str {
    match request {
        Request::Get => "",
        Request::Create(write) | Request::Update { write, .. } => {
            write.agent.start.rsplit_once('/').map_or("", |(identity, _)| identity)
        }
    }
}
