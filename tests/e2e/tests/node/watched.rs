//! Whom a Lease or an EndpointSlice has named, and since when.

use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use elector_harness::calls::Named;
use elector_harness::cluster::Namespace;
use futures::StreamExt as _;
use k8s_openapi::NamespaceResourceScope;
use kube::Resource;
use kube::runtime::{WatchStreamExt as _, watcher};
use serde::de::DeserializeOwned;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::stage::PATIENCE;

/// Whom an object has named so far; of a kind of which a namespace has one.
pub(crate) struct Watched {
    /// When it began to look.
    pub(crate) begun: Instant,
    named: Arc<Mutex<Named>>,
    task: JoinHandle<()>,
}

impl Watched {
    /// From now on; `name` says whom it names, and nothing for nobody.
    pub(crate) fn new<K>(namespace: &Namespace<'_>, name: impl Fn(&K) -> String + Send + 'static) -> Watched
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + Debug
            + DeserializeOwned
            + Send
            + 'static,
    {
        let named: Arc<Mutex<Named>> = Arc::default();
        let (objects, seen) = (namespace.api::<K>(), Arc::clone(&named));
        let task = tokio::spawn(async move {
            let mut objects = watcher(objects, watcher::Config::default()).default_backoff().applied_objects().boxed();
            while let Some(object) = objects.next().await {
                let Ok(object) = object else { continue };
                let (at, name) = (Instant::now(), name(&object));
                let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                if seen.last().is_none_or(|(_, last)| *last != name) {
                    seen.push((at, name));
                }
            }
        });
        Watched { begun: Instant::now(), named, task }
    }

    /// So far.
    pub(crate) fn seen(&self) -> Named {
        self.named.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// When it came to name this one, since.
    pub(crate) async fn until_named(&self, name: &str, since: Instant) -> Result<Instant> {
        let begun = Instant::now();
        loop {
            let seen = self.seen();
            if let Some((at, _)) = seen.iter().find(|(at, named)| *at >= since && named == name) {
                return Ok(*at);
            }
            ensure!(begun.elapsed() < PATIENCE, "{name:?} was not named: {:?}", relative(&seen, since));
            sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn relative(named: &Named, since: Instant) -> Vec<(Duration, &str)> {
    named.iter().filter(|(at, _)| *at > since).map(|(at, name)| (*at - since, &**name)).collect()
}
