//! The health of the app: an agent whose app is not well does not contend, and steps down if it leads.

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

/// The longest that a check may take.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// How the agent checks whether the app is well, and how long it leaves the Lease to others if not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AppHealth {
    pub(crate) probe: Probe,
    /// The time between two checks.
    pub(crate) period: Duration,
    /// The number of failed checks in a row after which the app is not well.
    pub(crate) failure_threshold: u32,
    /// For how long an agent whose app is not well leaves a Lease that it could take. If no app is well, one leads
    /// after that.
    pub(crate) grace: Duration,
}

/// The sign that the app is well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Probe {
    /// The file, which exists while the app is well.
    File(PathBuf),
    /// A GET of the URL is answered with 200 to 399.
    Url(Uri),
}

impl AppHealth {
    /// Checks the app for ever, and tells `gate` whether and how long to leave the Lease to others. The app counts as
    /// not well until a check succeeds.
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

/// A probe with what may hang in it, which runs on another thread: the access to a volume, or to a DNS server.
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

/// Work on a thread of its own. If it hangs, the next check waits for the same work, so no more than one thread hangs.
struct Blocking<T> {
    running: Option<JoinHandle<io::Result<T>>>,
}

impl<T: Send + 'static> Blocking<T> {
    fn idle() -> Blocking<T> {
        Blocking { running: None }
    }

    /// Runs `work` and returns its result; if earlier work still runs, waits for that instead.
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
