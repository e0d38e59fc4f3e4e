//! What becomes of the API server's answers.

use super::*;
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
