//! Publication of leadership: what a program that is elected provides.

use std::io;

use elector_election::{Now, Tenure};

/// Publishes leadership to those who rely on it. The election waits for each call, so a call returns only when it is
/// done.
pub trait Publication {
    /// Publishes a tenure that has begun. It is not called for a tenure that has expired.
    ///
    /// # Errors
    /// Why the tenure could not be published: the campaign then ends, so that another candidate can lead.
    fn publish(&mut self, tenure: &Tenure, now: Now) -> io::Result<()>;

    /// Publishes the changed validity of the tenure.
    ///
    /// # Errors
    /// Why the validity could not be published. The driver tries again at each renewal until the published validity has
    /// expired; then the campaign ends.
    fn extend(&mut self, tenure: &Tenure, now: Now) -> io::Result<()>;

    /// Takes back what was published: when this returns `Ok`, nothing of the tenure shows, and the work that relies on
    /// it has been told. The driver calls this until it succeeds, and does not release the Lease before.
    ///
    /// # Errors
    /// Why the tenure could not be taken back; `WouldBlock` if that only takes time, as for work that has to end.
    fn retract(&mut self) -> io::Result<()>;

    /// The campaign's loop has turned. Leaders and standbys call this at least every [`TURN`](crate::driver::TURN).
    fn turned(&mut self, _now: Now) {}
}
