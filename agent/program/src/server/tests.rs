use axum::routing::get;
use futures::stream;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::*;

/// `/ok` is answered at once, `/long` with so many bytes, `/never` never; `/events` begins a stream in which nothing happens.
fn router() -> Router {
    let events =
        || async { ([(CONTENT_TYPE, EVENT_STREAM)], Body::from_stream(stream::pending::<io::Result<String>>())) };
    Router::new()
        .route("/ok", get(|| async { "ok" }))
        .route("/long", get(|| async { "x".repeat(1 << 20) }))
        .route("/never", get(std::future::pending::<&'static str>))
        .route("/events", get(events))
}

/// A connection that holds `room` bytes each way.
fn connected(room: usize) -> (DuplexStream, JoinHandle<()>) {
    let (client, server) = duplex(room);
    let further = Arc::new(Semaphore::new(1));
    (client, tokio::spawn(serve_connection(server, router(), Arc::new(Activity::new()), further)))
}

fn request(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n")
}

/// All that comes until the server has ended the connection.
async fn rest(mut client: impl AsyncRead + Unpin) -> String {
    let mut text = Vec::new();
    // A reset tells of the end as well.
    let _ = client.read_to_end(&mut text).await;
    String::from_utf8(text).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_head_has_its_time_however_it_comes() {
    let begun = Instant::now();
    let (silent, _) = connected(1024);
    assert_eq!(rest(silent).await, "");
    assert_eq!(begun.elapsed(), HEAD_TIMEOUT);

    let begun = Instant::now();
    let (client, _) = connected(1024);
    let (reader, mut writer) = tokio::io::split(client);
    let slow = tokio::spawn(async move {
        for byte in request("/ok").bytes().cycle() {
            if writer.write_all(&[byte]).await.is_err() {
                return;
            }
            sleep(Duration::from_secs(1)).await;
        }
    });
    assert_eq!(rest(reader).await, "");
    assert_eq!(begun.elapsed(), HEAD_TIMEOUT);
    slow.abort();
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_used_again_for_as_long_as_there_are_requests() {
    let (mut client, _) = connected(1024);
    for _ in 0..3 {
        client.write_all(request("/ok").as_bytes()).await.unwrap();
        let mut answer = [0; 512];
        let length = client.read(&mut answer).await.unwrap();
        let answer = std::str::from_utf8(&answer[..length]).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nok"), "{answer}");
        assert!(answer.contains("content-length: 2\r\n"), "{answer}");
        sleep(HEAD_TIMEOUT - Duration::from_secs(1)).await;
    }
    let begun = Instant::now();
    assert_eq!(rest(client).await, "");
    assert_eq!(begun.elapsed(), Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_is_cut_off_and_one_that_reads_slowly_gets_all_of_it() {
    let begun = Instant::now();
    let (mut client, served) = connected(1024);
    client.write_all(request("/long").as_bytes()).await.unwrap();
    served.await.unwrap();
    assert_eq!(begun.elapsed(), WRITE_TIMEOUT);

    let (mut client, served) = connected(1024);
    client.write_all(request("/long").as_bytes()).await.unwrap();
    let mut read = 0;
    let mut piece = [0; 1024];
    while read < 1 << 20 {
        sleep(WRITE_TIMEOUT - Duration::from_secs(1)).await;
        read += client.read(&mut piece).await.unwrap();
    }
    assert!(!served.is_finished());
}

#[tokio::test(start_paused = true)]
async fn a_stream_stays_while_nothing_happens() {
    let (mut client, served) = connected(1024);
    client.write_all(request("/events").as_bytes()).await.unwrap();
    sleep(Duration::from_secs(3600)).await;
    assert!(!served.is_finished());
    drop(client);
    served.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn heads_and_bodies_have_a_size() {
    let long = format!("GET /ok HTTP/1.1\r\nhost: a\r\na: {}\r\n\r\n", "x".repeat(READ_BUFFER_BYTES));
    let many = format!("GET /ok HTTP/1.1\r\nhost: a\r\n{}\r\n", "a: b\r\n".repeat(100));
    for head in [long, many] {
        let (mut client, _) = connected(1 << 16);
        client.write_all(head.as_bytes()).await.unwrap();
        let answer = rest(client).await;
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    }
    // What has come with the head is read, and more is not waited for.
    for (body, answers) in [("content-length: 2\r\n\r\nab", 2), ("content-length: 1000000\r\n\r\nab", 1)] {
        let (mut client, _) = connected(1 << 16);
        let requests = format!("GET /ok HTTP/1.1\r\nhost: a\r\n{body}{}", request("/ok"));
        client.write_all(requests.as_bytes()).await.unwrap();
        let answer = rest(client).await;
        assert_eq!(answer.matches("200 OK").count(), answers, "{answer}");
    }
}

/// A server on a port of its own.
fn started() -> SocketAddr {
    let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve(listener, router()));
    address
}

async fn asked(address: SocketAddr, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request(path).as_bytes()).await.unwrap();
    stream
}

async fn is_answered(address: SocketAddr) {
    let mut client = asked(address, "/ok").await;
    let mut answer = [0; 15];
    client.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200 OK");
}

#[tokio::test]
async fn all_addresses_are_those_of_ipv4_too() {
    let listener = listen("[::]:0".parse().unwrap()).unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(serve(listener, router()));
    is_answered(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await;
}

#[tokio::test]
async fn a_client_that_asks_at_once_is_answered_however_many_others_hold_connections() {
    let address = started();
    for path in [None, Some("/long"), Some("/never")] {
        let mut others = Vec::new();
        for _ in 0..3 * MAX_CONNECTIONS {
            others.push(match path {
                None => TcpStream::connect(address).await.unwrap(),
                Some(path) => asked(address, path).await,
            });
        }
        is_answered(address).await;
    }
}

#[tokio::test]
async fn streams_stay_while_others_come_and_go() {
    let address = started();
    let mut listening = Vec::new();
    for _ in 0..MAX_CONNECTIONS / 2 {
        let mut stream = asked(address, "/events").await;
        let mut head = [0; 15];
        stream.read_exact(&mut head).await.unwrap();
        listening.push(stream);
    }
    let mut silent = Vec::new();
    for _ in 0..2 * MAX_CONNECTIONS {
        silent.push(TcpStream::connect(address).await.unwrap());
        is_answered(address).await;
    }
    // The first of those that said nothing has made room; all that listen are still there.
    assert_eq!(rest(silent.swap_remove(0)).await, "");
    for stream in listening {
        let mut rest = Vec::new();
        while stream.try_read_buf(&mut rest).is_ok_and(|read| read > 0) {}
        assert!(rest.ends_with(b"\r\n\r\n"), "{}", String::from_utf8_lossy(&rest));
        assert_eq!(stream.try_read_buf(&mut rest).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }
}
