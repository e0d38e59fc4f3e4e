//! The HTTP endpoints `/healthz`, `/readyz` and `/metrics`.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use elector_program::server::exposition::Format;
use tokio::sync::watch;

use crate::heartbeat::Heartbeat;
use crate::metrics::Metrics;

/// The routes of this replica. `loops` are all loops that must turn, by name; `ready` tells of each controller whether
/// it has seen everything.
pub fn router(loops: Vec<(&'static str, Heartbeat)>, ready: Vec<watch::Receiver<bool>>, metrics: Metrics) -> Router {
    Router::new()
        .merge(Router::new().route("/healthz", get(healthz)).with_state(Arc::new(loops)))
        .merge(Router::new().route("/readyz", get(readyz)).with_state(ready))
        .merge(Router::new().route("/metrics", get(show)).with_state(Arc::new(metrics)))
}

/// The liveness probe. It fails only if a restart would help: a loop has not turned for long.
async fn healthz(State(loops): State<Arc<Vec<(&'static str, Heartbeat)>>>) -> (StatusCode, String) {
    match loops.iter().find(|(_, heartbeat)| heartbeat.is_late()) {
        Some((name, _)) => (StatusCode::SERVICE_UNAVAILABLE, format!("the {name} hangs")),
        None => (StatusCode::OK, "ok".to_owned()),
    }
}

/// The readiness probe. A replica is ready once it has seen everything, whether it writes or stands by.
async fn readyz(State(ready): State<Vec<watch::Receiver<bool>>>) -> (StatusCode, &'static str) {
    if ready.iter().all(|ready| *ready.borrow()) {
        (StatusCode::OK, "ok")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "still listing")
    }
}

async fn show(State(metrics): State<Arc<Metrics>>, headers: HeaderMap) -> Response {
    let format = Format::accepted_by(&headers);
    ([(header::CONTENT_TYPE, format.content_type())], Body::from_stream(metrics.read(format))).into_response()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_does_not_turn_is_named_after_half_a_minute() {
        let (election, controller) = (Heartbeat::new(), Heartbeat::new());
        let loops = Arc::new(vec![("election", election.clone()), ("controller", controller.clone())]);
        let ok = (StatusCode::OK, "ok".to_owned());
        let asked = async || healthz(State(Arc::clone(&loops))).await;
        for _ in 0..2 {
            advance(Duration::from_secs(30)).await;
            assert_eq!(asked().await, ok);
            election.beat();
            controller.beat();
        }
        advance(Duration::from_secs(20)).await;
        election.beat();
        advance(Duration::from_secs(11)).await;
        assert_eq!(asked().await, (StatusCode::SERVICE_UNAVAILABLE, "the controller hangs".to_owned()));
        controller.beat();
        assert_eq!(asked().await, ok);
    }
}
