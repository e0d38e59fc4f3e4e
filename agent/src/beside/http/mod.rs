//! The HTTP servers: one for the app, one for whoever observes.

mod app;
mod observe;

use std::io;
use std::net::{SocketAddr, TcpListener as Listener};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::time::sleep;

use super::metrics::Metrics;
use super::standing::Standing;

/// So many are served at a time, by each server: memory is what an agent has little of.
const CONNECTIONS: usize = 64;
/// Whoever has said nothing for so long makes room.
const IDLE: Duration = Duration::from_secs(10);
/// For each, in bytes: the least that there can be, and more than any request here has.
const BUFFER: usize = 8192;
/// After a connection could not be accepted, for want of descriptors, say.
const AGAIN: Duration = Duration::from_millis(100);

/// Where to listen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Addresses {
    /// For the app.
    pub(crate) app: Option<SocketAddr>,
    /// For metrics and probes.
    pub(crate) observe: Option<SocketAddr>,
}

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListenError {
    #[error("failed to listen on {address}: {source}; name another by {setting}")]
    Address { address: SocketAddr, setting: &'static str, source: io::Error },
    #[error("failed to start a thread: {0}")]
    Thread(#[source] io::Error),
}

/// Those that listen already, and do not answer yet.
#[derive(Debug)]
pub(super) struct Servers(Vec<(Listener, Router)>);

impl Servers {
    pub(super) fn listen(
        addresses: Addresses,
        standing: &watch::Receiver<Standing>,
        metrics: Option<&Arc<Metrics>>,
    ) -> Result<Servers, ListenError> {
        let mut servers = Vec::new();
        if let Some(address) = addresses.app {
            servers.push((listener(address, "HTTP_ADDRESS")?, app::router(standing.clone())));
        }
        if let (Some(address), Some(metrics)) = (addresses.observe, metrics) {
            let router = observe::router(standing.clone(), Arc::clone(metrics));
            servers.push((listener(address, "OBSERVE_ADDRESS")?, router));
        }
        Ok(Servers(servers))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Answers from now on, on the runtime that this is called in.
    pub(super) fn spawn(self) {
        for (listener, router) in self.0 {
            tokio::spawn(serve(listener, router));
        }
    }
}

fn listener(address: SocketAddr, setting: &'static str) -> Result<Listener, ListenError> {
    let listen = || {
        // With SO_REUSEADDR: a process that was started again finds its address free.
        let listener = Listener::bind(address)?;
        listener.set_nonblocking(true)?;
        tracing::info!(address = %listener.local_addr()?, setting, "listening");
        Ok(listener)
    };
    listen().map_err(|source| ListenError::Address { address, setting, source })
}

async fn serve(listener: Listener, router: Router) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "failed to serve"),
    };
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        // It is never closed.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            sleep(AGAIN).await;
            continue;
        };
        // A change is a small packet, and is not to wait for another.
        let _ = stream.set_nodelay(true);
        let mut server = http1::Builder::new();
        server.timer(TokioTimer::new()).header_read_timeout(IDLE).max_buf_size(BUFFER);
        let connection = server.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router.clone()));
        tokio::spawn(async move {
            // Whoever hangs up has had enough.
            let _ = connection.await;
            drop(place);
        });
    }
}
