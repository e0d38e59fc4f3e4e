//! Which tenures make an election flap: leaders that come and go all the time.

use jiff::{SignedDuration, Timestamp};

use crate::{PastTenure, TenureEnd};

/// How long the end of a tenure counts, the same as in the alert LeaderElectorFlapping.
pub const WINDOW: SignedDuration = SignedDuration::from_mins(15);

/// How many tenures may end within [`WINDOW`].
pub const MAX_ENDS: usize = 5;

/// The tenures that have ended within [`WINDOW`], the latest first. A tenure does not count if its pod was told to stop
/// and has not led again: a rolling update stops each pod once.
#[must_use]
pub fn ended_lately(history: &[PastTenure], now: Timestamp) -> Vec<&PastTenure> {
    let is_recent = |tenure: &&PastTenure| ended_at(tenure).is_some_and(|at| now.duration_since(at) < WINDOW);
    let is_replaced = |tenure: &PastTenure| {
        let tenures = history.iter().filter(|other| other.identity == tenure.identity).count();
        tenure.reason.as_deref() == Some(TenureEnd::Stopped.as_str()) && tenures == 1
    };
    history.iter().filter(is_recent).filter(|tenure| !is_replaced(tenure)).collect()
}

/// When the tenure ended, if that can be read.
#[must_use]
pub fn ended_at(tenure: &PastTenure) -> Option<Timestamp> {
    tenure.until.as_ref()?.parse().ok()
}
