//! What the watch shows, and when it asks again, by what the API server answers, or what stands before it, or nobody.

use std::io;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use futures::stream;
use http::{Request, Response, StatusCode};
use serde_json::json;
use tokio::time::timeout;
use tower::service_fn;

use super::*;

const TIMINGS: Timings = Timings::DEFAULT;

/// How a server answers a request.
#[derive(Clone)]
enum Served {
    Answers(u16, String),
    /// Says so much, and then the connection breaks.
    BreaksAfter(&'static str, io::ErrorKind),
    RefusesConnections,
    IsSilent,
}

impl Served {
    async fn answer(self) -> io::Result<Response<Body>> {
        match self {
            Served::Answers(code, text) => {
                let mut response = Response::new(Body::from(text));
                *response.status_mut() = StatusCode::from_u16(code).expect("a code of HTTP");
                Ok(response)
            }
            Served::BreaksAfter(text, kind) => {
                Ok(Response::new(Body::from_stream(stream::iter([Ok(text), Err(io::Error::from(kind))]))))
            }
            Served::RefusesConnections => Err(io::ErrorKind::ConnectionRefused.into()),
            Served::IsSilent => std::future::pending().await,
        }
    }
}

fn status(code: u16, reason: &str) -> String {
    json!({"kind": "Status", "status": "Failure", "reason": reason, "message": "no", "code": code}).to_string()
}

fn refuses(code: u16, reason: &str) -> Served {
    Served::Answers(code, status(code, reason))
}

fn shows(text: &str) -> Served {
    Served::Answers(200, text.to_owned())
}

/// An event that tells of an error.
fn tells_of(code: u16, reason: &str) -> Served {
    shows(&format!("{{\"type\":\"ERROR\",\"object\":{}}}\n", status(code, reason)))
}

/// All that there is, and the end of the stream.
fn begins_well() -> Served {
    let lease = |name: &str, annotations| {
        let metadata = json!({"name": name, "resourceVersion": "7", "annotations": annotations});
        json!({"kind": "Lease", "apiVersion": "coordination.k8s.io/v1", "metadata": metadata})
    };
    let event = |kind: &str, lease| format!("{{\"type\":\"{kind}\",\"object\":{lease}}}\n");
    let end = lease("", json!({"k8s.io/initial-events-end": "true"}));
    shows(&[event("ADDED", lease("billing", json!({}))), event("BOOKMARK", end)].concat())
}

/// How a watch is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// With all that there is, an object at a time.
    Whole,
    /// For what comes after what was seen.
    Further,
    /// As a list.
    List,
}

/// What was seen in the time of a lease, and when the server was asked for what. It is silent after the last of `served`.
async fn watched(served: Vec<Served>) -> (Vec<&'static str>, Vec<(Duration, Asked)>) {
    let requests = Arc::new(Mutex::new(Vec::new()));
    let (asked, begun) = (Arc::clone(&requests), Instant::now());
    let service = service_fn(move |request: Request<kube::client::Body>| {
        let mut asked = asked.lock().expect("nobody panics with it");
        let served = served.get(asked.len()).cloned().unwrap_or(Served::IsSilent);
        let query = request.uri().query().unwrap_or_default();
        asked.push((
            begun.elapsed(),
            match query {
                query if query.contains("sendInitialEvents=true") => Asked::Whole,
                query if query.contains("watch=true") => Asked::Further,
                _ => Asked::List,
            },
        ));
        served.answer()
    });
    let mut watch = LeaseWatch::open(Client::new(service, "default"), "shop", "billing");
    let mut told = Vec::new();
    let end = begun + TIMINGS.lease_duration() + Duration::from_millis(500);
    while let Ok(seen) = timeout(end.saturating_duration_since(Instant::now()), watch.next(TIMINGS)).await {
        match seen {
            Seen::Present(_) => told.push("present"),
            Seen::Deleted(_) => told.push("deleted"),
            Seen::Empty => told.push("empty"),
            Seen::Failed(problem) => told.push(problem.reason()),
            Seen::Nothing => {}
        }
    }
    let asked = requests.lock().expect("nobody panics with it").clone();
    (told, asked)
}

const AT_ONCE: Duration = Duration::ZERO;

