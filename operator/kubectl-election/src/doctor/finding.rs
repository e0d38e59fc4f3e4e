//! Findings: the results of checks.

use elector_crds::display_text::{MAX_MESSAGE, shown};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use serde::Serialize;

use crate::cluster::Unseen;
use crate::style::printable;

/// How many pods a finding names at most.
const MAX_NAMED_PODS: usize = 3;

/// The result of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Outcome {
    /// All is as it should be.
    Ok,
    /// What was found does no harm by itself, or may be intended.
    Warning,
    /// What was found keeps a candidate from leading or from being known to lead, or voids the promise.
    Error,
    /// The check could not be made.
    Unknown,
    /// There is nothing to check, and nothing is missing.
    NotApplicable,
}

/// The result of one check, with its message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub(super) check: &'static str,
    pub(super) result: Outcome,
    /// The message: one line that can be shown.
    pub(super) message: String,
    /// What to do: a command, or a field and its value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) mend: Option<String>,
}

/// Something that is wrong with a pod. Pods with the same flaw share a finding.
#[derive(Debug, Clone)]
pub(super) struct Flaw {
    pub(super) result: Outcome,
    pub(super) said: String,
    pub(super) mend: Option<String>,
}

impl Outcome {
    /// The result, as it is printed.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Outcome::Ok => "ok",
            Outcome::Warning => "warning",
            Outcome::Error => "error",
            Outcome::Unknown => "unknown",
            Outcome::NotApplicable => "not-applicable",
        }
    }
}

impl Finding {
    fn new(check: &'static str, result: Outcome, message: String, mend: Option<String>) -> Finding {
        let message = shown(&message, MAX_MESSAGE).into_owned();
        Finding { check, result, message, mend: mend.map(|mend| printable(&mend).into_owned()) }
    }

    pub(super) fn ok(check: &'static str, message: impl Into<String>) -> Finding {
        Finding::new(check, Outcome::Ok, message.into(), None)
    }

    pub(super) fn warning(check: &'static str, message: impl Into<String>, mend: impl Into<String>) -> Finding {
        Finding::new(check, Outcome::Warning, message.into(), Some(mend.into()))
    }

    pub(super) fn error(check: &'static str, message: impl Into<String>, mend: impl Into<String>) -> Finding {
        Finding::new(check, Outcome::Error, message.into(), Some(mend.into()))
    }

    /// A check that could not be made; `message` says why.
    pub(super) fn unknown(check: &'static str, message: impl Into<String>) -> Finding {
        Finding::new(check, Outcome::Unknown, message.into(), None)
    }

    /// A check that does not apply; `message` says why.
    pub(super) fn not_applicable(check: &'static str, message: impl Into<String>) -> Finding {
        Finding::new(check, Outcome::NotApplicable, message.into(), None)
    }

    pub(super) fn unseen(check: &'static str, why: &Unseen) -> Finding {
        Finding::unknown(check, why.to_string())
    }
}

impl Flaw {
    pub(super) fn error(said: impl Into<String>, mend: impl Into<String>) -> Flaw {
        Flaw { result: Outcome::Error, said: said.into(), mend: Some(mend.into()) }
    }

    pub(super) fn warning(said: impl Into<String>, mend: impl Into<String>) -> Flaw {
        Flaw { result: Outcome::Warning, said: said.into(), mend: Some(mend.into()) }
    }

    pub(super) fn unknown(said: impl Into<String>) -> Flaw {
        Flaw { result: Outcome::Unknown, said: said.into(), mend: None }
    }
}

/// A finding for each flaw that some of `pods` have; if none has any, the finding `fine`.
pub(super) fn of_pods(
    check: &'static str,
    pods: &[&Pod],
    fine: impl Into<String>,
    flaws: impl Fn(&Pod) -> Vec<Flaw>,
) -> Vec<Finding> {
    let mut groups: Vec<(Flaw, Vec<String>)> = Vec::new();
    for pod in pods {
        for flaw in flaws(pod) {
            match groups.iter_mut().find(|(known, _)| known.result == flaw.result && known.said == flaw.said) {
                Some((_, names)) => names.push(pod.name_any()),
                None => groups.push((flaw, vec![pod.name_any()])),
            }
        }
    }
    if groups.is_empty() {
        return vec![Finding::ok(check, fine)];
    }
    let finding = |(Flaw { result, said, mend }, names): (Flaw, Vec<String>)| {
        let message = format!("{}: {said}", named(&names));
        Finding::new(check, result, message, mend)
    };
    groups.into_iter().map(finding).collect()
}

/// The first of the names, and how many more there are.
pub(super) fn named(names: &[String]) -> String {
    match names.len().checked_sub(MAX_NAMED_PODS) {
        Some(more) if more > 0 => format!("{} and {more} more", names[..MAX_NAMED_PODS].join(", ")),
        _ => names.join(", "),
    }
}
