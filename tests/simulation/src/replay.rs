//! Plays what was recorded of an election again, and looks whether it was driven as the elections here are.
//!
//! The simulation stands for the agent's driver. That it does so truly is shown from both sides: what was recorded of the driver on a
//! real API server must pass here, and what is recorded of the simulation, too.

use std::fmt;
use std::time::Duration;

use elector_election::{Action, Call, Election, Input, Moment, Now, Recording};

/// What a recording holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Calls, each of which said again what it had said.
    pub calls: usize,
    /// Requests among them.
    pub requests: usize,
    /// Tenures that began.
    pub tenures: usize,
    /// By how much the driver overslept at worst.
    pub overslept: Duration,
}

impl fmt::Display for Replayed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Replayed { calls, requests, tenures, overslept } = self;
        write!(f, "{calls} calls, {requests} requests, {tenures} tenures, overslept by {overslept:.1?} at worst")
    }
}

/// Where a recording departs from what is simulated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Departure {
    /// Index of the call.
    pub call: usize,
    /// What is wrong with it.
    pub reason: String,
}

impl fmt::Display for Departure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "call {}: {}", self.call, self.reason)
    }
}

/// Makes all calls again.
///
/// # Errors
/// The first call that says something else than it said then, or that the simulation would not have made.
pub fn replay(recording: &Recording) -> Result<Replayed, Departure> {
    let mut election = Election::new(recording.candidate.clone(), recording.begun_at);
    let mut hands = Hands { read_at: Some(recording.begun_at.moment), ..Hands::default() };
    for (index, call) in recording.calls.iter().enumerate() {
        let depart = |reason: String| Departure { call: index, reason };
        hands.make(call, &election).map_err(|reason| depart(reason.to_owned()))?;
        let now = election.call_again(call);
        if now != *call {
            return Err(depart(format!("was {call:?}, is {now:?}")));
        }
    }
    Ok(hands.replayed)
}

/// What a driver may do next.
#[derive(Debug, Default)]
struct Hands {
    /// The last look at the clocks.
    read_at: Option<Moment>,
    /// It has looked whether time has come since it woke.
    has_looked: bool,
    /// There was no action left, and nothing happened since.
    has_acted: bool,
    /// It has asked for a request, and nothing happened since.
    has_asked: bool,
    is_in_flight: bool,
    is_retracting: bool,
    has_finished: bool,
    /// When it wanted to be awake.
    wakes_at: Option<Duration>,
    replayed: Replayed,
}

impl Hands {
    fn make(&mut self, call: &Call, election: &Election) -> Result<(), &'static str> {
        self.replayed.calls += 1;
        match call {
            Call::Input(input, now) => self.input(input, *now),
            Call::Action(action) => {
                self.act(action.as_ref());
                Ok(())
            }
            Call::Request(request, now) => {
                self.read(*now)?;
                expect(self.has_acted, "asked for a request with actions left to do")?;
                self.has_asked = true;
                if request.is_some() {
                    expect(!self.is_in_flight, "sent a request beside another")?;
                    expect(!self.has_finished, "sent a request after the end")?;
                    self.is_in_flight = true;
                    self.replayed.requests += 1;
                }
                Ok(())
            }
            Call::Wait(wait, now) => {
                self.read(*now)?;
                expect(self.has_looked, "slept again without a look at the clocks")?;
                expect(self.has_asked && !election.has_actions(), "slept with something left to do")?;
                self.has_looked = false;
                self.wakes_at = wait.map(|wait| now.moment.boottime.saturating_add(wait));
                Ok(())
            }
        }
    }

    fn input(&mut self, input: &Input, now: Now) -> Result<(), &'static str> {
        self.read(now)?;
        expect(!self.has_finished, "went on after the end")?;
        match input {
            Input::Answer(_) => {
                expect(self.is_in_flight, "answered what was not asked")?;
                self.is_in_flight = false;
            }
            Input::Retracted => {
                expect(self.is_retracting, "took back what was not to be taken back")?;
                self.is_retracting = false;
            }
            Input::Timeout => self.has_looked = true,
            Input::Watch(_) | Input::Reluctance(_) | Input::Stop => {}
        }
        (self.has_acted, self.has_asked) = (false, false);
        Ok(())
    }

    fn act(&mut self, action: Option<&Action>) {
        self.has_acted = action.is_none();
        match action {
            Some(Action::Acquire(_)) => self.replayed.tenures += 1,
            Some(Action::Retract(_)) => self.is_retracting = true,
            Some(Action::Finish) => self.has_finished = true,
            Some(Action::Extend(_) | Action::Rewatch) | None => {}
        }
    }

    fn read(&mut self, now: Now) -> Result<(), &'static str> {
        let Moment { boottime, monotonic_raw } = now.moment;
        let is_later = |before: Moment| boottime >= before.boottime && monotonic_raw >= before.monotonic_raw;
        expect(self.read_at.is_none_or(is_later), "looked at the clocks before the call before")?;
        self.read_at = Some(now.moment);
        if let Some(wakes_at) = self.wakes_at.take() {
            self.replayed.overslept = self.replayed.overslept.max(boottime.saturating_sub(wakes_at));
        }
        Ok(())
    }
}

