//! Clients that want to keep an HTTP server from answering others, and one that asks whether it does.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy, sink};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::figures::is_measured;

/// Connections that are held at a time; servers close most of them sooner.
const HELD: usize = 8000;
/// Connections a second that are begun.
const RATE: u32 = 1000;
/// How long a client goes on, whatever the server does.
const LASTS: Duration = Duration::from_secs(30);
/// Between two questions, and how long an answer is waited for.
const PERIOD: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_secs(30);

/// An answer to be content with.
const QUICK: Duration = Duration::from_millis(100);
/// How long kubelet waits for the operator's answer, by the chart.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// What such a client does with its connection.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Silent,
    HalfHead,
    SlowHead,
    HugeHead,
    HugeBody,
    ManyRequests,
    ReadsNothing,
    Upgrade,
    OtherProtocol,
}

const KINDS: [Kind; 9] = [
    Kind::Silent,
    Kind::HalfHead,
    Kind::SlowHead,
    Kind::HugeHead,
    Kind::HugeBody,
    Kind::ManyRequests,
    Kind::ReadsNothing,
    Kind::Upgrade,
    Kind::OtherProtocol,
];

/// How long each of some answers took.
#[derive(Debug)]
pub struct Answers {
    /// From the connection to the last byte, in ascending order.
    pub took: Vec<Duration>,
}

impl Answers {
    /// Asserts that half of them were quick, and all quick enough for kubelet; on a machine that does nothing else, that all were.
    ///
    /// # Panics
    /// If they were not.
    pub fn are_quick(&self) {
        let (median, greatest) = (self.took[self.took.len() / 2], self.took[self.took.len() - 1]);
        println!("{} answers: median {median:.1?}, max {greatest:.1?}", self.took.len());
        let most = if is_measured() { QUICK } else { PROBE_TIMEOUT };
        assert!(median <= QUICK && greatest <= most, "{self:?}");
    }
}

/// Opens 1,000 hostile connections a second to `address`, 3,000 in all or, where figures are wanted, 10,000. Asks it for `/healthz`
/// every 100 ms meanwhile. `path` has the longest answer.
///
/// # Errors
/// When it does not answer with 200.
pub async fn flood(address: SocketAddr, path: &'static str) -> Result<Answers> {
    let number = if is_measured() { 10_000 } else { 3_000 };
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })?;
    let places = Arc::new(Semaphore::new(HELD));
    let mut clients = JoinSet::new();
    let begun = Instant::now();
    // Beside whatever else this runtime does.
    let asking = thread::spawn(move || ask(address, begun + Duration::from_secs(5)));
    for (position, kind) in (0..).zip(KINDS.into_iter().cycle().take(number)) {
        tokio::time::sleep_until((begun + Duration::from_secs(1) * position / RATE).into()).await;
        let place = Arc::clone(&places).acquire_owned().await?;
        clients.spawn(async move {
            // The server may close the connection whenever it likes.
            let _ = timeout(LASTS, attack(address, path, kind)).await;
            drop(place);
        });
    }
    println!("{number} hostile connections in {:?}", begun.elapsed());
    let answers = tokio::task::spawn_blocking(move || asking.join()).await?;
    answers.map_err(|_| anyhow::anyhow!("the thread that asks has panicked"))?
}

/// The most memory that a process has had resident so far, in KiB.
///
/// # Errors
/// When it does not run.
pub fn most_resident(id: Pid) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", id.as_raw_nonzero()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM in a process's status")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

#[tokio::main(flavor = "current_thread")]
async fn ask(address: SocketAddr, until: Instant) -> Result<Answers> {
    let mut took = Vec::new();
    while Instant::now() < until {
        let begun = Instant::now();
        let answer = timeout(PATIENCE, get(address)).await.context("no answer")??;
        took.push(begun.elapsed());
        ensure!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nok"), "{answer}");
        sleep(PERIOD.saturating_sub(begun.elapsed())).await;
    }
    took.sort_unstable();
    Ok(Answers { took })
}

/// As kubelet does, with a connection for each question.
async fn get(address: SocketAddr) -> Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

/// Until the server closes the connection.
async fn attack(address: SocketAddr, path: &str, kind: Kind) -> std::io::Result<()> {
    let socket = TcpSocket::new_v4()?;
    // Pods have an address each, which is not the one that kubelet asks from.
    socket.bind(SocketAddr::from(([127, 0, 1, kind as u8 + 1], 0)))?;
    if let Kind::ReadsNothing = kind {
        socket.set_recv_buffer_size(4096)?;
    }
    let mut stream = socket.connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n");
    match kind {
        Kind::Silent => {}
        Kind::HalfHead => stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: a\r\n").await?,
        Kind::SlowHead => {
            for byte in request.trim_end().bytes().cycle() {
                stream.write_all(&[byte]).await?;
                sleep(Duration::from_millis(100)).await;
            }
        }
        Kind::HugeHead => {
            stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: a\r\na: ").await?;
            stream.write_all("x".repeat(400_000).as_bytes()).await?;
        }
        Kind::HugeBody => {
            stream.write_all(b"POST /healthz HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000000\r\n\r\n").await?;
            loop {
                stream.write_all(&[b'x'; 8192]).await?;
            }
        }
        Kind::ManyRequests => {
            let (mut reader, mut writer) = stream.split();
            let read = async { copy(&mut reader, &mut sink()).await.map(drop) };
            let write = async { writer.write_all(request.repeat(100).as_bytes()).await };
            return tokio::try_join!(read, write).map(drop);
        }
        Kind::ReadsNothing => {
            stream.write_all(request.repeat(1000).as_bytes()).await?;
            sleep(LASTS).await;
        }
        Kind::Upgrade => {
            let upgrade =
                "connection: upgrade, http2-settings\r\nupgrade: h2c, websocket\r\nhttp2-settings: AAMAAABk\r\n";
            stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: a\r\n{upgrade}\r\n").as_bytes()).await?;
        }
        Kind::OtherProtocol => stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00").await?,
    }
    copy(&mut stream, &mut sink()).await.map(drop)
}
