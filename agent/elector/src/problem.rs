//! Problems that keep a candidate from contending; each is logged once per change.

use std::error::Error as _;
use std::fmt;

use elector_crds::ParseWarning;
use elector_crds::display_text::{MAX_MESSAGE, shown};
use elector_crds::rbac::tells_of_missing_right;
use kube::Error;
use kube::client::AuthError;
use kube::core::Status;

/// A problem that a person should look at, worded for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Problem {
    /// The API server gave no answer, or none that could be understood.
    Unreachable(String),
    /// The API server's answer does not say that nothing was stored, as a 5xx does not: something may have been.
    Failing(String),
    /// The credentials cannot be read.
    Credentials(String),
    /// The API server does not accept the credentials (401).
    Unauthorized,
    /// The API server does not allow this verb (403).
    Forbidden(&'static str),
    /// The namespace in which to create a Lease does not exist.
    NoNamespace,
    /// The API server refused the request for any other reason: its verb, and why.
    Refused(&'static str, String),
    /// The Lease has content that cannot be read.
    Garbage(String),
}

impl Problem {
    pub(crate) fn of_error(error: &Error, verb: &'static str) -> Problem {
        match error {
            Error::Api(status) if status.code == 401 => Problem::Unauthorized,
            Error::Api(status) if status.code == 403 && lacks_right(status, verb) => Problem::Forbidden(verb),
            Error::Api(status) if is_refusal(status.code) => Problem::Refused(verb, status.message.clone()),
            // JSON of a server before the API server has no code.
            Error::Api(status) if status.code == 0 => Problem::Failing("that is no answer of an API server".to_owned()),
            Error::Api(status) => Problem::Failing(format!("{}: {}", status.code, status.message)),
            Error::Auth(error) => Problem::Credentials(error.to_string()),
            Error::Service(error) if error.is::<AuthError>() => Problem::Credentials(error.to_string()),
            _ => Problem::Unreachable(with_sources(error)),
        }
    }

    pub(crate) fn of_warnings(warnings: &[ParseWarning]) -> Option<Problem> {
        let said: Vec<String> = warnings.iter().map(ToString::to_string).collect();
        (!said.is_empty()).then(|| Problem::Garbage(said.join("; ")))
    }

    /// Whether reading the credentials again may help.
    pub(crate) fn is_of_credentials(&self) -> bool {
        match self {
            Problem::Credentials(_) | Problem::Unauthorized => true,
            Problem::Unreachable(_)
            | Problem::Failing(_)
            | Problem::Forbidden(_)
            | Problem::NoNamespace
            | Problem::Refused(..)
            | Problem::Garbage(_) => false,
        }
    }

    /// Whether this problem may persist while there is no Lease.
    fn is_of_creation(&self) -> bool {
        matches!(self, Problem::Forbidden("create") | Problem::Refused("create", _) | Problem::NoNamespace)
    }

    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Problem::Unreachable(_) => "Unreachable",
            Problem::Failing(_) => "ServerError",
            Problem::Credentials(_) => "Credentials",
            Problem::Unauthorized => "Unauthorized",
            Problem::Forbidden("create") => "NoLease",
            Problem::Forbidden(_) => "Forbidden",
            Problem::NoNamespace => "NoNamespace",
            Problem::Refused(..) => "Refused",
            Problem::Garbage(_) => "OddLease",
        }
    }

    /// Whether a log that states `self` needs no line for `other`: a network fails in many words, and one Role grants
    /// all verbs.
    fn covers(&self, other: &Problem) -> bool {
        match (self, other) {
            (Problem::Refused(_, said), Problem::Refused(_, other))
            | (Problem::Garbage(said), Problem::Garbage(other)) => said == other,
            _ => self.reason() == other.reason(),
        }
    }
}

/// Whether the account has no right to `verb`. A write may be denied by policies, webhooks and quotas as well.
fn lacks_right(status: &Status, verb: &str) -> bool {
    !matches!(verb, "create" | "update") || tells_of_missing_right(&status.message)
}

/// Whether the API server says by the status `code` that nothing was stored. Any other one, a 408 or a 5xx, may follow a write that
/// was; and a 404 without its reason is of a server before it.
pub(crate) fn is_refusal(code: u16) -> bool {
    matches!(code, 400 | 401 | 403 | 405 | 413 | 415 | 422 | 429)
}

/// The error with all that caused it: the last cause tells what happened.
fn with_sources(error: &Error) -> String {
    let mut said = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_said = cause.to_string();
        if !said.contains(&cause_said) {
            said = format!("{said}: {cause_said}");
        }
        source = cause.source();
    }
    said
}

/// Whether a verb that was forbidden is allowed now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rights {
    Granted,
    Unchanged,
}

/// Remembers what the log says, so that each change is logged once: requests and the watch often meet the same problem.
#[derive(Debug)]
pub(crate) struct Problems {
    namespace: String,
    lease: String,
    requests: Option<Problem>,
    watch: Option<Problem>,
}

impl Problems {
    pub(crate) fn new(namespace: &str, lease: &str) -> Problems {
        Problems { namespace: namespace.to_owned(), lease: lease.to_owned(), requests: None, watch: None }
    }

