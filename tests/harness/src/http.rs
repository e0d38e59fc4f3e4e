//! A client of the agent's HTTP servers, as an app has one.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);

/// What was answered, in whole.
#[derive(Debug)]
pub struct Answer {
    /// 200, as a rule.
    pub status: u16,
    /// `Content-Type`.
    pub content_type: String,
    /// As text.
    pub body: String,
}

impl Answer {
    /// The body, parsed.
    ///
    /// # Errors
    /// When it is no JSON.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.body).with_context(|| self.body.clone())
    }
}

/// GET, of metrics in OpenMetrics.
///
/// # Errors
/// When there is no answer in time.
pub async fn get(address: SocketAddr, path: &str) -> Result<Answer> {
    get_as(address, path, "application/openmetrics-text").await
}

/// GET, with this as `Accept`.
///
/// # Errors
/// When there is no answer in time.
pub async fn get_as(address: SocketAddr, path: &str, accept: &str) -> Result<Answer> {
    timeout(PATIENCE, async {
        let (response, _connection) = send(address, path, accept).await?;
        let status = response.status().as_u16();
        let content_type = response.headers().get("content-type").and_then(|value| value.to_str().ok());
        let content_type = content_type.unwrap_or_default().to_owned();
        let body = response.into_body().collect().await?.to_bytes();
        Ok(Answer { status, content_type, body: String::from_utf8(body.into())? })
    })
    .await
    .with_context(|| format!("{address}{path} does not answer"))?
}

/// A stream of server-sent events.
#[derive(Debug)]
pub struct Events {
    body: Incoming,
    text: String,
    _connection: Connection,
}

impl Events {
    /// Listens from now on.
    ///
    /// # Errors
    /// When there is nothing to listen to.
    pub async fn open(address: SocketAddr, path: &str) -> Result<Events> {
        let (response, connection) = send(address, path, "text/event-stream").await?;
        ensure!(response.status() == 200, "{path}: {}", response.status());
        ensure!(response.headers()["content-type"] == "text/event-stream", "{:?}", response.headers());
        Ok(Events { body: response.into_body(), text: String::new(), _connection: connection })
    }

    /// The data of the next one; `None` when the server has ended.
    ///
    /// # Errors
    /// When there is none in time.
    pub async fn next(&mut self) -> Result<Option<Value>> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let data: Vec<&str> = event.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
                let data = data.join("\n");
                self.text = rest.to_owned();
                // Else it is a comment, which keeps the connection alive.
                if !data.is_empty() {
                    return Ok(Some(serde_json::from_str(&data)?));
                }
                continue;
            }
            let frame = timeout(PATIENCE, self.body.frame()).await.context("nothing is said")?;
            match frame {
                Some(Ok(frame)) => {
                    let data = frame.into_data().ok().context("no data")?;
                    self.text.push_str(std::str::from_utf8(&data)?);
                }
                Some(Err(_)) | None => return Ok(None),
            }
        }
    }
}

/// Ends when it is dropped.
#[derive(Debug)]
struct Connection(JoinHandle<hyper::Result<()>>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn send(address: SocketAddr, path: &str, accept: &str) -> Result<(Response<Incoming>, Connection)> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let connection = Connection(tokio::spawn(connection));
    let request = Request::get(path).header("host", address.to_string()).header("accept", accept);
    let request = request.body(Empty::<Bytes>::new())?;
    Ok((sender.send_request(request).await?, connection))
}
