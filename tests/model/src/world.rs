//! The agents, the Lease, and what can happen to them next.

use std::sync::Arc;

use elector_election::{Answer, Election, Request, ResourceVersion, UNKNOWN_HOLDER, WatchEvent};

use crate::agent::{Agent, Flight, Pace, Surroundings, Watch};
use crate::bounds::Bounds;
use crate::fingerprint::Canon;
use crate::landmarks::Landmark;
use crate::oracle::{Noticed, Violation};
use crate::step::{Fault, Step};
use crate::store::Store;

/// Whom somebody names by hand.
pub(crate) const SOMEBODY: &str = "somebody";

/// One state.
#[derive(Debug, Clone)]
pub struct World {
    pub(crate) bounds: Arc<Bounds>,
    pub(crate) store: Store,
    /// Shared with the states around, as far as they are the same.
    pub(crate) agents: Vec<Arc<Agent>>,
    token: ResourceVersion,
    calls: i64,
}

impl World {
    /// Nobody has started.
    #[must_use]
    pub fn new(bounds: &Arc<Bounds>) -> World {
        let store = Store::new(bounds.beginning, bounds.longest_duration());
        let identity = |index: usize| format!("agent-{}", if bounds.twins { 0 } else { index });
        let agents = (0..bounds.rates.len()).map(|index| Arc::new(Agent::new(index, identity(index)))).collect();
        World { bounds: Arc::clone(bounds), store, agents, token: ResourceVersion(0), calls: 0 }
    }

    /// Whether another state is the same as far as anything can tell.
    #[must_use]
    pub fn fingerprint(&self) -> u128 {
        let World { bounds, store, agents, token, calls: _ } = self;
        let Store { lease, transitions, revision: _, uids: _ } = store;
        let mut canon = Canon::new(bounds.oldest());
        canon.take(lease);
        canon.take(transitions);
        canon.take(token);
        for agent in agents {
            agent.describe(&mut canon);
        }
        canon.fingerprint()
    }

    /// Whether it came about as another one did, as far as that is remembered.
    pub(crate) fn has_the_history_of(&self, other: &World) -> bool {
        self.calls == other.calls && self.store.revision == other.store.revision
    }

