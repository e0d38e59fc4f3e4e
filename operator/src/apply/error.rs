//! Why something was not written, in words for people.

use std::time::Duration;

use elector_crds::conditions::Reason;
use elector_crds::rbac::tells_of_missing_right;
use kube::core::Status;

/// Why a plan was not carried out to its end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another replica writes now.
    #[error("this replica does not lead")]
    NotLeading,
    /// Somebody else wrote or deleted in between.
    #[error("failed to {0}: it has changed")]
    Stale(&'static str),
    /// The namespace is going, and the election with it.
    #[error("failed to {0}: the namespace is being deleted")]
    Terminating(&'static str),
    /// An object of that name is somebody else's. The message is for the user.
    #[error("{0}")]
    Conflict(String),
    /// The operator may not do it.
    #[error("the operator may not {what}: {message}; {}", refusal.mend())]
    Forbidden {
        /// What.
        what: &'static str,
        /// What the API server says.
        message: String,
        /// What of it refuses.
        refusal: Refusal,
    },
    /// No answer; whether it was done will be seen.
    #[error("failed to {what}: no answer within {} s", timeout.as_secs())]
    Timeout {
        /// What.
        what: &'static str,
        /// How long was waited.
        timeout: Duration,
    },
    /// Anything else.
    #[error("failed to {what}: {}", words(source))]
    Api {
        /// What.
        what: &'static str,
        /// Why.
        source: Box<kube::Error>,
    },
}

/// What keeps a write from being made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The rights of the operator's account.
    Rights,
    /// A policy or a webhook.
    Admission,
    /// A quota, or an admission plugin of the API server.
    Other,
}

impl Refusal {
    /// By the words of the API server: its answer has no field for that.
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
    /// For the condition Ready.
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

/// Whether the API server has answered that it will not do it, for whatever reason: a right, a rule, a quota, somebody's webhook.
/// Nothing else must wait until that changes.
pub(super) fn is_refused(error: &Error) -> bool {
    match error {
        Error::Forbidden { .. } | Error::Conflict(_) | Error::Terminating(_) => true,
        Error::Api { source, .. } => matches!(**source, kube::Error::Api(_)),
        Error::NotLeading | Error::Stale(_) | Error::Timeout { .. } => false,
    }
}

/// Whether a patch was meant for what was there before.
pub(super) fn is_changed(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 422)
}

fn is_namespace_terminating(status: &Status) -> bool {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    causes.into_iter().any(|cause| cause.reason == "NamespaceTerminating")
}

/// For the condition Ready, and for the log: what the API server says is for people, the rest of its answer is not.
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
