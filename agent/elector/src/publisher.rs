//! Publishes a tenure, and handles failures to publish it or to take it back.

use std::io;
use std::time::Duration;

use elector_election::{Now, Tenure, Validity};
use tracing::{error, info};

use crate::publication::Publication;

/// The time between two looks at a retraction that only takes its time.
const PENDING_PERIOD: Duration = Duration::from_millis(5);

/// The time between two attempts at a retraction that fails.
const RETRY_PERIOD: Duration = Duration::from_millis(100);

/// A publication, and the validity that it shows.
pub(crate) struct Publisher<'a> {
    publication: &'a mut dyn Publication,
    shown: Option<Validity>,
    failing: bool,
    retracting: Option<Retracting>,
}

/// Why a retraction is not done yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Retracting {
    /// The retraction takes its time.
    Pending,
    /// The retraction was refused, which the log says.
    Failing,
}

impl<'a> Publisher<'a> {
    pub(crate) fn new(publication: &'a mut dyn Publication) -> Publisher<'a> {
        Publisher { publication, shown: None, failing: false, retracting: None }
    }

    /// Publishes the tenure or its new validity. Does nothing if the validity has passed: then the election is about to
    /// ask for retraction.
    ///
    /// # Errors
    /// If what is published is wrong, or would expire before the next renewal can mend it: the tenure should end.
    pub(crate) fn show(&mut self, tenure: &Tenure, now: Now) -> io::Result<()> {
        if tenure.validity.has_expired(now.moment) {
            return Ok(());
        }
        let result = match self.shown {
            Some(_) => self.publication.extend(tenure, now),
            // Part of it may show already when this fails.
            None => self.publication.publish(tenure, now),
        };
        let Err(error) = result else {
            self.shown = Some(tenure.validity);
            self.failing = false;
            return Ok(());
        };
        let can_wait = |shown: Validity| {
            !shown.has_expired(now.moment) && shown.until_boottime() <= tenure.validity.until_boottime()
        };
        if !self.shown.is_some_and(can_wait) {
            return Err(error);
        }
        if !self.failing {
            error!(%error, "failed to show how long leadership is valid: trying again at each renewal");
        }
        self.failing = true;
        Ok(())
    }

    /// Tells the publication that the campaign's loop has turned.
    pub(crate) fn turned(&mut self, now: Now) {
        self.publication.turned(now);
    }

    /// Takes back what was published. Returns whether that is done.
    pub(crate) fn retract(&mut self) -> bool {
        match self.publication.retract() {
            Ok(()) => {
                if self.retracting == Some(Retracting::Failing) {
                    info!("retracted leadership at last");
                }
                self.shown = None;
                self.failing = false;
                self.retracting = None;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.retracting = self.retracting.or(Some(Retracting::Pending));
            }
            Err(error) => {
                if self.retracting != Some(Retracting::Failing) {
                    error!(%error, "failed to retract leadership: trying until it is done");
                }
                self.retracting = Some(Retracting::Failing);
            }
        }
        self.retracting.is_none()
    }

    /// How long to wait before the next look at a retraction that only takes its time; `None` otherwise.
    pub(crate) fn pending(&self) -> Option<Duration> {
        self.retract_again().filter(|_| self.retracting == Some(Retracting::Pending))
    }

    /// How long to wait before [`Publisher::retract`] is called again; `None` if no retraction has failed.
    pub(crate) fn retract_again(&self) -> Option<Duration> {
        self.retracting.map(|retracting| match retracting {
            Retracting::Pending => PENDING_PERIOD,
            Retracting::Failing => RETRY_PERIOD,
        })
    }
}
