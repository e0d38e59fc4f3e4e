//! For the app: who leads.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use elector_agent::clock;
use futures::Stream;
use futures::stream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::sleep;

use crate::beside::standing::{Answer, Standing};

type Receiver = watch::Receiver<Standing>;

/// So many may listen for changes, and stay: others are to be answered beside them.
const LISTENERS: usize = 32;

#[derive(Clone)]
struct Listening {
    standing: Receiver,
    places: Arc<Semaphore>,
}

pub(super) fn router(standing: Receiver) -> Router {
    let listening = Listening { standing: standing.clone(), places: Arc::new(Semaphore::new(LISTENERS)) };
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
async fn changes(State(Listening { standing, places }): State<Listening>) -> Response {
    match places.try_acquire_owned() {
        Ok(place) => Sse::new(events(standing, place)).keep_alive(KeepAlive::default()).into_response(),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "too many listen").into_response(),
    }
}

fn events(standing: Receiver, place: OwnedSemaphorePermit) -> impl Stream<Item = Result<Event, Infallible>> {
    stream::unfold((standing, None::<Answer>, place), async |(mut standing, mut told, place)| {
        loop {
            let is_over = standing.borrow_and_update().is_over();
            let answer = answer(&standing).ok()?;
            if told.as_ref().is_none_or(|told| !told.says(&answer)) {
                let event = Event::default().data(serde_json::to_string(&answer).ok()?);
                told = Some(answer);
                return Some((Ok(event), (standing, told, place)));
            }
            if is_over {
                return None;
            }
            // What is told last is true for so long; for ever, if it is that nothing is known.
            let expires_in = answer.expires_in_seconds.map(Duration::from_secs_f64);
            tokio::select! {
                changed = standing.changed() => changed.ok()?,
                () = sleep(expires_in.unwrap_or_default()), if expires_in.is_some() => {}
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
