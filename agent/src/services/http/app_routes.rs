//! The HTTP server that tells the app who leads.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use futures::Stream;
use futures::stream;
use leader_elector::clock;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep, sleep_until};

use crate::services::snapshot::{LeaderResponse, Snapshot};

type Receiver = watch::Receiver<Snapshot>;

/// The time after which a comment is sent on a silent stream: proxies close connections that are silent for longer.
const KEEP_ALIVE_PERIOD: Duration = Duration::from_secs(15);

/// A comment in a stream of events: one line without an empty line behind it, which some parsers would take for an
/// empty event.
const COMMENT: &str = ":\n";

/// The most clients that may listen for changes at a time: other requests must be answered beside them.
const MAX_LISTENERS: u32 = 32;

/// The clients that listen for changes.
#[derive(Debug, Clone)]
pub(super) struct Listeners(Arc<Semaphore>);

impl Default for Listeners {
    fn default() -> Listeners {
        Listeners(Arc::new(Semaphore::new(MAX_LISTENERS as usize)))
    }
}

impl Listeners {
    /// Completes when no client listens.
    pub(super) async fn gone(&self) {
        // It is never closed.
        let _ = self.0.acquire_many(MAX_LISTENERS).await;
    }
}

#[derive(Clone)]
struct Listening {
    snapshot: Receiver,
    listeners: Listeners,
}

pub(super) fn router(snapshot: Receiver, listeners: Listeners) -> Router {
    let listening = Listening { snapshot: snapshot.clone(), listeners };
    let changes = Router::new().route("/sse", get(changes)).with_state(listening);
    let answers = Router::new().route("/isLeader", get(is_leader));
    // As the sidecars that were there before: their clients may ask by any path.
    answers.fallback(get(leader)).with_state(snapshot).merge(changes)
}

async fn leader(State(snapshot): State<Receiver>) -> Response {
    match answer(&snapshot) {
        Ok(answer) => json(StatusCode::OK, &answer),
        Err(error) => unknown(&error),
    }
}

async fn is_leader(State(snapshot): State<Receiver>) -> Response {
    match answer(&snapshot) {
        Ok(answer) if answer.is_leader => json(StatusCode::OK, &answer),
        Ok(answer) => json(StatusCode::SERVICE_UNAVAILABLE, &answer),
        Err(error) => unknown(&error),
    }
}

/// Answers with a stream of events: who leads now, and then each change.
async fn changes(State(Listening { snapshot, listeners }): State<Listening>) -> Response {
    match listeners.0.try_acquire_owned() {
        Ok(place) => {
            let headers = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-cache")];
            (headers, Body::from_stream(events(snapshot, place))).into_response()
        }
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "too many clients listen").into_response(),
    }
}

fn events(snapshot: Receiver, place: OwnedSemaphorePermit) -> impl Stream<Item = Result<String, Infallible>> {
    let listening = Some((snapshot, None::<LeaderResponse>, place));
    stream::unfold(listening, async |listening| {
        let (mut snapshot, mut told, place) = listening?;
        let silent_until = Instant::now() + KEEP_ALIVE_PERIOD;
        loop {
            let is_over = snapshot.borrow_and_update().is_over();
            let answer = answer(&snapshot).ok()?;
            let line = format!("data: {}\n", serde_json::to_string(&answer).ok()?);
            if told.as_ref().is_none_or(|told| !told.says(&answer)) {
                told = Some(answer);
                return Some((Ok(format!("{line}\n")), Some((snapshot, told, place))));
            }
            if is_over {
                // Some parsers take the end of the body for the end of an event: to them it is what was said last, to others
                // one that is not whole, and so none.
                return Some((Ok(line), None));
            }
            // What is told last is true for so long; for ever, if it is that nothing is known.
            let expires_in = answer.expires_in_seconds.map(Duration::from_secs_f64);
            tokio::select! {
                changed = snapshot.changed() => changed.ok()?,
                () = sleep(expires_in.unwrap_or_default()), if expires_in.is_some() => {}
                () = sleep_until(silent_until) => return Some((Ok(COMMENT.to_owned()), Some((snapshot, told, place)))),
            }
        }
    })
}

fn answer(snapshot: &Receiver) -> io::Result<LeaderResponse> {
    Ok(snapshot.borrow().answer(clock::now()?))
}

fn json(status: StatusCode, answer: &LeaderResponse) -> Response {
    match serde_json::to_string(answer) {
        Ok(text) => (status, [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")], text)
            .into_response(),
        Err(error) => unknown(&error.into()),
    }
}

fn unknown(error: &io::Error) -> Response {
    (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response()
}
