//! What shows of a tenure, and what follows where it can be neither shown nor taken back.

use std::io;

use elector_election::{Now, Tenure, Validity};
use tracing::{error, info};

use crate::driver::Publication;

/// A publication and what it shows.
pub(crate) struct Stage<'a> {
    publication: &'a mut dyn Publication,
    shown: Option<Validity>,
    failing: bool,
    retracting: bool,
}

impl<'a> Stage<'a> {
    pub(crate) fn new(publication: &'a mut dyn Publication) -> Stage<'a> {
        Stage { publication, shown: None, failing: false, retracting: false }
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

    /// Takes back what shows. Whether it is done.
    pub(crate) fn retract(&mut self) -> bool {
        match self.publication.retract() {
            Ok(()) => {
                if self.retracting {
                    info!("retracted leadership at last");
                }
                self.shown = None;
                self.failing = false;
                self.retracting = false;
            }
            Err(error) => {
                if !self.retracting {
                    error!(%error, "failed to retract leadership: trying until it is done");
                }
                self.retracting = true;
            }
        }
        !self.retracting
    }

    /// Whether [`Stage::retract`] has been called in vain.
    pub(crate) fn is_retracting(&self) -> bool {
        self.retracting
    }
}
