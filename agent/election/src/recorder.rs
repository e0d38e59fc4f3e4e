//! An [`Election`] whose calls and their results are recorded, so that they can be made again.

use std::ops::Deref;
use std::time::Duration;

use crate::election::Election;
use crate::protocol::{Action, Answer, Candidate, Request, WatchEvent};
use crate::time::Now;

/// A call that tells an election something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A call of [`Election::handle_watch`].
    Watch(WatchEvent),
    /// A call of [`Election::handle_answer`].
    Answer(Answer),
    /// A call of [`Election::handle_timeout`].
    Timeout,
    /// A call of [`Election::handle_retracted`].
    Retracted,
    /// A call of [`Election::handle_reluctance`].
    Reluctance(Option<Duration>),
    /// A call of [`Election::handle_stop`].
    Stop,
}

/// One call of an election, with its time and what it returned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// A call that tells the election something.
    Input(Input, Now),
    /// A call of [`Election::poll_action`].
    Action(Option<Action>),
    /// A call of [`Election::poll_request`].
    Request(Option<Request>, Now),
    /// A call of [`Election::poll_timeout`].
    Wait(Option<Duration>, Now),
}

/// All calls of one election, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recording {
    /// The candidate of the election.
    pub candidate: Candidate,
    /// The time at which the election began.
    pub begun_at: Now,
    /// The calls since then.
    pub calls: Vec<Call>,
}

/// An [`Election`] in the hands of a driver: every call that can change or ask it is recorded, if recording is on.
#[derive(Debug, Clone)]
pub struct Recorder {
    election: Election,
    recording: Recording,
    /// Whether calls are recorded.
    records: bool,
}

impl Recorder {
    /// A recorder that records nothing.
    #[must_use]
    pub fn silent(candidate: Candidate, now: Now) -> Recorder {
        Recorder { records: false, ..Recorder::recording(candidate, now) }
    }

    /// A recorder that records every call. For tests: the recording only grows.
    #[must_use]
    pub fn recording(candidate: Candidate, now: Now) -> Recorder {
        let election = Election::new(candidate.clone(), now);
        Recorder { election, recording: Recording { candidate, begun_at: now, calls: Vec::new() }, records: true }
    }

    /// The recording so far; empty if recording is off.
    #[must_use]
    pub fn into_recording(self) -> Recording {
        self.recording
    }

    /// [`Election::handle_watch`], recorded.
    pub fn handle_watch(&mut self, event: WatchEvent, now: Now) {
        self.handle(Input::Watch(event), now);
    }

    /// [`Election::handle_answer`], recorded.
    pub fn handle_answer(&mut self, answer: Answer, now: Now) {
        self.handle(Input::Answer(answer), now);
    }

    /// [`Election::handle_timeout`], recorded.
    pub fn handle_timeout(&mut self, now: Now) {
        self.handle(Input::Timeout, now);
    }

    /// [`Election::handle_retracted`], recorded.
    pub fn handle_retracted(&mut self, now: Now) {
        self.handle(Input::Retracted, now);
    }

    /// [`Election::handle_reluctance`], recorded.
    pub fn handle_reluctance(&mut self, reluctance: Option<Duration>, now: Now) {
        self.handle(Input::Reluctance(reluctance), now);
    }

    /// [`Election::handle_stop`], recorded.
    pub fn handle_stop(&mut self, now: Now) {
        self.handle(Input::Stop, now);
    }

    /// [`Election::poll_action`], recorded.
    pub fn poll_action(&mut self) -> Option<Action> {
        let action = self.election.poll_action();
        self.remember(|| Call::Action(action.clone()));
        action
    }

    /// [`Election::poll_request`], recorded.
    pub fn poll_request(&mut self, now: Now) -> Option<Request> {
        let request = self.election.poll_request(now);
        self.remember(|| Call::Request(request.clone(), now));
        request
    }

    /// [`Election::poll_timeout`], recorded.
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

/// Gives access to the methods that only look at the election; they are not recorded.
impl Deref for Recorder {
    type Target = Election;

    fn deref(&self) -> &Election {
        &self.election
    }
}

impl Election {
    /// Makes the call that `input` stands for.
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

    /// Makes a recorded call again, at its recorded time. Returns the call with its new result; an input has none.
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
