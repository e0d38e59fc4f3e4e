//! What a search must have come by, lest it finds nothing because nothing happens.

use std::fmt;

/// Something worth having reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Landmark {
    /// An agent began a tenure after another, silent agent.
    TakeoverAfterExpiry,
    /// An agent began a tenure on a Lease that another released.
    HandOver,
    /// A restarted agent began a tenure at once, by its predecessor's report.
    Succession,
    /// An agent began a tenure on a Lease that nobody had held.
    FirstTenure,
    /// A tenure ended at its deadline.
    DeadlinePassed,
    /// A leader stepped down.
    SteppedDown,
    /// A tenure ended because of a hint.
    Hinted,
    /// A tenure ended because the Lease named another, or nobody.
    Displaced,
    /// A tenure ended because the Lease was deleted.
    Deleted,
    /// An agent created the Lease.
    Created,
    /// A write was stored after its agent had given it up.
    StoredLate,
    /// A tenure began by a read: the answer to the write was lost.
    FoundByRead,
    /// A tenure was prolonged.
    Renewed,
    /// A tenure was shortened before its time.
    Shortened,
    /// A takeover came too late, and the watch was opened anew.
    Rewatched,
}

impl Landmark {
    const ALL: [Landmark; 15] = [
        Landmark::TakeoverAfterExpiry,
        Landmark::HandOver,
        Landmark::Succession,
        Landmark::FirstTenure,
        Landmark::DeadlinePassed,
        Landmark::SteppedDown,
        Landmark::Hinted,
        Landmark::Displaced,
        Landmark::Deleted,
        Landmark::Created,
        Landmark::StoredLate,
        Landmark::FoundByRead,
        Landmark::Renewed,
        Landmark::Shortened,
        Landmark::Rewatched,
    ];
}

/// A set of them.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Landmarks(u32);

impl Landmarks {
    /// Whether it is among them.
    #[must_use]
    pub fn has(self, landmark: Landmark) -> bool {
        self.0 & (1 << landmark as u32) != 0
    }

    pub(crate) fn add(&mut self, landmark: Landmark) {
        self.0 |= 1 << landmark as u32;
    }

    pub(crate) fn join(&mut self, other: Landmarks) {
        self.0 |= other.0;
    }
}

impl fmt::Debug for Landmarks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(Landmark::ALL.iter().filter(|landmark| self.has(**landmark))).finish()
    }
}
