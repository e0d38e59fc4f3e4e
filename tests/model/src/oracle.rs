//! What must never happen, and what is noticed along the way.

use std::fmt;

use elector_election::ResourceVersion;

use crate::landmarks::{Landmark, Landmarks};

/// What a step has broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Violation {
    /// A reader may believe in both at once.
    TwoLeaders(usize, usize),
    /// The fencing token of a new tenure is not above all before.
    TokenDoesNotGrow {
        /// The token of a tenure before.
        before: ResourceVersion,
        /// The token of the new one.
        token: ResourceVersion,
    },
    /// A release left before the file was gone, or before the release delay was over.
    ReleasedBeforeRetracted(usize),
    /// A release was stored over a record that is not of the process that released.
    ReleasedAnothers(usize),
    /// A write left that only a leader may send, or only who does not lead.
    WroteOutOfTurn(usize),
    /// It has seen that the Lease is not its own, and leads on.
    LeadsOnAnothers(usize),
    /// It finished while its file was there.
    FinishedUnretracted(usize),
    /// It asks to be woken at once, for nothing.
    Restless(usize),
    /// Nothing can happen any more, not even time pass.
    Stuck,
    /// This state has the fingerprint of one that goes on in other ways: the fault is the model's.
    Confused,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Violation::TwoLeaders(one, other) => write!(f, "agents {one} and {other} are both believed to lead"),
            Violation::TokenDoesNotGrow { before, token } => {
                write!(f, "fencing token {} does not follow {}", token.0, before.0)
            }
            Violation::ReleasedBeforeRetracted(agent) => write!(f, "agent {agent} released before it had retracted"),
            Violation::ReleasedAnothers(agent) => write!(f, "agent {agent} released what was not its own"),
            Violation::WroteOutOfTurn(agent) => write!(f, "agent {agent} wrote what was not its turn to write"),
            Violation::LeadsOnAnothers(agent) => write!(f, "agent {agent} leads on a lease that is not its own"),
            Violation::FinishedUnretracted(agent) => write!(f, "agent {agent} finished before it had retracted"),
            Violation::Restless(agent) => write!(f, "agent {agent} asks to be woken at once, for nothing"),
            Violation::Stuck => f.write_str("nothing can happen any more"),
            Violation::Confused => f.write_str("two states of one fingerprint go on in different ways"),
        }
    }
}

/// What was noticed of one step.
#[derive(Debug, Clone, Default)]
pub(crate) struct Noticed {
    pub(crate) landmarks: Landmarks,
    /// The first.
    pub(crate) violation: Option<Violation>,
}

impl Noticed {
    pub(crate) fn of(violation: Violation) -> Noticed {
        Noticed { violation: Some(violation), ..Noticed::default() }
    }

    pub(crate) fn come_by(&mut self, landmark: Landmark) {
        self.landmarks.add(landmark);
    }

    pub(crate) fn expect(&mut self, holds: bool, violation: Violation) {
        if !holds && self.violation.is_none() {
            self.violation = Some(violation);
        }
    }
}
