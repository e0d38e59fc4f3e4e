//! The agents, and the network between them and the store.

mod faults;

use std::collections::BTreeMap;
use std::time::Duration;

use elector_election::{
    Action, Answer, Election, Moment, Now, Request, ResourceVersion, Tenure, Timestamp, WatchEvent,
};

use super::random::Random;
use super::store::Store;

const SECOND: u64 = 1_000_000;
const MILLISECOND: u64 = 1_000;
const AGENTS: usize = 3;
/// Then the weather clears up.
const STORM: u64 = 240 * SECOND;
/// By then somebody must lead.
const END: u64 = STORM + 180 * SECOND;

#[derive(Clone, Copy)]
pub(crate) struct Weather {
    pub(crate) watch_breaks: bool,
    pub(crate) lease_is_deleted: bool,
    pub(crate) timings_change: bool,
}

enum Event {
    Wake {
        agent: usize,
        wake: u64,
    },
    Arrive {
        agent: usize,
        life: u64,
        request: Request,
        answer_after: Option<u64>,
    },
    Answer {
        agent: usize,
        life: u64,
        request: u64,
        answer: Answer,
    },
    Watch {
        agent: usize,
    },
    List {
        agent: usize,
    },
    /// The watch falls silent for a time.
    Silence {
        agent: usize,
        time: u64,
    },
    Retracted {
        agent: usize,
        life: u64,
    },
    Start {
        agent: usize,
    },
    Stop {
        agent: usize,
    },
    Fault,
}

/// What somebody who looks at the agent's status file believes.
struct Published {
    tenure: Tenure,
    /// In the time of the store.
    retracted_at: Option<u64>,
}

struct Agent {
    election: Option<Election>,
    /// Counts the processes.
    life: u64,
    /// Ticks of (CLOCK_BOOTTIME, CLOCK_MONOTONIC_RAW) in 1,200 of the store.
    rates: (u64, u64),
    wall: i64,
    published: Option<Published>,
    last_tenure: Option<Tenure>,
    may_create: bool,
    frozen_until: u64,
    cut_off_until: u64,
    /// Its requests arrive, their answers do not.
    deaf_until: u64,
    watch_broken: bool,
    watched: usize,
    wake: u64,
    request: u64,
}

pub(crate) struct Sky {
    seed: u64,
    weather: Weather,
    random: Random,
    now: u64,
    events: BTreeMap<(u64, u64), Event>,
    count: u64,
    store: Store,
    agents: Vec<Agent>,
    token: ResourceVersion,
    tenures: u64,
    requests: u64,
}

impl Sky {
    pub(crate) fn new(seed: u64, weather: Weather) -> Sky {
        let mut random = Random::new(seed);
        let agents = (0..AGENTS).map(|_| Agent {
            election: None,
            life: 0,
            rates: (1_100 + random.below(201), 1_100 + random.below(201)),
            wall: i64::try_from(random.below(1 << 50)).expect("below 2^50"),
            published: None,
            last_tenure: None,
            may_create: !random.one_in(3),
            frozen_until: 0,
            cut_off_until: 0,
            deaf_until: 0,
            watch_broken: false,
            watched: 0,
            wake: 0,
            request: 0,
        });
        let agents = agents.collect();
        let (events, store, token) = (BTreeMap::new(), Store::new(), ResourceVersion(0));
        let mut sky =
            Sky { seed, weather, random, now: 0, events, count: 0, store, agents, token, tenures: 0, requests: 0 };
        for agent in 0..AGENTS {
            let after = sky.random.below(3 * SECOND);
            sky.after(after, Event::Start { agent });
        }
        sky.after(SECOND, Event::Fault);
        sky
    }

    /// How many tenures there were.
    pub(crate) fn run(mut self) -> u64 {
        while let Some(((now, _), event)) = self.events.pop_first() {
            if now > END {
                break;
            }
            self.now = now;
            self.happen(event);
        }
        self.now = END;
        assert_eq!(self.leaders().len(), 1, "seed {}: nobody leads though the weather is fine", self.seed);
        let most = AGENTS as u64 * END / SECOND;
        assert!(self.requests < most, "seed {}: {} requests in all", self.seed, self.requests);
        self.tenures
    }

    fn after(&mut self, time: u64, event: Event) {
        self.count += 1;
        self.events.insert((self.now + time, self.count), event);
    }

    fn storms(&self) -> bool {
        self.now < STORM
    }

