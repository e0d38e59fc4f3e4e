//! The leadership of this replica: the replica that holds the operator's own Lease writes. It is elected like an agent.

use std::io;

use elector_election::{Now, Tenure, Validity};
use leader_elector::clock;
use leader_elector::publication::Publication;
use tokio::sync::watch;

use crate::heartbeat::Heartbeat;

/// Tells the controllers whether this replica may write, and its health endpoint whether the election goes on.
///
/// A loss stops writes before the Lease is released. A write that has left already is harmless: a Lease is written by
/// uid and resourceVersion, an event has a name that exists once, and the rest is applied to what both replicas would
/// make of the same election.
#[derive(Debug)]
pub struct Leadership {
    validity: watch::Sender<Option<Validity>>,
    heartbeat: Heartbeat,
}

/// Whether this replica leads, for no longer than the last renewal is valid: the election has a thread of its own,
/// which may hang while another replica takes over.
#[derive(Debug, Clone)]
pub struct Leading(watch::Receiver<Option<Validity>>);

impl Leadership {
    /// A pair of the publication and what the controllers look at. `heartbeat` is that of the election's loop.
    #[must_use]
    pub fn new(heartbeat: Heartbeat) -> (Leadership, Leading) {
        let (validity, receiver) = watch::channel(None);
        (Leadership { validity, heartbeat }, Leading(receiver))
    }
}

impl Leading {
    /// Whether this replica leads now.
    #[must_use]
    pub fn holds(&self) -> bool {
        let validity = *self.0.borrow();
        validity.is_some_and(|validity| clock::now().is_ok_and(|now| !validity.has_expired(now.moment)))
    }

    /// Completes when a tenure has begun or ended; renewals are left out.
    ///
    /// # Errors
    /// If the publication was dropped.
    pub async fn changed(&mut self) -> Result<(), watch::error::RecvError> {
        self.0.changed().await
    }
}

impl Publication for Leadership {
    fn publish(&mut self, tenure: &Tenure, _: Now) -> io::Result<()> {
        self.validity.send_replace(Some(tenure.validity));
        Ok(())
    }

    fn extend(&mut self, tenure: &Tenure, _: Now) -> io::Result<()> {
        self.validity.send_if_modified(|validity| {
            *validity = Some(tenure.validity);
            false
        });
        Ok(())
    }

    fn retract(&mut self) -> io::Result<()> {
        self.validity.send_replace(None);
        Ok(())
    }

    fn turned(&mut self, _: Now) {
        self.heartbeat.beat();
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::Duration;

    use elector_election::{ResourceVersion, Timestamp};
    use futures::FutureExt as _;

    use super::*;

    fn tenure(since: Now, lasting: Duration) -> Tenure {
        Tenure {
            uid: "u".to_owned(),
            fencing_token: ResourceVersion(1),
            acquire_time: Timestamp::from_microseconds(0),
            transitions: 1,
            validity: Validity { since: since.moment, lasting },
        }
    }

    /// The pair for a replica that leads for an hour, or does not lead.
    pub(crate) fn leading(leads: bool) -> (Leadership, Leading) {
        let (mut leadership, leading) = Leadership::new(Heartbeat::new());
        let now = clock::now().unwrap();
        if leads {
            leadership.publish(&tenure(now, Duration::from_secs(3600)), now).unwrap();
        }
        (leadership, leading)
    }

    #[tokio::test]
    async fn it_is_told_until_it_is_taken_back() {
        let (mut leadership, mut leading) = leading(true);
        assert!(leading.holds() && leading.changed().now_or_never().is_some());
        let now = clock::now().unwrap();
        leadership.extend(&tenure(now, Duration::from_secs(7200)), now).unwrap();
        assert!(leading.holds() && leading.changed().now_or_never().is_none(), "a renewal wakes nobody");
        leadership.retract().unwrap();
        assert!(!leading.holds() && leading.changed().now_or_never().is_some());
    }

    #[test]
    fn it_ends_by_itself_if_nobody_renews_it() {
        let (mut leadership, leading) = leading(true);
        let now = clock::now().unwrap();
        leadership.extend(&tenure(now, Duration::ZERO), now).unwrap();
        assert!(!leading.holds());
    }
}
