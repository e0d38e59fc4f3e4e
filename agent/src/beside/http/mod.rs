//! The HTTP servers: one for the app, one for whoever observes.

mod app;
mod observe;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use axum::Router;
use elector_agent::server;
use tokio::sync::watch;

use super::metrics::Metrics;
use super::standing::Standing;

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
pub(super) struct Servers(Vec<(TcpListener, Router)>);

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
            tokio::spawn(server::serve(listener, router));
        }
    }
}

fn listener(address: SocketAddr, setting: &'static str) -> Result<TcpListener, ListenError> {
    let listen = || {
        let listener = server::listen(address)?;
        tracing::info!(address = %listener.local_addr()?, setting, "listening");
        Ok(listener)
    };
    listen().map_err(|source| ListenError::Address { address, setting, source })
}
