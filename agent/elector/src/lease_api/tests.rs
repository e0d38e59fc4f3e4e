//! The fate of each request, by what the API server answers, or what stands before it, or nobody.

use std::io;

use axum::body::Body;
use elector_election::{AgentMark, ResourceVersion, Timestamp, Write};
use futures::stream;
use http::{Response, StatusCode};
use kube::client::AuthError;
use kube::core::Status;
use kube::core::response::StatusDetails;
use tokio::time::Instant;
use tower_test::mock;

use super::*;

/// What of a request is told: its fate to the election, and to the log the reason why somebody should look.
type Fate = (Answer, Option<&'static str>);

const VERBS: [&str; 3] = ["get", "create", "update"];

const RIGHTS: &str = "leases.coordination.k8s.io \"billing\" is forbidden: User \"app\" cannot update resource \"leases\" in API group \
                      \"coordination.k8s.io\" in the namespace \"shop\"";

const POLICY: &str = "leases.coordination.k8s.io \"billing\" is forbidden: ValidatingAdmissionPolicy 'a' with binding 'b' denied request: no";

const WEBHOOK: &str = "admission webhook \"a.example.com\" denied the request: no";

const QUOTA: &str = "leases.coordination.k8s.io \"billing\" is forbidden: exceeded quota: none, requested: \
                     count/leases.coordination.k8s.io=1, used: count/leases.coordination.k8s.io=0, limited: \
                     count/leases.coordination.k8s.io=0";

const TERMINATING: &str = "leases.coordination.k8s.io \"billing\" is forbidden: unable to create new content in namespace shop because \
                           it is being terminated";

fn refused(reason: &'static str) -> Fate {
    (Answer::Refused { retry_after: None }, Some(reason))
}

fn refused_for(seconds: u64, reason: &'static str) -> Fate {
    (Answer::Refused { retry_after: Some(Duration::from_secs(seconds)) }, Some(reason))
}

fn unknown(reason: &'static str) -> Fate {
    (Answer::Unknown, Some(reason))
}

fn fate(reply: Reply) -> Fate {
    assert_eq!(reply.object.is_some(), matches!(reply.answer, Answer::Found(_) | Answer::Stored(_)));
    (reply.answer, reply.problem.as_ref().map(Problem::reason))
}

fn status(code: u16, reason: &str, message: &str) -> Error {
    Error::Api(Status::failure(message, reason).with_code(code).boxed())
}

fn for_seconds(retry_after_seconds: u32, code: u16, reason: &str) -> Error {
    let (name, group, kind, uid, causes) = Default::default();
    let details = StatusDetails { name, group, kind, uid, causes, retry_after_seconds };
    Error::Api(Status::failure("later", reason).with_code(code).with_details(details).boxed())
}

/// As kube makes of an answer that is no `Status` of Kubernetes.
fn of_a_proxy(code: u16) -> Error {
    status(code, "Failed to parse error data", "<html>")
}

/// Nothing is stored where the API server says so. After any other failure, it is looked up what is stored.
#[test]
fn each_answer_to_a_request_has_a_fate() {
    let reset = Error::Service(io::Error::from(io::ErrorKind::ConnectionReset).into());
    let no_token = || AuthError::AuthExec("no".to_owned());
    for (what, error, expected) in [
        ("the request cannot be read", status(400, "BadRequest", "no"), refused("Refused")),
        ("a webhook denies it", status(400, "BadRequest", WEBHOOK), refused("Refused")),
        ("the token is not accepted", status(401, "Unauthorized", "Unauthorized"), refused("Unauthorized")),
        ("a server before it knows no such page", of_a_proxy(404), unknown("ServerError")),
        ("the server does not know the verb", status(405, "MethodNotAllowed", "no"), refused("Refused")),
        ("it did not come in time", status(408, "Timeout", "no"), unknown("ServerError")),
        ("another has changed it", status(409, "Conflict", "changed"), (Answer::Conflict, None)),
        ("another has made it", status(409, "AlreadyExists", "there"), (Answer::Conflict, None)),
        ("it is too old", status(410, "Expired", "no"), unknown("ServerError")),
        ("it is too large", status(413, "RequestEntityTooLarge", "no"), refused("Refused")),
        ("it is in no form that is taken", status(415, "UnsupportedMediaType", "no"), refused("Refused")),
        ("the object breaks a rule", status(422, "Invalid", "no"), refused("Refused")),
        ("a policy denies it", status(422, "Invalid", POLICY), refused("Refused")),
        ("there are too many requests", status(429, "TooManyRequests", "later"), refused("Refused")),
        ("there are, for 3 s", for_seconds(3, 429, "TooManyRequests"), refused_for(3, "Refused")),
        ("a webhook cannot be called", status(500, "InternalError", "failed calling webhook"), unknown("ServerError")),
        ("a server before it reaches none", of_a_proxy(502), unknown("ServerError")),
        ("the API server is starting", status(503, "ServiceUnavailable", "no"), unknown("ServerError")),
        // What may be stored is looked up, and a leader has no time to lose.
        ("it is, for 3 s", for_seconds(3, 503, "ServiceUnavailable"), unknown("ServerError")),
        ("it took too long", status(504, "Timeout", "no"), unknown("ServerError")),
        ("a code that nobody knows", status(599, "Odd", "no"), unknown("ServerError")),
        ("JSON that has no code", status(0, "", ""), unknown("ServerError")),
        ("the connection is reset", reset, unknown("Unreachable")),
        ("there is no token to send", Error::Auth(no_token()), unknown("Credentials")),
        ("there is none, says a layer", Error::Service(no_token().into()), unknown("Credentials")),
        ("a line has no end", Error::LinesCodecMaxLineLengthExceeded, unknown("Unreachable")),
    ] {
        for verb in VERBS {
            assert_eq!(fate(failed(&error, verb)), expected, "{verb}: {what}");
        }
    }
}

#[test]
fn what_is_missing_or_denied_is_told_by_what_was_asked() {
    let not_found = |problem| (Answer::NotFound, problem);
    let denied = || refused("Refused");
    for (error, get, create, update) in [
        (status(403, "Forbidden", RIGHTS), refused("Forbidden"), refused("NoLease"), refused("Forbidden")),
        // Nothing but a right keeps an account from reading.
        (status(403, "Forbidden", POLICY), refused("Forbidden"), denied(), denied()),
        (status(403, "Forbidden", WEBHOOK), refused("Forbidden"), denied(), denied()),
        (status(403, "Forbidden", QUOTA), refused("Forbidden"), denied(), denied()),
        (status(403, "Forbidden", TERMINATING), refused("Forbidden"), denied(), denied()),
        (
            status(404, "NotFound", "not found"),
            not_found(None),
            // A Lease that is to be made is not what is missing.
            not_found(Some("NoNamespace")),
            not_found(None),
        ),
    ] {
        assert_eq!(VERBS.map(|verb| fate(failed(&error, verb))), [get, create, update], "{error}");
    }
}

const TIMEOUT: Duration = Duration::from_secs(5);

/// What a server does with a request.
enum Served {
    Answers(Response<Body>),
    Breaks(io::ErrorKind),
    IsSilent,
}

fn answers(code: u16, text: &str) -> Served {
    let mut response = Response::new(Body::from(text.to_owned()));
    *response.status_mut() = StatusCode::from_u16(code).expect("a code of HTTP");
    Served::Answers(response)
}

/// Says so much, and then the connection breaks.
fn breaks_after(text: &'static str) -> Served {
    let parts = [Ok(text), Err(io::Error::from(io::ErrorKind::UnexpectedEof))];
    Served::Answers(Response::new(Body::from_stream(stream::iter(parts))))
}

/// The line of the request that is sent, and what comes of it by when. There is no second one.
async fn sent(request: Request, served: Served) -> (String, Reply, Duration) {
    let (service, mut server) = mock::pair::<http::Request<kube::client::Body>, Response<Body>>();
    let api = LeaseApi::new(Client::new(service, "default"), "shop", "billing");
    let begun = Instant::now();
    let server = async {
        let (request, answer) = server.next_request().await.expect("a request is sent");
        let line = format!("{} {}", request.method(), request.uri());
        let mut unanswered = None;
        match served {
            Served::Answers(response) => answer.send_response(response),
            Served::Breaks(kind) => answer.send_error(io::Error::from(kind)),
            Served::IsSilent => unanswered = Some(answer),
        }
        // The client is gone by then.
        assert!(server.next_request().await.is_none(), "{line} is sent again");
        drop(unanswered);
        line
    };
    let reply = async { (api.send(request, None, None, TIMEOUT).await, begun.elapsed()) };
    let (line, (reply, took)) = futures::join!(server, reply);
    (line, reply, took)
}

fn write() -> Write {
    let time = Timestamp::from_microseconds(1_800_000_000_000_000);
    Write {
        holder: "billing-0".to_owned(),
        lease_duration_seconds: 15,
        acquire_time: time,
        renew_time: time,
        transitions: 1,
        agent: AgentMark { start: "nonce".to_owned(), transitions: 1, release: None },
    }
}

fn update() -> Request {
    Request::Update { uid: "uid".to_owned(), resource_version: ResourceVersion(7), write: write() }
}

#[tokio::test(start_paused = true)]
async fn what_is_stored_is_what_a_whole_answer_shows() {
    let lease = r#"{"metadata": {"uid": "uid", "resourceVersion": "8"}, "spec": {}}"#;
    let leases = "/apis/coordination.k8s.io/v1/namespaces/shop/leases";
    for (request, code, line, outcome_told) in [
        (Request::Get, 200, format!("GET {leases}/billing"), "found"),
        (Request::Create(write()), 201, format!("POST {leases}?"), "stored"),
        (update(), 200, format!("PUT {leases}/billing?"), "stored"),
    ] {
        let (asked, reply, _) = sent(request, answers(code, lease)).await;
        assert_eq!((asked, outcome(&reply.answer), reply.problem.is_none()), (line, outcome_told, true));
        let (Answer::Found(read) | Answer::Stored(read)) = fate(reply).0 else { unreachable!("it is one of both") };
        assert_eq!((read.record.uid, read.resource_version), ("uid".to_owned(), ResourceVersion(8)));
    }
}

/// A write of which this is the answer may be stored.
#[tokio::test(start_paused = true)]
async fn an_answer_that_shows_no_lease_is_none_and_no_request_is_repeated() {
    let page = "<html><body>Welcome</body></html>";
    let later = "Too many requests, please try again later.\n";
    let cases = [
        ("a page", answers(200, page), unknown("Unreachable")),
        ("a page for who is to log in", answers(302, page), unknown("Unreachable")),
        ("nothing", answers(200, ""), unknown("Unreachable")),
        ("another object", answers(200, r#"{"kind": "Status"}"#), unknown("OddLease")),
        ("JSON that is no object", answers(200, "[]"), unknown("OddLease")),
        ("a Lease that is cut off", answers(200, r#"{"metadata": {"#), unknown("Unreachable")),
        ("a Lease with which a connection ends", breaks_after(r#"{"metadata": {"#), unknown("Unreachable")),
        ("404 of a proxy, which is no proof", answers(404, "404 page not found\n"), unknown("ServerError")),
        ("503 of a proxy, in JSON", answers(503, r#"{"error": "none is there"}"#), unknown("ServerError")),
        ("429 before anything is looked at", answers(429, later), refused("Refused")),
        ("502 of a proxy", answers(502, page), unknown("ServerError")),
        ("a connection that is refused", Served::Breaks(io::ErrorKind::ConnectionRefused), unknown("Unreachable")),
        ("a certificate that is not trusted", Served::Breaks(io::ErrorKind::InvalidData), unknown("Unreachable")),
    ];
    for (what, served, expected) in cases {
        let (_, reply, took) = sent(update(), served).await;
        assert_eq!((fate(reply), took), (expected, Duration::ZERO), "{what}");
    }
    let (_, reply, took) = sent(update(), Served::IsSilent).await;
    assert_eq!((fate(reply), took), (unknown("Unreachable"), TIMEOUT));
}
