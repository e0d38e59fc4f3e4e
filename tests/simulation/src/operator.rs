//! What an operator does to the Lease.

use std::fmt;

use elector_election::{Lease, ResourceVersion, Timestamp, Timings, UNKNOWN_HOLDER, WatchEvent};

use crate::clock::Time;

/// A write to the Lease.
#[derive(Debug, Clone)]
pub enum Write {
    /// A Lease with this content; its uid and version are the API server's.
    Create(Lease),
    /// In place of this version.
    Timings(ResourceVersion, Timings),
}

/// Whoever looks after the Lease. It may be late, and it forgets when it is restarted.
pub trait Operator: fmt::Debug {
    /// Takes in what its watch shows.
    fn handle_watch(&mut self, event: &WatchEvent, now: Time);

    /// Takes in what the user asks for.
    fn handle_spec(&mut self, timings: Timings);

    /// What to write, given all that was taken in.
    fn plan(&mut self, now: Time) -> Option<Write>;

    /// Begins anew with nothing but what a list shows.
    fn restart(&mut self, listed: &WatchEvent, now: Time);
}

/// The rules O1 and O2 in their smallest form, for a core that is looked at alone.
#[derive(Debug)]
pub struct Keeper {
    timings: Timings,
    lease: Option<Lease>,
    is_new: bool,
    holder: Option<String>,
    longest_duration_seconds: u32,
    transitions: u32,
}

impl Keeper {
    /// Of an election whose creation it sees.
    #[must_use]
    pub fn new(timings: Timings) -> Keeper {
        Keeper { timings, lease: None, is_new: true, holder: None, longest_duration_seconds: 0, transitions: 0 }
    }
}

impl Operator for Keeper {
    fn handle_watch(&mut self, event: &WatchEvent, _: Time) {
        match event {
            WatchEvent::Present(lease) => {
                if !lease.record.holder.is_empty() {
                    self.holder = Some(lease.record.holder.clone());
                }
                self.is_new = false;
                self.longest_duration_seconds = self.longest_duration_seconds.max(lease.lease_duration_seconds);
                self.transitions = lease.record.transitions;
                self.lease = Some(lease.clone());
            }
            WatchEvent::Deleted { .. } | WatchEvent::Empty => self.lease = None,
            WatchEvent::Refused => {}
        }
    }

    fn handle_spec(&mut self, timings: Timings) {
        self.timings = timings;
    }

    fn plan(&mut self, now: Time) -> Option<Write> {
        match &self.lease {
            Some(lease) if lease.timings == Some(self.timings) => None,
            Some(lease) => Some(Write::Timings(lease.resource_version, self.timings)),
            None => Some(Write::Create(self.create(now))),
        }
    }

    fn restart(&mut self, listed: &WatchEvent, now: Time) {
        *self = Keeper { is_new: false, ..Keeper::new(self.timings) };
        self.handle_watch(listed, now);
    }
}

impl Keeper {
    fn create(&self, now: Time) -> Lease {
        let mut lease = crate::server::blank();
        lease.timings = Some(self.timings);
        lease.lease_duration_seconds = self.timings.lease_duration_seconds();
        if self.is_new {
            lease.never_held = true;
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
