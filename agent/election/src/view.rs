//! What a candidate has seen of the Lease, and what follows from it for taking over (rules F1–F3).

use std::time::Duration;

use crate::lease::{Lease, MAX_TRANSITIONS, ResourceVersion, effective_duration_seconds};
use crate::time::Moment;

/// The latest version of the Lease that was seen, and how long its record has been the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct View {
    known: Known,
    /// The time at which the record last changed (rule F1).
    seen_at: Moment,
    /// The longest that a holder of this tenure ever asked others to wait (rule F2).
    longest_duration_seconds: u32,
    /// The transitions of the last record seen, under any uid.
    transitions: u32,
    /// Whether no holder, no other uid and no absence has been seen (rule F3, never held).
    pristine: bool,
    /// Whether the last holder under this uid was an agent of ours; `None` before the first holder.
    last_holder: Option<HolderKind>,
    /// Whether the store or the record went back in time: another holder than the one it shows may lead.
    rolled_back: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[expect(clippy::large_enum_variant, reason = "there is one of it, in place")]
enum Known {
    Nothing,
    /// There is no Lease. The version is that of the Lease that was there before, if one was seen.
    Absent(Option<ResourceVersion>),
    Present(Lease),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum HolderKind {
    Agent,
    Foreign,
}

impl View {
    pub(crate) fn new(now: Moment) -> View {
        View {
            known: Known::Nothing,
            seen_at: now,
            longest_duration_seconds: 0,
            transitions: 0,
            pristine: true,
            last_holder: None,
            rolled_back: false,
        }
    }

    pub(crate) fn lease(&self) -> Option<&Lease> {
        match &self.known {
            Known::Present(lease) => Some(lease),
            Known::Nothing | Known::Absent(_) => None,
        }
    }

    pub(crate) fn is_absent(&self) -> bool {
        match self.known {
            Known::Absent(_) => true,
            Known::Nothing | Known::Present(_) => false,
        }
    }

    /// The latest version seen, of a Lease that may be gone by now.
    pub(crate) fn version(&self) -> Option<ResourceVersion> {
        match &self.known {
            Known::Nothing => None,
            Known::Absent(last) => *last,
            Known::Present(lease) => Some(lease.resource_version),
        }
    }

    /// Whether `version` is later than the latest version seen.
    pub(crate) fn is_news(&self, version: ResourceVersion) -> bool {
        self.version().is_none_or(|known| version > known)
    }

    /// When the record was first seen as it is now; before any Lease was seen, the beginning.
    pub(crate) fn seen_at(&self) -> Moment {
        self.seen_at
    }

    /// Takes in a newer version.
    pub(crate) fn observe(&mut self, lease: Lease, now: Moment) {
        let duration = lease.lease_duration_seconds;
        let held = !lease.record.holder.is_empty();
        let mut next_tenure = false;
        let mut same_record = false;
        let mut same_tenure = false;
        let mut rolled_back = false;
        if let Known::Present(last) = &self.known {
            let same_uid = last.record.uid == lease.record.uid;
            if !same_uid {
                self.pristine = false;
                self.last_holder = None;
            }
            next_tenure = lease.begins_tenure_after(last);
            same_record = last.record == lease.record;
            same_tenure = same_uid
                && last.record.holder == lease.record.holder
                && last.record.acquire_time == lease.record.acquire_time;
            let counted_anew = last.record.transitions == MAX_TRANSITIONS && lease.record.transitions == 1;
            rolled_back = same_uid && lease.record.transitions < last.record.transitions && !counted_anew;
        }
        if !same_record {
            self.seen_at = now;
            self.rolled_back = rolled_back;
        }
        self.longest_duration_seconds =
            if next_tenure { duration } else { self.longest_duration_seconds.max(duration) };
        self.transitions = lease.record.transitions;
        if held {
            self.pristine = false;
            // Whoever edits the mark or the transitions of an agent's record makes no other holder of it.
            let was_agent = same_tenure && self.last_holder == Some(HolderKind::Agent);
            let is_agent = was_agent || lease.is_written_by_agent();
            self.last_holder = Some(if is_agent { HolderKind::Agent } else { HolderKind::Foreign });
        }
        self.known = Known::Present(lease);
    }

    /// Takes in an older version that the store holds now: the store was restored from a backup.
    pub(crate) fn observe_rollback(&mut self, lease: Lease, now: Moment) {
        self.known = Known::Nothing;
        self.observe(lease, now);
        self.seen_at = now;
        self.pristine = false;
        self.rolled_back = true;
    }

    /// Takes in the proof that there is no such Lease.
    pub(crate) fn observe_absence(&mut self) {
        self.known = Known::Absent(self.version());
        self.pristine = false;
        self.last_holder = None;
        self.rolled_back = false;
    }

    /// Takes in a hint that there was no Lease, or another one. It proves nothing, but the Lease can no longer count as
    /// never held.
    pub(crate) fn doubt(&mut self) {
        self.pristine = false;
    }

    /// Takes in an older version than the latest. It tells only who held the Lease before.
    pub(crate) fn observe_past(&mut self, lease: &Lease) {
        let other_uid = self.lease().is_some_and(|known| known.record.uid != lease.record.uid);
        if other_uid || !lease.record.holder.is_empty() {
            self.doubt();
        }
    }

    /// Whether the Lease can be taken at once (rule F3).
    pub(crate) fn is_free(&self) -> bool {
        let Some(lease) = self.lease() else { return false };
        if self.rolled_back {
            return false;
        }
        let released_by_client_go =
            lease.looks_released() && !lease.is_written_by_agent() && self.last_holder == Some(HolderKind::Foreign);
        lease.is_released_by_agent() || released_by_client_go || (self.pristine && lease.is_untouched())
    }

    /// The transitions of the last record seen, under any uid; 0 before the first.
    pub(crate) fn transitions(&self) -> u32 {
        self.transitions
    }

    /// How much longer an unknown or silent holder must be waited for, given the candidate's own lease duration (rule
    /// F2), and then `grace`. `grace` alone where there is no holder to wait for.
    pub(crate) fn remaining(&self, own_duration_seconds: u32, grace: Duration, now: Moment) -> Duration {
        let seconds = if self.is_free() { 0 } else { self.effective_duration_seconds(own_duration_seconds) };
        let duration = Duration::from_secs(seconds.into()).saturating_add(grace);
        duration.saturating_sub(now.shortest_since(self.seen_at))
    }

    /// `D_eff`: the longest of the candidate's own lease duration, every duration seen in this tenure, and the
    /// operator's.
    pub(crate) fn effective_duration_seconds(&self, own_duration_seconds: u32) -> u32 {
        let least = self.lease().map_or(0, Lease::least_wait_seconds);
        effective_duration_seconds(self.longest_duration_seconds, own_duration_seconds, least)
    }
}
