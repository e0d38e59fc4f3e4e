//! What becomes of the API server's answers, and of having none.

use std::io;

use axum::body::Body;
use axum::http::{Request, Response};
use elector_crds::conditions::Reason;
use elector_crds::{LeaderElectionSpec, StoredLease};
use kube::core::Status;
use kube::core::response::{StatusCause, StatusDetails};
use tokio::time::Instant;
use tower::service_fn;

use super::*;
use crate::heartbeat::Heartbeat;
use crate::leadership::Leadership;

/// What becomes of a write that was not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It is planned anew, and nobody is told: somebody else wrote, made or deleted it.
    LookedAtAgain,
    /// Nobody is told: the namespace is going. Nothing else waits.
    LeftToItsEnd,
    /// Ready is `Forbidden`, and says what mends it. Nothing else waits.
    Denied(Refusal),
    /// Ready is `ReconcileFailed`. Nothing else waits.
    Refused,
    /// Ready is `ReconcileFailed`. Nothing else of the plan is tried, which would meet the same.
    Unanswered,
}

fn fate(error: Error) -> Fate {
    let reason = error.reason();
    let fate = match &error {
        Error::Stale(_) => Fate::LookedAtAgain,
        Error::Terminating(_) => Fate::LeftToItsEnd,
        Error::Forbidden { refusal, .. } => Fate::Denied(*refusal),
        error if is_refused(error) => Fate::Refused,
        _ => Fate::Unanswered,
    };
    assert_eq!(reason, if let Fate::Denied(_) = fate { Reason::Forbidden } else { Reason::ReconcileFailed });
    let ends_plan = Outcome::default().note(Part::Role, Err(error)).is_err();
    assert_eq!(ends_plan, matches!(fate, Fate::LookedAtAgain | Fate::Unanswered));
    fate
}

fn status(code: u16, reason: &str, message: &str) -> kube::Error {
    kube::Error::Api(Status::failure(message, reason).with_code(code).boxed())
}

fn with_details(code: u16, reason: &str, cause: &str, retry_after_seconds: u32) -> kube::Error {
    let causes = vec![StatusCause { reason: cause.to_owned(), message: String::new(), field: String::new() }];
    let (name, group, kind, uid) = Default::default();
    let details = StatusDetails { name, group, kind, uid, causes, retry_after_seconds };
    kube::Error::Api(Status::failure("no", reason).with_code(code).with_details(details).boxed())
}

/// As kube makes of an answer that is no `Status` of Kubernetes.
fn of_a_proxy(code: u16) -> kube::Error {
    status(code, "Failed to parse error data", "<html>")
}

const RIGHTS: &str =
    r#"roles is forbidden: User "a" cannot create resource "roles" in API group "" in the namespace "b""#;
const GRANT: &str =
    r#"roles "a" is forbidden: user "b" (groups=["c"]) is attempting to grant RBAC permissions not currently held: {}"#;
const POLICY: &str = r#"leases "a" is forbidden: ValidatingAdmissionPolicy 'b' with binding 'c' denied request: no"#;
const MUTATION: &str = r#"leases "a" is forbidden: MutatingAdmissionPolicy 'b' with binding 'c' denied request: no"#;
const WEBHOOK: &str = r#"admission webhook "a" denied the request: no"#;
const QUOTA: &str = r#"roles "a" is forbidden: exceeded quota: none, requested: count/roles=1"#;
const NO_WEBHOOK: &str = r#"Internal error occurred: failed calling webhook "a": connection refused"#;

