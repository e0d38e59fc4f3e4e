//! The HTTP/1 server of agent and operator, which goes on answering whatever its clients do.
//!
//! Memory, descriptors and time have limits. No client is refused for want of a place: where all are taken, the new connection
//! gets that of the one that can best be spared (`activity::spared`). So a client that sends its request at once is answered,
//! however many others send nothing, send slowly, or do not read.
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

/// Connections at a time: memory is what an agent has little of. Probes, a scrape and a few clients need ten.
const MAX_CONNECTIONS: usize = 64;
/// The part of the process's descriptors that connections may take, as a divisor; the API client needs some, too.
const DESCRIPTOR_SHARE: u64 = 8;
/// The fewest connections at a time, however few descriptors there are.
const MIN_CONNECTIONS: usize = 4;
/// Answers at a time to requests that are not the first ones of their connections: a client that sends thousands on one connection
/// does not delay another's first, as a probe's is.
const MAX_FURTHER_REQUESTS: usize = 4;
/// From the start of a connection, or the end of an answer, to the end of the next request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an answer may wait for its client to read some of it.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest head of a request, in bytes, and what is read ahead at most: the least that hyper can do with. A head has at most
/// 100 headers besides, by hyper's default. Requests here have no body; the connection of one whose body does not come with its
/// head ends with the answer.
const READ_BUFFER_BYTES: usize = 8192;
/// What the kernel keeps for a connection in each direction, in bytes; Linux doubles it. Without a limit it grows to megabytes,
/// which count as the container's.
const KERNEL_RECEIVE_BUFFER_BYTES: u32 = 16 * 1024;
/// As [`KERNEL_RECEIVE_BUFFER_BYTES`]: enough for 11 MB of metrics in less than a second at a round trip of 1 ms.
const KERNEL_SEND_BUFFER_BYTES: u32 = 32 * 1024;
/// Connections that wait to be accepted; the kernel takes the smaller one of this and `net.core.somaxconn`, which is 4096.
/// A client that finds no room tries again after a second.
const BACKLOG: u32 = 4096;
/// What kind of answer is a stream of events.
const EVENT_STREAM: &str = "text/event-stream";
/// The wait after a connection could not be accepted, for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Listens on `address`, and answers nobody yet. `[::]` is all addresses, of IPv4 too, also where there is no IPv6. To be called in
/// a runtime.
///
/// # Errors
/// What the kernel refuses, as an address that is taken.
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

/// A connection that was accepted, and may have ended since.
struct Accepted {
    address: IpAddr,
    activity: Arc<Activity>,
    task: AbortHandle,
}

/// Answers for as long as it is polled.
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

/// How many connections there may be, for the descriptors that this process has.
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

/// The body of an answer, which is under way until it is dropped.
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
