//! Which replica writes: the one that holds the operator's own Lease, by the agent's election.

use std::io;

use elector_agent::publication::Publication;
use elector_election::{Now, Tenure};
use tokio::sync::watch;

/// Tells the controller whether it may write.
///
/// Losing it stops writes before the Lease is released. One that has left already is harmless: a Lease is written by uid and
/// resourceVersion, events have names that exist once, and the rest is applied to what both replicas would make of
/// the same election.
#[derive(Debug)]
pub struct Leadership(watch::Sender<bool>);

impl Leadership {
    /// And what to look at.
    #[must_use]
    pub fn new() -> (Leadership, watch::Receiver<bool>) {
        let (sender, receiver) = watch::channel(false);
        (Leadership(sender), receiver)
    }
}

impl Publication for Leadership {
    fn publish(&mut self, _: &Tenure, _: Now) -> io::Result<()> {
        self.0.send_replace(true);
        Ok(())
    }

    fn extend(&mut self, _: &Tenure, _: Now) -> io::Result<()> {
        Ok(())
    }

    fn retract(&mut self) -> io::Result<()> {
        self.0.send_replace(false);
        Ok(())
    }
}
