//! Which tenures make an election one that flaps: leaders that come and go all the time.

use jiff::{SignedDuration, Timestamp};

use crate::{PastTenure, TenureEnd};

/// For how long the end of a tenure counts: as the alert LeaderElectorFlapping has it.
pub const WINDOW: SignedDuration = SignedDuration::from_mins(15);

/// How many tenures may end within that time.
pub const MAX_ENDS: usize = 5;

/// The tenures that have ended within [`WINDOW`], the latest first. One whose pod was stopped and has not led again does not count:
/// a rolling update stops each pod once.
#[must_use]
pub fn ended_lately(history: &[PastTenure], now: Timestamp) -> Vec<&PastTenure> {
    let is_recent = |tenure: &&PastTenure| ended_at(tenure).is_some_and(|at| now.duration_since(at) < WINDOW);
    let is_replaced = |tenure: &PastTenure| {
        let tenures = history.iter().filter(|other| other.identity == tenure.identity).count();
        tenure.reason.as_deref() == Some(TenureEnd::Stopped.as_str()) && tenures == 1
    };
    history.iter().filter(is_recent).filter(|tenure| !is_replaced(tenure)).collect()
}

/// When it ended, if it can be read.
#[must_use]
pub fn ended_at(tenure: &PastTenure) -> Option<Timestamp> {
    tenure.until.as_ref()?.parse().ok()
}
