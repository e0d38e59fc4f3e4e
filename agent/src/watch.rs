//! The watch on one Lease, resumed for ever.

use std::pin::Pin;
use std::time::Duration;

use elector_crds::StoredLease;
use futures::{Stream, StreamExt as _};
use kube::api::Api;
use kube::runtime::watcher::{self, Event, watcher};
use tokio::time::Instant;

use crate::trouble::Trouble;

/// What the watch shows.
#[derive(Debug)]
pub(crate) enum Seen {
    Present(StoredLease),
    Deleted(StoredLease),
    /// It began, and there was no Lease.
    Empty,
    /// It began or goes on: nothing to see.
    Nothing,
    Failed(Trouble),
}

/// Watches a Lease by name. After a failure it waits a retry period before it goes on.
pub(crate) struct LeaseWatch {
    stream: Pin<Box<dyn Stream<Item = watcher::Result<Event<StoredLease>>> + Send>>,
    resume_at: Option<Instant>,
    any: bool,
}

impl LeaseWatch {
    pub(crate) fn open(leases: &Api<StoredLease>, name: &str) -> LeaseWatch {
        let config = watcher::Config::default().fields(&format!("metadata.name={name}")).streaming_lists();
        LeaseWatch { stream: watcher(leases.clone(), config).boxed(), resume_at: None, any: false }
    }

    /// Begins again on another client; after a failure no sooner than it would have.
    pub(crate) fn reopen(&mut self, leases: &Api<StoredLease>, name: &str) {
        let resume_at = self.resume_at;
        *self = LeaseWatch { resume_at, ..LeaseWatch::open(leases, name) };
    }

    /// Cancel safe.
    pub(crate) async fn next(&mut self, retry_period: Duration) -> Seen {
        if let Some(at) = self.resume_at {
            tokio::time::sleep_until(at).await;
            self.resume_at = None;
        }
        match self.stream.next().await {
            Some(Ok(Event::Apply(lease))) => Seen::Present(lease),
            Some(Ok(Event::InitApply(lease))) => {
                self.any = true;
                Seen::Present(lease)
            }
            Some(Ok(Event::Delete(lease))) => Seen::Deleted(lease),
            Some(Ok(Event::Init)) => {
                self.any = false;
                Seen::Nothing
            }
            Some(Ok(Event::InitDone)) if self.any => Seen::Nothing,
            Some(Ok(Event::InitDone)) => Seen::Empty,
            Some(Err(error)) => self.failed(&error, retry_period),
            // The stream never ends; if it did, waiting is what a dead watch calls for.
            None => std::future::pending().await,
        }
    }

    fn failed(&mut self, error: &watcher::Error, retry_period: Duration) -> Seen {
        self.resume_at = Some(Instant::now() + retry_period);
        Seen::Failed(match error {
            watcher::Error::WatchError(status) if status.code == 403 => Trouble::Forbidden("watch"),
            // The server forgot the version to resume from: a new watch begins by itself.
            watcher::Error::WatchError(status) if status.code == 410 => return Seen::Nothing,
            watcher::Error::WatchError(status) => Trouble::Refused(status.message.clone()),
            watcher::Error::InitialListFailed(error)
            | watcher::Error::WatchStartFailed(error)
            | watcher::Error::WatchFailed(error) => Trouble::of_error(error, "watch"),
            watcher::Error::NoResourceVersion => Trouble::Garbage(error.to_string()),
        })
    }
}