    /// The problem that there is, as one word.
    pub(crate) fn reason(&self) -> Option<&'static str> {
        self.requests.as_ref().or(self.watch.as_ref()).map(Problem::reason)
    }

    /// Takes in the problem that a request met. `absent`: there was no Lease, which says nothing about whether one can
    /// be created.
    pub(crate) fn of_requests(&mut self, problem: Option<Problem>, absent: bool) -> Rights {
        let no_trouble = problem.is_none();
        if absent && no_trouble && self.requests.as_ref().is_some_and(Problem::is_of_creation) {
            return Rights::Unchanged;
        }
        let last = std::mem::replace(&mut self.requests, problem);
        self.say(self.requests.as_ref(), last.as_ref(), self.watch.as_ref());
        match last {
            Some(Problem::Forbidden(_)) if no_trouble => Rights::Granted,
            Some(_) | None => Rights::Unchanged,
        }
    }

    pub(crate) fn of_watch(&mut self, problem: Option<Problem>) {
        let last = std::mem::replace(&mut self.watch, problem);
        self.say(self.watch.as_ref(), last.as_ref(), self.requests.as_ref());
    }

    fn say(&self, problem: Option<&Problem>, last: Option<&Problem>, other: Option<&Problem>) {
        let (namespace, lease) = (&self.namespace, &self.lease);
        match (problem, last) {
            (Some(problem), _) if [last, other].into_iter().flatten().any(|said| said.covers(problem)) => {}
            (Some(problem), _) => {
                let said = Said { problem, namespace, lease };
                tracing::warn!(%namespace, %lease, reason = problem.reason(), "{said}");
            }
            (None, Some(last)) if other.is_none() => {
                tracing::info!(%namespace, %lease, reason = last.reason(), "trouble is over");
            }
            (None, _) => {}
        }
    }
}

struct Said<'a> {
    problem: &'a Problem,
    namespace: &'a str,
    lease: &'a str,
}

impl fmt::Display for Said<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Said { problem, namespace, lease } = self;
        // What an API server or a proxy says may repeat what others wrote, at any length.
        match problem {
            Problem::Unreachable(why) => {
                write!(f, "failed to reach the API server, which is tried again: {}", shown(why, MAX_MESSAGE))
            }
            Problem::Failing(why) => {
                write!(f, "API server answered with an error, and is asked again: {}", shown(why, MAX_MESSAGE))
            }
            Problem::Credentials(why) => {
                write!(f, "failed to read the credentials, which are tried again: {}", shown(why, MAX_MESSAGE))
            }
            Problem::Unauthorized => f.write_str("API server does not accept the token, which is read again"),
            Problem::Forbidden("create") => {
                write!(
                    f,
                    "no LeaderElection {lease} in {namespace}: apply one, or allow this service account to create leases"
                )
            }
            Problem::Forbidden(verb) => write!(
                f,
                "not allowed to {verb} lease {lease} in {namespace}: a Role must grant get, list, watch and update on \
                 leases.coordination.k8s.io with resourceNames [{lease}]; a LeaderElection that lists this service account makes it"
            ),
            Problem::NoNamespace => {
                write!(f, "there is no namespace {namespace}: create it, or set NAMESPACE to another")
            }
            Problem::Refused(_, why) => write!(f, "API server refused: {}", shown(why, MAX_MESSAGE)),
            Problem::Garbage(why) => write!(f, "lease holds what cannot be used: {why}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_api_server_says_is_told_and_the_rest_of_its_answer_is_not() {
        for (code, told) in [
            (500, "API server answered with an error, and is asked again: 500: etcd is away"),
            (503, "API server answered with an error, and is asked again: 503: etcd is away"),
            (429, "API server refused: etcd is away"),
            // Of a server before it, which may know nothing of what was stored.
            (404, "API server answered with an error, and is asked again: 404: etcd is away"),
            (0, "API server answered with an error, and is asked again: that is no answer of an API server"),
            (401, "API server does not accept the token, which is read again"),
        ] {
            let status = Status { code, message: "etcd is away".to_owned(), ..Status::default() };
            let problem = Problem::of_error(&Error::Api(status.boxed()), "get");
            let said = Said { problem: &problem, namespace: "shop", lease: "billing" };
            assert_eq!(said.to_string(), told);
        }
    }

    #[test]
    fn what_keeps_a_lease_from_being_made_is_so_while_there_is_none() {
        let quota = || "exceeded quota: none".to_owned();
        for (problem, told_without_a_lease) in [
            (Problem::Forbidden("create"), Some("NoLease")),
            (Problem::NoNamespace, Some("NoNamespace")),
            (Problem::Refused("create", quota()), Some("Refused")),
            (Problem::Refused("update", quota()), None),
            (Problem::Forbidden("get"), None),
        ] {
            let mut problems = Problems::new("shop", "billing");
            problems.of_requests(Some(problem), false);
            problems.of_requests(None, true);
            assert_eq!(problems.reason(), told_without_a_lease);
            problems.of_requests(None, false);
            assert_eq!(problems.reason(), None, "there is one");
        }
    }
}