fn expect(holds: bool, otherwise: &'static str) -> Result<(), &'static str> {
    holds.then_some(()).ok_or(otherwise)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::Keeper;
    use crate::play;
    use crate::trace::Trace;

    fn recordings(seed: u64) -> Vec<Recording> {
        play(seed, Keeper::boxed, Trace::kept()).2.recordings().to_vec()
    }

    /// A recording with enough in it, and where there is something of the kind.
    fn changed(fits: impl Fn(&Call) -> bool, change: impl Fn(&mut Vec<Call>, usize)) -> Departure {
        let mut recording = recordings(1).into_iter().max_by_key(|recording| recording.calls.len()).unwrap();
        replay(&recording).unwrap();
        let index = recording.calls.iter().position(fits).unwrap();
        change(&mut recording.calls, index);
        replay(&recording).unwrap_err()
    }

    #[test]
    fn what_is_simulated_passes() {
        let (mut requests, mut tenures) = (0, 0);
        for seed in 0..50 {
            for recording in recordings(seed) {
                let replayed = replay(&recording).unwrap_or_else(|departure| panic!("seed {seed}: {departure}"));
                requests += replayed.requests;
                tenures += replayed.tenures;
            }
        }
        assert!(requests > 10_000 && tenures > 150, "{requests} requests, {tenures} tenures");
    }

    #[test]
    fn an_election_that_says_something_else_is_seen() {
        let departure = changed(
            |call| matches!(call, Call::Wait(Some(_), _)),
            |calls, index| {
                let Call::Wait(wait, _) = &mut calls[index] else { return };
                *wait = wait.map(|wait| wait + Duration::from_nanos(1));
            },
        );
        assert!(departure.reason.starts_with("was Wait("), "{departure}");
    }

    #[test]
    fn a_driver_that_drives_otherwise_is_seen() {
        let remove = |calls: &mut Vec<Call>, index| drop(calls.remove(index));
        let again = |calls: &mut Vec<Call>, index: usize| calls.insert(index, calls[index].clone());
        let is_input =
            |wanted: fn(&Input) -> bool| move |call: &Call| matches!(call, Call::Input(input, _) if wanted(input));
        let unasked = changed(is_input(|input| matches!(input, Input::Answer(_))), again);
        assert_eq!(unasked.reason, "answered what was not asked");
        let untold = changed(is_input(|input| *input == Input::Retracted), again);
        assert_eq!(untold.reason, "took back what was not to be taken back");
        let blind = changed(is_input(|input| *input == Input::Timeout), remove);
        assert_eq!(blind.reason, "slept again without a look at the clocks");
        let hasty = changed(|call| matches!(call, Call::Action(None)), remove);
        assert_eq!(hasty.reason, "asked for a request with actions left to do");
        let lazy = changed(|call| matches!(call, Call::Request(None, _)), remove);
        assert_eq!(lazy.reason, "slept with something left to do");
        let backwards = changed(
            |call| matches!(call, Call::Wait(..)),
            |calls, index| {
                let Call::Wait(_, now) = &mut calls[index] else { return };
                now.moment.boottime = Duration::ZERO;
            },
        );
        assert_eq!(backwards.reason, "looked at the clocks before the call before");
    }
}
