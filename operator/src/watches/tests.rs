//! What a watch shows, and when it asks again, by what the API server answers.

use std::io;
use std::sync::{Arc, Mutex};

use axum::http::Response;
use elector_crds::StoredLease;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use super::*;

/// How a server answers a request.
#[derive(Clone)]
enum Served {
    /// With a status, and lines.
    Answers(u16, Vec<String>),
    /// With a status, and what is no line.
    Babbles(u16, &'static str),
    RefusesConnections,
    IsSilent,
}

impl Served {
    async fn answer(self) -> io::Result<Response<Body>> {
        let (status, text) = match self {
            Served::Answers(status, lines) => (status, lines.iter().map(|line| format!("{line}\n")).collect()),
            Served::Babbles(status, text) => (status, text.to_owned()),
            Served::RefusesConnections => return Err(io::ErrorKind::ConnectionRefused.into()),
            Served::IsSilent => return std::future::pending().await,
        };
        Ok(Response::builder().status(status).body(Body::from(text.into_bytes())).unwrap())
    }
}

/// What is seen of a server that answers so, one a request and for ever the last one, until there are so many events or nothing
/// happens for long; and when it was asked with which query.
async fn watched(served: Vec<Served>, events: usize) -> (Vec<String>, Vec<(Duration, String)>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (queries, begun) = (Arc::clone(&asked), Instant::now());
    let service = service_fn(move |request: Request<Body>| {
        let mut queries = queries.lock().unwrap();
        let served = served.get(queries.len()).or(served.last()).unwrap().clone();
        queries.push((begun.elapsed(), request.uri().query().unwrap_or_default().to_owned()));
        served.answer()
    });
    let api = Api::all(paced(Client::new(service, "default")));
    let mut watch = Watch::<StoredLease>::begin(api, everything());
    let mut seen = Vec::new();
    while seen.len() < events
        && let Ok(event) = timeout(Duration::from_secs(100), watch.next()).await
    {
        seen.push(match event {
            Ok(Event::Init) => "init".to_owned(),
            Ok(Event::InitDone) => "done".to_owned(),
            Ok(Event::InitApply(lease)) => format!("found {}", lease.metadata.name.unwrap()),
            Ok(Event::Apply(lease)) => format!("changed {}", lease.metadata.name.unwrap()),
            Ok(Event::Delete(lease)) => format!("deleted {}", lease.metadata.name.unwrap()),
            Err(error) => format!("failed {}", code(&error).unwrap_or_default()),
        });
    }
    let asked = asked.lock().unwrap().clone();
    (seen, asked)
}

fn refusal(code: u16) -> Served {
    let status =
        json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "", "message": "", "code": code});
    Served::Answers(code, vec![status.to_string()])
}

fn lease(name: &str, annotations: &Value) -> Value {
    let metadata = json!({"name": name, "resourceVersion": "7", "annotations": annotations});
    json!({"kind": "Lease", "apiVersion": "coordination.k8s.io/v1", "metadata": metadata})
}

/// Its fields are in the API server's order.
fn event(kind: &str, lease: &Value) -> String {
    format!(r#"{{"type":"{kind}","object":{lease}}}"#)
}

/// An event that tells of an error.
fn tells_of(code: u16) -> Served {
    Served::Answers(200, vec![event("ERROR", &json!({"kind": "Status", "message": "", "code": code}))])
}

fn streamed() -> Served {
    let end = lease("", &json!({"k8s.io/initial-events-end": "true"}));
    Served::Answers(200, vec![event("ADDED", &lease("a", &json!({}))), event("BOOKMARK", &end)])
}

#[test]
fn why_a_watch_failed_is_what_the_api_server_says() {
    let status = kube::core::Status { code: 500, message: "etcd is away".to_owned(), ..Default::default() };
    let said = |source| Error { what: "leases", source }.words();
    assert_eq!(said(watcher::Error::WatchError(status.clone().boxed())), "etcd is away");
    let failed = kube::Error::Api(status.boxed());
    assert_eq!(said(watcher::Error::WatchStartFailed(failed)), "etcd is away");
    let silent = kube::core::Status { code: 500, ..Default::default() };
    assert!(said(watcher::Error::WatchError(silent.boxed())).contains("500"));
}

#[tokio::test(start_paused = true)]
async fn where_lists_cannot_be_streamed_they_come_in_pages() {
    let lease = lease("a", &json!({}));
    let list = json!({"kind": "LeaseList", "apiVersion": "v1", "metadata": {"resourceVersion": "7"}, "items": [lease]});
    let list = Served::Answers(200, vec![list.to_string()]);
    let watch = Served::Answers(200, vec![event("MODIFIED", &lease)]);
    let (seen, asked) = watched(vec![refusal(422), list, watch], 4).await;
    assert_eq!(seen, ["init", "found a", "done", "changed a"]);
    let asks =
        |what: &[&str]| asked.iter().map(|(_, query)| what.iter().all(|it| query.contains(it))).collect::<Vec<_>>();
    assert_eq!(asks(&["sendInitialEvents=true"]), [true, false, false]);
    assert_eq!(asks(&["limit=50"]), [false, true, false]);
    assert_eq!(asks(&["watch=true", "resourceVersion=7"]), [false, false, true]);
}

#[tokio::test(start_paused = true)]
async fn what_is_too_old_to_resume_from_is_listed_anew() {
    let (seen, asked) = watched(vec![streamed(), refusal(410), streamed()], 7).await;
    assert_eq!(seen, ["init", "found a", "done", "failed 410", "init", "found a", "done"]);
    assert_eq!(asked.len(), 3);
    // However long the stream of what there is takes.
    assert!(asked.iter().all(|(_, query)| query.contains("timeoutSeconds=0")), "{asked:?}");
}

/// How a watch is asked for again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// With all that there is, an object at a time.
    Whole,
    /// For what comes after what was seen.
    Further,
    /// As a list.
    List,
}

