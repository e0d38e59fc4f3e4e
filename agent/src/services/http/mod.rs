//! The HTTP servers: one for the app, one for Prometheus and probes.

mod app_routes;
mod observe_routes;

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use elector_program::server;
use tokio::sync::watch;
use tracing::{info, warn};

use self::app_routes::Listeners;
use super::metrics::Metrics;
use super::snapshot::Snapshot;

/// The time between two attempts to listen.
const LISTEN_RETRY_PERIOD: Duration = Duration::from_secs(5);

/// The addresses to listen on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Addresses {
    /// The address of the server for the app.
    pub(crate) app: Option<SocketAddr>,
    /// The address of metrics and probes.
    pub(crate) observe: Option<SocketAddr>,
}

/// Why a server cannot be started, now or later.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListenError {
    #[error("failed to listen on {address}: {source}; name another by {setting}")]
    Address { address: SocketAddr, setting: &'static str, source: io::Error },
    #[error("failed to start a thread: {0}")]
    Thread(#[source] io::Error),
}

/// The servers. One whose address is in use or does not exist yet is started later.
#[derive(Debug)]
pub(super) struct Servers {
    servers: Vec<Server>,
    listeners: Listeners,
}

#[derive(Debug)]
struct Server {
    setting: &'static str,
    address: SocketAddr,
    /// A socket that listens, and whose connections are not answered yet.
    listener: Option<TcpListener>,
    router: Router,
    served: ServedAddresses,
}

/// Whether each address is served, by the name of its setting.
#[derive(Debug, Clone, Default)]
pub(super) struct ServedAddresses(Arc<Mutex<BTreeMap<&'static str, bool>>>);

impl ServedAddresses {
    fn set(&self, setting: &'static str, is: bool) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(setting, is);
    }

    /// Whether each address is served, by the name of its setting.
    pub(super) fn each(&self) -> BTreeMap<&'static str, bool> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether all addresses are served.
    pub(super) fn all(&self) -> bool {
        self.each().values().all(|is| *is)
    }
}

impl Servers {
    /// Listens on the addresses.
    ///
    /// # Errors
    /// If an address can never be listened on, for example without the right to.
    pub(super) fn listen(
        addresses: Addresses,
        snapshot: &watch::Receiver<Snapshot>,
        metrics: Option<&Arc<Metrics>>,
    ) -> Result<Servers, ListenError> {
        let served = ServedAddresses::default();
        let listeners = Listeners::default();
        let mut servers = Vec::new();
        let mut add = |setting, address, router| {
            let listener = match listener(address, setting) {
                Ok(listener) => Some(listener),
                Err(error) if may_pass(&error) => {
                    let seconds = LISTEN_RETRY_PERIOD.as_secs();
                    warn!(%address, setting, %error, "failed to listen: trying again each {seconds} s; this pod is not ready before");
                    None
                }
                Err(source) => return Err(ListenError::Address { address, setting, source }),
            };
            served.set(setting, listener.is_some());
            servers.push(Server { setting, address, listener, router, served: served.clone() });
            Ok(())
        };
        if let Some(address) = addresses.app {
            add("HTTP_ADDRESS", address, app_routes::router(snapshot.clone(), listeners.clone()))?;
        }
        if let (Some(address), Some(metrics)) = (addresses.observe, metrics) {
            let router = observe_routes::router(snapshot.clone(), Arc::clone(metrics), served.clone());
            add("OBSERVE_ADDRESS", address, router)?;
        }
        Ok(Servers { servers, listeners })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.servers.is_empty()
    }

    /// Answers requests from now on, on the current runtime. The future that is returned completes when no client
    /// listens for changes any more: streams end with the election.
    pub(super) fn spawn(self) -> impl Future<Output = ()> {
        for server in self.servers {
            tokio::spawn(server.run());
        }
        async move { self.listeners.gone().await }
    }
}

impl Server {
    /// Serves for ever: after a failure it listens again, because a failure of the server must not end the election.
    async fn run(self) {
        let Server { setting, address, mut listener, router, served } = self;
        loop {
            if let Some(listener) = listener.take() {
                server::serve(listener, router.clone()).await;
                served.set(setting, false);
            }
            tokio::time::sleep(LISTEN_RETRY_PERIOD).await;
            listener = self::listener(address, setting).ok();
            served.set(setting, listener.is_some());
        }
    }
}

/// Whether listening may succeed later: another process has the address, or the network does not have it yet.
fn may_pass(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable)
}

fn listener(address: SocketAddr, setting: &'static str) -> io::Result<TcpListener> {
    let listener = server::listen(address)?;
    info!(address = %listener.local_addr()?, setting, "listening");
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use leader_elector::clock;
    use leader_elector::status::Author;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn whoever_listens_is_told_of_the_end() {
        let author = Author {
            hostname: "a".to_owned(),
            identity: "a".to_owned(),
            namespace: "n".to_owned(),
            lease: "l".to_owned(),
            start: "nonce".to_owned(),
        };
        let (sender, snapshot) = watch::channel(Snapshot::new(author, clock::now().unwrap()));
        let addresses = Addresses { app: Some("127.0.0.1:0".parse().unwrap()), observe: None };
        let servers = Servers::listen(addresses, &snapshot, None).unwrap();
        let address = servers.servers[0].listener.as_ref().unwrap().local_addr().unwrap();
        let mut farewell = pin!(servers.spawn());
        let mut clients = Vec::new();
        for _ in 0..3 {
            let mut client = TcpStream::connect(address).await.unwrap();
            client.write_all(b"GET /sse HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
            assert!(client.read(&mut [0; 4096]).await.unwrap() > 0);
            clients.push(client);
        }

        assert!(timeout(Duration::ZERO, &mut farewell).await.is_err());
        sender.send_modify(Snapshot::end);
        farewell.await;
        for client in clients {
            let mut end = [0; 4096];
            let length = client.try_read(&mut end).unwrap();
            assert!(end[..length].ends_with(b"0\r\n\r\n"), "{}", String::from_utf8_lossy(&end[..length]));
        }
    }
}
