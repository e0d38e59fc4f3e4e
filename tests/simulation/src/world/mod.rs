//! One history: candidates, API server, operator and people, and the events between them in order of time.

mod agent;
mod network;
mod operations;
mod peer;
mod weather;

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use std::time::Duration;

use elector_election::{Answer, Request, Timings};

use self::agent::Agent;
use self::operations::Operations;
use self::peer::Peer;
use crate::clock::{MILLISECOND, SECOND, Time};
use crate::history::{Cast, History};
use crate::judge::{Judge, Violation};
use crate::operator::{NewOperator, Step};
use crate::server::Server;
use crate::tally::Tally;
use crate::trace::Trace;

/// Something that happens at a time. What a process does not live to see, its `life` tells.
#[derive(Debug, Clone)]
pub(crate) enum Event {
    /// The alarm of an agent.
    Wake {
        who: usize,
        wake: u64,
    },
    /// A request reaches the API server; its answer leaves after that time, if at all.
    Arrive {
        who: usize,
        life: u64,
        sent: u64,
        request: Request,
        answer_after: Option<Time>,
    },
    /// An answer reaches an agent.
    Answer {
        who: usize,
        life: u64,
        sent: u64,
        answer: Answer,
    },
    /// The watch shows what is new.
    Watch {
        who: usize,
    },
    /// The watch begins, so many changes behind.
    List {
        who: usize,
        behind: usize,
    },
    /// A retraction is done.
    Retracted {
        who: usize,
        life: u64,
    },
    /// The parent removes the file of a process that died.
    Swept {
        who: usize,
        life: u64,
    },
    /// The kernel's timer at the end of a validity.
    Expired {
        who: usize,
        life: u64,
    },
    Start {
        who: usize,
    },
    Stop {
        who: usize,
    },
    /// Somebody ends a pause.
    Unpause,
    /// Somebody tells an agent for how long to leave the Lease to others.
    Reluctance {
        who: usize,
        reluctance: Option<Duration>,
    },
    Resume {
        who: usize,
    },
    /// A peer looks, writes, or gives up.
    Peer {
        who: usize,
    },
    /// The operator plans.
    Operator,
    OperatorWatch,
    /// A request of the operator's reaches the API server.
    OperatorStep {
        life: u64,
        step: Step,
    },
    /// A kubelet has told that a pod is dead.
    PodDead {
        identity: String,
    },
    /// An operator gives up what it has sent.
    OperatorTimeout {
        life: u64,
    },
    Fault,
    /// Parts of a fault that come a little later.
    Deafen {
        who: usize,
        until: Time,
    },
    CutOff {
        who: usize,
        until: Time,
    },
    Timings {
        timings: Timings,
    },
    /// All through a history, in some.
    LabelAgain,
    /// Somebody must lead by now.
    Verdict,
}

#[derive(Debug)]
struct Entry {
    at: Time,
    order: u64,
    event: Event,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Entry) -> bool {
        (self.at, self.order) == (other.at, other.order)
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Entry) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Entry) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

/// Everything in a history.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) history: History,
    pub(crate) random: fastrand::Rng,
    pub(crate) now: Time,
    events: BinaryHeap<Reverse<Entry>>,
    count: u64,
    pub(crate) server: Server,
    /// Ours come first.
    pub(crate) agents: Vec<Agent>,
    pub(crate) peers: Vec<Peer>,
    pub(crate) operations: Option<Operations>,
    pub(crate) down_until: Time,
    pub(crate) judge: Judge,
    pub(crate) trace: Trace,
}

impl World {
    pub(crate) fn new(seed: u64, operator: NewOperator, trace: Trace) -> World {
        let mut random = fastrand::Rng::with_seed(seed);
        let history = History::new(&mut random);
        let timings = history.timings(&mut random);
        let agents: Vec<Agent> =
            (0..history.agents).map(|who| Agent::new(who, &history, timings, &mut random)).collect();
        let peers: Vec<Peer> = (0..history.peers).map(|peer| Peer::new(history.agents + peer, timings)).collect();
        let operations = match history.cast {
            Cast::Operated { .. } => Some(Operations::new(operator(timings, 0))),
            Cast::Alone | Cast::AloneAtOdds | Cast::WithPeers => None,
        };
        let mut world = World {
            random,
            now: 0,
            events: BinaryHeap::new(),
            count: 0,
            server: Server::new(),
            agents,
            peers,
            operations,
            down_until: 0,
            judge: Judge::new(history.agents, history.peers),
            trace,
            history,
        };
        world.begin();
        world
    }

