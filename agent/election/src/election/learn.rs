//! What the election makes of what it learns: who holds the Lease, and what its own writes have earned.

use std::time::Duration;

use crate::attempt::{Attempt, Own, Purpose};
use crate::lease::{Lease, ResourceVersion};
use crate::protocol::{Action, Answer, Loss, Tenure};
use crate::time::{Moment, Now, Timestamp};

use super::{Election, Phase};

impl Election {
    pub(super) fn handle_get(&mut self, answer: Answer, seen: Option<ResourceVersion>, sent_at: Moment, now: Now) {
        match answer {
            Answer::Found(lease) | Answer::Stored(lease) => {
                self.look = false;
                let version = lease.resource_version;
                if seen.is_some_and(|seen| version < seen) {
                    self.observe_rollback(lease, now);
                } else if self.view.is_news(version) {
                    self.observe(lease.clone(), now);
                    self.credit(&lease, now);
                } else if self.view.version() == Some(version) {
                    self.credit(&lease, now);
                } else {
                    // The watch has shown a later one while this was on its way.
                    self.view.observe_past(&lease);
                    self.look = !self.attempts.is_empty();
                }
            }
            Answer::NotFound => {
                self.look = self.view.version() != seen;
                if !self.look {
                    self.observe_absence(now);
                }
            }
            Answer::Refused { retry_after } => self.pause_after(sent_at, retry_after),
            Answer::Conflict | Answer::Unknown => self.pause_after(sent_at, None),
        }
    }

    pub(super) fn handle_write(
        &mut self,
        answer: Answer,
        renew_time: Timestamp,
        replaces: Option<ResourceVersion>,
        sent_at: Moment,
        now: Now,
    ) {
        let conflicts = matches!(answer, Answer::Conflict | Answer::NotFound);
        let conflicted = std::mem::replace(&mut self.conflicted, conflicts);
        match answer {
            Answer::Stored(lease) | Answer::Found(lease) => {
                if self.view.is_news(lease.resource_version) {
                    self.observe(lease.clone(), now);
                }
                // Rule L1. An answer to an attempt that was dropped meanwhile, for something else was seen, earns nothing either.
                let stored = Some(lease.resource_version) != replaces
                    && self.attempts.iter().any(|a| a.write.renew_time == renew_time && a.is_shown_by(&lease));
                if stored {
                    self.credit(&lease, now);
                } else {
                    self.pause_after(sent_at, None);
                }
            }
            Answer::NotFound | Answer::Conflict => {
                self.view.doubt_absence();
                self.look = true;
                if conflicted {
                    self.pause_after(sent_at, None);
                }
            }
            Answer::Unknown => {
                self.look = true;
                self.pause_after(sent_at, None);
            }
            Answer::Refused { retry_after } if replaces.is_none() => {
                self.forget(renew_time);
                // Whoever may not create waits for somebody else to: asking every retry period would only be a load.
                self.pause_after(sent_at, Some(retry_after.unwrap_or_default().max(self.timings.lease_duration())));
            }
            Answer::Refused { retry_after } => {
                self.forget(renew_time);
                self.pause_after(sent_at, retry_after);
            }
        }
    }

    /// The attempt is known not to have been stored.
    fn forget(&mut self, renew_time: Timestamp) {
        self.attempts.retain(|attempt| attempt.write.renew_time != renew_time);
    }

    /// Nothing is sent for a retry period, or for what the server asked for if that leaves time for another attempt.
    fn pause_after(&mut self, sent_at: Moment, asked: Option<Duration>) {
        let retry_period = self.timings.retry_period();
        let leading = matches!(self.phase, Phase::Leading { .. });
        let most =
            if leading { self.timings.request_timeout().max(retry_period) } else { self.timings.lease_duration() };
        self.pause = Some((sent_at, asked.unwrap_or(retry_period).clamp(retry_period, most)));
    }

    pub(super) fn observe(&mut self, lease: Lease, now: Now) {
        self.adopt_timings(&lease);
        let attempt = self.attempts.iter().find(|attempt| attempt.shares_tenure(&lease));
        let known = self.own.as_ref().is_some_and(|own| own.is(&lease));
        if !known {
            self.own = attempt.map(|attempt| Own::of(&lease, &attempt.write));
        }
        let loss = match (&self.own, self.view.lease()) {
            (Some(_), _) => None,
            (None, Some(last)) if last.record.uid != lease.record.uid => Some(Loss::Replaced),
            (None, _) if lease.record.holder.is_empty() => Some(Loss::Emptied),
            (None, _) => Some(Loss::HeldByAnother { holder: lease.record.holder.clone() }),
        };
        self.view.observe(lease, now.moment);
        if let Some(loss) = loss {
            self.disown(loss);
        }
    }

    /// Rule L6: the next attempt uses the set of the version that it updates.
    fn adopt_timings(&mut self, lease: &Lease) {
        if let Some(timings) = lease.timings {
            self.timings = timings;
        }
    }

    fn observe_rollback(&mut self, lease: Lease, now: Now) {
        self.adopt_timings(&lease);
        self.view.observe_rollback(lease, now.moment);
        self.disown(Loss::RolledBack);
    }

    pub(super) fn observe_absence(&mut self, now: Now) {
        self.view.observe_absence(now.moment);
        self.disown(Loss::Deleted);
    }

    /// Something that is not ours has been seen: nothing that we wrote before counts any more (rules L3, L5).
    fn disown(&mut self, loss: Loss) {
        self.own = None;
        self.attempts.clear();
        if let Phase::Leading { .. } = self.phase {
            self.lose(loss);
        }
    }

    /// Takes in that the store shows `lease`: it earns what the attempt that wrote it may earn (rules L1, L2).
    fn credit(&mut self, lease: &Lease, now: Now) {
        let Some(index) = self.attempts.iter().position(|attempt| attempt.is_shown_by(lease)) else { return };
        let Attempt { purpose, write, validity, .. } = self.attempts.remove(index);
        self.conflicted = false;
        // An attempt on an older version can no longer be stored. A later one still may, and if it asks others to wait for less
        // long it must be obeyed from now on (rule L6).
        self.attempts.retain(|attempt| attempt.replaces >= Some(lease.resource_version));
        let validity = self
            .attempts
            .iter()
            .map(|attempt| attempt.validity)
            .chain([validity])
            .min_by_key(|validity| validity.remaining(now.moment))
            .unwrap_or(validity);
        if validity.has_expired(now.moment) {
            return;
        }
        match (&mut self.phase, purpose) {
            (Phase::Candidate, Purpose::Acquire) => {
                let tenure = Tenure {
                    uid: lease.record.uid.clone(),
                    fencing_token: lease.resource_version,
                    acquire_time: write.acquire_time,
                    transitions: write.transitions,
                    validity,
                };
                self.actions.push_back(Action::Acquire(tenure.clone()));
                self.phase = Phase::Leading { tenure, renewed_at: validity.since };
            }
            (Phase::Leading { tenure, renewed_at }, Purpose::Renew) => {
                *renewed_at = validity.since;
                tenure.validity = validity;
                self.actions.push_back(Action::Extend(tenure.clone()));
            }
            // What was stored after its tenure had ended begins none (rule L4).
            (
                Phase::Candidate
                | Phase::Leading { .. }
                | Phase::Retracting
                | Phase::Releasing { .. }
                | Phase::Finished,
                Purpose::Acquire | Purpose::Renew | Purpose::Release,
            ) => {}
        }
    }
}
