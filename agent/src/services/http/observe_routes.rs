//! The HTTP server of metrics and probes, at OBSERVE_ADDRESS.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use elector_program::server::exposition::Format;
use leader_elector::clock;
use leader_elector::status::PULSE;
use tokio::sync::watch;

use super::ServedAddresses;
use crate::services::metrics::Metrics;
use crate::services::snapshot::Snapshot;

#[derive(Clone)]
struct Observed {
    snapshot: watch::Receiver<Snapshot>,
    metrics: Arc<Metrics>,
    served: ServedAddresses,
}

pub(super) fn router(snapshot: watch::Receiver<Snapshot>, metrics: Arc<Metrics>, served: ServedAddresses) -> Router {
    Router::new()
        .route("/metrics", get(show))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .with_state(Observed { snapshot, metrics, served })
}

async fn show(State(Observed { snapshot, metrics, served }): State<Observed>, headers: HeaderMap) -> Response {
    let format = Format::accepted_by(&headers);
    match clock::now() {
        Ok(now) => {
            let text = metrics.encode(&snapshot.borrow(), &served.each(), now);
            ([(header::CONTENT_TYPE, format.content_type())], format.of(text)).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// The liveness probe. It fails only if a restart would help: the election's loop has not turned for long. It does not
/// fail because the API server is away, or because another pod leads.
async fn healthz(State(Observed { snapshot, .. }): State<Observed>) -> (StatusCode, &'static str) {
    let turned_at = snapshot.borrow().turned_at;
    let late = clock::now().is_ok_and(|now| now.moment.boottime > turned_at + PULSE);
    if late { (StatusCode::SERVICE_UNAVAILABLE, "hangs") } else { (StatusCode::OK, "ok") }
}

/// The readiness probe: whether this candidate could lead. It has seen the Lease, nothing keeps it from contending, and
/// all its servers listen.
async fn readyz(State(Observed { snapshot, served, .. }): State<Observed>) -> (StatusCode, &'static str) {
    let snapshot = snapshot.borrow();
    match snapshot.problem {
        Some(problem) => (StatusCode::SERVICE_UNAVAILABLE, problem),
        None if !snapshot.has_seen => (StatusCode::SERVICE_UNAVAILABLE, "NoLeaseSeen"),
        None if !served.all() => (StatusCode::SERVICE_UNAVAILABLE, "NotListening"),
        None => (StatusCode::OK, "ok"),
    }
}

#[cfg(test)]
mod tests {
    use leader_elector::observer::LeaseView;
    use leader_elector::status::Author;
    use std::time::Duration;

    use super::*;

    const NOTHING: LeaseView<'_> =
        LeaseView { holder: None, transitions: 0, age: Duration::ZERO, expires_in: Duration::ZERO, problem: None };

    /// Asks both probes of a process that began at `began` and whose loop has turned at the given time, or never.
    async fn asked(began: Duration, turned: Option<(Duration, LeaseView<'_>)>) -> [(StatusCode, &'static str); 2] {
        let author = Author {
            hostname: String::new(),
            identity: "a".to_owned(),
            namespace: String::new(),
            lease: "a".to_owned(),
            start: String::new(),
        };
        let ago = |time: Duration| {
            let mut now = clock::now().unwrap();
            now.moment.boottime -= time;
            now
        };
        let mut snapshot = Snapshot::new(author, ago(began));
        if let Some((turned, view)) = turned {
            snapshot.see(&view, ago(turned));
        }
        let (_sender, snapshot) = watch::channel(snapshot);
        let served = ServedAddresses::default();
        let observed = Observed { snapshot, metrics: Arc::new(Metrics::new("a")), served };
        [healthz(State(observed.clone())).await, readyz(State(observed)).await]
    }

    #[tokio::test]
    async fn a_loop_that_does_not_turn_is_to_be_restarted_and_trouble_is_not() {
        let (now, late) = (Duration::ZERO, PULSE + Duration::from_secs(1));
        let (ok, unavailable) = ((StatusCode::OK, "ok"), StatusCode::SERVICE_UNAVAILABLE);
        let view = LeaseView { holder: Some(""), ..NOTHING };
        assert_eq!(asked(late, Some((now, view))).await, [ok; 2]);
        assert_eq!(asked(late, Some((late, view))).await[0], (unavailable, "hangs"));
        let problem = LeaseView { problem: Some("Unreachable"), ..view };
        assert_eq!(asked(late, Some((now, problem))).await, [ok, (unavailable, "Unreachable")]);
        assert_eq!(asked(late, Some((now, NOTHING))).await, [ok, (unavailable, "NoLeaseSeen")]);
    }

    #[tokio::test]
    async fn a_loop_that_never_turns_is_found_too() {
        let (now, late) = (Duration::ZERO, PULSE + Duration::from_secs(1));
        let unavailable = StatusCode::SERVICE_UNAVAILABLE;
        assert_eq!(asked(now, None).await, [(StatusCode::OK, "ok"), (unavailable, "NoLeaseSeen")]);
        assert_eq!(asked(late, None).await[0], (unavailable, "hangs"));
    }
}
