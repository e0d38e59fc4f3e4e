//! When a candidate may take the Lease: at once, after an expiry, or later of its own accord.

use std::time::Duration;

use super::Election;
use super::requests::{Due, after};
use crate::attempt::Purpose;
use crate::time::Moment;

impl Election {
    /// The candidate's next request, or how long until it is due.
    pub(super) fn candidate_due(&self, now: Moment) -> Due {
        if !self.view.is_absent() && self.view.lease().is_none() {
            let patience = if self.polling { Duration::ZERO } else { self.timings.request_timeout() };
            return after(patience, now.longest_since(self.view.seen_at()), Due::Get);
        }
        let next = if self.view.is_absent() {
            self.creation_due(now)
        } else {
            after(self.wait(now), Duration::ZERO, Due::Write(Purpose::Acquire))
        };
        let Due::In(wait) = next else { return next };
        if !self.polling {
            return next;
        }
        let since = self.looked_at.map_or(Duration::MAX, |at| now.longest_since(at));
        match after(self.timings.retry_period(), since, Due::Get) {
            Due::In(look) => Due::In(look.min(wait)),
            due @ (Due::Nothing | Due::Get | Due::Create | Due::Write(_)) => due,
        }
    }

    /// When to create a missing Lease: at once, unless a creation was refused. Then a read comes first, a lease
    /// duration later: a candidate that may not create would otherwise never learn of a Lease that a silent watch does
    /// not show.
    fn creation_due(&self, now: Moment) -> Due {
        let Some(refused_at) = self.creation_refused_at else { return Due::Create };
        after(self.timings.lease_duration(), now.longest_since(refused_at), Due::Get)
    }

    /// How long this candidate must leave the Lease alone (rules F2, F3, L5), and then a grace of its own accord (rule
    /// F4).
    pub(super) fn wait(&self, now: Moment) -> Duration {
        let grace = self.grace();
        if grace.is_none() && self.own_lease().is_some() {
            return Duration::ZERO;
        }
        let grace = grace.unwrap_or_default();
        let others = self.grace_from.map(|from| grace.saturating_sub(now.shortest_since(from)));
        self.expires_in(grace, now).max(others.unwrap_or_default())
    }

    /// Starts the grace anew. Until now others could not take the Lease, or this process did not hear of it, so a grace
    /// that has passed meanwhile does not count.
    pub(super) fn begin_grace(&mut self, now: Moment) {
        self.grace_from = self.reluctance.map(|_| now);
    }

    /// How long, beyond the wait, this candidate leaves the Lease to others; `None`: not at all (rule F4).
    pub(super) fn grace(&self) -> Option<Duration> {
        let hints = self.view.lease().map(|lease| (&lease.hints, lease.record.transitions));
        let hinted = hints.and_then(|(hints, transitions)| {
            let anothers = hints.successor.as_ref().is_some_and(|successor| *successor != self.identity);
            // Only for the very next tenure.
            let handed_over = self.handed_over == Some(transitions) && hints.end_tenure == Some(transitions);
            if hints.paused {
                Some(Duration::MAX)
            } else if anothers || handed_over {
                Some(self.timings.retry_period())
            } else {
                None
            }
        });
        self.reluctance.max(hinted)
    }

    /// How long an unknown or silent holder must still be waited for, and then `grace`.
    pub(super) fn expires_in(&self, grace: Duration, now: Moment) -> Duration {
        self.view.remaining(self.timings.lease_duration_seconds(), grace, now)
    }
}
