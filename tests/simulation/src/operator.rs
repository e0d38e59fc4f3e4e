//! What an operator does to the Lease.

use std::fmt;

use elector_election::{
    Hints, Lease, MAX_LEASE_DURATION_SECONDS, Record, Timestamp, Timings, UNKNOWN_HOLDER, WatchEvent, Write,
};

use crate::clock::Time;

/// What operators say on a Lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Word {
    /// What agents are asked for.
    pub timings: Option<Timings>,
    /// Nobody can have held it before.
    pub never_held: bool,
    /// As long as no agent has written it.
    pub least_wait_seconds: u32,
}

impl Word {
    /// That on `lease`.
    #[must_use]
    pub fn on(lease: &Lease) -> Word {
        let Lease { timings, never_held, least_wait_seconds, .. } = *lease;
        Word { timings, never_held, least_wait_seconds }
    }

    pub(crate) fn put_on(self, lease: &mut Lease) {
        let Word { timings, never_held, least_wait_seconds } = self;
        (lease.timings, lease.never_held, lease.least_wait_seconds) = (timings, never_held, least_wait_seconds);
    }
}

/// What an operator asks of the API server.
#[derive(Debug, Clone)]
pub enum Step {
    /// A Lease with this content, not confirmed yet; its uid and version are the API server's.
    Create(Box<Lease>),
    /// Other metadata for the Lease of this uid, whatever its version, if it still has what was planned upon.
    Amend {
        /// Of the Lease that is meant.
        uid: String,
        /// What an operator has said on it.
        upon: Word,
        /// What it is to say.
        word: Word,
        /// What would suit people, if that is to change.
        hints: Option<Hints>,
    },
    /// The Lease released for a holder that is dead, if it still has that record.
    Release {
        /// What must be there.
        of: Record,
        /// What is to be.
        write: Write,
    },
    /// To read it.
    Look,
}

/// What to do about what was taken in.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// At once.
    pub step: Option<Step>,
    /// When to plan again, even if nothing is seen.
    pub next_look: Option<Time>,
}

/// Whoever looks after the Lease. It may be late, and it forgets when it is restarted.
pub trait Operator: fmt::Debug {
    /// Takes in what its watch shows.
    fn handle_watch(&mut self, event: &WatchEvent, now: Time);

    /// Takes in what the user asks for.
    fn handle_spec(&mut self, timings: Timings, now: Time);

    /// Takes in whether the user wants nobody to lead.
    fn handle_pause(&mut self, paused: bool, now: Time);

    /// Takes in that none of that candidate's processes lives or will live (rule O1).
    fn handle_death(&mut self, identity: &str, now: Time);

    /// Plans, given all that was taken in. It is not called again before the answer to its last step.
    fn plan(&mut self, now: Time) -> Plan;

    /// Takes in what the Lease is after a step.
    fn handle_answer(&mut self, lease: Option<&Lease>, now: Time);

    /// A step came to nothing: it is to be planned again.
    fn handle_failure(&mut self, now: Time);

    /// Begins anew with nothing but what a list shows.
    fn restart(&mut self, listed: &WatchEvent, now: Time);
}

/// Makes the operator of an election whose creation it sees.
pub type NewOperator = fn(Timings, Time) -> Box<dyn Operator>;

/// The rules O1 and O2 in their smallest form, for a core that is looked at alone.
#[derive(Debug)]
pub struct Keeper {
    timings: Timings,
    paused: bool,
    lease: Option<Lease>,
    is_new: bool,
    holder: Option<String>,
    longest_duration_seconds: u32,
    transitions: u32,
}

impl Keeper {
    /// As [`NewOperator`].
    #[must_use]
    pub fn boxed(timings: Timings, _: Time) -> Box<dyn Operator> {
        Box::new(Keeper::new(timings))
    }

    fn new(timings: Timings) -> Keeper {
        Keeper {
            timings,
            paused: false,
            lease: None,
            is_new: true,
            holder: None,
            longest_duration_seconds: 0,
            transitions: 0,
        }
    }
}

impl Operator for Keeper {
    fn handle_watch(&mut self, event: &WatchEvent, _: Time) {
        match event {
            WatchEvent::Present(lease) => {
                if is_outdated(lease) {
                    self.lease = Some(lease.clone());
                    return;
                }
                self.is_new = false;
                if !lease.record.holder.is_empty() {
                    self.holder = Some(lease.record.holder.clone());
                }
                self.longest_duration_seconds = self.longest_duration_seconds.max(lease.lease_duration_seconds);
                self.transitions = lease.record.transitions;
                self.lease = Some(lease.clone());
            }
            WatchEvent::Deleted { .. } | WatchEvent::Empty => self.lease = None,
            WatchEvent::Refused => {}
        }
    }

    fn handle_spec(&mut self, timings: Timings, _: Time) {
        self.timings = timings;
    }

    fn handle_pause(&mut self, paused: bool, _: Time) {
        self.paused = paused;
    }

    fn plan(&mut self, now: Time) -> Plan {
        let timings = self.timings;
        let hints = Hints { paused: self.paused, ..Hints::default() };
        let step = match &self.lease {
            Some(lease) if lease.timings == Some(timings) && lease.hints == hints && !is_outdated(lease) => None,
            Some(lease) => Some(Step::Amend {
                uid: lease.record.uid.clone(),
                upon: Word::on(lease),
                word: if is_outdated(lease) {
                    let never_held = self.is_new && lease.record.holder.is_empty();
                    let known = self.longest_duration_seconds.max(timings.lease_duration_seconds());
                    let least_wait_seconds = if never_held { 0 } else { known };
                    Word { timings: Some(timings), never_held, least_wait_seconds }
                } else {
                    Word { timings: Some(timings), ..Word::on(lease) }
                },
                hints: Some(hints),
            }),
            None => Some(Step::Create(Box::new(self.create(now)))),
        };
        Plan { step, next_look: None }
    }

    fn handle_answer(&mut self, lease: Option<&Lease>, now: Time) {
        match lease {
            Some(lease) => self.handle_watch(&WatchEvent::Present(lease.clone()), now),
            None => self.lease = None,
        }
    }

    fn handle_failure(&mut self, _: Time) {}

    fn handle_death(&mut self, _: &str, _: Time) {}

    fn restart(&mut self, listed: &WatchEvent, now: Time) {
        *self = Keeper { is_new: false, paused: self.paused, ..Keeper::new(self.timings) };
        self.handle_watch(listed, now);
    }
}

/// An operator made it and has not confirmed it.
fn is_outdated(lease: &Lease) -> bool {
    lease.agent.is_none() && lease.least_wait_seconds == MAX_LEASE_DURATION_SECONDS
}

impl Keeper {
    fn create(&self, now: Time) -> Lease {
        let mut lease = crate::server::blank();
        lease.timings = Some(self.timings);
        lease.lease_duration_seconds = self.timings.lease_duration_seconds();
        lease.least_wait_seconds = MAX_LEASE_DURATION_SECONDS;
        if self.is_new {
            return lease;
        }
        let at = Timestamp::from_microseconds(i64::try_from(now).unwrap_or(i64::MAX));
        lease.record.holder = self.holder.clone().unwrap_or_else(|| UNKNOWN_HOLDER.to_owned());
        (lease.record.acquire_time, lease.record.renew_time) = (Some(at), Some(at));
        lease.record.transitions = self.transitions;
        lease.lease_duration_seconds = lease.lease_duration_seconds.max(self.longest_duration_seconds);
        lease
    }
}
