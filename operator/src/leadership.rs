//! Which replica writes: the one that holds the operator's own Lease, by the agent's election.

use std::io;

use elector_agent::publication::Publication;
use elector_election::{Now, Tenure};
use tokio::sync::watch;

use crate::heartbeat::Heartbeat;

/// Tells the controllers whether they may write, and everybody whether the election goes on.
///
/// Losing it stops writes before the Lease is released. One that has left already is harmless: a Lease is written by uid and
/// resourceVersion, events have names that exist once, and the rest is applied to what both replicas would make of
/// the same election.
#[derive(Debug)]
pub struct Leadership {
    leads: watch::Sender<bool>,
    heartbeat: Heartbeat,
}

impl Leadership {
    /// And what to look at. `heartbeat`: of the election's loop.
    #[must_use]
    pub fn new(heartbeat: Heartbeat) -> (Leadership, watch::Receiver<bool>) {
        let (leads, receiver) = watch::channel(false);
        (Leadership { leads, heartbeat }, receiver)
    }
}

impl Publication for Leadership {
    fn publish(&mut self, _: &Tenure, _: Now) -> io::Result<()> {
        self.leads.send_replace(true);
        Ok(())
    }

    fn extend(&mut self, _: &Tenure, _: Now) -> io::Result<()> {
        Ok(())
    }

    fn retract(&mut self) -> io::Result<()> {
        self.leads.send_replace(false);
        Ok(())
    }

    fn turned(&mut self, _: Now) {
        self.heartbeat.beat();
    }
}