/// When.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    AtOnce,
    /// After the first of the pauses, which grow.
    Paused,
}

/// Of a watch that has shown what there is: what is said, when it asks again, and for what.
#[tokio::test(start_paused = true)]
async fn each_failure_of_a_watch_has_a_fate() {
    for (what, served, said, when, again) in [
        ("400", refusal(400), Some("failed 400"), When::Paused, Asked::Further),
        ("401", refusal(401), Some("failed 401"), When::Paused, Asked::Further),
        ("403", refusal(403), Some("failed 403"), When::Paused, Asked::Further),
        (
            "404 of a proxy",
            Served::Babbles(404, "404 page not found"),
            Some("failed 404"),
            When::Paused,
            Asked::Further,
        ),
        ("410", refusal(410), Some("failed 410"), When::AtOnce, Asked::Whole),
        // It cannot begin with what there is.
        ("422", refusal(422), None, When::AtOnce, Asked::List),
        ("429", refusal(429), Some("failed 429"), When::Paused, Asked::Further),
        ("500", refusal(500), Some("failed 500"), When::Paused, Asked::Further),
        ("502 of a proxy", Served::Babbles(502, "<html>"), Some("failed 502"), When::Paused, Asked::Further),
        ("503", refusal(503), Some("failed 503"), When::Paused, Asked::Further),
        ("504", refusal(504), Some("failed 504"), When::Paused, Asked::Further),
        ("a code that nobody knows", refusal(599), Some("failed 599"), When::Paused, Asked::Further),
        ("JSON that has no code", Served::Babbles(503, "{}"), Some("failed 0"), When::Paused, Asked::Further),
        ("no connection", Served::RefusesConnections, Some("failed 0"), When::Paused, Asked::Further),
        ("a stream that ends", Served::Babbles(200, ""), None, When::AtOnce, Asked::Further),
        ("a stream that is cut off", Served::Babbles(200, "{\"type\":"), None, When::AtOnce, Asked::Further),
        ("a page", Served::Babbles(200, "<html>"), Some("failed 0"), When::Paused, Asked::Further),
        ("an error 403", tells_of(403), Some("failed 403"), When::Paused, Asked::Further),
        ("an error 410", tells_of(410), Some("failed 410"), When::AtOnce, Asked::Whole),
        ("an error 500", tells_of(500), Some("failed 500"), When::Paused, Asked::Further),
        ("an error that nobody knows", tells_of(599), Some("failed 599"), When::Paused, Asked::Further),
    ] {
        let (seen, asked) = watched(vec![streamed(), served, Served::IsSilent], 9).await;
        let begins_list = (again == Asked::List).then_some("init");
        let expected: Vec<_> = ["init", "found a", "done"].into_iter().chain(said).chain(begins_list).collect();
        assert_eq!(seen, expected, "{what}");
        let [_, (failed_at, _), (at, query)] = &asked[..] else { unreachable!("{what}: {asked:?}") };
        let kind = match query {
            query if query.contains("sendInitialEvents=true") => Asked::Whole,
            query if query.contains("watch=true") => Asked::Further,
            _ => Asked::List,
        };
        let pause = *at - *failed_at;
        let first_pause = Duration::from_millis(800)..Duration::from_millis(1700);
        let is_then = match when {
            When::AtOnce => pause.is_zero(),
            When::Paused => first_pause.contains(&pause),
        };
        assert!(is_then && kind == again, "{what}: {kind:?} after {pause:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_only_refuses_is_not_asked_without_a_pause() {
    for code in [401, 403, 404, 410, 422, 429, 500, 503, 599] {
        let (_, asked) = watched(vec![refusal(code)], 20).await;
        are_paced(&asked, &code.to_string());
    }
}

/// Neither one that ends each watch, nor one that forgets at once what a watch could resume from.
#[tokio::test(start_paused = true)]
async fn a_server_that_ends_each_watch_is_not_asked_as_fast_as_it_can_answer() {
    let Served::Answers(_, mut forgotten) = streamed() else { unreachable!("it answers") };
    let Served::Answers(_, error) = tells_of(410) else { unreachable!("it answers") };
    forgotten.extend(error);
    for (what, served) in [
        ("ends", Served::Babbles(200, "")),
        ("tells of 410", tells_of(410)),
        ("forgets", Served::Answers(200, forgotten)),
    ] {
        let (_, asked) = watched(vec![served], 80).await;
        are_paced(&asked, what);
    }
}

/// Three may begin at once, and after that one a second on average.
fn are_paced(asked: &[(Duration, String)], what: &str) {
    let requests = u32::try_from(asked.len()).unwrap();
    let (last, _) = asked.last().unwrap();
    assert!(requests > 10 && *last >= Duration::from_millis(700) * (requests - 3), "{what}: {requests} in {last:?}");
}
