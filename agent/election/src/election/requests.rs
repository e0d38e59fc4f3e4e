//! The requests that the election sends, and when.

use std::time::Duration;

use crate::attempt::{Attempt, Own, Purpose};
use crate::lease::{AgentMark, Lease, MAX_TRANSITIONS, Record, ReleaseMark, UNKNOWN_HOLDER, Write};
use crate::protocol::{Action, Loss, Request};
use crate::time::{Moment, Now, Timestamp, Validity};

use super::{Election, InFlightKind, Phase, REMEMBERED_ATTEMPTS};

/// The next request, or how long until it is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    In(Duration),
    Get,
    Create,
    Write(Purpose),
}

impl Election {
    pub(super) fn due(&self, now: Moment) -> Due {
        if self.in_flight.is_some() || matches!(self.phase, Phase::Retracting | Phase::Finished) {
            return Due::Nothing;
        }
        if let Some((since, lasting)) = self.pause {
            let wait = lasting.saturating_sub(now.longest_since(since));
            if !wait.is_zero() {
                return Due::In(wait);
            }
        }
        match &self.phase {
            Phase::Retracting | Phase::Finished => Due::Nothing,
            Phase::Candidate | Phase::Leading { .. } if self.look => Due::Get,
            Phase::Candidate => self.candidate_due(now),
            Phase::Leading { tenure, renewed_at } => {
                // The retry period may have been raised beyond what the tenure has left.
                let period = self.timings.retry_period().min(tenure.validity.lasting / 2);
                let wait = period.saturating_sub(now.longest_since(*renewed_at));
                // After a write that failed at once and a look that did not.
                let gap = period.min(self.timings.request_timeout());
                let wait = self.failed_at.map_or(wait, |at| wait.max(gap.saturating_sub(now.longest_since(at))));
                after(wait, Duration::ZERO, Due::Write(Purpose::Renew))
            }
            Phase::Releasing { .. } => {
                let since = self.retracted_at.map_or(Duration::MAX, |at| now.shortest_since(at));
                let next = if self.look { Due::Get } else { Due::Write(Purpose::Release) };
                after(self.timings.release_delay(), since, next)
            }
        }
    }

    /// Why this process must end its tenure; `None` if nothing asks for that (rule F4).
    pub(super) fn told_to_end(&mut self) -> Option<Loss> {
        let Phase::Leading { tenure, .. } = &self.phase else { return None };
        let hints = &self.view.lease()?.hints;
        if hints.paused {
            return Some(Loss::Paused);
        }
        let is_this = hints.end_tenure == Some(tenure.transitions);
        // Whoever is asked to hand over to itself has nothing to do.
        let to_itself = hints.successor.as_ref().is_some_and(|successor| *successor == self.identity);
        if !is_this || to_itself {
            return None;
        }
        self.handed_over = Some(tenure.transitions);
        Some(Loss::HandedOver)
    }

    pub(super) fn own_lease(&self) -> Option<(&Own, &Lease)> {
        let (own, lease) = (self.own.as_ref()?, self.view.lease()?);
        own.is(lease).then_some((own, lease))
    }

    /// Brings `valid_until` forward before a write with a shorter lease leaves: readers of that write may act on it at
    /// once (rule L6). Returns whether that was necessary.
    pub(super) fn shrink(&mut self, now: Now) -> bool {
        let validity = self.earnings(now);
        let Phase::Leading { tenure, .. } = &mut self.phase else { return false };
        let shrinks = tenure.validity.remaining(now.moment) > validity.lasting;
        if shrinks {
            tenure.validity = validity;
            self.actions.push_back(Action::Extend(tenure.clone()));
        }
        shrinks
    }

    /// The validity that a write earns if it leaves now and is stored.
    fn earnings(&self, now: Now) -> Validity {
        Validity { since: now.moment, lasting: self.timings.renew_deadline() }
    }

