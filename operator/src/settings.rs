//! The settings of the operator.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, ValueEnum};
use elector_election::{InvalidTimings, Timings};
use elector_program::logging::LogOptions;
use elector_program::server::address;
use elector_program::timings::TimingOptions;
use elector_program::usage::without_empty_variables;
use leader_elector::identity;

use crate::features::Features;
use crate::index::NAMESPACE_BYTES;
use crate::key::Key;

const MEBIBYTE: usize = 1024 * 1024;

/// The largest memory for one namespace that can be set, in MiB: more than any machine gives a process.
const MAX_NAMESPACE_MEBIBYTES: usize = 1024 * 1024;

/// The file in which a pod's service account states its namespace.
const IN_CLUSTER_NAMESPACE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";

/// Reconciles LeaderElections into Leases, RBAC and a status that says which candidate leads.
#[derive(Debug, Parser)]
#[allow(
    rustdoc::broken_intra_doc_links,
    rustdoc::invalid_html_tags,
    reason = "clap shows these comments as they are written"
)]
#[command(name = "elector-operator", version, about)]
pub struct Cli {
    /// Address of /metrics, /healthz and /readyz
    #[arg(long, env = "HEALTH_ADDRESS", value_name = "ADDRESS:PORT", default_value = "[::]:8080", value_parser = address::parse)]
    pub health_address: SocketAddr,
    /// Whether the active replica's /metrics have samples of each election
    #[arg(
        long,
        env = "METRICS_PER_ELECTION",
        value_name = "BOOL",
        default_value_t = true,
        action = clap::ArgAction::Set
    )]
    pub metrics_per_election: bool,
    /// Namespaces whose elections are looked after, separated by commas [default: all]
    #[arg(long, env = "WATCH_NAMESPACES", value_name = "NAMESPACES", value_delimiter = ',')]
    watch_namespaces: Vec<String>,
    /// Optional features for elections that ask for them, separated by commas; each needs further rights
    #[arg(long, env = "FEATURES", value_name = "FEATURES", value_enum, value_delimiter = ',')]
    features: Vec<Feature>,
    /// Memory for the objects of each namespace, in MiB; objects beyond it are left out, and the namespace's elections
    /// say so
    #[arg(
        long,
        env = "NAMESPACE_MEBIBYTES",
        value_name = "MEBIBYTES",
        default_value_t = NAMESPACE_BYTES / MEBIBYTE,
        value_parser = namespace_mebibytes
    )]
    namespace_mebibytes: usize,
    /// Name of the Lease by which the operator's replicas elect the one that writes
    #[arg(long, env = "LEASE_NAME", value_name = "NAME", default_value = elector_crds::ownership::OPERATOR_NAME)]
    lease_name: String,
    /// Namespace of the operator's own Lease [default: the pod's own]
    #[arg(long, env = "LEASE_NAMESPACE", value_name = "NAMESPACE")]
    lease_namespace: Option<String>,
    /// Identity to contend for the operator's own Lease under [default: <pod>_<pod uid>, else the hostname]
    #[arg(long, env = "IDENTITY", value_name = "TEXT", value_parser = identity::parse)]
    pub identity: Option<String>,
    /// The settings of the timings, for the operator's own Lease.
    #[command(flatten)]
    timings: TimingOptions,
    /// The settings of the log.
    #[command(flatten)]
    pub log: LogOptions,
}

/// Optional features, for elections that ask for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Feature {
    /// spec.leaderService: creates, changes and deletes Services and EndpointSlices
    LeaderService,
    /// spec.podLabels: patches pods
    PodLabels,
}

/// An invalid setting, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No namespace is set, and the process does not run in a pod.
    #[error(
        "no namespace found: set LEASE_NAMESPACE or --lease-namespace, or run in a pod with a service account token"
    )]
    NoNamespace,
    /// The timings break a rule.
    #[error(transparent)]
    Timings(#[from] InvalidTimings),
}

