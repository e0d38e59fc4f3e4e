//! The watch on one Lease, which is resumed for ever.

use std::pin::Pin;
use std::time::Duration;

use elector_crds::StoredLease;
use elector_election::Timings;
use futures::{Stream, StreamExt as _};
use kube::Client;
use kube::api::Api;
use kube::runtime::watcher::{self, Error, Event, watcher};
use tokio::time::Instant;

use crate::problem::Problem;
use crate::rate_limit::RateLimit;

/// What the watch shows.
#[derive(Debug)]
pub(crate) enum Seen {
    Present(StoredLease),
    Deleted(StoredLease),
    /// The watch began, and there was no Lease.
    Empty,
    /// An event that says nothing about the Lease.
    Nothing,
    Failed(Problem),
}

type Events = Pin<Box<dyn Stream<Item = watcher::Result<Event<StoredLease>>> + Send>>;

/// Watches a Lease by name. After a failure the watch waits before it begins again. After a stream that ends without a
/// failure it begins again at a limited rate.
pub(crate) struct LeaseWatch {
    leases: Api<StoredLease>,
    namespace: String,
    name: String,
    rate_limit: RateLimit,
    /// Whether the server may be able to begin a watch with the objects that exist (streaming lists). Servers before
    /// 1.32 cannot, nor can all later ones.
    streaming: bool,
    events: Events,
    resume_at: Option<Instant>,
    any: bool,
}

impl LeaseWatch {
    pub(crate) fn open(client: Client, namespace: &str, name: &str) -> LeaseWatch {
        let rate_limit = RateLimit::default();
        let leases = paced(client, &rate_limit, namespace);
        LeaseWatch {
            events: events(&leases, name, true),
            leases,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            rate_limit,
            streaming: true,
            resume_at: None,
            any: false,
        }
    }

    /// Begins the watch again at once.
    pub(crate) fn restart(&mut self) {
        self.events = events(&self.leases, &self.name, self.streaming);
        self.resume_at = None;
        self.any = false;
    }

    /// Begins the watch again with another client. After a failure it waits for as long as it would have without.
    pub(crate) fn move_to(&mut self, client: Client) {
        let resume_at = self.resume_at;
        self.leases = paced(client, &self.rate_limit, &self.namespace);
        self.restart();
        self.resume_at = resume_at;
    }

    /// Begins the watch again at once if it waits after a failure.
    pub(crate) fn resume(&mut self) {
        self.resume_at = None;
    }

    /// The next event. Cancel safe.
    pub(crate) async fn next(&mut self, timings: Timings) -> Seen {
        if let Some(at) = self.resume_at {
            tokio::time::sleep_until(at).await;
            self.resume_at = None;
        }
        match self.events.next().await {
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
            Some(Err(error)) => self.failed(&error, timings),
            // The stream never ends; if it did, waiting is what a dead watch calls for.
            None => std::future::pending().await,
        }
    }

    fn failed(&mut self, error: &Error, timings: Timings) -> Seen {
        match code(error) {
            Some(422) if self.streaming => {
                self.streaming = false;
                self.restart();
                return Seen::Nothing;
            }
            // Too old to resume from, said before the stream began: asking again for the same would never end.
            Some(410) => {
                self.restart();
                return Seen::Nothing;
            }
            // Meanwhile it is looked for by GET: asking more often would only double that.
            Some(403) => self.pause(timings.lease_duration()),
            Some(_) | None => self.pause(timings.retry_period()),
        }
        match error {
            Error::WatchError(status) => Seen::Failed(Problem::of_error(&kube::Error::Api(status.clone()), "watch")),
            Error::InitialListFailed(error) => Seen::Failed(Problem::of_error(error, "list")),
            Error::WatchStartFailed(error) | Error::WatchFailed(error) => {
                Seen::Failed(Problem::of_error(error, "watch"))
            }
            Error::NoResourceVersion => Seen::Failed(Problem::Garbage(error.to_string())),
        }
    }

    fn pause(&mut self, wait: Duration) {
        self.resume_at = Some(Instant::now() + wait);
    }
}

fn paced(client: Client, rate_limit: &RateLimit, namespace: &str) -> Api<StoredLease> {
    Api::namespaced(rate_limit.limit(client), namespace)
}

fn events(leases: &Api<StoredLease>, name: &str, streaming: bool) -> Events {
    let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let config = if streaming { config.streaming_lists() } else { config };
    watcher(leases.clone(), config).boxed()
}

fn code(error: &Error) -> Option<u16> {
    match error {
        Error::WatchError(status) => Some(status.code),
        Error::InitialListFailed(kube::Error::Api(status))
        | Error::WatchStartFailed(kube::Error::Api(status))
        | Error::WatchFailed(kube::Error::Api(status)) => Some(status.code),
        Error::InitialListFailed(_) | Error::WatchStartFailed(_) | Error::WatchFailed(_) | Error::NoResourceVersion => {
            None
        }
    }
}

#[cfg(test)]
mod tests;
