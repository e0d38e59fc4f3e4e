//! Where leadership shows: what a program provides that is elected.

use std::io;

use elector_election::{Now, Tenure};

/// Where leadership shows. Each call returns only when it is done, whatever it costs: the election waits for it.
pub trait Publication {
    /// A tenure began. It is not called for one that has expired.
    ///
    /// # Errors
    /// What kept it from being shown: the campaign then ends, and somebody else can lead.
    fn publish(&mut self, tenure: &Tenure, now: Now) -> io::Result<()>;

    /// Its validity moved.
    ///
    /// # Errors
    /// What kept it from being shown. It is tried again at each renewal until what shows has expired; then the campaign ends.
    fn extend(&mut self, tenure: &Tenure, now: Now) -> io::Result<()>;

    /// It is over: nothing of it shows when this returns `Ok`, and the work that relies on it has been told. Called
    /// again until it succeeds; the Lease is not released before.
    ///
    /// # Errors
    /// What kept it from being taken back; `WouldBlock` if that only takes time, as for work that has to end.
    fn retract(&mut self) -> io::Result<()>;

    /// The campaign's loop has turned: said at least every [`TURN`](crate::driver::TURN), by leaders and standbys alike.
    fn turned(&mut self, _now: Now) {}
}
