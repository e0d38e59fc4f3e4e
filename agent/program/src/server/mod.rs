//! The HTTP/1 server of the agent and the operator, which goes on answering whatever its clients do.
//!
//! Memory, descriptors and time have limits. No client is refused for want of a place: if all places are taken, the new
//! connection replaces the one that can best be spared (`activity::spared`). So a client that sends its request at
//! once is answered, however many other clients send nothing, send slowly, or do not read.
//!
//! ```text
//!   accepted ──► waits for a request ──► is answered ──► waits for the next one
//!                  │ HEAD_TIMEOUT          │ WRITE_TIMEOUT without a byte read
//!                  ▼                       ▼
//!                 closed                  closed
//! ```

mod activity;
pub mod address;
pub mod exposition;
mod stream;

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener as StdListener};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use hyper::body::{Body as HttpBody, Bytes, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, yield_now};
use tokio::time::{Instant, sleep};
use tracing::{debug, error};

use self::activity::{Activity, Answering};
use self::stream::ClientStream;

/// The most connections at a time: an agent has little memory. Probes, a scrape and a few clients need ten.
const MAX_CONNECTIONS: usize = 64;
/// The share of the process's descriptors that connections may take, as a divisor; the API client needs some too.
const DESCRIPTOR_SHARE: u64 = 8;
/// The number of connections that are allowed even if there are very few descriptors.
const MIN_CONNECTIONS: usize = 4;
/// How many answers may be under way at a time to requests that are not the first on their connection: a client that
/// sends thousands on one connection must not delay the first request of another, such as a probe's.
const MAX_FURTHER_REQUESTS: usize = 4;
/// How long a client may take from the start of a connection, or the end of an answer, to the end of the next request's
/// head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an answer may wait for its client to read some of it.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest head of a request, and the most that is read ahead, in bytes: the least that hyper allows. A head also
/// has at most 100 headers, hyper's default. Requests here have no body: a body that does not come with its head ends
/// the connection after the answer.
const READ_BUFFER_BYTES: usize = 8192;
/// The kernel's receive buffer of a connection, in bytes; Linux doubles it. Without a limit it grows to megabytes,
/// which count as the container's memory.
const KERNEL_RECEIVE_BUFFER_BYTES: u32 = 16 * 1024;
/// The kernel's send buffer of a connection, in bytes; Linux doubles it. It is enough for 11 MB of metrics in less than
/// a second at a round trip of 1 ms.
const KERNEL_SEND_BUFFER_BYTES: u32 = 32 * 1024;
/// How many connections may wait to be accepted; the kernel uses `net.core.somaxconn`, which is 4096, if that is less.
/// A client that finds no room tries again after a second.
const BACKLOG: u32 = 4096;
/// The content type of a stream of events.
const EVENT_STREAM: &str = "text/event-stream";
/// The wait after a connection could not be accepted for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Listens on `address`, and answers no request yet. `[::]` means all addresses, IPv4 included, even on a machine
/// without IPv6. Must be called in a tokio runtime.
///
/// # Errors
/// The error of the kernel, for example if the address is in use.
pub fn listen(address: SocketAddr) -> io::Result<StdListener> {
    let bound = match bind(address) {
        Err(error) if address.ip().is_unspecified() && has_no_ipv6(&error) => {
            bind(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), address.port()))
        }
        bound => bound,
    };
    bound?.listen(BACKLOG)?.into_std()
}

fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if address.is_ipv6() {
        SockRef::from(&socket).set_only_v6(false)?;
    }
    // A process that was started again finds its address free.
    socket.set_reuseaddr(true)?;
    // Accepted connections inherit these.
    socket.set_recv_buffer_size(KERNEL_RECEIVE_BUFFER_BYTES)?;
    socket.set_send_buffer_size(KERNEL_SEND_BUFFER_BYTES)?;
    socket.bind(address)?;
    Ok(socket)
}

