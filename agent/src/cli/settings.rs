//! The settings by which an agent contends.

use std::path::Path;

use clap::Args;
use elector_election::{InvalidTimings, Timings};
use elector_program::logging::LogOptions;
use elector_program::timings::{TimingOptions, seconds};
use leader_elector::identity;

use super::StatusFile;
use super::services::{self, ServiceArguments};
use crate::services::ServiceOptions;

/// The file in which a pod's service account states its namespace.
const IN_CLUSTER_NAMESPACE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";

/// The arguments by which an agent contends.
#[derive(Debug, Args)]
#[allow(
    rustdoc::broken_intra_doc_links,
    rustdoc::invalid_html_tags,
    reason = "clap shows these comments as they are written"
)]
pub(crate) struct Options {
    /// Name of the LeaderElection, and of its Lease
    #[arg(long, env = "LEASE_NAME", value_name = "NAME")]
    lease_name: Option<String>,
    /// Namespace of the LeaderElection and its Lease [default: the pod's own]
    #[arg(long, env = "NAMESPACE", value_name = "NAMESPACE")]
    namespace: Option<String>,
    /// Identity to contend under [default: <pod>_<pod uid>, else the hostname]
    #[arg(long, env = "IDENTITY", value_name = "TEXT", value_parser = identity::parse)]
    identity: Option<String>,
    /// Pod name, for the identity where there is no pod-bound token
    #[arg(long, env = "POD_NAME", value_name = "NAME")]
    pod_name: Option<String>,
    /// Pod uid, for the identity where there is no pod-bound token
    #[arg(long, env = "POD_UID", value_name = "UID")]
    pod_uid: Option<String>,
    #[command(flatten)]
    status: StatusFile,
    /// The settings of the timings.
    #[command(flatten)]
    timings: TimingOptions,
    /// Seconds that a leader told to stop waits between removing the file and releasing the Lease; if the
    /// Lease has no timings
    #[arg(
        long,
        env = "RELEASE_DELAY_SECONDS",
        value_name = "SECONDS",
        default_value_t = 0,
        allow_negative_numbers = true,
        value_parser = seconds
    )]
    release_delay_seconds: i64,
    /// The settings of the services.
    #[command(flatten)]
    app: ServiceArguments,
    /// The settings of the log.
    #[command(flatten)]
    pub(crate) log: LogOptions,
}

/// An invalid setting, and what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// No name of a LeaderElection is set.
    #[error("no LEASE_NAME: set it, or --lease-name, to the name of the LeaderElection")]
    NoLeaseName,
    /// No namespace is set, and the process does not run in a pod.
    #[error("no namespace found: set NAMESPACE or --namespace, or run in a pod with a service account token")]
    NoNamespace,
    /// A name that no Kubernetes object can have.
    #[error(
        "{what} {name:?} is no {form}: use lower-case letters, digits and {marks}, first and last a letter or digit, at most {most} characters"
    )]
    Name {
        /// The setting that the name is of.
        what: &'static str,
        /// The name as given.
        name: String,
        /// The form that the name must have.
        form: &'static str,
        /// The characters that are allowed beside letters and digits.
        marks: &'static str,
        /// The most characters that the name may have.
        most: usize,
    },
    /// The timings break a rule.
    #[error(transparent)]
    Timings(#[from] InvalidTimings),
    /// A setting of the services is invalid.
    #[error(transparent)]
    App(#[from] services::Error),
}

/// Settings that were checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    /// Name of the Lease.
    pub(crate) lease: String,
    /// Namespace of the Lease.
    pub(crate) namespace: String,
    /// The identity that the user set.
    pub(crate) identity: Option<String>,
    /// Name and uid of the pod, if both are set.
    pub(crate) pod: Option<(String, String)>,
    /// The timings that are used without an operator.
    pub(crate) timings: Timings,
    /// The settings of the services.
    pub(crate) services: ServiceOptions,
}

impl Options {
    /// The path of the status file, as given.
    pub(crate) fn status_file(&self) -> &Path {
        &self.status.path
    }

