//! The watches that feed the index.

use std::fmt::Debug;
use std::time::Duration;

use futures::stream::{self, BoxStream, StreamExt};
use k8s_openapi::NamespaceResourceScope;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;

use crate::observe::Seen;
use crate::settings::Features;
use crate::{MANAGED_BY_LABEL, NAME};

/// How long one watch request lasts: a peer that died silently is noticed a little later.
const TIMEOUT_SECONDS: u32 = 60;

/// How long a connection may be silent: longer than any watch, for lists that never come.
pub const READ_TIMEOUT: Duration = Duration::from_secs(75);

/// Leases of nodes, one a node and renewed every 10 s, are none of the operator's business.
const NOT_OF_NODES: &str = "metadata.namespace!=kube-node-lease";

/// What is watched, the last two only where there is a right to.
pub const WATCHED: [&str; 7] =
    ["leaderelections", "leases", "pods", "roles", "rolebindings", "services", "endpointslices"];

/// A watch that failed; it goes on by itself.
#[derive(Debug, thiserror::Error)]
#[error("failed to watch {what}")]
pub struct Error {
    /// What is watched.
    pub what: &'static str,
    /// Why.
    pub source: watcher::Error,
}

/// All watches, of one namespace or of the whole cluster, as one stream; it never ends.
pub fn all(client: &Client, namespace: Option<&str>, features: Features) -> BoxStream<'static, Result<Seen, Error>> {
    let everything = watcher::Config::default().timeout(TIMEOUT_SECONDS);
    let managed = everything.clone().labels(&format!("{MANAGED_BY_LABEL}={NAME}"));
    let not_of_nodes = everything.clone().fields(NOT_OF_NODES);
    let [elections, leases, pods, roles, role_bindings, services, slices] = WATCHED;
    let mut watches = vec![
        watch(client, namespace, elections, everything.clone(), Seen::Election),
        watch(client, namespace, leases, not_of_nodes, Seen::Lease),
        watch(client, namespace, pods, everything, Seen::Pod),
        watch(client, namespace, roles, managed.clone(), Seen::Role),
        watch(client, namespace, role_bindings, managed.clone(), Seen::RoleBinding),
    ];
    watches.extend(if features.leader_service {
        [
            watch(client, namespace, services, managed.clone(), Seen::Service),
            watch(client, namespace, slices, managed, Seen::Slice),
        ]
    } else {
        [nothing(Seen::Service), nothing(Seen::Slice)]
    });
    stream::select_all(watches).boxed()
}

/// What a watch can be of.
trait Watched:
    Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug + Send + 'static
{
}

impl<K> Watched for K where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug + Send + 'static
{
}

/// Without the right to see any there are none.
fn nothing<K: Watched>(seen: fn(Event<K>) -> Seen) -> BoxStream<'static, Result<Seen, Error>> {
    stream::iter([Event::Init, Event::InitDone].map(seen).map(Ok)).boxed()
}

fn watch<K: Watched>(
    client: &Client,
    namespace: Option<&str>,
    what: &'static str,
    config: watcher::Config,
    seen: fn(Event<K>) -> Seen,
) -> BoxStream<'static, Result<Seen, Error>> {
    let api = match namespace {
        Some(namespace) => Api::<K>::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    };
    let events = watcher(api, config).default_backoff();
    events.map(move |event| event.map(seen).map_err(|source| Error { what, source })).boxed()
}