    fn clocks(&self, agent: usize) -> Now {
        let Agent { rates: (boottime, monotonic_raw), wall, .. } = self.agents[agent];
        let moment = Moment {
            boottime: Duration::from_micros(self.now * boottime / 1_200),
            monotonic_raw: Duration::from_micros(self.now * monotonic_raw / 1_200),
        };
        let passed = i64::try_from(self.now).expect("a short test");
        Now { moment, wall: Timestamp::from_microseconds(wall + passed) }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Wake { agent, wake } if self.agents[agent].wake == wake => {
                self.input(agent, event, |election, _, now| election.handle_timeout(now));
            }
            Event::Wake { .. } => {}
            Event::Arrive { agent, life, request, answer_after } => {
                self.arrive(agent, life, &request, answer_after);
            }
            Event::Answer { agent, life, request, ref answer } => {
                let Agent { life: current, request: under_way, .. } = self.agents[agent];
                if life == current && request == under_way {
                    let answer = answer.clone();
                    self.input(agent, event, |election, agent, now| {
                        agent.request += 1;
                        election.handle_answer(answer, now);
                    });
                }
            }
            Event::Watch { agent } if !self.agents[agent].watch_broken => {
                let news = self.store.history[self.agents[agent].watched..].to_vec();
                self.input(agent, event, |election, agent, now| {
                    agent.watched += news.len();
                    news.into_iter().for_each(|event| election.handle_watch(event, now));
                });
            }
            Event::Watch { .. } => {}
            Event::Silence { agent, time } => {
                self.agents[agent].watch_broken = true;
                self.after(time, Event::List { agent });
            }
            Event::List { agent } if self.weather.watch_breaks && self.storms() && self.random.one_in(8) => {
                self.input(agent, event, |election, agent, now| {
                    agent.watch_broken = true;
                    election.handle_watch(WatchEvent::Refused, now);
                });
                let time = self.random.below(30 * SECOND);
                self.after(time, Event::List { agent });
            }
            Event::List { agent } => {
                let behind = if self.weather.watch_breaks && self.storms() { self.random.index(3) } else { 0 };
                let position = self.store.history.len().saturating_sub(behind);
                let first = self.store.list(position);
                self.input(agent, event, |election, agent, now| {
                    (agent.watch_broken, agent.watched) = (false, position);
                    election.handle_watch(first, now);
                });
                self.after(MILLISECOND, Event::Watch { agent });
            }
            Event::Retracted { agent, life } if self.agents[agent].life == life => {
                self.input(agent, event, |election, agent, now| {
                    agent.published = None;
                    election.handle_retracted(now);
                });
            }
            Event::Retracted { .. } => {}
            Event::Start { agent } => self.start(agent),
            Event::Stop { agent } => self.input(agent, event, |election, _, now| election.handle_stop(now)),
            Event::Fault => self.fault(),
        }
    }

    /// Lets `agent` take something in, and carries out what it asks for; later, if it is frozen.
    fn input(&mut self, agent: usize, event: Event, take_in: impl FnOnce(&mut Election, &mut Agent, Now)) {
        let now = self.clocks(agent);
        let state = &mut self.agents[agent];
        if state.frozen_until > self.now {
            let time = state.frozen_until - self.now;
            return self.after(time, event);
        }
        let Some(mut election) = state.election.take() else { return };
        take_in(&mut election, state, now);
        state.election = Some(election);
        self.drive(agent);
    }

    fn drive(&mut self, agent: usize) {
        let now = self.clocks(agent);
        for round in 0.. {
            assert!(round < 20, "seed {}: no end of actions and requests at one moment", self.seed);
            let Some(election) = &mut self.agents[agent].election else { return };
            if let Some(action) = election.poll_action() {
                self.act(agent, action);
            } else if let Some(request) = election.poll_request(now) {
                self.send(agent, request);
            } else if !election.has_actions() {
                break;
            }
        }
        let state = &mut self.agents[agent];
        let Some(election) = &state.election else { return };
        let Some(timeout) = election.poll_timeout(now) else { return };
        state.wake += 1;
        let wake = state.wake;
        // Sometimes late, as a busy node would be.
        let late = if self.random.one_in(5) { self.random.below(200 * MILLISECOND) } else { 0 };
        let time = u64::try_from(timeout.as_micros()).expect("an hour at most") * 1_200 / 1_300;
        self.after(time + late + MILLISECOND, Event::Wake { agent, wake });
    }

    fn act(&mut self, agent: usize, action: Action) {
        let now = self.clocks(agent).moment;
        let state = &mut self.agents[agent];
        match action {
            Action::Acquire(tenure) => {
                assert!(tenure.fencing_token > self.token, "seed {}: the token does not grow", self.seed);
                self.token = tenure.fencing_token;
                self.tenures += 1;
                state.last_tenure = Some(tenure.clone());
                if !tenure.validity.has_expired(now) {
                    state.published = Some(Published { tenure, retracted_at: None });
                }
                self.expect_one_leader();
            }
            Action::Extend(tenure) => {
                if let Some(published) = &mut state.published {
                    published.tenure = tenure;
                }
                self.expect_one_leader();
            }
            Action::Retract(_) => {
                let time = self.random.below(900 * MILLISECOND);
                if let Some(published) = &mut state.published {
                    published.retracted_at = Some(self.now + time);
                }
                let life = state.life;
                self.after(time, Event::Retracted { agent, life });
            }
            Action::Rewatch => self.after(10 * MILLISECOND, Event::List { agent }),
            Action::Finish => {
                state.election = None;
                assert!(state.published.is_none(), "seed {}: finished before it was retracted", self.seed);
                let time = self.random.below(10 * SECOND);
                self.after(time, Event::Start { agent });
            }
        }
    }

    /// Whom a reader may believe in: also up to 900 ms longer than the validity lasts, if retraction takes that long.
    fn leaders(&self) -> Vec<usize> {
        let believed = |agent: &usize| {
            let state = &self.agents[*agent];
            let Some(Published { tenure, retracted_at }) = &state.published else { return false };
            let boottime = self.clocks(*agent).moment.boottime;
            let until = tenure.validity.until_boottime();
            match retracted_at {
                Some(at) => self.now < *at && boottime < until + Duration::from_millis(900),
                None => boottime < until,
            }
        };
        (0..AGENTS).filter(believed).collect()
    }

    fn expect_one_leader(&self) {
        let leaders = self.leaders();
        assert!(leaders.len() <= 1, "seed {}: {leaders:?} lead at {} us", self.seed, self.now);
    }

    // The network.

    fn send(&mut self, agent: usize, request: Request) {
        let state = &mut self.agents[agent];
        state.request += 1;
        let (life, under_way, cut_off) = (state.life, state.request, state.cut_off_until > self.now);
        let (deaf, may) = (state.deaf_until > self.now, state.may_create || !matches!(request, Request::Create(_)));
        self.requests += 1;
        let timeout = state.election.as_ref().map_or(Duration::ZERO, Election::request_timeout);
        let timeout = u64::try_from(timeout.as_micros()).expect("an hour at most");
        let answer = Event::Answer { agent, life, request: under_way, answer: Answer::Unknown };
        self.after(timeout, answer);
        let (there, back) = (self.random.below(20 * MILLISECOND), self.random.below(20 * MILLISECOND));
        let luck = if self.storms() { self.random.below(100) } else { 99 };
        match luck {
            _ if cut_off && luck < 70 => {}
            _ if !may => {
                let answer = Answer::Refused { retry_after: None };
                self.after(there + back, Event::Answer { agent, life, request: under_way, answer });
            }
            _ if deaf => self.after(there, Event::Arrive { agent, life, request, answer_after: None }),
            0..4 => {}
            4..8 => self.after(there, Event::Arrive { agent, life, request, answer_after: None }),
            8..13 => {
                let late = self.random.below(40 * SECOND);
                self.after(late, Event::Arrive { agent, life, request, answer_after: None });
            }
            13..18 => {
                let slow = self.random.below(timeout);
                self.after(there, Event::Arrive { agent, life, request, answer_after: Some(slow) });
            }
            18..22 => {
                let retry_after = self.random.one_in(2).then(|| Duration::from_secs(self.random.below(30)));
                let answer = Answer::Refused { retry_after };
                self.after(there + back, Event::Answer { agent, life, request: under_way, answer });
            }
            _ => self.after(there, Event::Arrive { agent, life, request, answer_after: Some(back) }),
        }
    }

    fn arrive(&mut self, agent: usize, life: u64, request: &Request, answer_after: Option<u64>) {
        let before = self.store.history.len();
        let answer = self.store.apply(request);
        self.spread(before);
        if let Some(time) = answer_after {
            let request = self.agents[agent].request;
            self.after(time, Event::Answer { agent, life, request, answer });
        }
    }

    /// Tells the watches what has changed since the history had this length.
    fn spread(&mut self, before: usize) {
        if self.store.history.len() == before {
            return;
        }
        for agent in 0..AGENTS {
            let lag = if self.weather.watch_breaks && self.random.one_in(20) { 3 * SECOND } else { 50 * MILLISECOND };
            let time = self.random.below(lag);
            self.after(time, Event::Watch { agent });
        }
    }
}