#[test]
fn each_answer_to_a_write_has_a_fate() {
    use Fate::{Denied, LeftToItsEnd, LookedAtAgain, Refused, Unanswered};
    let reset = io::Error::from(io::ErrorKind::ConnectionReset);
    for (what, error, expected) in [
        ("the request cannot be read", status(400, "BadRequest", "no"), Refused),
        ("a webhook denies it", status(400, "BadRequest", WEBHOOK), Denied(Refusal::Admission)),
        ("the token is not accepted", status(401, "Unauthorized", "Unauthorized"), Refused),
        ("the account has no right to", status(403, "Forbidden", RIGHTS), Denied(Refusal::Rights)),
        ("it lacks what it would grant", status(403, "Forbidden", GRANT), Denied(Refusal::Rights)),
        ("a policy denies it", status(403, "Forbidden", POLICY), Denied(Refusal::Admission)),
        ("a webhook forbids it", status(403, "Forbidden", WEBHOOK), Denied(Refusal::Admission)),
        ("there is no room in a quota", status(403, "Forbidden", QUOTA), Denied(Refusal::Other)),
        ("a server before it forbids it", of_a_proxy(403), Refused),
        ("the namespace is going", with_details(403, "Forbidden", "NamespaceTerminating", 0), LeftToItsEnd),
        ("there is no such object", status(404, "NotFound", "not found"), LookedAtAgain),
        ("a server before it knows no such page", of_a_proxy(404), Refused),
        ("the server does not know the verb", status(405, "MethodNotAllowed", "no"), Refused),
        ("it did not come in time", status(408, "Timeout", "no"), Refused),
        ("another has changed it", status(409, "Conflict", "changed"), LookedAtAgain),
        ("another has made it", status(409, "AlreadyExists", "there"), LookedAtAgain),
        ("a webhook calls it a conflict", status(409, "Conflict", WEBHOOK), Denied(Refusal::Admission)),
        (
            "the namespace is going, as a conflict",
            with_details(409, "Conflict", "NamespaceTerminating", 0),
            LeftToItsEnd,
        ),
        ("it is too old", status(410, "Expired", "no"), Refused),
        ("it is too large", status(413, "RequestEntityTooLarge", "no"), Refused),
        ("it is in no form that is taken", status(415, "UnsupportedMediaType", "no"), Refused),
        ("the object breaks a rule", status(422, "Invalid", "metadata.annotations: Too long"), Refused),
        ("a policy calls it invalid", status(422, "Invalid", POLICY), Denied(Refusal::Admission)),
        ("a policy that changes it does", status(422, "Invalid", MUTATION), Denied(Refusal::Admission)),
        ("there are too many requests", status(429, "TooManyRequests", "later"), Refused),
        ("there are, for 3 s", with_details(429, "TooManyRequests", "", 3), Refused),
        ("a webhook cannot be called", status(500, "InternalError", NO_WEBHOOK), Refused),
        ("a server before it reaches none", of_a_proxy(502), Refused),
        ("the API server is starting", status(503, "ServiceUnavailable", "no"), Refused),
        ("it took too long", status(504, "Timeout", "no"), Refused),
        ("a code that nobody knows", status(599, "Odd", "no"), Refused),
        ("JSON that has no code", status(0, "", ""), Refused),
        ("the connection is reset", kube::Error::Service(reset.into()), Unanswered),
        ("a line has no end", kube::Error::LinesCodecMaxLineLengthExceeded, Unanswered),
    ] {
        assert_eq!(fate(Error::of("apply the Role", error)), expected, "{what}");
    }
    assert_eq!(fate(Error::Timeout { what: "apply the Role", timeout: Duration::from_secs(1) }), Unanswered);
}

/// The object that is there is somebody else's, and not the operator's to touch.
#[test]
fn what_is_another_s_holds_up_nothing_else() {
    let conflict = || Error::Conflict("Role leader-elector-a is another's".to_owned());
    assert!(Outcome::default().note(Part::Role, Err(conflict())).is_ok());
    assert_eq!(
        (conflict().reason(), conflict().to_string()),
        (Reason::ObjectConflict, "Role leader-elector-a is another's".to_owned())
    );
    assert!(Outcome::default().note(Part::Role, Err(Error::NotLeading)).is_err(), "another replica writes now");
}

