//! For the app: who leads.

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

use crate::beside::standing::{Answer, Standing};

type Receiver = watch::Receiver<Standing>;

/// A connection that says nothing for longer is closed by proxies.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// A line of its own, without an empty one behind it: that would be an event of nothing to some parsers.
const COMMENT: &str = ":\n";

/// So many may listen for changes, and stay: others are to be answered beside them.
const LISTENERS: u32 = 32;

/// Those who listen for changes.
#[derive(Debug, Clone)]
pub(super) struct Listeners(Arc<Semaphore>);

impl Default for Listeners {
    fn default() -> Listeners {
        Listeners(Arc::new(Semaphore::new(LISTENERS as usize)))
    }
}

impl Listeners {
    /// Completes when there are none.
    pub(super) async fn gone(&self) {
        // It is never closed.
        let _ = self.0.acquire_many(LISTENERS).await;
    }
}

#[derive(Clone)]
struct Listening {
    standing: Receiver,
    listeners: Listeners,
}

pub(super) fn router(standing: Receiver, listeners: Listeners) -> Router {
    let listening = Listening { standing: standing.clone(), listeners };
    let changes = Router::new().route("/sse", get(changes)).with_state(listening);
    let answers = Router::new().route("/isLeader", get(is_leader));
    // As the sidecars that were there before: their clients may ask by any path.
    answers.fallback(get(leader)).with_state(standing).merge(changes)
}

async fn leader(State(standing): State<Receiver>) -> Response {
    match answer(&standing) {
        Ok(answer) => json(StatusCode::OK, &answer),
        Err(error) => unknown(&error),
    }
}

async fn is_leader(State(standing): State<Receiver>) -> Response {
    match answer(&standing) {
        Ok(answer) if answer.is_leader => json(StatusCode::OK, &answer),
        Ok(answer) => json(StatusCode::SERVICE_UNAVAILABLE, &answer),
        Err(error) => unknown(&error),
    }
}

/// What there is to say, then each change of it.
async fn changes(State(Listening { standing, listeners }): State<Listening>) -> Response {
    match listeners.0.try_acquire_owned() {
        Ok(place) => {
            let headers = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-cache")];
            (headers, Body::from_stream(events(standing, place))).into_response()
        }
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "too many listen").into_response(),
    }
}

fn events(standing: Receiver, place: OwnedSemaphorePermit) -> impl Stream<Item = Result<String, Infallible>> {
    let listening = Some((standing, None::<Answer>, place));
    stream::unfold(listening, async |listening| {
        let (mut standing, mut told, place) = listening?;
        let silent_until = Instant::now() + KEEP_ALIVE;
        loop {
            let is_over = standing.borrow_and_update().is_over();
            let answer = answer(&standing).ok()?;
            let line = format!("data: {}\n", serde_json::to_string(&answer).ok()?);
            if told.as_ref().is_none_or(|told| !told.says(&answer)) {
                told = Some(answer);
                return Some((Ok(format!("{line}\n")), Some((standing, told, place))));
            }
            if is_over {
                // Some parsers take the end of the body for the end of an event: to them it is what was said last, to others
                // one that is not whole, and so none.
                return Some((Ok(line), None));
            }
            // What is told last is true for so long; for ever, if it is that nothing is known.
            let expires_in = answer.expires_in_seconds.map(Duration::from_secs_f64);
            tokio::select! {
                changed = standing.changed() => changed.ok()?,
                () = sleep(expires_in.unwrap_or_default()), if expires_in.is_some() => {}
                () = sleep_until(silent_until) => return Some((Ok(COMMENT.to_owned()), Some((standing, told, place)))),
            }
        }
    })
}

fn answer(standing: &Receiver) -> io::Result<Answer> {
    Ok(standing.borrow().answer(clock::now()?))
}

fn json(status: StatusCode, answer: &Answer) -> Response {
    match serde_json::to_string(answer) {
        Ok(text) => (status, [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")], text)
            .into_response(),
        Err(error) => unknown(&error.into()),
    }
}

fn unknown(error: &io::Error) -> Response {
    (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response()
}
