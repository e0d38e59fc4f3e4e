//! What goes wrong, and how it is put right.

use elector_election::{Candidate, Election, Predecessor, Timings, UNKNOWN_HOLDER};

use super::{AGENTS, Event, MILLISECOND, SECOND, Sky};

impl Sky {
    pub(super) fn start(&mut self, agent: usize) {
        let now = self.clocks(agent);
        if self.agents[agent].election.is_some() {
            return;
        }
        let timings = if self.weather.timings_change { self.some_timings() } else { Timings::DEFAULT };
        let state = &mut self.agents[agent];
        let identity = format!("agent-{agent}");
        let predecessor = state.last_tenure.take().map(|tenure| Predecessor {
            uid: tenure.uid,
            identity: identity.clone(),
            start: format!("start-{agent}-{}", state.life),
            acquire_time: tenure.acquire_time,
            transitions: tenure.transitions,
        });
        state.life += 1;
        let start = format!("start-{agent}-{}", state.life);
        state.election = Some(Election::new(Candidate { identity, start, timings, predecessor }, now));
        state.watch_broken = true;
        self.after(10 * MILLISECOND, Event::List { agent });
        self.drive(agent);
    }

    pub(super) fn fault(&mut self) {
        if !self.storms() {
            self.clear_up();
            return;
        }
        let before = self.store.history.len();
        let agent = self.random.index(AGENTS);
        let time = self.random.below(30 * SECOND);
        match self.random.below(20) {
            0..4 => self.crash(agent, time / 4),
            4..7 => self.agents[agent].frozen_until = self.now + time,
            7..10 => {
                self.agents[agent].cut_off_until = self.now + time;
                if self.weather.watch_breaks && self.random.one_in(2) {
                    self.after(0, Event::Silence { agent, time });
                }
            }
            10..12 => self.after(0, Event::Stop { agent }),
            12 => self.agents[agent].wall -= 10_000 * i64::try_from(time).expect("a short time"),
            13 => self.store.edit(|lease| lease.record.holder = String::new()),
            14 => self.store.edit(|lease| lease.record.holder = "somebody".into()),
            15 if self.weather.timings_change => {
                let timings = self.some_timings();
                self.store.edit(|lease| lease.timings = Some(timings));
                if self.random.one_in(2) {
                    self.deafen_leader(time);
                }
            }
            16..18 if self.weather.watch_breaks => self.after(0, Event::Silence { agent, time }),
            18 if self.weather.lease_is_deleted => self.store.delete(),
            19 if self.weather.lease_is_deleted => self.restore(),
            _ => self.store.edit(|_| {}),
        }
        self.spread(before);
        let next = self.random.below(6 * SECOND);
        self.after(next, Event::Fault);
    }

    fn some_timings(&mut self) -> Timings {
        let sets = [(15, 10, 2), (5, 3, 1), (40, 30, 3)];
        let (lease_duration, renew_deadline, retry_period) = sets[self.random.index(sets.len())];
        Timings::new(lease_duration, renew_deadline, retry_period, 0).expect("valid sets")
    }

    /// Just when it has learnt of something; and somebody begins who has not seen what was before.
    fn deafen_leader(&mut self, time: u64) {
        let Some(leader) = self.leaders().first().copied() else { return };
        self.agents[leader].deaf_until = self.now + time;
        let soon = self.random.below(2 * SECOND);
        self.after(soon, Event::Silence { agent: leader, time });
        self.crash((leader + 1) % AGENTS, soon);
    }

    /// What the operator does about a missing Lease.
    fn restore(&mut self) {
        self.store.create(|lease| {
            (lease.record.holder, lease.lease_duration_seconds) = (UNKNOWN_HOLDER.into(), 15);
        });
    }

    fn crash(&mut self, agent: usize, time: u64) {
        let state = &mut self.agents[agent];
        state.election = None;
        state.published = None;
        if time.is_multiple_of(2) {
            // The status file went with its volume.
            state.last_tenure = None;
        }
        self.after(time, Event::Start { agent });
    }

    fn clear_up(&mut self) {
        if self.agents.iter().all(|agent| !agent.may_create) {
            let before = self.store.history.len();
            self.restore();
            self.spread(before);
        }
        for agent in 0..AGENTS {
            (self.agents[agent].cut_off_until, self.agents[agent].deaf_until) = (0, 0);
            self.after(MILLISECOND, Event::Start { agent });
            self.after(SECOND, Event::List { agent });
        }
    }
}