    fn begin(&mut self) {
        for who in 0..self.agents.len() {
            let after = self.random.u64(..3 * SECOND);
            self.after(after, Event::Start { who });
        }
        for who in self.agents.len()..self.judge.seats.len() {
            let after = self.random.u64(..3 * SECOND);
            self.after(after, Event::Peer { who });
        }
        if self.operations.is_some() {
            self.after(SECOND, Event::Operator);
        }
        if self.history.is_labelled {
            self.after(SECOND, Event::LabelAgain);
        }
        self.after(self.history.gap, Event::Fault);
        self.after(self.history.patience(), Event::Verdict);
    }

    /// What happened, up to the first thing that must not.
    pub(crate) fn play(mut self) -> (Tally, Option<Violation>, Trace) {
        while self.judge.verdict().is_none()
            && let Some(Reverse(Entry { at, event, .. })) = self.events.pop()
        {
            self.now = at;
            let over = matches!(event, Event::Verdict);
            self.happen(event);
            if over {
                break;
            }
        }
        let verdict = self.judge.verdict().cloned();
        if let Some(violation) = &verdict {
            self.trace.note(self.now, || format!("VIOLATION: {violation}"));
        }
        for who in 0..self.agents.len() {
            self.end(who);
        }
        let mut tally = self.judge.tally;
        (tally.histories, tally.time) = (1, self.now);
        (tally, verdict, self.trace)
    }

    pub(crate) fn after(&mut self, time: Time, event: Event) {
        self.at(self.now + time, event);
    }

    pub(crate) fn at(&mut self, at: Time, event: Event) {
        self.count += 1;
        self.events.push(Reverse(Entry { at, order: self.count, event }));
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Wake { who, .. }
            | Event::Answer { who, .. }
            | Event::Watch { who }
            | Event::List { who, .. }
            | Event::Retracted { who, .. }
            | Event::Stop { who }
            | Event::Reluctance { who, .. } => self.reach(who, event),
            Event::Arrive { who, life, sent, request, answer_after } => {
                self.arrive(who, life, sent, &request, answer_after);
            }
            Event::Swept { who, life } => self.sweep(who, life),
            Event::Expired { who, life } => self.expire(who, life),
            Event::Start { who } => self.start(who),
            Event::Unpause => self.unpause(),
            Event::Resume { who } => self.resume(who),
            Event::Peer { who } => self.peer(who),
            Event::Operator => self.operate(),
            Event::OperatorWatch => self.show_operator(),
            Event::OperatorStep { life, step } => self.carry_out(life, step),
            Event::PodDead { identity } => self.report_death(&identity),
            Event::OperatorTimeout { life } => self.give_up(life),
            Event::Fault => self.fault(),
            Event::Deafen { who, until } => self.deafen(who, until),
            Event::CutOff { who, until } => self.cut_off(who, until),
            Event::Timings { timings } => self.ask_operator(timings),
            Event::LabelAgain => self.label_again(),
            Event::Verdict => self.judge_history(),
        }
    }

    fn judge_history(&mut self) {
        if !self.judge.somebody_leads() {
            self.judge.accuse(Violation::NobodyLeads);
        }
        let most = 2 * (self.agents.len() as u64) * self.now / SECOND;
        if self.judge.tally.requests > most {
            self.judge.accuse(Violation::Floods);
        }
    }

    /// Tells all watches that the server has changed since its history had that length.
    pub(crate) fn spread(&mut self, before: usize) {
        if self.server.position() == before {
            return;
        }
        for who in 0..self.agents.len() {
            let late = self.agents[who].watch.late_until > self.now;
            let lag = if late { self.random.u64(..5 * SECOND) } else { self.random.u64(..40 * MILLISECOND) };
            self.after(lag, Event::Watch { who });
        }
        self.spread_to_operator();
    }
}
