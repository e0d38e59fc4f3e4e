//! The watches that feed the index.

use std::fmt::Debug;
use std::time::Duration;

use elector_crds::untrusted::{FromUntrusted, Untrusted};
use futures::stream::{self, BoxStream, StreamExt};
use k8s_openapi::NamespaceResourceScope;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, Resource};

use crate::observe::Seen;
use crate::settings::Features;
use crate::{MANAGED_BY_LABEL, NAME};

/// How long one watch request lasts: a peer that died silently is noticed a little later.
const TIMEOUT_SECONDS: u32 = 60;

/// How long a connection may be silent: longer than any watch, for lists that never come.
pub const READ_TIMEOUT: Duration = Duration::from_secs(75);

/// How many objects a page of a list has, where the API server cannot stream them: an object can have 1.5 MB.
const PAGE: u32 = 50;

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
    let everything = watcher::Config::default().timeout(TIMEOUT_SECONDS).page_size(PAGE);
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
    FromUntrusted + Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + Send + 'static
{
}

impl<K> Watched for K where
    K: FromUntrusted + Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + Send + 'static
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
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    };
    let events = stream::unfold(Watch::begin(api, config), async |mut watch| Some((watch.next().await, watch)));
    events.map(move |event| event.map(seen).map_err(|source| Error { what, source })).boxed()
}

/// A watch that begins with a stream of what there is, an object at a time, or with pages of a list where the API server
/// cannot do that.
struct Watch<K> {
    api: Api<Untrusted<K>>,
    config: watcher::Config,
    /// Those before 1.32 cannot, nor can all later ones.
    streams_lists: bool,
    events: BoxStream<'static, watcher::Result<Event<Untrusted<K>>>>,
}

impl<K: Watched> Watch<K> {
    fn begin(api: Api<Untrusted<K>>, config: watcher::Config) -> Watch<K> {
        let events = events(&api, &config, true);
        Watch { api, config, streams_lists: true, events }
    }

    async fn next(&mut self) -> watcher::Result<Event<K>> {
        loop {
            match self.events.next().await {
                Some(Ok(event)) => return Ok(trusted(event)),
                Some(Err(error)) => match code(&error) {
                    Some(422) if self.streams_lists => {
                        self.streams_lists = false;
                        self.begin_again();
                    }
                    // Too old to resume from, said before the watch began: to ask again for the same would never end.
                    Some(410) => {
                        self.begin_again();
                        return Err(error);
                    }
                    Some(_) | None => return Err(error),
                },
                None => self.begin_again(),
            }
        }
    }

    fn begin_again(&mut self) {
        self.events = events(&self.api, &self.config, self.streams_lists);
    }
}

fn events<K: Watched>(
    api: &Api<Untrusted<K>>,
    config: &watcher::Config,
    streams_lists: bool,
) -> BoxStream<'static, watcher::Result<Event<Untrusted<K>>>> {
    let config = if streams_lists { config.clone().streaming_lists() } else { config.clone() };
    watcher(api.clone(), config).default_backoff().boxed()
}

fn trusted<K>(event: Event<Untrusted<K>>) -> Event<K> {
    match event {
        Event::Apply(Untrusted(object)) => Event::Apply(object),
        Event::Delete(Untrusted(object)) => Event::Delete(object),
        Event::Init => Event::Init,
        Event::InitApply(Untrusted(object)) => Event::InitApply(object),
        Event::InitDone => Event::InitDone,
    }
}

/// What the API server has refused a watch or a list with.
fn code(error: &watcher::Error) -> Option<u16> {
    match error {
        watcher::Error::WatchError(status) => Some(status.code),
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchFailed(kube::Error::Api(status)) => Some(status.code),
        watcher::Error::InitialListFailed(_)
        | watcher::Error::WatchStartFailed(_)
        | watcher::Error::WatchFailed(_)
        | watcher::Error::NoResourceVersion => None,
    }
}