    /// What can happen next, faults aside.
    #[must_use]
    pub fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        for (index, agent) in self.agents.iter().enumerate() {
            agent_steps(index, agent, &mut steps);
        }
        if self.bounds.operator && self.store.lease.is_none() {
            steps.push(Step::Restore);
        }
        if self.store.lease.as_ref().is_some_and(|lease| lease.hints.paused) {
            steps.push(Step::Resume);
        }
        if self.agents.iter().all(|agent| agent.is_settled()) {
            steps.push(Step::Tick);
        }
        steps
    }

    /// What can go wrong next.
    #[must_use]
    pub fn faults(&self) -> Vec<Fault> {
        let Bounds { kinds, rates, timings, .. } = &*self.bounds;
        let all = kinds.iter().flat_map(|kind| kind.faults(rates.len(), timings.len()));
        all.filter(|fault| self.may_fail(*fault)).collect()
    }

    /// What follows, and what was noticed; `None` beyond the transitions that are followed.
    pub(crate) fn after(&self, step: Step) -> Option<(World, Noticed)> {
        let mut world = self.clone();
        let mut noticed = Noticed::default();
        world.take(step, &mut noticed);
        let agents: &[Arc<Agent>] = &world.agents;
        let store = &world.store;
        if agents.iter().any(|agent| agent.given_up.iter().any(|request| !store.may_take(request))) {
            let World { agents, store, .. } = &mut world;
            for agent in agents {
                Arc::make_mut(agent).given_up.retain(|request| store.may_take(request));
            }
        }
        let believed = |index: &usize| {
            let reading = world.bounds.on_clock(world.bounds.reading, world.bounds.rates[*index]);
            world.agents[*index].is_believed(reading)
        };
        let mut leaders = (0..world.agents.len()).filter(believed);
        if let (Some(one), Some(other)) = (leaders.next(), leaders.next()) {
            noticed.expect(false, Violation::TwoLeaders(one, other));
        }
        let far = world.bounds.transitions + 1..crate::fingerprint::TRANSITIONS;
        (!far.contains(&world.store.transitions)).then_some((world, noticed))
    }

    fn take(&mut self, step: Step, noticed: &mut Noticed) {
        match step {
            Step::Tick => self.tick(),
            Step::Wake(agent) => self.input(agent, false, noticed, Election::handle_timeout),
            Step::Arrive(agent) => self.arrive(agent, noticed),
            Step::Answer(index) => {
                let Some(Flight { request, answer: Some(answer), .. }) = self.agent(index).flight.take() else {
                    return;
                };
                let read = request == Request::Get;
                self.input(index, read, noticed, |election, now| election.handle_answer(answer, now));
            }
            Step::TimeOut(index) => {
                let agent = self.agent(index);
                if let Some(Flight { request, answer: None, .. }) = agent.flight.take() {
                    agent.give_up(request);
                }
                self.input(index, false, noticed, |election, now| election.handle_answer(Answer::Unknown, now));
            }
            Step::ArriveLate { agent, index } => {
                let request = self.agent(agent).given_up.remove(index);
                if self.apply(agent, &request, noticed).1 {
                    noticed.come_by(Landmark::StoredLate);
                }
            }
            Step::Watch(index) => {
                let Watch::Live(events) = &mut self.agent(index).watch else { return };
                let event = events.remove(0);
                self.input(index, false, noticed, |election, now| election.handle_watch(event, now));
            }
            Step::Connect(agent) => self.connect(agent),
            Step::Retract(index) => {
                let World { agents, token, calls, .. } = self;
                let mut around = Surroundings { calls, token, noticed };
                if Arc::make_mut(&mut agents[index]).retract(&mut around) {
                    self.reconnect(index);
                }
            }
            Step::Start { agent, vouched } => {
                let timings = self.bounds.timings[agent % self.bounds.timings.len()];
                self.calls += 1;
                let calls = self.calls;
                self.agent(agent).begin(timings, vouched, calls);
                self.reconnect(agent);
                self.input(agent, false, noticed, Election::handle_timeout);
            }
            Step::Thaw(agent) => self.agent(agent).pace = Pace::Awake,
            Step::Mend(agent) => self.agent(agent).cut = false,
            Step::Resume => self.edit(|lease| lease.hints.paused = false),
            Step::Will(agent) => {
                self.agent(agent).yields = false;
                self.input(agent, false, noticed, |election, now| election.handle_reluctance(None, now));
            }
            Step::Restore => {
                let duration = self.bounds.longest_duration();
                let event = self.store.restore(duration);
                self.spread(event);
            }
            Step::Fault(fault) => self.fail(fault, noticed),
        }
    }

    pub(crate) fn agent(&mut self, index: usize) -> &mut Agent {
        Arc::make_mut(&mut self.agents[index])
    }

    pub(crate) fn input(
        &mut self,
        index: usize,
        read: bool,
        noticed: &mut Noticed,
        input: impl FnOnce(&mut Election, elector_election::Now),
    ) {
        let World { agents, token, calls, .. } = self;
        let mut around = Surroundings { calls, token, noticed };
        if Arc::make_mut(&mut agents[index]).drive(read, &mut around, input) {
            self.reconnect(index);
        }
    }

    fn tick(&mut self) {
        for index in 0..self.agents.len() {
            let passed = self.bounds.on_clock(self.bounds.tick(), self.bounds.rates[index]);
            let agent = self.agent(index);
            let (boottime, monotonic_raw) = match agent.pace {
                Pace::Awake | Pace::Frozen => (true, true),
                Pace::Suspended => (true, false),
                Pace::Slewed => (false, true),
            };
            if boottime {
                agent.clock.boottime += passed;
            }
            if monotonic_raw {
                agent.clock.monotonic_raw += passed;
            }
        }
    }

    fn arrive(&mut self, index: usize, noticed: &mut Noticed) {
        let Some(request) = self.agents[index].flight.as_ref().map(|flight| flight.request.clone()) else { return };
        let answer = if matches!(request, Request::Create(_)) && !self.bounds.may_create {
            Answer::Refused { retry_after: None }
        } else {
            self.apply(index, &request, noticed).0
        };
        if let Some(flight) = &mut self.agent(index).flight {
            flight.answer = Some(answer);
        }
    }

    /// The answer, and whether anything was stored.
    fn apply(&mut self, index: usize, request: &Request, noticed: &mut Noticed) -> (Answer, bool) {
        let before = self.store.lease.clone();
        let (answer, event) = self.store.apply(request);
        let stored = event.is_some();
        if stored {
            self.notice(index, request, before.as_ref(), noticed);
        }
        self.spread(event);
        (answer, stored)
    }

    fn notice(&self, index: usize, request: &Request, before: Option<&elector_election::Lease>, noticed: &mut Noticed) {
        let (Request::Update { write, .. }, Some(before)) = (request, before) else {
            noticed.come_by(Landmark::Created);
            return;
        };
        let (holder, mark) = (&before.record.holder, before.agent.as_ref());
        if write.holder.is_empty() {
            // The record of a dead predecessor is as good as its own (rule L5).
            let predecessor = self.agents[index].predecessor.as_ref();
            let is_own = mark.is_some_and(|mark| mark.start == write.agent.start || Some(&mark.start) == predecessor);
            noticed.expect(is_own && *holder == self.agents[index].identity, Violation::ReleasedAnothers(index));
            return;
        }
        if write.acquire_time != write.renew_time || write.transitions == before.record.transitions {
            return;
        }
        let known = holder != UNKNOWN_HOLDER && holder != SOMEBODY;
        if before.never_held && before.agent.is_none() {
            noticed.come_by(Landmark::FirstTenure);
        } else if holder.is_empty() {
            let released = mark.is_some_and(|mark| mark.release.is_some() && mark.start != write.agent.start);
            if released {
                noticed.come_by(Landmark::HandOver);
            }
        } else if known && *holder != write.holder {
            noticed.come_by(Landmark::TakeoverAfterExpiry);
        } else if known && self.agents[index].predecessor.is_some() {
            noticed.come_by(Landmark::Succession);
        }
    }

    /// Tells the watches.
    pub(crate) fn spread(&mut self, event: Option<WatchEvent>) {
        let Some(event) = event else { return };
        for index in 0..self.agents.len() {
            if matches!(self.agents[index].watch, Watch::Live(_)) {
                self.agent(index).show(event.clone());
            }
        }
    }

    fn connect(&mut self, index: usize) {
        let first = self.store.list();
        self.agent(index).watch = Watch::Live(vec![first]);
    }

    /// Opens a watch as soon as the network lets it.
    fn reconnect(&mut self, index: usize) {
        if self.agents[index].cut {
            self.agent(index).watch = Watch::Silent;
        } else {
            self.connect(index);
        }
    }
}

