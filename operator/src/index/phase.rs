//! Who leads, as far as a Lease and the time it has been silent can tell.

use std::time::Duration;

use elector_crds::LeaderElectionSpec;
use elector_election::{Lease, UNKNOWN_HOLDER};

use super::{ClockReading, LeaseSeen};

/// What is known of the leadership that a Lease shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TenurePhase {
    /// Nobody has ever held it.
    NeverHeld,
    /// The last holder gave it up.
    Released,
    /// Its holder was seen to write it, less than its duration ago.
    Held,
    /// Somebody's name is in it, and nobody has been seen to write it yet.
    NotObserved,
    /// Nobody knows whether somebody still leads; candidates wait.
    WaitingOut,
    /// It has been silent for so long that candidates may take it.
    Expired,
}

/// How long candidates wait at least: what the spec says, if that is valid.
#[must_use]
pub fn own_duration(spec: &LeaderElectionSpec) -> Duration {
    spec.timings().unwrap_or_default().lease_duration()
}

/// What the Lease shows at `now`, where candidates wait at least `own`.
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

/// Whether the record is still the one that was written when the Lease was made again, by an operator or by an agent.
///
/// An operator or agent that knows no holder writes a name of its own for that. An operator gives both times the same value and leaves no
/// agent's mark; a candidate of client-go's does so too, in its very first write, which the operator sees as a change
/// unless it has just started.
pub(crate) fn was_restored(seen: &LeaseSeen) -> bool {
    let Lease { record, agent, .. } = &seen.lease;
    if record.holder == UNKNOWN_HOLDER {
        return true;
    }
    let written_once = record.renew_time.is_some() && record.acquire_time == record.renew_time;
    seen.managed && !seen.moved && agent.is_none() && written_once && !record.holder.is_empty()
}
