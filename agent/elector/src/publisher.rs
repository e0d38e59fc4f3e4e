//! What shows of a tenure, and what follows where it can be neither shown nor taken back.

use std::io;
use std::time::Duration;

use elector_election::{Now, Tenure, Validity};
use tracing::{error, info};

use crate::publication::Publication;

/// A publication and what it shows.
pub(crate) struct Publisher<'a> {
    publication: &'a mut dyn Publication,
    shown: Option<Validity>,
    failing: bool,
    retracting: Option<Retracting>,
}

/// Why a retraction is not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Retracting {
    /// It takes its time.
    Pending,
    /// It was refused, which was said.
    Failing,
}

impl<'a> Publisher<'a> {
    pub(crate) fn new(publication: &'a mut dyn Publication) -> Publisher<'a> {
        Publisher { publication, shown: None, failing: false, retracting: None }
    }

    /// Publishes the tenure or its new validity, unless that has passed: then retraction is about to be asked for.
    ///
    /// # Errors
    /// If what shows is not what holds and cannot be left for the next renewal to mend: the tenure should end.
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

    /// Passes on that the loop goes on.
    pub(crate) fn turned(&mut self, now: Now) {
        self.publication.turned(now);
    }

    /// Takes back what shows. Whether it is done.
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

    /// After how long to look again, if retraction only takes its time.
    pub(crate) fn pending(&self) -> Option<Duration> {
        self.retract_again().filter(|_| self.retracting == Some(Retracting::Pending))
    }

    /// After how long [`Publisher::retract`], which has been called in vain, is to be called again.
    pub(crate) fn retract_again(&self) -> Option<Duration> {
        self.retracting.map(|retracting| match retracting {
            Retracting::Pending => Duration::from_millis(5),
            Retracting::Failing => Duration::from_millis(100),
        })
    }
}