fn agent_steps(index: usize, agent: &Agent, steps: &mut Vec<Step>) {
    if agent.election.is_none() {
        steps.push(Step::Start { agent: index, vouched: false });
        if agent.report.is_some() {
            steps.push(Step::Start { agent: index, vouched: true });
        }
    }
    let runs = agent.runs();
    if runs && agent.retracting {
        steps.push(Step::Retract(index));
    }
    if agent.is_woken() {
        steps.push(Step::Wake(index));
    }
    if agent.is_timed_out() {
        steps.push(Step::TimeOut(index));
    }
    if let Some(flight) = &agent.flight {
        match &flight.answer {
            None => steps.push(Step::Arrive(index)),
            Some(_) if runs && !agent.cut => steps.push(Step::Answer(index)),
            Some(_) => {}
        }
    }
    steps.extend((0..agent.given_up.len()).map(|late| Step::ArriveLate { agent: index, index: late }));
    match &agent.watch {
        Watch::Live(events) if runs && !agent.cut && !events.is_empty() => steps.push(Step::Watch(index)),
        Watch::Live(_) => {}
        Watch::Silent if agent.election.is_some() && !agent.cut => steps.push(Step::Connect(index)),
        Watch::Silent => {}
    }
    if agent.pace != Pace::Awake {
        steps.push(Step::Thaw(index));
    }
    if runs && agent.yields {
        steps.push(Step::Will(index));
    }
    if agent.cut {
        steps.push(Step::Mend(index));
    }
}