    /// The name of the Lease, as given.
    pub(crate) fn lease_name(&self) -> Option<&str> {
        self.lease_name.as_deref()
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// The first error that is found.
    pub(crate) fn settings(&self) -> Result<Settings, Error> {
        let lease = set(&self.lease_name).ok_or(Error::NoLeaseName)?;
        // As long as a Lease's may be: the sidecar that this one replaces takes any.
        if !(lease.len() <= 253 && lease.split('.').all(is_dns)) {
            return Err(Error::Name {
                what: "lease name",
                name: lease,
                form: "DNS subdomain",
                marks: "'-' and '.'",
                most: 253,
            });
        }
        let namespace = set(&self.namespace).or_else(in_cluster_namespace).ok_or(Error::NoNamespace)?;
        if !(namespace.len() <= 63 && is_dns(&namespace)) {
            return Err(Error::Name { what: "namespace", name: namespace, form: "DNS label", marks: "'-'", most: 63 });
        }
        Ok(Settings {
            lease,
            namespace,
            identity: set(&self.identity),
            pod: set(&self.pod_name).zip(set(&self.pod_uid)),
            timings: self.timings.timings(self.release_delay_seconds)?,
            services: self.app.wanted()?,
        })
    }
}

fn set(value: &Option<String>) -> Option<String> {
    value.clone().filter(|value| !value.is_empty())
}

fn in_cluster_namespace() -> Option<String> {
    let namespace = std::fs::read_to_string(IN_CLUSTER_NAMESPACE).ok()?;
    Some(namespace.trim().to_owned()).filter(|namespace| !namespace.is_empty())
}

/// Whether `part` has the characters of a DNS label. Its length is not checked: the API server allows a part of a
/// subdomain any length.
fn is_dns(part: &str) -> bool {
    let inside = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !part.is_empty() && part.chars().all(inside) && !part.starts_with('-') && !part.ends_with('-')
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::Cli;

    fn settings(arguments: &[&str]) -> Result<Settings, Error> {
        let common = ["elector-agent", "--namespace=shop", "--lease-name=billing"];
        Cli::try_parse_from(common.iter().chain(arguments)).unwrap().options().settings()
    }

    #[test]
    fn defaults_are_those_of_the_sidecar_that_it_replaces() {
        let settings = settings(&[]).unwrap();
        assert_eq!((settings.lease.as_str(), settings.namespace.as_str()), ("billing", "shop"));
        assert_eq!(settings.timings, Timings::DEFAULT);
        assert_eq!((settings.identity, settings.pod), (None, None));
    }

    #[test]
    fn names_must_be_names() {
        for name in ["Billing", "-a", "a-", "a_b", "a/b", "..", &"a".repeat(254)] {
            let arguments =
                Cli::try_parse_from(["elector-agent", "--namespace", "shop", &format!("--lease-name={name}")]);
            assert!(matches!(arguments.unwrap().options().settings(), Err(Error::Name { .. })), "{name}");
        }
        let named = |namespace: &str, lease: &str| {
            let arguments = ["elector-agent", "--namespace", namespace, "--lease-name", lease];
            Cli::try_parse_from(arguments).unwrap().options().settings()
        };
        let long = "a".repeat(64);
        assert_eq!(named("shop", &long).unwrap().lease, long);
        let said = named(&long, "billing").unwrap_err().to_string();
        assert!(said.ends_with("digits and '-', first and last a letter or digit, at most 63 characters"), "{said}");
        let empty = Cli::try_parse_from(["elector-agent", "--namespace=shop", "--lease-name="]).unwrap();
        assert!(matches!(empty.options().settings(), Err(Error::NoLeaseName)));
    }

    #[test]
    fn timings_that_break_the_rule_are_refused_in_the_words_of_the_api_server() {
        let error = settings(&["--renew-deadline-seconds=12"]).unwrap_err();
        assert_eq!(error.to_string(), "renewDeadlineSeconds is 12; with leaseDurationSeconds 15 it can be 11 at most");
        assert!(settings(&["--lease-duration-seconds=0"]).is_err());
        assert!(settings(&["--lease-duration-seconds=2147483648"]).is_err());
        assert!(settings(&["--retry-period-seconds=-1"]).is_err());
        assert!(Cli::try_parse_from(["elector-agent", "--retry-period-seconds=two"]).is_err());
    }
}
