//! What the operator can be told.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, ValueEnum};
use elector_election::{InvalidTimings, Timings};
use elector_program::logging::LogOptions;
use elector_program::server::address;
use elector_program::usage::without_empty_variables;
use leader_elector::identity;

use crate::features::Features;
use crate::index::NAMESPACE_BYTES;
use crate::key::Key;

const MEBIBYTE: usize = 1024 * 1024;

/// More than any machine gives a process.
const MAX_NAMESPACE_MEBIBYTES: usize = 1024 * 1024;

/// Where the pod's service account says in which namespace it is.
const IN_CLUSTER_NAMESPACE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";

/// Reconciles LeaderElections into Leases, RBAC and a status that says who leads.
#[derive(Debug, Parser)]
#[allow(
    rustdoc::broken_intra_doc_links,
    rustdoc::invalid_html_tags,
    reason = "clap shows these comments as they are written"
)]
#[command(name = "elector-operator", version, about)]
pub struct Cli {
    /// Where /metrics, /healthz and /readyz are served
    #[arg(long, env = "HEALTH_ADDRESS", value_name = "ADDRESS:PORT", default_value = "[::]:8080", value_parser = address::parse)]
    pub health_address: SocketAddr,
    /// Whether the active replica's /metrics tell of each election
    #[arg(
        long,
        env = "METRICS_PER_ELECTION",
        value_name = "BOOL",
        default_value_t = true,
        action = clap::ArgAction::Set
    )]
    pub metrics_per_election: bool,
    /// Look after the elections of these namespaces only, separated by commas [default: of all]
    #[arg(long, env = "WATCH_NAMESPACES", value_name = "NAMESPACES", value_delimiter = ',')]
    watch_namespaces: Vec<String>,
    /// What else to do for elections that ask for it, separated by commas; each needs rights of its own
    #[arg(long, env = "FEATURES", value_name = "FEATURES", value_enum, value_delimiter = ',')]
    features: Vec<Feature>,
    /// Memory for the objects of each namespace, in MiB; those beyond it are left out, which the namespace's elections say
    #[arg(
        long,
        env = "NAMESPACE_MEBIBYTES",
        value_name = "MEBIBYTES",
        default_value_t = NAMESPACE_BYTES / MEBIBYTE,
        value_parser = namespace_mebibytes
    )]
    namespace_mebibytes: usize,
    /// The Lease by which replicas of the operator elect the one that writes
    #[arg(long, env = "LEASE_NAME", value_name = "NAME", default_value = elector_crds::ownership::OPERATOR_NAME)]
    lease_name: String,
    /// Namespace of that Lease [default: the pod's own]
    #[arg(long, env = "LEASE_NAMESPACE", value_name = "NAMESPACE")]
    lease_namespace: Option<String>,
    /// As whom to contend for it [default: <pod>_<pod uid>, else the hostname]
    #[arg(long, env = "IDENTITY", value_name = "TEXT", value_parser = identity::parse)]
    pub identity: Option<String>,
    /// How long the other replicas wait for one that is silent
    #[arg(
        long,
        env = "LEASE_DURATION_SECONDS",
        value_name = "SECONDS",
        default_value_t = 15,
        allow_negative_numbers = true
    )]
    lease_duration_seconds: i64,
    /// How long a replica writes on after its last renewal left
    #[arg(
        long,
        env = "RENEW_DEADLINE_SECONDS",
        value_name = "SECONDS",
        default_value_t = 10,
        allow_negative_numbers = true
    )]
    renew_deadline_seconds: i64,
    /// Time between two renewals
    #[arg(
        long,
        env = "RETRY_PERIOD_SECONDS",
        value_name = "SECONDS",
        default_value_t = 2,
        allow_negative_numbers = true
    )]
    retry_period_seconds: i64,
    /// The log
    #[command(flatten)]
    pub log: LogOptions,
}

/// What an election may ask for beside its Lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Feature {
    /// spec.leaderService: create, change and delete Services and EndpointSlices
    LeaderService,
    /// spec.podLabels: patch pods
    PodLabels,
}

/// What is wrong with the settings, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not in a pod, and not told.
    #[error(
        "no namespace found: set LEASE_NAMESPACE or --lease-namespace, or run in a pod with a service account token"
    )]
    NoNamespace,
    /// The timings break a rule.
    #[error(transparent)]
    Timings(#[from] InvalidTimings),
}

/// The operator's own election.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnElection {
    /// Name of the Lease.
    pub lease: String,
    /// Its namespace.
    pub namespace: String,
    /// How long what takes.
    pub timings: Timings,
}

/// What the controller needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Reporter of events: this very replica.
    pub identity: String,
    /// The only namespace to look after; `None`: all.
    pub namespace: Option<String>,
    /// The longest that a request may take.
    pub request_timeout: Duration,
    /// How many elections are written at the same time.
    pub concurrency: usize,
    /// What to do beside elections.
    pub features: Features,
    /// How much memory the objects of a namespace may take.
    pub namespace_bytes: usize,
    /// The Lease of the operator's own election: no LeaderElection's.
    pub own_lease: Key,
}

impl Settings {
    /// Of the replica called `identity`.
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
    /// Reads arguments and environment.
    ///
    /// # Errors
    /// Whatever clap says of them, also where only help was asked for.
    pub fn read() -> Result<Cli, clap::Error> {
        Cli::from_arg_matches(&without_empty_variables(Cli::command()).try_get_matches()?)
    }

    /// What to look after, one controller each: `None` is every namespace.
    #[must_use]
    pub fn watched(&self) -> Vec<Option<String>> {
        let named = self.watch_namespaces.iter().map(|namespace| namespace.trim()).filter(|name| !name.is_empty());
        let named: BTreeSet<&str> = named.collect();
        if named.is_empty() { vec![None] } else { named.into_iter().map(|name| Some(name.to_owned())).collect() }
    }

    /// What to do beside elections.
    #[must_use]
    pub fn features(&self) -> Features {
        let has = |feature| self.features.contains(&feature);
        Features { leader_service: has(Feature::LeaderService), pod_labels: has(Feature::PodLabels) }
    }

    /// How much memory the objects of a namespace may take, in bytes.
    #[must_use]
    pub fn namespace_bytes(&self) -> usize {
        self.namespace_mebibytes * MEBIBYTE
    }

    /// The operator's own election, checked.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn own_election(&self) -> Result<OwnElection, Error> {
        let told = self.lease_namespace.clone().filter(|namespace| !namespace.is_empty());
        let timings =
            Timings::new(self.lease_duration_seconds, self.renew_deadline_seconds, self.retry_period_seconds, 0)?;
        Ok(OwnElection {
            lease: self.lease_name.clone(),
            namespace: told.or_else(in_cluster_namespace).ok_or(Error::NoNamespace)?,
            timings,
        })
    }
}

/// At least one, and no more than there can be.
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
