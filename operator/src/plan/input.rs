//! Everything that a plan is made from, and when the plan would be another one.

use std::cell::Cell;
use std::time::Duration;

use elector_crds::{LeaderElection, PastTenure};
use elector_election::Timings;

use super::lease::{Ownership, ownership};
use crate::index::{ClockReading, ElectionSnapshot, LeaseSeen, Part, TenurePhase, own_duration, phase};

/// Everything that the plan for one election is made from.
///
/// A rule that says "not yet" asks [`PlanInput::is_due`], which notes until when, so that the plan is made again by then.
pub(super) struct PlanInput<'a> {
    pub(super) election: &'a LeaderElection,
    pub(super) snapshot: &'a ElectionSnapshot,
    pub(super) ownership: Ownership<'a>,
    pub(super) now: ClockReading,
    /// The earliest time at which a rule says something else.
    due: Cell<Option<Duration>>,
}

impl<'a> PlanInput<'a> {
    pub(super) fn new(
        election: &'a LeaderElection,
        snapshot: &'a ElectionSnapshot,
        now: ClockReading,
    ) -> PlanInput<'a> {
        let ownership = ownership(election, snapshot);
        let input = PlanInput { election, snapshot, ownership, now, due: Cell::new(None) };
        // What was tried and is not asked for any more is forgotten by then.
        snapshot.failed_writes.all().for_each(|failed| input.wake_at(failed.retry_at));
        input
    }

    /// The Lease, if the operator looks after it.
    pub(super) fn ours(&self) -> Option<&'a LeaseSeen> {
        self.ownership.ours()
    }

    /// How long candidates wait at least for a silent holder.
    pub(super) fn own_duration(&self) -> Duration {
        own_duration(&self.election.spec)
    }

    /// What the Lease shows now.
    pub(super) fn phase(&self, seen: &LeaseSeen) -> TenurePhase {
        phase(seen, self.own_duration(), self.now)
    }

    /// When the Lease expires unless it is renewed. `None` if nothing is waited for.
    fn expiry(&self) -> Option<Duration> {
        let seen = self.ours()?;
        match self.phase(seen) {
            TenurePhase::Held | TenurePhase::NotObserved | TenurePhase::WaitingOut => {
                Some(seen.seen_at + seen.effective_duration(self.own_duration()))
            }
            TenurePhase::NeverHeld | TenurePhase::Released | TenurePhase::Expired => None,
        }
    }

    /// The timings that are asked for. `None` if the spec is invalid or cannot be read.
    pub(super) fn timings(&self) -> Option<Timings> {
        self.election.spec.timings().ok().filter(|_| self.snapshot.unreadable.is_none())
    }

    /// The last tenures by the stored status, the latest first.
    pub(super) fn history(&self) -> &'a [PastTenure] {
        self.election.status.as_ref().map_or(&[], |status| &status.history)
    }

    /// Whether the time `at` has come. If it has not, the plan is made again at that time.
    pub(super) fn is_due(&self, at: Duration) -> bool {
        self.wake_at(at);
        at <= self.now.at
    }

    /// Has the plan made again at the time `at`, if that is to come.
    pub(super) fn wake_at(&self, at: Duration) {
        if at > self.now.at {
            self.due.set(Some(self.due.get().map_or(at, |earlier| earlier.min(at))));
        }
    }

    /// Whether `part` may be written now.
    pub(super) fn may(&self, part: Part) -> bool {
        self.snapshot.failed_writes.allow(part, self.now.at)
    }

    /// When to look again even if nothing is seen to happen.
    pub(super) fn next_look(&self) -> Option<Duration> {
        self.expiry().into_iter().chain(self.due.get()).min()
    }

    /// The same if the Lease goes on being renewed.
    pub(super) fn next_look_if_renewed(&self) -> Option<Duration> {
        self.due.get()
    }
}
