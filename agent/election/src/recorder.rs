//! An [`Election`] that remembers what was said to it and what it said, so that it can be said again.

use std::ops::Deref;
use std::time::Duration;

use crate::election::Election;
use crate::protocol::{Action, Answer, Candidate, Request, WatchEvent};
use crate::time::Now;

/// What happens to an election.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// [`Election::handle_watch`].
    Watch(WatchEvent),
    /// [`Election::handle_answer`].
    Answer(Answer),
    /// [`Election::handle_timeout`].
    Timeout,
    /// [`Election::handle_retracted`].
    Retracted,
    /// [`Election::handle_reluctance`].
    Reluctance(Option<Duration>),
    /// [`Election::handle_stop`].
    Stop,
}

/// One call, with what it returned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// Something happened.
    Input(Input, Now),
    /// [`Election::poll_action`].
    Action(Option<Action>),
    /// [`Election::poll_request`].
    Request(Option<Request>, Now),
    /// [`Election::poll_timeout`].
    Wait(Option<Duration>, Now),
}

/// All calls of one election, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recording {
    /// Who contends.
    pub candidate: Candidate,
    /// When it began.
    pub begun_at: Now,
    /// What was called since.
    pub calls: Vec<Call>,
}

/// An [`Election`] in the hands of a driver: all that can be asked of it is recorded, if that is wanted.
#[derive(Debug, Clone)]
pub struct Recorder {
    election: Election,
    recording: Recording,
    /// Whether it is to grow.
    records: bool,
}

impl Recorder {
    /// One that remembers nothing.
    #[must_use]
    pub fn silent(candidate: Candidate, now: Now) -> Recorder {
        Recorder { records: false, ..Recorder::recording(candidate, now) }
    }

    /// One that remembers everything: for tests, since it only grows.
    #[must_use]
    pub fn recording(candidate: Candidate, now: Now) -> Recorder {
        let election = Election::new(candidate.clone(), now);
        Recorder { election, recording: Recording { candidate, begun_at: now, calls: Vec::new() }, records: true }
    }

    /// What it remembers.
    #[must_use]
    pub fn into_recording(self) -> Recording {
        self.recording
    }

    /// As [`Election::handle_watch`].
    pub fn handle_watch(&mut self, event: WatchEvent, now: Now) {
        self.handle(Input::Watch(event), now);
    }

    /// As [`Election::handle_answer`].
    pub fn handle_answer(&mut self, answer: Answer, now: Now) {
        self.handle(Input::Answer(answer), now);
    }

    /// As [`Election::handle_timeout`].
    pub fn handle_timeout(&mut self, now: Now) {
        self.handle(Input::Timeout, now);
    }

    /// As [`Election::handle_retracted`].
    pub fn handle_retracted(&mut self, now: Now) {
        self.handle(Input::Retracted, now);
    }

    /// As [`Election::handle_reluctance`].
    pub fn handle_reluctance(&mut self, reluctance: Option<Duration>, now: Now) {
        self.handle(Input::Reluctance(reluctance), now);
    }

    /// As [`Election::handle_stop`].
    pub fn handle_stop(&mut self, now: Now) {
        self.handle(Input::Stop, now);
    }

    /// As [`Election::poll_action`].
    pub fn poll_action(&mut self) -> Option<Action> {
        let action = self.election.poll_action();
        self.remember(|| Call::Action(action.clone()));
        action
    }

    /// As [`Election::poll_request`].
    pub fn poll_request(&mut self, now: Now) -> Option<Request> {
        let request = self.election.poll_request(now);
        self.remember(|| Call::Request(request.clone(), now));
        request
    }

    /// As [`Election::poll_timeout`].
    pub fn poll_timeout(&mut self, now: Now) -> Option<Duration> {
        let wait = self.election.poll_timeout(now);
        self.remember(|| Call::Wait(wait, now));
        wait
    }

    fn handle(&mut self, input: Input, now: Now) {
        self.remember(|| Call::Input(input.clone(), now));
        self.election.handle(input, now);
    }

    fn remember(&mut self, call: impl FnOnce() -> Call) {
        if self.records {
            self.recording.calls.push(call());
        }
    }
}

/// For all that only looks.
impl Deref for Recorder {
    type Target = Election;

    fn deref(&self) -> &Election {
        &self.election
    }
}

impl Election {
    /// Takes in whatever happens.
    pub fn handle(&mut self, input: Input, now: Now) {
        match input {
            Input::Watch(event) => self.handle_watch(event, now),
            Input::Answer(answer) => self.handle_answer(answer, now),
            Input::Timeout => self.handle_timeout(now),
            Input::Retracted => self.handle_retracted(now),
            Input::Reluctance(reluctance) => self.handle_reluctance(reluctance, now),
            Input::Stop => self.handle_stop(now),
        }
    }

    /// Makes a call again, at its time. What it returns now; an input returns nothing.
    pub fn call_again(&mut self, call: &Call) -> Call {
        match call {
            Call::Input(input, now) => {
                self.handle(input.clone(), *now);
                call.clone()
            }
            Call::Action(_) => Call::Action(self.poll_action()),
            Call::Request(_, now) => Call::Request(self.poll_request(*now), *now),
            Call::Wait(_, now) => Call::Wait(self.poll_timeout(*now), *now),
        }
    }
}
