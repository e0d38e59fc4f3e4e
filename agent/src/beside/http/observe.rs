//! For whoever observes: metrics and probes.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use elector_agent::clock;
use elector_agent::status::PULSE;
use tokio::sync::watch;

use crate::beside::metrics::Metrics;
use crate::beside::standing::Standing;

/// As Prometheus negotiates it.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Clone)]
struct Observed {
    standing: watch::Receiver<Standing>,
    metrics: Arc<Metrics>,
}

pub(super) fn router(standing: watch::Receiver<Standing>, metrics: Arc<Metrics>) -> Router {
    Router::new()
        .route("/metrics", get(show))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .with_state(Observed { standing, metrics })
}

async fn show(State(Observed { standing, metrics }): State<Observed>) -> Response {
    match clock::now() {
        Ok(now) => {
            let text = metrics.encode(&standing.borrow(), now);
            ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// Fails only where a restart would help: the election's loop has not turned for long. Not when the API server is away, nor by who
/// leads.
async fn healthz(State(Observed { standing, .. }): State<Observed>) -> (StatusCode, &'static str) {
    let turned_at = standing.borrow().turned_at;
    let late = clock::now().is_ok_and(|now| turned_at.is_some_and(|at| now.moment.boottime > at + PULSE));
    if late { (StatusCode::SERVICE_UNAVAILABLE, "hangs") } else { (StatusCode::OK, "ok") }
}

/// Whether this candidate could lead: it has seen the Lease, and nothing keeps it from contending.
async fn readyz(State(Observed { standing, .. }): State<Observed>) -> (StatusCode, &'static str) {
    let standing = standing.borrow();
    match standing.trouble {
        Some(trouble) => (StatusCode::SERVICE_UNAVAILABLE, trouble),
        None if !standing.has_seen => (StatusCode::SERVICE_UNAVAILABLE, "NoLeaseSeen"),
        None => (StatusCode::OK, "ok"),
    }
}