    /// The request that creates the Lease. It begins no tenure: the record names an unknown holder, and is waited out
    /// like any other (rule F3).
    pub(super) fn request_create(&mut self, now: Now) -> Request {
        let renew_time = self.next_renew_time(None, now);
        self.last_renew_time = Some(renew_time);
        let transitions = self.view.transitions();
        self.send(InFlightKind::Create, now);
        Request::Create(Write {
            holder: UNKNOWN_HOLDER.to_owned(),
            lease_duration_seconds: self.view.effective_duration_seconds(self.timings.lease_duration_seconds()),
            acquire_time: renew_time,
            renew_time,
            transitions,
            agent: AgentMark { start: self.start.clone(), transitions, release: None },
        })
    }

    /// The write for `purpose`. `None` without a Lease: then no write is due.
    pub(super) fn request_write(&mut self, purpose: Purpose, now: Now) -> Option<Request> {
        let base = self.view.lease()?;
        let renew_time = self.next_renew_time(Some(&base.record), now);
        let write = match purpose {
            Purpose::Acquire => self.acquisition(base, renew_time),
            Purpose::Renew => self.renewal(base, renew_time),
            Purpose::Release => self.release(base, renew_time),
        };
        let (uid, replaces) = (base.record.uid.clone(), base.resource_version);
        let after_expiry = purpose == Purpose::Acquire && !self.view.is_free() && self.own_lease().is_none();
        self.last_renew_time = Some(renew_time);
        if self.attempts.len() == REMEMBERED_ATTEMPTS {
            self.attempts.remove(0);
        }
        let validity = self.earnings(now);
        self.attempts.push(Attempt { purpose, uid: uid.clone(), replaces, write: write.clone(), validity });
        self.send(InFlightKind::Write { renew_time, replaces, after_expiry }, now);
        Some(Request::Update { uid, resource_version: replaces, write })
    }

    /// The write that begins a new tenure, also for an identity that held the last one.
    fn acquisition(&self, base: &Lease, renew_time: Timestamp) -> Write {
        let stored = base.record.transitions;
        let transitions = if stored >= MAX_TRANSITIONS { 1 } else { stored + 1 };
        self.holding(renew_time, transitions, renew_time)
    }

    fn renewal(&self, base: &Lease, renew_time: Timestamp) -> Write {
        let tenure = self.own.as_ref().map(|own| (own.acquire_time(), own.transitions()));
        match tenure {
            Some((acquire_time, transitions)) => self.holding(acquire_time, transitions, renew_time),
            None => self.acquisition(base, renew_time),
        }
    }

    fn holding(&self, acquire_time: Timestamp, transitions: u32, renew_time: Timestamp) -> Write {
        Write {
            holder: self.identity.clone(),
            lease_duration_seconds: self.timings.lease_duration_seconds(),
            acquire_time,
            renew_time,
            transitions,
            agent: AgentMark { start: self.start.clone(), transitions, release: None },
        }
    }

    /// The write that releases the Lease: in client-go's form, with the mark by which our agents know a release.
    fn release(&self, base: &Lease, renew_time: Timestamp) -> Write {
        let transitions = base.record.transitions;
        let release = Some(ReleaseMark { uid: base.record.uid.clone(), transitions, renew_time });
        Write {
            holder: String::new(),
            lease_duration_seconds: 1,
            acquire_time: renew_time,
            renew_time,
            transitions,
            agent: AgentMark { start: self.start.clone(), transitions, release },
        }
    }

    /// A renewTime unlike the stored one, and later than all that this process has written, whatever the wall clock
    /// does (rule L2).
    fn next_renew_time(&self, stored: Option<&Record>, now: Now) -> Timestamp {
        let time = self.last_renew_time.map_or(now.wall, |last| now.wall.max(last.next()));
        if stored.is_some_and(|record| record.renew_time == Some(time)) { time.next() } else { time }
    }
}

/// `then` once `elapsed` has reached `period`; until then, the time that is left.
pub(super) fn after(period: Duration, elapsed: Duration, then: Due) -> Due {
    let wait = period.saturating_sub(elapsed);
    if wait.is_zero() { then } else { Due::In(wait) }
}