/// Of a watch that has shown what there is: what is said, after how long it asks again, and for what.
#[tokio::test(start_paused = true)]
async fn each_failure_of_a_watch_has_a_fate() {
    let (retry, lease) = (TIMINGS.retry_period(), TIMINGS.lease_duration());
    for (what, served, said, wait, asked) in [
        ("400", refuses(400, "BadRequest"), Some("Refused"), retry, Asked::Further),
        ("401", refuses(401, "Unauthorized"), Some("Unauthorized"), retry, Asked::Further),
        // Meanwhile the Lease is read each retry period.
        ("403", refuses(403, "Forbidden"), Some("Forbidden"), lease, Asked::Further),
        (
            "404 of a proxy",
            Served::Answers(404, "404 page not found".to_owned()),
            Some("ServerError"),
            retry,
            Asked::Further,
        ),
        ("410", refuses(410, "Expired"), None, AT_ONCE, Asked::Whole),
        // It cannot begin with what there is.
        ("422", refuses(422, "Invalid"), None, AT_ONCE, Asked::List),
        ("429", refuses(429, "TooManyRequests"), Some("Refused"), retry, Asked::Further),
        ("500", refuses(500, "InternalError"), Some("ServerError"), retry, Asked::Further),
        ("502 of a proxy", Served::Answers(502, "<html>".to_owned()), Some("ServerError"), retry, Asked::Further),
        ("503", refuses(503, "ServiceUnavailable"), Some("ServerError"), retry, Asked::Further),
        ("504", refuses(504, "Timeout"), Some("ServerError"), retry, Asked::Further),
        ("a code that nobody knows", refuses(599, "Odd"), Some("ServerError"), retry, Asked::Further),
        ("no connection", Served::RefusesConnections, Some("Unreachable"), retry, Asked::Further),
        (
            "a connection that is reset",
            Served::BreaksAfter("", io::ErrorKind::ConnectionReset),
            Some("Unreachable"),
            retry,
            Asked::Further,
        ),
        ("a stream that ends", shows(""), None, AT_ONCE, Asked::Further),
        ("a stream that is cut off", shows("{\"type\":"), None, AT_ONCE, Asked::Further),
        (
            "a connection that ends within an event",
            Served::BreaksAfter("{\"type\":", io::ErrorKind::UnexpectedEof),
            None,
            AT_ONCE,
            Asked::Further,
        ),
        ("a page", shows("<html>\n"), Some("Unreachable"), retry, Asked::Further),
        ("an error 403", tells_of(403, "Forbidden"), Some("Forbidden"), lease, Asked::Further),
        ("an error 410", tells_of(410, "Expired"), None, AT_ONCE, Asked::Whole),
        ("an error 429", tells_of(429, "TooManyRequests"), Some("Refused"), retry, Asked::Further),
        ("an error 500", tells_of(500, "InternalError"), Some("ServerError"), retry, Asked::Further),
        ("an error that nobody knows", tells_of(599, "Odd"), Some("ServerError"), retry, Asked::Further),
    ] {
        let (told, requests) = watched(vec![begins_well(), served]).await;
        assert_eq!(told, ["present"].into_iter().chain(said).collect::<Vec<_>>(), "{what}");
        let expected = [(AT_ONCE, Asked::Whole), (AT_ONCE, Asked::Further), (wait, asked)];
        assert_eq!(requests, expected, "{what}");
    }
}

/// Of a watch that has shown nothing yet.
#[tokio::test(start_paused = true)]
async fn each_failure_to_begin_a_watch_has_a_fate() {
    let (retry, lease) = (TIMINGS.retry_period(), TIMINGS.lease_duration());
    for (what, served, said, wait, asked) in [
        ("401", refuses(401, "Unauthorized"), Some("Unauthorized"), retry, Asked::Whole),
        ("403", refuses(403, "Forbidden"), Some("Forbidden"), lease, Asked::Whole),
        ("410", refuses(410, "Expired"), None, AT_ONCE, Asked::Whole),
        ("422", refuses(422, "Invalid"), None, AT_ONCE, Asked::List),
        ("500", refuses(500, "InternalError"), Some("ServerError"), retry, Asked::Whole),
        ("no connection", Served::RefusesConnections, Some("Unreachable"), retry, Asked::Whole),
        ("a stream that ends", shows(""), None, AT_ONCE, Asked::Whole),
        ("a page", shows("<html>\n"), Some("Unreachable"), retry, Asked::Whole),
        ("an error 500", tells_of(500, "InternalError"), Some("ServerError"), retry, Asked::Whole),
    ] {
        let (told, requests) = watched(vec![served]).await;
        assert_eq!(told, said.into_iter().collect::<Vec<_>>(), "{what}");
        assert_eq!(requests, [(AT_ONCE, Asked::Whole), (wait, asked)], "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_cannot_begin_with_what_there_is_is_asked_for_a_list() {
    let list = json!({"kind": "LeaseList", "apiVersion": "coordination.k8s.io/v1", "metadata": {"resourceVersion": "7"}, "items": []});
    let (told, requests) = watched(vec![refuses(422, "Invalid"), shows(&list.to_string())]).await;
    assert_eq!(told, ["empty"]);
    assert_eq!(
        requests.into_iter().map(|(_, asked)| asked).collect::<Vec<_>>(),
        [Asked::Whole, Asked::List, Asked::Further]
    );
    // It does not know lists either.
    let (told, requests) = watched(vec![refuses(422, "Invalid"); 2]).await;
    assert_eq!(told, ["Refused"]);
    assert_eq!(requests, [(AT_ONCE, Asked::Whole), (AT_ONCE, Asked::List), (TIMINGS.retry_period(), Asked::List)]);
}

/// What is begun again at once is so three times, and not more often than once a second on average.
#[tokio::test(start_paused = true)]
async fn a_server_that_ends_each_watch_is_not_asked_as_fast_as_it_can_answer() {
    for served in [shows(""), refuses(410, "Expired"), tells_of(410, "Expired")] {
        let (_, requests) = watched(vec![served; 100]).await;
        assert_eq!(requests.len(), 18, "{requests:?}");
    }
}
