//! Whether the app is well: one that is not does not contend, and steps down.

use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;
use std::time::Duration;

use hyper::client::conn::http1;
use hyper::{Request, StatusCode, Uri, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

/// How long an answer may take.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// How it is found out, and what follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AppHealth {
    pub(crate) probe: Probe,
    /// Between two looks.
    pub(crate) period: Duration,
    /// So many looks in a row have to fail.
    pub(crate) failure_threshold: u32,
    /// For how long a Lease that could be taken is left to others: if all are ill, one leads after that.
    pub(crate) grace: Duration,
}

/// By what it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Probe {
    /// The file is there.
    File(PathBuf),
    /// A GET is answered with 200 to 399.
    Url(Uri),
}

impl AppHealth {
    /// Looks for ever, and says whether to leave the Lease to others. An app is ill until it was seen well.
    pub(super) async fn watch(self, gate: watch::Sender<Option<Duration>>) {
        let mut failures = self.failure_threshold - 1;
        let mut prober = Prober::of(self.probe);
        loop {
            match prober.look().await {
                Ok(()) => {
                    // Who waits at the gate is not woken for nothing.
                    if gate.send_if_modified(|gate| gate.take().is_some()) {
                        info!("the app is well");
                    }
                    failures = 0;
                }
                Err(why) => {
                    failures = failures.saturating_add(1);
                    if failures == self.failure_threshold {
                        warn!(%why, failures, "the app is not well");
                        gate.send_replace(Some(self.grace));
                    }
                }
            }
            sleep(self.period).await;
        }
    }
}

/// What is looked at, by what may hang: a volume, or a DNS server.
enum Prober {
    File(PathBuf, Blocking<()>),
    Url(Uri, Blocking<Vec<SocketAddr>>),
}

impl Prober {
    fn of(probe: Probe) -> Prober {
        match probe {
            Probe::File(path) => Prober::File(path, Blocking::idle()),
            Probe::Url(uri) => Prober::Url(uri, Blocking::idle()),
        }
    }

    async fn look(&mut self) -> io::Result<()> {
        let look = async {
            match self {
                Prober::File(path, blocking) => {
                    let path = path.clone();
                    blocking.done(move || fs::metadata(path).map(drop)).await
                }
                Prober::Url(uri, blocking) => match get(uri, blocking).await? {
                    status if (200..400).contains(&status.as_u16()) => Ok(()),
                    status => Err(io::Error::other(format!("answered {status}"))),
                },
            }
        };
        timeout(PROBE_TIMEOUT, look).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }
}

/// Work on a thread of its own. One that hangs is waited for by the next look too: no more than one thread hangs with it.
struct Blocking<T> {
    running: Option<JoinHandle<io::Result<T>>>,
}

impl<T: Send + 'static> Blocking<T> {
    fn idle() -> Blocking<T> {
        Blocking { running: None }
    }

    /// What `work` returns, or the same work that was begun earlier and not waited for to its end.
    async fn done(&mut self, work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
        let done = self.running.get_or_insert_with(|| spawn_blocking(work)).await;
        self.running = None;
        done.map_err(io::Error::other)?
    }
}

async fn get(uri: &Uri, blocking: &mut Blocking<Vec<SocketAddr>>) -> io::Result<StatusCode> {
    let authority = uri.authority().ok_or(io::ErrorKind::InvalidInput)?;
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let port = authority.port_u16().unwrap_or(80);
    let addresses = match host.parse::<IpAddr>() {
        Ok(address) => vec![SocketAddr::new(address, port)],
        Err(_) => {
            let host = host.to_owned();
            blocking.done(move || Ok((host, port).to_socket_addrs()?.collect())).await?
        }
    };
    let stream = TcpStream::connect(&*addresses).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    let request = Request::get(uri.path_and_query().map_or("/", |path| path.as_str()))
        .header(header::HOST, authority.as_str())
        .header(header::USER_AGENT, "leader-elector")
        .header(header::CONNECTION, "close")
        .body(String::new())
        .map_err(io::Error::other)?;
    // What it ends with, the answer tells as well.
    tokio::spawn(connection);
    sender.send_request(request).await.map(|answer| answer.status()).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn a_look_that_hangs_is_waited_for_and_takes_no_second_thread() {
        let (answer, answers) = mpsc::channel();
        let mut blocking = Blocking::idle();
        let hangs = blocking.done(move || answers.recv().map_err(io::Error::other));
        assert!(hangs.now_or_never().is_none());
        for _ in 0..100 {
            let second = blocking.done(|| Err(io::Error::other("a second thread")));
            assert!(second.now_or_never().is_none());
        }
        answer.send(7).unwrap();
        assert_eq!(blocking.done(|| Err(io::Error::other("a second thread"))).await.unwrap(), 7);
        assert_eq!(blocking.done(|| Ok(8)).await.unwrap(), 8);
    }
}