#[test]
fn it_is_told_in_the_api_servers_words_and_with_what_mends_it() {
    let of_policy = format!(
        "the operator may not apply the Role: {POLICY}; let that policy or webhook admit the operator's account"
    );
    let of_rights = format!(
        "the operator may not apply the Role: {RIGHTS}; give its account the rights that its Helm chart gives it"
    );
    for (error, told) in [
        (status(403, "Forbidden", RIGHTS), &*of_rights),
        (status(422, "Invalid", POLICY), &of_policy),
        (
            status(403, "Forbidden", "exceeded quota: none"),
            "the operator may not apply the Role: exceeded quota: none; change what the API server names",
        ),
        (status(500, "InternalError", "etcd is away"), "failed to apply the Role: etcd is away"),
        (status(409, "Conflict", "changed"), "failed to apply the Role: it has changed"),
        (
            with_details(403, "Forbidden", "NamespaceTerminating", 0),
            "failed to apply the Role: the namespace is being deleted",
        ),
        (status(0, "", ""), "failed to apply the Role: the answer has no words, and the status 0"),
    ] {
        assert_eq!(Error::of("apply the Role", error).to_string(), told);
    }
    let timeout = Error::Timeout { what: "apply the Role", timeout: Duration::from_secs(5) };
    assert_eq!(timeout.to_string(), "failed to apply the Role: no answer within 5 s");
}

/// That a test in a patch fails is told so.
#[test]
fn only_a_patch_that_cannot_be_applied_was_meant_for_what_was_there_before() {
    for code in [400, 403, 404, 409, 500, 504] {
        assert!(!is_changed(&status(code, "Invalid", "no")), "{code}");
    }
    assert!(is_changed(&status(422, "Invalid", "no")));
    assert!(!is_changed(&kube::Error::LinesCodecMaxLineLengthExceeded));
}

/// How a server answers a read.
enum Served {
    Answers(u16, &'static str),
    RefusesConnections,
    IsSilent,
}

/// What comes of a read, and after how long.
async fn read(served: Served) -> (Result<Option<StoredLease>, Error>, Duration) {
    let election = LeaderElection::new("billing", LeaderElectionSpec::default());
    let service = service_fn(move |_: Request<kube::client::Body>| {
        let response = match served {
            Served::Answers(code, text) => Some(Ok(Response::builder().status(code).body(Body::from(text)).unwrap())),
            Served::RefusesConnections => Some(Err(io::Error::from(io::ErrorKind::ConnectionRefused))),
            Served::IsSilent => None,
        };
        async move {
            match response {
                Some(response) => response,
                None => std::future::pending().await,
            }
        }
    });
    let client = Client::new(service, "default");
    let (_, leading) = Leadership::new(Heartbeat::new());
    let applier = Applier { client, leading, timeout: Duration::from_secs(5), identity: "one".to_owned() };
    let begun = Instant::now();
    let read = applier.read_lease(&election, &mut Vec::new()).await;
    (read, begun.elapsed())
}

/// What is not there would be made, and what is gone is forgotten: only the API server can say so.
#[tokio::test(start_paused = true)]
async fn that_there_is_nothing_is_believed_the_api_server_alone() {
    let not_found = r#"{"kind": "Status", "status": "Failure", "reason": "NotFound", "message": "no", "code": 404}"#;
    let lease = r#"{"metadata": {"name": "billing"}}"#;
    assert!(matches!(read(Served::Answers(404, not_found)).await, (Ok(None), Duration::ZERO)));
    assert!(matches!(read(Served::Answers(200, lease)).await, (Ok(Some(_)), Duration::ZERO)));
    for (what, served, expected) in [
        ("404 of a proxy", Served::Answers(404, "404 page not found"), Fate::Refused),
        ("404 of a proxy, in JSON", Served::Answers(404, r#"{"detail": "Not Found"}"#), Fate::Refused),
        ("502 of a proxy", Served::Answers(502, "<html>"), Fate::Refused),
        ("a page", Served::Answers(200, "<html>"), Fate::Unanswered),
        ("an object that is cut off", Served::Answers(200, "{\"metadata\": {"), Fate::Unanswered),
        ("no connection", Served::RefusesConnections, Fate::Unanswered),
    ] {
        let (Err(error), took) = read(served).await else { unreachable!("{what}") };
        assert_eq!((fate(error), took), (expected, Duration::ZERO), "{what}");
    }
    let (unanswered, took) = read(Served::IsSilent).await;
    assert!(matches!(unanswered, Err(Error::Timeout { .. })) && took == Duration::from_secs(5));
}
