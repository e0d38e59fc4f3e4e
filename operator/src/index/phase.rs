//! The phase of a tenure, as far as a Lease and the time it has been silent can tell.

use std::time::Duration;

use elector_crds::LeaderElectionSpec;
use elector_election::{Lease, UNKNOWN_HOLDER};

use super::{ClockReading, LeaseSeen};

/// The phase of the leadership that a Lease shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TenurePhase {
    /// No candidate has ever held the Lease.
    NeverHeld,
    /// The last holder gave the Lease up.
    Released,
    /// The holder was seen to write the Lease, less than its duration ago.
    Held,
    /// The Lease names a holder that has not been seen to write it yet.
    NotObserved,
    /// It is not known whether a holder still leads, so candidates wait.
    WaitingOut,
    /// The holder has been silent for so long that candidates may take the Lease.
    Expired,
}

/// How long candidates wait at least: the duration in the spec, or the default if the spec is not valid.
#[must_use]
pub fn own_duration(spec: &LeaderElectionSpec) -> Duration {
    spec.timings().unwrap_or_default().lease_duration()
}

/// The phase that the Lease shows at `now`, if candidates wait at least `own`.
#[must_use]
pub fn phase(seen: &LeaseSeen, own: Duration, now: ClockReading) -> TenurePhase {
    let lease = &seen.lease;
    if lease.record.holder.is_empty() {
        if lease.never_held && lease.is_blank() {
            return TenurePhase::NeverHeld;
        }
        if lease.tells_of_release() {
            return TenurePhase::Released;
        }
    }
    if now.at.saturating_sub(seen.seen_at) >= seen.effective_duration(own) {
        return TenurePhase::Expired;
    }
    if lease.record.holder.is_empty() || lease.record.holder == UNKNOWN_HOLDER || was_restored(seen) {
        return TenurePhase::WaitingOut;
    }
    if seen.moved { TenurePhase::Held } else { TenurePhase::NotObserved }
}

/// Whether the record is still the one that an operator or an agent wrote when it created the Lease again.
///
/// An operator or agent that knows no holder writes the name of the unknown holder. An operator gives both times the
/// same value and leaves no agent's mark. A candidate with client-go does so too in its very first write, which the
/// operator sees as a change unless it has just started.
pub(crate) fn was_restored(seen: &LeaseSeen) -> bool {
    let Lease { record, agent, .. } = &seen.lease;
    if record.holder == UNKNOWN_HOLDER {
        return true;
    }
    let written_once = record.renew_time.is_some() && record.acquire_time == record.renew_time;
    seen.managed && !seen.moved && agent.is_none() && written_once && !record.holder.is_empty()
}
