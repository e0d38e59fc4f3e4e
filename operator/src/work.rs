//! What is remembered of an election between two plans: the parts that could not be written, and how long to wait.

use std::time::Duration;

use elector_crds::conditions::Reason;
use tracing::{debug, warn};

use crate::apply::Error as ApplyError;
use crate::index::{ClockReading, FailedWrite, FailedWrites, Part};
use crate::key::Key;
use elector_crds::event::ElectionEvent;

/// The longest wait after a failure.
pub(crate) const MAX_BACKOFF: Duration = Duration::from_secs(60);

/// The most refused events of an election that are kept to be created later.
const MAX_REFUSED_EVENTS: usize = 8;

/// The most names of created events that are kept while the status cannot be stored.
const MAX_CREATED_EVENTS: usize = 64;

/// How many plans in a row may write something for one election before it has to wait as it does after failures.
pub(crate) const MAX_WRITES_IN_A_ROW: u32 = 8;

/// The message about traffic objects that others change as often as the operator writes them.
const TAKEN_BACK: &str = "the Service, its EndpointSlices or the label on pods do not stay as they are written: somebody else changes \
                          them; see their managedFields";

/// What is remembered of an election between two plans.
#[derive(Debug, Default)]
pub(crate) struct Work {
    /// The uid of the election: another election of its name begins with nothing.
    pub(crate) uid: Option<String>,
    /// How many plans in a row wrote something.
    pub(crate) attempts: u32,
    /// How many attempts in a row came to nothing, because others undo them or the namespace is being deleted.
    pub(crate) failures: u32,
    /// The parts that could not be written.
    pub(crate) failed_writes: FailedWrites,
    /// The events that the API server has refused.
    pub(crate) refused_events: Vec<ElectionEvent>,
    /// The names of events that were created while the status could not be stored.
    pub(crate) created_events: Vec<String>,
    /// The time before which nothing is done.
    pub(crate) not_before: Duration,
    /// Set if the next plan is due at the Lease's expiry. If a renewal puts the expiry off, the plan is due at the
    /// inner time instead, if at all.
    pub(crate) awaits_expiry: Option<Option<Duration>>,
}

impl Work {
    /// Lets the next plan be made at once after one that wrote something, but slows down after several in a row: two
    /// writers that undo each other's work must not do so as fast as they can.
    pub(crate) fn pause(&mut self, now: ClockReading) {
        self.not_before = now.at + backoff(self.attempts.saturating_sub(MAX_WRITES_IN_A_ROW));
    }

    /// Forgets the failures of the parts that were `written`. A part that others undo is not in order because it was
    /// written once more.
    pub(crate) fn mend(&mut self, written: &[Part]) -> Vec<Part> {
        let is_mended = |part: &Part| self.failed_writes.of(*part).is_some_and(|failed| failed.message != TAKEN_BACK);
        let mended: Vec<Part> = written.iter().copied().filter(is_mended).collect();
        mended.iter().for_each(|part| self.failed_writes.remove(*part));
        mended
    }

    /// Slows down the writing of traffic objects that others change as often as the operator writes them. Other parts
    /// of the election do not wait.
    pub(crate) fn give_way(&mut self, parts: &[Part], now: ClockReading) {
        self.failures += 1;
        self.attempts = 0;
        self.not_before = now.at;
        let retry_at = now.at + backoff(self.failures);
        for part in parts {
            let message = TAKEN_BACK.to_owned();
            let failed = FailedWrite { reason: Reason::ReconcileFailed, message, retry_at, failures: self.failures };
            self.failed_writes.insert(*part, failed);
        }
    }

    /// Waits, because the namespace is being deleted.
    pub(crate) fn wait_for_end(&mut self, key: &Key, error: &ApplyError, now: ClockReading) {
        self.failures += 1;
        self.not_before = now.at + backoff(self.failures);
        debug!(election = %key, %error, "waiting until the namespace is deleted");
    }

    /// Notes that `part` could not be written. The status says why, and the other parts are written.
    pub(crate) fn fail(&mut self, key: &Key, part: Part, error: &ApplyError, patience: Duration, now: ClockReading) {
        let (message, last) = (error.to_string(), self.failed_writes.of(part));
        if last.is_none_or(|last| last.message != message) {
            warn!(election = %key, reason = %error.reason(), error = message, "failed to reconcile");
        }
        let failures = last.map_or(0, |last| last.failures) + 1;
        let retry_at = now.at + backoff(failures).min(patience);
        self.failed_writes.insert(part, FailedWrite { reason: error.reason(), message, retry_at, failures });
    }

    pub(crate) fn note_events(&mut self, created: Vec<String>, refused: Vec<ElectionEvent>, is_stored: bool) {
        self.refused_events.retain(|event| !created.contains(&event.name));
        for event in refused {
            self.refused_events.retain(|known| known.name != event.name);
            self.refused_events.push(event);
        }
        let excess = self.refused_events.len().saturating_sub(MAX_REFUSED_EVENTS);
        self.refused_events.drain(..excess);
        if is_stored {
            self.created_events.clear();
        } else {
            self.created_events.extend(created);
            let excess = self.created_events.len().saturating_sub(MAX_CREATED_EVENTS);
            self.created_events.drain(..excess);
        }
    }
}

