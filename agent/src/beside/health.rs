//! Whether the app is well: one that is not does not contend, and steps down.

use std::fs;
use std::io;
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
const PATIENCE: Duration = Duration::from_secs(1);

/// How it is found out, and what follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Health {
    pub(crate) sign: Sign,
    /// Between two looks.
    pub(crate) period: Duration,
    /// So many looks in a row have to fail.
    pub(crate) failure_threshold: u32,
    /// For how long a Lease that could be taken is left to others: if all are ill, one leads after that.
    pub(crate) grace: Duration,
}

/// By what it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Sign {
    /// The file is there.
    File(PathBuf),
    /// A GET is answered with 200 to 399.
    Url(Uri),
}

impl Health {
    /// Looks for ever, and says whether to leave the Lease to others. An app is ill until it was seen well.
    pub(super) async fn watch(self, gate: watch::Sender<Option<Duration>>) {
        let mut failures = self.failure_threshold - 1;
        let mut eye = Eye { sign: self.sign, looking: None };
        loop {
            match eye.look().await {
                Ok(()) => {
                    if gate.send_replace(None).is_some() {
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

struct Eye {
    sign: Sign,
    /// A look at a file that has not come back yet.
    looking: Option<JoinHandle<io::Result<()>>>,
}

impl Eye {
    async fn look(&mut self) -> io::Result<()> {
        match &self.sign {
            // A volume may hang, and no more than one thread with it.
            Sign::File(path) => {
                let path = path.clone();
                let looking = self.looking.get_or_insert_with(|| spawn_blocking(move || fs::metadata(path).map(drop)));
                let seen = timeout(PATIENCE, looking).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?;
                self.looking = None;
                seen.map_err(io::Error::other)?
            }
            Sign::Url(uri) => match timeout(PATIENCE, get(uri)).await {
                Ok(Ok(status)) if (200..400).contains(&status.as_u16()) => Ok(()),
                Ok(Ok(status)) => Err(io::Error::other(format!("answered {status}"))),
                Ok(Err(error)) => Err(error),
                Err(_) => Err(io::ErrorKind::TimedOut.into()),
            },
        }
    }
}

async fn get(uri: &Uri) -> io::Result<StatusCode> {
    let authority = uri.authority().ok_or(io::ErrorKind::InvalidInput)?;
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let stream = TcpStream::connect((host, authority.port_u16().unwrap_or(80))).await?;
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
