//! Which pods are candidates: one rule for the operator and for the plugin, who read different parts of a pod.

use crate::{Candidates, DEFAULT_SERVICE_ACCOUNT};

/// Whether a pod that the selector matches may lead, now or later: one that is being deleted or has finished does not.
#[must_use]
pub fn is_candidate(is_terminating: bool, is_finished: bool) -> bool {
    !is_terminating && !is_finished
}

/// Whether none of a pod's containers runs again, by its phase.
#[must_use]
pub fn is_finished(phase: Option<&str>) -> bool {
    matches!(phase, Some("Succeeded" | "Failed"))
}

/// The service account of a pod whose spec names `named`.
#[must_use]
pub fn service_account(named: Option<String>) -> String {
    named.unwrap_or_else(|| DEFAULT_SERVICE_ACCOUNT.to_owned())
}

impl Candidates {
    /// Whether pods of `service_account` have the right to contend.
    #[must_use]
    pub fn lists(&self, service_account: &str) -> bool {
        self.service_account_names.iter().any(|listed| listed == service_account)
    }
}