/// The wait after failures: 1 s after the first, and twice as long after each further one; none without a failure.
fn backoff(failures: u32) -> Duration {
    match failures.checked_sub(1) {
        None => Duration::ZERO,
        Some(further) => Duration::from_secs(1 << further.min(6)).min(MAX_BACKOFF),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apply::Refusal;
    use elector_crds::event::EventReason;
    use jiff::Timestamp;

    fn at(second: u64) -> ClockReading {
        ClockReading { at: Duration::from_secs(second), wall: Timestamp::UNIX_EPOCH }
    }

    fn refused() -> ApplyError {
        ApplyError::Conflict("no".to_owned())
    }

    fn event(name: &str) -> ElectionEvent {
        ElectionEvent {
            name: name.to_owned(),
            reason: EventReason::LeaderElected,
            note: String::new(),
            asked_for: None,
            related_pod: None,
        }
    }

    #[test]
    fn each_part_waits_for_itself_and_longer_each_time() {
        let (key, mut work) = (Key::new("shop", "billing"), Work::default());
        let patience = Duration::from_secs(5);
        for (second, retry_at) in [(10, 11), (20, 22), (30, 34), (40, 45), (50, 55)] {
            work.fail(&key, Part::Role, &refused(), patience, at(second));
            assert_eq!(work.failed_writes.of(Part::Role).unwrap().retry_at, Duration::from_secs(retry_at));
        }
        work.fail(&key, Part::Service, &refused(), patience, at(50));
        assert_eq!(work.failed_writes.of(Part::Service).unwrap().retry_at, Duration::from_secs(51));
        assert!(work.failed_writes.allow(Part::Service, at(51).at) && !work.failed_writes.allow(Part::Role, at(51).at));
        assert_eq!(work.not_before, Duration::ZERO, "nothing else waits");
        // What is not asked for any more by then is forgotten.
        assert!(work.failed_writes.forget_over(at(52).at) && !work.failed_writes.forget_over(at(52).at));
        assert!(work.failed_writes.of(Part::Service).is_none() && work.failed_writes.of(Part::Role).is_some());
    }

    #[test]
    fn what_was_forbidden_is_tried_again_once_it_is_known_to_be_allowed() {
        let (key, mut work) = (Key::new("shop", "billing"), Work::default());
        let forbidden =
            ApplyError::Forbidden { what: "apply the Role", message: String::new(), refusal: Refusal::Rights };
        work.fail(&key, Part::Role, &forbidden, MAX_BACKOFF, at(10));
        work.fail(&key, Part::Lease, &refused(), MAX_BACKOFF, at(10));
        assert!(!work.failed_writes.retry(&[Part::Lease, Part::Service], at(10).at), "somebody else's stays so");
        assert!(work.failed_writes.retry(&[Part::Role], at(10).at));
        assert!(work.failed_writes.allow(Part::Role, at(10).at) && !work.failed_writes.allow(Part::Lease, at(10).at));
        assert_eq!(work.mend(&[Part::Role, Part::Hints]), [Part::Role]);
        work.give_way(&[Part::Service], at(10));
        assert_eq!(work.mend(&[Part::Service]), [], "others may take it back again");
    }

    #[test]
    fn refused_events_are_kept_until_they_are_created_and_not_without_end() {
        let mut work = Work::default();
        work.note_events(vec![], vec![event("a"), event("b"), event("a")], false);
        let names = |work: &Work| work.refused_events.iter().map(|event| event.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&work), ["b", "a"]);
        work.note_events(vec!["b".to_owned()], vec![], false);
        assert_eq!((names(&work), &work.created_events), (vec!["a".to_owned()], &vec!["b".to_owned()]));
        work.note_events((0..100).map(|number| number.to_string()).collect(), vec![], false);
        assert_eq!(work.created_events.len(), MAX_CREATED_EVENTS);
        work.note_events(vec![], (0..100).map(|number| event(&number.to_string())).collect(), true);
        assert_eq!((work.refused_events.len(), work.created_events.len()), (MAX_REFUSED_EVENTS, 0));
        assert_eq!(names(&work).last().map(String::as_str), Some("99"));
    }

    #[test]
    fn what_is_taken_back_waits_and_all_else_goes_on() {
        let mut work = Work { attempts: 9, ..Work::default() };
        work.give_way(&[Part::Service], at(10));
        assert!(
            !work.failed_writes.allow(Part::Service, at(10).at) && work.failed_writes.allow(Part::Label, at(10).at)
        );
        assert_eq!((work.attempts, work.not_before), (0, at(10).at));
        assert_eq!([0, 1, 2, 7, 99].map(|failures| backoff(failures).as_secs()), [0, 1, 2, 60, 60]);
    }
}