fn has_no_ipv6(error: &io::Error) -> bool {
    [Errno::EAFNOSUPPORT, Errno::EADDRNOTAVAIL].into_iter().any(|errno| error.raw_os_error() == Some(errno as i32))
}

/// A connection that was accepted; it may have ended since.
struct Accepted {
    address: IpAddr,
    activity: Arc<Activity>,
    task: AbortHandle,
}

/// Answers requests for as long as this future is polled.
pub async fn serve(listener: StdListener, router: Router) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return error!(%error, "failed to serve"),
    };
    let most = max_connections();
    let further = Arc::new(Semaphore::new(MAX_FURTHER_REQUESTS));
    let mut open: Vec<Accepted> = Vec::new();
    for number in 1_usize.. {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Linux reports by accept what became of a connection that waited for it.
                if !is_of_connection(&error) {
                    debug!(%error, "failed to accept a connection");
                    sleep(ACCEPT_PAUSE).await;
                }
                continue;
            }
        };
        open.retain(|connection| !connection.task.is_finished());
        if open.len() >= most {
            let usages: Vec<_> = open.iter().map(|open| (open.address, open.activity.usage())).collect();
            if let Some(spared) = activity::spared(&usages, Instant::now()) {
                open.swap_remove(spared).task.abort();
            }
        }
        // A change is a small packet, and must not wait for another.
        let _ = stream.set_nodelay(true);
        let activity = Arc::new(Activity::new());
        let connection = serve_connection(stream, router.clone(), Arc::clone(&activity), Arc::clone(&further));
        let task = tokio::spawn(connection).abort_handle();
        open.push(Accepted { address: peer.ip().to_canonical(), activity, task });
        // A request that came with its connection is answered before the place can be given to another.
        if number.is_multiple_of(most / 2) {
            yield_now().await;
        }
    }
}

/// The most connections that the descriptors of this process allow.
fn max_connections() -> usize {
    let descriptors = getrlimit(Resource::RLIMIT_NOFILE).map_or(u64::MAX, |(soft, _)| soft);
    let share = usize::try_from(descriptors / DESCRIPTOR_SHARE).unwrap_or(usize::MAX);
    share.clamp(MIN_CONNECTIONS, MAX_CONNECTIONS)
}

fn is_of_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, HostUnreachable, NetworkUnreachable};
    [ConnectionAborted, ConnectionRefused, ConnectionReset, HostUnreachable, NetworkUnreachable].contains(&error.kind())
}

async fn serve_connection<S>(stream: S, router: Router, activity: Arc<Activity>, further: Arc<Semaphore>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let stream = ClientStream::new(stream, Arc::clone(&activity), WRITE_TIMEOUT);
    let service = TowerToHyperService::new(router);
    let is_first = AtomicBool::new(true);
    let service = service_fn(move |request: Request<Incoming>| {
        let further = (!is_first.swap(false, Ordering::Relaxed)).then(|| Arc::clone(&further));
        let answering = Activity::answer(&activity);
        let response = service.call(request);
        async move {
            let turn = match further {
                // It is never closed.
                Some(further) => further.acquire_owned().await.ok(),
                None => None,
            };
            if turn.is_some() {
                yield_now().await;
            }
            let response: Response<Body> = response.await?;
            drop(turn);
            if response.headers().get(CONTENT_TYPE).is_some_and(|value| value == EVENT_STREAM) {
                answering.stream();
            }
            Ok::<_, Infallible>(response.map(|body| AnswerBody { body, answering }))
        }
    });
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(READ_BUFFER_BYTES);
    // A client that hangs up, or is cut off, is told nothing.
    let _ = server.serve_connection(TokioIo::new(stream), service).await;
}

/// The body of an answer; the answer is under way until this is dropped.
struct AnswerBody {
    body: Body,
    #[expect(dead_code, reason = "it tells by its drop that the answer is complete")]
    answering: Answering,
}

impl HttpBody for AnswerBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests;
