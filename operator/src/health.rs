//! `/healthz`, `/readyz` and `/metrics`.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::metrics::{self, Metrics};

/// Answers for ever. Everything runs in one thread, so that an answer at all shows that the controller is not stuck.
///
/// # Errors
/// If the address cannot be listened on.
pub async fn serve(address: SocketAddr, ready: Vec<watch::Receiver<bool>>, metrics: Metrics) -> io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    tracing::info!(address = %listener.local_addr()?, "serving /metrics, /healthz and /readyz");
    let probes =
        Router::new().route("/healthz", get(|| async { "ok" })).route("/readyz", get(readyz)).with_state(ready);
    let router = probes.merge(Router::new().route("/metrics", get(show)).with_state(Arc::new(metrics)));
    axum::serve(listener, router).await
}

/// Ready is a replica that has seen everything once, whether it writes or stands by.
async fn readyz(State(ready): State<Vec<watch::Receiver<bool>>>) -> (StatusCode, &'static str) {
    if ready.iter().all(|ready| *ready.borrow()) {
        (StatusCode::OK, "ok")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "still listing")
    }
}

async fn show(State(metrics): State<Arc<Metrics>>) -> Response {
    ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], Body::from_stream(metrics.read())).into_response()
}
