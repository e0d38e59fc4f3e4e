//! `/healthz` and `/readyz`.

use std::io;
use std::net::SocketAddr;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// Answers for ever. Everything runs in one thread, so that an answer at all shows that the controller is not stuck.
///
/// # Errors
/// If the address cannot be listened on.
pub async fn serve(address: SocketAddr, ready: Vec<watch::Receiver<bool>>) -> io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    tracing::info!(address = %listener.local_addr()?, "serving /healthz and /readyz");
    let router =
        Router::new().route("/healthz", get(|| async { "ok" })).route("/readyz", get(readyz)).with_state(ready);
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
