//! What the election learns from answers: who holds the Lease, and what the writes of this process have earned.

use std::time::Duration;

use crate::attempt::{Attempt, Own, Purpose};
use crate::lease::{Lease, ResourceVersion};
use crate::protocol::{Action, Answer, Loss, State, Tenure};
use crate::time::{Moment, Now, Timestamp};

use super::{Election, Phase};

/// The most conflicts in a row that a leading or releasing candidate meets within a retry period.
const CONFLICTS_PER_RETRY_PERIOD: u32 = 8;

impl Election {
    pub(super) fn handle_get(&mut self, answer: Answer, seen: Option<ResourceVersion>, sent_at: Moment, now: Now) {
        self.doubt_watch(&answer);
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
                    self.observe_absence();
                    self.reconsider_creation(now);
                }
            }
            Answer::Refused { retry_after } => {
                self.look &= !self.knows_without_a_look();
                self.pause_after(sent_at, retry_after);
            }
            Answer::Conflict | Answer::Unknown => self.pause_after(sent_at, None),
        }
    }

    /// Whether a candidate that may not read the Lease goes by the version that it knows. A write that names an
    /// outdated version only meets a conflict. A release does so only if writes of unknown fate exist, and each of them
    /// replaces an earlier version.
    fn knows_without_a_look(&self) -> bool {
        let Some(lease) = self.view.lease() else { return false };
        match self.phase {
            Phase::Candidate | Phase::Leading { .. } => true,
            Phase::Retracting | Phase::Releasing { .. } | Phase::Finished => {
                !self.attempts.is_empty()
                    && self.attempts.iter().all(|attempt| attempt.replaces < lease.resource_version)
            }
        }
    }

    /// Asks for a new watch if `answer` shows why a takeover failed and the watch still does not show it. A watch that
    /// works may be slower than that answer, which all but one of a hundred candidates get.
    fn doubt_watch(&mut self, answer: &Answer) {
        let read = match answer {
            Answer::Found(lease) | Answer::Stored(lease) => Some(lease.resource_version),
            Answer::NotFound => None,
            Answer::Conflict | Answer::Refused { .. } | Answer::Unknown => return,
        };
        if let overtaken @ Some(_) = self.overtaken.take()
            && self.view.lease().map(|lease| lease.resource_version) == overtaken
            && read != overtaken
        {
            self.actions.push_back(Action::Rewatch);
        }
    }

    /// Takes in the answer to a creation, which earns nothing (rule F3).
    pub(super) fn handle_create(&mut self, answer: Answer, sent_at: Moment, now: Now) {
        let conflicted = self.has_conflicted_before(&answer);
        match answer {
            Answer::Stored(lease) | Answer::Found(lease) => {
                if self.view.is_news(lease.resource_version) {
                    self.observe(lease, now);
                }
                // Somebody may delete it as often as it is made.
                self.pause_after(sent_at, None);
            }
            Answer::NotFound | Answer::Conflict => {
                self.look = true;
                if conflicted {
                    self.pause_after(sent_at, None);
                }
            }
            Answer::Unknown => {
                self.look = true;
                self.pause_after(sent_at, None);
            }
            Answer::Refused { retry_after } => {
                self.creation_refused_at = Some(sent_at);
                self.pause_after(sent_at, retry_after);
            }
        }
    }

    /// Whether a second write in a row meets a conflict.
    fn has_conflicted_before(&mut self, answer: &Answer) -> bool {
        let conflicts = matches!(answer, Answer::Conflict | Answer::NotFound);
        std::mem::replace(&mut self.conflicted, conflicts) && conflicts
    }

    /// Lets a refused creation be tried again once a lease duration has passed. A candidate that may not create waits
    /// for another to do so: asking every retry period would only be a load.
    fn reconsider_creation(&mut self, now: Now) {
        let patience = self.timings.lease_duration();
        self.creation_refused_at = self.creation_refused_at.filter(|at| now.moment.longest_since(*at) < patience);
    }

    pub(super) fn handle_write(
        &mut self,
        answer: Answer,
        renew_time: Timestamp,
        replaces: ResourceVersion,
        sent_at: Moment,
        now: Now,
    ) {
        let conflicted = self.has_conflicted_before(&answer);
        self.failed_at = (answer == Answer::Unknown).then_some(sent_at);
        if answer == Answer::Unknown {
            self.begin_grace(now.moment);
        }
        match answer {
            Answer::Stored(lease) | Answer::Found(lease) => {
                if self.view.is_news(lease.resource_version) {
                    self.observe(lease.clone(), now);
                }
                // Rule L1. An answer to an attempt that was dropped meanwhile, for something else was seen, earns nothing either.
                let stored = lease.resource_version != replaces
                    && self.attempts.iter().any(|a| a.write.renew_time == renew_time && a.is_shown_by(&lease));
                // Whoever has given it up may be asked to lead again at any time.
                let released = lease.record.holder.is_empty() && lease.record.renew_time == Some(renew_time);
                if stored {
                    self.credit(&lease, now);
                } else if !released {
                    self.pause_after(sent_at, None);
                }
            }
            Answer::NotFound | Answer::Conflict => {
                self.look = true;
                if conflicted {
                    self.pause_after_conflict(sent_at);
                }
            }
            Answer::Unknown => {
                self.look = true;
                // A leader has no time to lose: with a renew deadline of two retry periods, a pause would be its end.
                if self.state() != State::Leading {
                    self.pause_after(sent_at, None);
                }
            }
            Answer::Refused { retry_after } => {
                self.forget(renew_time);
                self.pause_after(sent_at, retry_after);
            }
        }
    }

    /// Removes the attempt with this renewTime, which is known not to have been stored.
    fn forget(&mut self, renew_time: Timestamp) {
        self.attempts.retain(|attempt| attempt.write.renew_time != renew_time);
    }

    /// Sends nothing for a retry period after `sent_at`, or for the time that the server asked for if another attempt
    /// still fits after it.
    fn pause_after(&mut self, sent_at: Moment, asked: Option<Duration>) {
        let retry_period = self.timings.retry_period();
        let leading = matches!(self.phase, Phase::Leading { .. });
        let most =
            if leading { self.timings.request_timeout().max(retry_period) } else { self.timings.lease_duration() };
        self.pause = Some((sent_at, asked.unwrap_or(retry_period).clamp(retry_period, most)));
    }

    /// Pauses after a second conflict in a row: another client edits the Lease all the time. A candidate that leads or
    /// releases must be faster than the edits once before its time is over, so it tries more often than a standby.
    fn pause_after_conflict(&mut self, sent_at: Moment) {
        self.pause_after(sent_at, None);
        if matches!(self.phase, Phase::Leading { .. } | Phase::Releasing { .. }) {
            self.pause = Some((sent_at, self.timings.retry_period() / CONFLICTS_PER_RETRY_PERIOD));
        }
    }

    pub(super) fn observe(&mut self, lease: Lease, now: Now) {
        let was_paused = self.view.lease().is_some_and(|last| last.hints.paused);
        if was_paused && !lease.hints.paused {
            self.begin_grace(now.moment);
        }
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

    /// Takes over the timings of `lease`: the next attempt uses the set of the version that it updates (rule L6).
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

    pub(super) fn observe_absence(&mut self) {
        self.view.observe_absence();
        self.disown(Loss::Deleted);
    }

    /// Forgets this process's writes, and ends its tenure: the Lease shows something that this process did not write
    /// (rules L3, L5).
    fn disown(&mut self, loss: Loss) {
        self.own = None;
        self.attempts.clear();
        if let Phase::Leading { .. } = self.phase {
            self.lose(loss);
        }
    }

    /// Takes in that the store shows `lease`: the attempt that wrote it earns its validity (rules L1, L2).
    fn credit(&mut self, lease: &Lease, now: Now) {
        let Some(index) = self.attempts.iter().position(|attempt| attempt.is_shown_by(lease)) else { return };
        let Attempt { purpose, write, validity, .. } = self.attempts.remove(index);
        self.conflicted = false;
        // An attempt on an older version can no longer be stored. A later one still may, and if it asks others to wait for less
        // long it must be obeyed from now on (rule L6).
        self.attempts.retain(|attempt| attempt.replaces >= lease.resource_version);
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
