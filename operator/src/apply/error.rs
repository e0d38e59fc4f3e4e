//! Errors of writing, in words for people.

use std::time::Duration;

use elector_crds::conditions::Reason;
use elector_crds::rbac::tells_of_missing_right;
use kube::core::Status;

/// Why a plan was not carried out completely.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// This replica does not lead any more: another replica writes.
    #[error("this replica does not lead")]
    NotLeading,
    /// The object was changed or deleted since it was read.
    #[error("failed to {0}: it has changed")]
    Stale(&'static str),
    /// The namespace is being deleted, and the election with it.
    #[error("failed to {0}: the namespace is being deleted")]
    Terminating(&'static str),
    /// An object with the needed name was not made for this election. The message is for the user.
    #[error("{0}")]
    Conflict(String),
    /// The API server refuses the operation.
    #[error("the operator may not {what}: {message}; {}", refusal.mend())]
    Forbidden {
        /// The operation, as a verb and its object.
        what: &'static str,
        /// The message of the API server.
        message: String,
        /// The part of the API server that refuses.
        refusal: Refusal,
    },
    /// There was no answer in time; the watch will show whether the write was stored.
    #[error("failed to {what}: no answer within {} s", timeout.as_secs())]
    Timeout {
        /// The operation, as a verb and its object.
        what: &'static str,
        /// How long the operator waited.
        timeout: Duration,
    },
    /// Any other failure.
    #[error("failed to {what}: {}", words(source))]
    Api {
        /// The operation, as a verb and its object.
        what: &'static str,
        /// The error of the client.
        source: Box<kube::Error>,
    },
}

/// The part of the API server that refuses a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The operator's account lacks a right.
    Rights,
    /// A policy or a webhook refuses.
    Admission,
    /// A quota or an admission plugin of the API server refuses.
    Other,
}

impl Refusal {
    /// Tells who refused by the message of the API server: its answer has no field for that.
    fn of(status: &Status) -> Option<Refusal> {
        let says = |words: &str| status.message.contains(words);
        if says("ValidatingAdmissionPolicy") || says("MutatingAdmissionPolicy") || says("admission webhook") {
            return Some(Refusal::Admission);
        }
        if !status.is_forbidden() {
            return None;
        }
        Some(if tells_of_missing_right(&status.message) { Refusal::Rights } else { Refusal::Other })
    }

    fn mend(self) -> &'static str {
        match self {
            Refusal::Rights => "give its account the rights that its Helm chart gives it",
            Refusal::Admission => "let that policy or webhook admit the operator's account",
            Refusal::Other => "change what the API server names",
        }
    }
}

impl Error {
    /// The reason in the condition Ready.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Error::Conflict(_) => Reason::ObjectConflict,
            Error::Forbidden { .. } => Reason::Forbidden,
            Error::NotLeading | Error::Stale(_) | Error::Terminating(_) | Error::Timeout { .. } | Error::Api { .. } => {
                Reason::ReconcileFailed
            }
        }
    }

    pub(super) fn of(what: &'static str, error: kube::Error) -> Error {
        if let kube::Error::Api(status) = &error
            && !is_namespace_terminating(status)
            && let Some(refusal) = Refusal::of(status)
        {
            return Error::Forbidden { what, message: status.message.clone(), refusal };
        }
        match error {
            kube::Error::Api(status) if is_namespace_terminating(&status) => Error::Terminating(what),
            // Made in between, or gone, is changed as well.
            kube::Error::Api(status) if status.is_conflict() || status.is_already_exists() || status.is_not_found() => {
                Error::Stale(what)
            }
            source => Error::Api { what, source: Box::new(source) },
        }
    }
}

/// Whether the API server has answered that it will not do this, because of a right, a rule, a quota or a webhook.
/// Other writes need not wait until that changes.
pub(super) fn is_refused(error: &Error) -> bool {
    match error {
        Error::Forbidden { .. } | Error::Conflict(_) | Error::Terminating(_) => true,
        Error::Api { source, .. } => matches!(**source, kube::Error::Api(_)),
        Error::NotLeading | Error::Stale(_) | Error::Timeout { .. } => false,
    }
}

/// Whether a patch was meant for an earlier state of the object.
pub(super) fn is_changed(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 422)
}

fn is_namespace_terminating(status: &Status) -> bool {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    causes.into_iter().any(|cause| cause.reason == "NamespaceTerminating")
}

/// The error in words for the condition Ready and the log. Of an answer of the API server it has only the message,
/// which is for people.
pub(crate) fn words(error: &kube::Error) -> String {
    match error {
        // Of a server before the API server.
        kube::Error::Api(status) if status.message.is_empty() => {
            format!("the answer has no words, and the status {}", status.code)
        }
        kube::Error::Api(status) => status.message.clone(),
        error => error.to_string(),
    }
}
