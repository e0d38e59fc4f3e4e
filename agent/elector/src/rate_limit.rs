//! Limits the rate of requests to a server that ends streams as soon as they begin.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use kube::Client;
use kube::client::ClientBuilder;
use tokio::time::{Instant, sleep_until};
use tower::{Layer, Service, service_fn};

/// How many requests may begin within [`PERIOD`].
const BURST: usize = 3;
/// The time within which [`BURST`] requests may begin.
const PERIOD: Duration = Duration::from_secs(3);

/// The times at which the last requests began; clones share them.
#[derive(Debug, Clone, Default)]
pub struct RateLimit {
    begun: Arc<Mutex<VecDeque<Instant>>>,
}

impl RateLimit {
    /// A client that sends each request through `client`, at its turn. Call it within a runtime.
    #[must_use]
    pub fn limit(&self, client: Client) -> Client {
        let namespace = client.default_namespace().to_owned();
        let send = service_fn(move |request| {
            let client = client.clone();
            async move { client.send(request).await }
        });
        ClientBuilder::new(send, namespace).with_layer(self).build()
    }

    /// Returns the time at which the next request may begin, and counts that request.
    fn next(&self, now: Instant) -> Instant {
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        let earliest = (begun.len() == BURST).then(|| begun.pop_front()).flatten();
        // Those that were given up before they began do not push the next ones off.
        let next = earliest.map_or(now, |earliest| now.max(earliest + PERIOD).min(now + PERIOD));
        begun.push_back(next);
        next
    }
}

impl<S> Layer<S> for RateLimit {
    type Service = RateLimited<S>;

    fn layer(&self, inner: S) -> RateLimited<S> {
        RateLimited { inner, rate_limit: self.clone() }
    }
}

/// A service whose requests wait until the rate limit lets them begin.
#[derive(Debug, Clone)]
pub struct RateLimited<S> {
    inner: S,
    rate_limit: RateLimit,
}

impl<S, R> Service<R> for RateLimited<S>
where
    S: Service<R> + Clone + Send + 'static,
    S::Future: Send,
    R: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: R) -> Self::Future {
        let clone = self.inner.clone();
        // The one that was polled is the one that is ready.
        let mut ready = std::mem::replace(&mut self.inner, clone);
        let turn = self.rate_limit.next(Instant::now());
        Box::pin(async move {
            sleep_until(turn).await;
            ready.call(request).await
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_begin_at_once_and_the_fourth_three_seconds_after_the_first() {
        let rate_limit = RateLimit::default();
        let now = Instant::now();
        let later = now + Duration::from_secs(1);
        assert_eq!([rate_limit.next(now), rate_limit.next(now), rate_limit.next(later)], [now, now, later]);
        assert_eq!(rate_limit.next(later), now + PERIOD);
        assert_eq!(rate_limit.next(later), now + PERIOD);
        assert_eq!(rate_limit.next(later), later + PERIOD);
        let much_later = later + 10 * PERIOD;
        assert_eq!(rate_limit.next(much_later), much_later);
    }

    #[test]
    fn those_that_never_began_do_not_push_the_next_off_for_ever() {
        let rate_limit = RateLimit::default();
        let now = Instant::now();
        for _ in 0..100 {
            assert!(rate_limit.next(now) <= now + PERIOD);
        }
    }
}