/// The operator's own election, by which its replicas elect the one that writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnElection {
    /// The name of the Lease.
    pub lease: String,
    /// The namespace of the Lease.
    pub namespace: String,
    /// The timings of the election.
    pub timings: Timings,
}

/// The settings of a controller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The reporter in events: the identity of this replica.
    pub identity: String,
    /// The only namespace to watch; `None`: all namespaces.
    pub namespace: Option<String>,
    /// The longest time that a request may take.
    pub request_timeout: Duration,
    /// How many elections are written at the same time.
    pub concurrency: usize,
    /// The optional features to provide.
    pub features: Features,
    /// The memory for the objects of each namespace, in bytes.
    pub namespace_bytes: usize,
    /// The Lease of the operator's own election, which belongs to no LeaderElection.
    pub own_lease: Key,
}

impl Settings {
    /// The settings of the replica called `identity`, with default limits.
    #[must_use]
    pub fn new(identity: String, namespace: Option<String>, features: Features, own_lease: Key) -> Settings {
        Settings {
            identity,
            namespace,
            request_timeout: Duration::from_secs(10),
            concurrency: 16,
            features,
            namespace_bytes: NAMESPACE_BYTES,
            own_lease,
        }
    }
}

impl Cli {
    /// Reads the arguments and the environment.
    ///
    /// # Errors
    /// The errors of clap, and its output if only help or the version was asked for.
    pub fn read() -> Result<Cli, clap::Error> {
        Cli::from_arg_matches(&without_empty_variables(Cli::command()).try_get_matches()?)
    }

    /// The namespaces to watch, with one controller each; `None` stands for all namespaces.
    #[must_use]
    pub fn watched(&self) -> Vec<Option<String>> {
        let named = self.watch_namespaces.iter().map(|namespace| namespace.trim()).filter(|name| !name.is_empty());
        let named: BTreeSet<&str> = named.collect();
        if named.is_empty() { vec![None] } else { named.into_iter().map(|name| Some(name.to_owned())).collect() }
    }

    /// The optional features to provide.
    #[must_use]
    pub fn features(&self) -> Features {
        let has = |feature| self.features.contains(&feature);
        Features { leader_service: has(Feature::LeaderService), pod_labels: has(Feature::PodLabels) }
    }

    /// The memory for the objects of each namespace, in bytes.
    #[must_use]
    pub fn namespace_bytes(&self) -> usize {
        self.namespace_mebibytes * MEBIBYTE
    }

    /// Checks the settings of the operator's own election.
    ///
    /// # Errors
    /// The first error that is found.
    pub fn own_election(&self) -> Result<OwnElection, Error> {
        let told = self.lease_namespace.clone().filter(|namespace| !namespace.is_empty());
        Ok(OwnElection {
            lease: self.lease_name.clone(),
            namespace: told.or_else(in_cluster_namespace).ok_or(Error::NoNamespace)?,
            timings: self.timings.timings(0)?,
        })
    }
}

/// Reads the memory for one namespace, in MiB.
fn namespace_mebibytes(text: &str) -> Result<usize, String> {
    let mebibytes = text.parse().ok().filter(|mebibytes| (1..=MAX_NAMESPACE_MEBIBYTES).contains(mebibytes));
    mebibytes.ok_or_else(|| format!("it is a number from 1 to {MAX_NAMESPACE_MEBIBYTES}"))
}

fn in_cluster_namespace() -> Option<String> {
    let namespace = std::fs::read_to_string(IN_CLUSTER_NAMESPACE).ok()?.trim().to_owned();
    (!namespace.is_empty()).then_some(namespace)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_are_separated_by_commas_and_none_means_all() {
        let watched = |argument: &str| Cli::parse_from(["elector-operator", argument]).watched();
        let named = |names: &[&str]| names.iter().map(|name| Some((*name).to_owned())).collect::<Vec<_>>();
        assert_eq!(watched("--watch-namespaces="), [None]);
        assert_eq!(watched("--watch-namespaces=shop"), named(&["shop"]));
        assert_eq!(watched("--watch-namespaces=shop, bank,shop,"), named(&["bank", "shop"]));
    }
}
