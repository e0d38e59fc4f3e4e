//! For whoever observes: metrics and probes.

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
use crate::beside::metrics::Metrics;
use crate::beside::standing::Standing;

#[derive(Clone)]
struct Observed {
    standing: watch::Receiver<Standing>,
    metrics: Arc<Metrics>,
    served: ServedAddresses,
}

pub(super) fn router(standing: watch::Receiver<Standing>, metrics: Arc<Metrics>, served: ServedAddresses) -> Router {
    Router::new()
        .route("/metrics", get(show))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .with_state(Observed { standing, metrics, served })
}

async fn show(State(Observed { standing, metrics, served }): State<Observed>, headers: HeaderMap) -> Response {
    let format = Format::accepted_by(&headers);
    match clock::now() {
        Ok(now) => {
            let text = metrics.encode(&standing.borrow(), &served.each(), now);
            ([(header::CONTENT_TYPE, format.content_type())], format.of(text)).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// Fails only where a restart would help: the election's loop has not turned for long. Not when the API server is away, nor by who
/// leads.
async fn healthz(State(Observed { standing, .. }): State<Observed>) -> (StatusCode, &'static str) {
    let turned_at = standing.borrow().turned_at;
    let late = clock::now().is_ok_and(|now| now.moment.boottime > turned_at + PULSE);
    if late { (StatusCode::SERVICE_UNAVAILABLE, "hangs") } else { (StatusCode::OK, "ok") }
}

/// Whether this candidate could lead: it has seen the Lease, and nothing keeps it from contending, nor from telling of it.
async fn readyz(State(Observed { standing, served, .. }): State<Observed>) -> (StatusCode, &'static str) {
    let standing = standing.borrow();
    match standing.trouble {
        Some(trouble) => (StatusCode::SERVICE_UNAVAILABLE, trouble),
        None if !standing.has_seen => (StatusCode::SERVICE_UNAVAILABLE, "NoLeaseSeen"),
        None if !served.all() => (StatusCode::SERVICE_UNAVAILABLE, "NotListening"),
        None => (StatusCode::OK, "ok"),
    }
}

#[cfg(test)]
mod tests {
    use leader_elector::company::Sight;
    use leader_elector::status::Author;
    use std::time::Duration;

    use super::*;

    const NOTHING: Sight<'_> =
        Sight { holder: None, transitions: 0, age: Duration::ZERO, expires_in: Duration::ZERO, trouble: None };

    /// By a process that began and has turned so long ago, or never.
    async fn asked(began: Duration, turned: Option<(Duration, Sight<'_>)>) -> [(StatusCode, &'static str); 2] {
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
        let mut standing = Standing::new(author, ago(began));
        if let Some((turned, sight)) = turned {
            standing.see(&sight, ago(turned));
        }
        let (_sender, standing) = watch::channel(standing);
        let served = ServedAddresses::default();
        let observed = Observed { standing, metrics: Arc::new(Metrics::new("a")), served };
        [healthz(State(observed.clone())).await, readyz(State(observed)).await]
    }

    #[tokio::test]
    async fn a_loop_that_does_not_turn_is_to_be_restarted_and_trouble_is_not() {
        let (now, late) = (Duration::ZERO, PULSE + Duration::from_secs(1));
        let (ok, unavailable) = ((StatusCode::OK, "ok"), StatusCode::SERVICE_UNAVAILABLE);
        let sight = Sight { holder: Some(""), ..NOTHING };
        assert_eq!(asked(late, Some((now, sight))).await, [ok; 2]);
        assert_eq!(asked(late, Some((late, sight))).await[0], (unavailable, "hangs"));
        let trouble = Sight { trouble: Some("Unreachable"), ..sight };
        assert_eq!(asked(late, Some((now, trouble))).await, [ok, (unavailable, "Unreachable")]);
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
