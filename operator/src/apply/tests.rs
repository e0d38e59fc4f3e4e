//! What becomes of the API server's answers.

use super::*;
use elector_crds::conditions::Reason;
use kube::core::Status;

fn answered(reason: &str, code: u16) -> Error {
    Error::of("create an event", kube::Error::Api(Status::failure("no", reason).with_code(code).boxed()))
}

#[test]
fn what_somebody_else_made_changed_or_deleted_is_looked_at_again() {
    for (reason, code) in [("Conflict", 409), ("AlreadyExists", 409), ("NotFound", 404)] {
        assert!(matches!(answered(reason, code), Error::Stale(_)), "{reason}");
    }
    assert!(matches!(answered("Forbidden", 403), Error::Forbidden { .. }));
}

#[test]
fn only_what_was_not_answered_is_asked_again_before_the_status_is_written() {
    for (reason, code) in [("Forbidden", 403), ("Invalid", 422), ("InternalError", 500), ("TooManyRequests", 429)] {
        assert!(is_refused(&answered(reason, code)), "{reason}");
    }
    let unanswered = kube::Error::LinesCodecMaxLineLengthExceeded;
    assert!(!is_refused(&Error::of("create an event", unanswered)));
    assert!(!is_refused(&Error::Timeout { what: "create an event", timeout: Duration::from_secs(1) }));
    assert!(!is_refused(&Error::NotLeading));
}

#[test]
fn trouble_is_told_in_the_api_servers_words() {
    let error = answered("InternalError", 500);
    assert_eq!(error.reason(), Reason::ReconcileFailed);
    assert_eq!(error.to_string(), "failed to create an event: no");
}

#[test]
fn who_refuses_is_told_from_the_words_and_what_mends_it() {
    let rights = r#"roles is forbidden: User "a" cannot create resource "roles" in API group "" in the namespace "b""#;
    let policy = "leases \"a\" is forbidden: ValidatingAdmissionPolicy 'b' with binding 'c' denied request: no";
    let webhook = "admission webhook \"a\" denied the request: no";
    for (message, code, refusal) in [
        (rights, 403, Some(Refusal::Rights)),
        (policy, 403, Some(Refusal::Admission)),
        (policy, 422, Some(Refusal::Admission)),
        (webhook, 400, Some(Refusal::Admission)),
        ("exceeded quota: a", 403, Some(Refusal::Other)),
        ("metadata.annotations: Too long", 422, None),
    ] {
        let reason = if code == 403 { "Forbidden" } else { "Invalid" };
        let status = Status::failure(message, reason).with_code(code);
        match (Error::of("apply the Role", kube::Error::Api(status.boxed())), refusal) {
            (Error::Forbidden { refusal, .. }, Some(expected)) => assert_eq!(refusal, expected, "{message}"),
            (Error::Api { .. }, None) => {}
            (other, _) => panic!("{message}: {other:?}"),
        }
    }
}
