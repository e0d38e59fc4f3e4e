//! The watches that feed the index.

use std::fmt::Debug;
use std::time::Duration;

use elector_crds::untrusted::{FromUntrusted, Untrusted};
use futures::stream::{self, BoxStream, StreamExt};
use k8s_openapi::NamespaceResourceScope;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, Resource};

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
            watcher::Error::WatchError(status) => status.message.clone(),
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
    let api = match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    };
    let events = stream::unfold(Watch::begin(api, config), async |mut watch| Some((watch.next().await, watch)));
    events.map(move |event| event.map(seen).map_err(|source| Error { what, source })).boxed()
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
mod tests {
    use std::sync::{Arc, Mutex};

    use axum::http::{Request, Response};
    use elector_crds::StoredLease;
    use kube::client::Body;
    use serde_json::{Value, json};
    use tower::service_fn;

    use super::*;

    /// Runs a watch against a server that gives `answers`, one for each request and the last one for ever. Returns what
    /// the watch showed, and the queries of its requests.
    async fn watched(answers: Vec<(u16, Vec<String>)>, events: usize) -> (Vec<String>, Vec<String>) {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let queries = Arc::clone(&asked);
        let service = service_fn(move |request: Request<Body>| {
            let mut queries = queries.lock().unwrap();
            let (status, lines) = answers.get(queries.len()).or(answers.last()).unwrap();
            queries.push(request.uri().query().unwrap_or_default().to_owned());
            let body: String = lines.iter().map(|line| format!("{line}\n")).collect();
            let response = Response::builder().status(*status).body(Body::from(body.into_bytes()));
            async move { response }
        });
        let api = Api::all(Client::new(service, "default"));
        let mut watch = Watch::<StoredLease>::begin(api, everything());
        let mut seen = Vec::new();
        for _ in 0..events {
            seen.push(match watch.next().await {
                Ok(Event::Init) => "init".to_owned(),
                Ok(Event::InitDone) => "done".to_owned(),
                Ok(Event::InitApply(lease)) => format!("found {}", lease.metadata.name.unwrap()),
                Ok(Event::Apply(lease)) => format!("changed {}", lease.metadata.name.unwrap()),
                Ok(Event::Delete(lease)) => format!("deleted {}", lease.metadata.name.unwrap()),
                Err(error) => format!("failed {}", code(&error).unwrap_or_default()),
            });
        }
        let asked = asked.lock().unwrap().clone();
        (seen, asked)
    }

    fn refusal(code: u16) -> (u16, Vec<String>) {
        let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "", "message": "", "code": code});
        (code, vec![status.to_string()])
    }

    fn lease(name: &str, annotations: &Value) -> Value {
        let metadata = json!({"name": name, "resourceVersion": "7", "annotations": annotations});
        json!({"kind": "Lease", "apiVersion": "coordination.k8s.io/v1", "metadata": metadata})
    }

    /// An event of a watch, with its fields in the API server's order.
    fn event(kind: &str, lease: &Value) -> String {
        format!(r#"{{"type":"{kind}","object":{lease}}}"#)
    }

    fn streamed() -> (u16, Vec<String>) {
        let end = lease("", &json!({"k8s.io/initial-events-end": "true"}));
        (200, vec![event("ADDED", &lease("a", &json!({}))), event("BOOKMARK", &end)])
    }

    #[test]
    fn why_a_watch_failed_is_what_the_api_server_says() {
        let status = kube::core::Status { code: 500, message: "etcd is away".to_owned(), ..Default::default() };
        let said = |source| Error { what: "leases", source }.words();
        assert_eq!(said(watcher::Error::WatchError(status.clone().boxed())), "etcd is away");
        let failed = kube::Error::Api(status.boxed());
        assert_eq!(said(watcher::Error::WatchStartFailed(failed)), "etcd is away");
    }

    #[tokio::test(start_paused = true)]
    async fn where_lists_cannot_be_streamed_they_come_in_pages() {
        let lease = lease("a", &json!({}));
        let list =
            json!({"kind": "LeaseList", "apiVersion": "v1", "metadata": {"resourceVersion": "7"}, "items": [lease]});
        let (list, watch) = ((200, vec![list.to_string()]), (200, vec![event("MODIFIED", &lease)]));
        let (seen, asked) = watched(vec![refusal(422), list, watch], 4).await;
        assert_eq!(seen, ["init", "found a", "done", "changed a"]);
        let asks =
            |what: &[&str]| asked.iter().map(|query| what.iter().all(|it| query.contains(it))).collect::<Vec<_>>();
        assert_eq!(asks(&["sendInitialEvents=true"]), [true, false, false]);
        assert_eq!(asks(&["limit=50"]), [false, true, false]);
        assert_eq!(asks(&["watch=true", "resourceVersion=7"]), [false, false, true]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_too_old_to_resume_from_is_listed_anew() {
        let (seen, asked) = watched(vec![streamed(), refusal(410), streamed()], 7).await;
        assert_eq!(seen, ["init", "found a", "done", "failed 410", "init", "found a", "done"]);
        assert_eq!(asked.len(), 3);
        // However long the stream of what there is takes.
        assert!(asked.iter().all(|query| query.contains("timeoutSeconds=0")), "{asked:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_only_refuses_is_not_asked_without_a_pause() {
        for code in [403, 410, 422, 429, 500] {
            let begun = tokio::time::Instant::now();
            let (_, asked) = watched(vec![refusal(code)], 20).await;
            let requests = u32::try_from(asked.len()).unwrap();
            assert!(requests < 25 && begun.elapsed() > Duration::from_millis(500) * requests, "{code}: {requests}");
        }
    }
}
