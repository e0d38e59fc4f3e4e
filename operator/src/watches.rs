//! The watches that feed the index.

use std::fmt::Debug;
use std::time::Duration;

use axum::http::Request;
use elector_crds::untrusted::{FromUntrusted, Untrusted};
use futures::stream::{self, BoxStream, StreamExt};
use k8s_openapi::NamespaceResourceScope;
use kube::client::Body;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, Resource};
use leader_elector::rate_limit::RateLimit;
use tower::service_fn;

use crate::apply::words;
use crate::features::Features;
use crate::index::Observation;
use elector_crds::ownership::{MANAGED_BY_LABEL, OPERATOR_NAME};

/// The timeout that watches ask for: none, so that the API server ends them after half an hour or more. The first
/// request also streams the existing objects, which may take minutes; a timeout of ours in the midst of that would
/// begin it again, for ever.
const TIMEOUT_SECONDS: u32 = 0;

/// How long a connection may be silent. The API server sends a bookmark each minute, so a peer that died without a sign
/// is noticed.
pub const READ_TIMEOUT: Duration = Duration::from_secs(75);

/// How many objects a page of a list has, if the API server cannot stream lists: an object can have 1.5 MB.
const PAGE: u32 = 50;

/// A selector without the Leases of nodes: there is one for each node, renewed every 10 s, and no operator needs them.
const NOT_OF_NODES: &str = "metadata.namespace!=kube-node-lease";

/// The watched kinds. The last two are watched only with the rights of a feature.
pub const WATCHED: [&str; 7] =
    ["leaderelections", "leases", "pods", "roles", "rolebindings", "services", "endpointslices"];

/// A watch that failed; it begins again by itself.
#[derive(Debug, thiserror::Error)]
#[error("failed to watch {what}")]
pub struct Error {
    /// The watched kind.
    pub what: &'static str,
    /// The error of the watch.
    pub source: watcher::Error,
}

impl Error {
    /// The error in words, for people.
    pub(crate) fn words(&self) -> String {
        match &self.source {
            watcher::Error::WatchError(status) => words(&kube::Error::Api(status.clone())),
            watcher::Error::InitialListFailed(error)
            | watcher::Error::WatchStartFailed(error)
            | watcher::Error::WatchFailed(error) => words(error),
            watcher::Error::NoResourceVersion => self.source.to_string(),
        }
    }
}

/// All watches of one namespace, or of the whole cluster, as one stream that never ends.
pub fn all(
    client: &Client,
    namespace: Option<&str>,
    features: Features,
) -> BoxStream<'static, Result<Observation, Error>> {
    let everything = everything();
    let managed = everything.clone().labels(&format!("{MANAGED_BY_LABEL}={OPERATOR_NAME}"));
    let not_of_nodes = everything.clone().fields(NOT_OF_NODES);
    let [elections, leases, pods, roles, role_bindings, services, slices] = WATCHED;
    let mut watches = vec![
        watch(client, namespace, elections, everything.clone(), Observation::Election),
        watch(client, namespace, leases, not_of_nodes, Observation::Lease),
        watch(client, namespace, pods, everything, Observation::Pod),
        watch(client, namespace, roles, managed.clone(), Observation::Role),
        watch(client, namespace, role_bindings, managed.clone(), Observation::RoleBinding),
    ];
    watches.extend(if features.leader_service {
        [
            watch(client, namespace, services, managed.clone(), Observation::Service),
            watch(client, namespace, slices, managed, Observation::Slice),
        ]
    } else {
        [nothing(Observation::Service), nothing(Observation::Slice)]
    });
    stream::select_all(watches).boxed()
}

fn everything() -> watcher::Config {
    watcher::Config::default().timeout(TIMEOUT_SECONDS).page_size(PAGE)
}

/// A kind that can be watched.
trait Watched:
    FromUntrusted + Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + Send + 'static
{
}

impl<K> Watched for K where
    K: FromUntrusted + Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + Send + 'static
{
}

/// The events of an empty list, for a kind that the operator may not watch.
fn nothing<K: Watched>(seen: fn(Event<K>) -> Observation) -> BoxStream<'static, Result<Observation, Error>> {
    stream::iter([Event::Init, Event::InitDone].map(seen).map(Ok)).boxed()
}

fn watch<K: Watched>(
    client: &Client,
    namespace: Option<&str>,
    what: &'static str,
    config: watcher::Config,
    seen: fn(Event<K>) -> Observation,
) -> BoxStream<'static, Result<Observation, Error>> {
    let client = paced(client.clone());
    let api = match namespace {
        Some(namespace) => Api::namespaced(client, namespace),
        None => Api::all(client),
    };
    let events = stream::unfold(Watch::begin(api, config), async |mut watch| Some((watch.next().await, watch)));
    events.map(move |event| event.map(seen).map_err(|source| Error { what, source })).boxed()
}

/// A client for one watch. It limits how often a watch begins, so that a server which ends each watch at once is not asked as fast
/// as it answers. Pages of a list do not wait for each other.
fn paced(client: Client) -> Client {
    let limited = RateLimit::default().limit(client.clone());
    let namespace = client.default_namespace().to_owned();
    let send = move |request: Request<Body>| {
        let is_watch = request.uri().query().is_some_and(|query| query.contains("watch=true"));
        let client = if is_watch { limited.clone() } else { client.clone() };
        async move { client.send(request).await }
    };
    Client::new(service_fn(send), namespace)
}

/// A watch that begins with a stream of the existing objects or, if the API server cannot stream them, with pages of a
/// list.
struct Watch<K> {
    api: Api<Untrusted<K>>,
    config: watcher::Config,
    /// Whether the API server may be able to stream lists. Servers before 1.32 cannot, nor can all later ones.
    streams_lists: bool,
    /// Whether the existing objects have been shown: then the next request resumes from there.
    resumes: bool,
    events: BoxStream<'static, watcher::Result<Event<Untrusted<K>>>>,
}

impl<K: Watched> Watch<K> {
    fn begin(api: Api<Untrusted<K>>, config: watcher::Config) -> Watch<K> {
        let events = events(&api, &config, true);
        Watch { api, config, streams_lists: true, resumes: false, events }
    }

    async fn next(&mut self) -> watcher::Result<Event<K>> {
        loop {
            match self.events.next().await {
                Some(Ok(event)) => {
                    self.resumes |= matches!(event, Event::InitDone);
                    return Ok(trusted(event));
                }
                Some(Err(error)) => match code(&error) {
                    Some(422) if self.streams_lists => {
                        self.streams_lists = false;
                        self.begin_again();
                    }
                    // Too old to resume from, said before the watch began: to ask again for the same would never end. Without
                    // anything to resume from it is a failure as others, and waits for its turn.
                    Some(410) if self.resumes => {
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
        self.resumes = false;
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

/// The HTTP status code with which the API server refused a watch or a list.
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

#[cfg(test)]
mod tests;
