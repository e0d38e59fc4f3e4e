//! An election as those see it who apply it.

use std::time::Duration;

use anyhow::{Result, bail};
use elector_crds::conditions::{ConditionType, Reason, find};
use elector_crds::{LeaderElection, StoredLease};
use k8s_openapi::api::events::v1::Event;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::PATIENCE;
use crate::controlplane::Namespace;

/// What a test asks of `LeaderElection` `name`.
#[derive(Clone)]
pub struct Election<'a> {
    namespace: Namespace<'a>,
    name: String,
}

impl<'a> Election<'a> {
    /// Applies it.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn create(namespace: &Namespace<'a>, name: &str, spec: Value) -> Result<Election<'a>> {
        let election = Election { namespace: namespace.clone(), name: name.to_owned() };
        election.apply(spec).await?;
        Ok(election)
    }

    /// One that somebody else applies.
    pub fn named(namespace: &Namespace<'a>, name: &str) -> Election<'a> {
        Election { namespace: namespace.clone(), name: name.to_owned() }
    }

    /// Makes `spec` all that is asked for, whatever was.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn apply(&self, spec: Value) -> Result<LeaderElection> {
        let object = json!({
            "apiVersion": "leader-elector.io/v1alpha1",
            "kind": "LeaderElection",
            "metadata": {"name": self.name},
            "spec": spec,
        });
        let parameters = PatchParams::apply("user").force();
        Ok(self.api().patch(&self.name, &parameters, &Patch::Apply(object)).await?)
    }

    /// Deletes it.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn delete(&self) -> Result<()> {
        self.api().delete(&self.name, &DeleteParams::default()).await?;
        Ok(())
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it is.
    pub fn namespace(&self) -> &Namespace<'a> {
        &self.namespace
    }

    /// As it is stored.
    ///
    /// # Errors
    /// When there is none.
    pub async fn get(&self) -> Result<LeaderElection> {
        Ok(self.api().get(&self.name).await?)
    }

    /// Its Lease, as it is stored.
    ///
    /// # Errors
    /// When there is none.
    pub async fn lease(&self) -> Result<StoredLease> {
        Ok(self.namespace.api().get(&self.name).await?)
    }

    /// Waits until it is so.
    ///
    /// # Errors
    /// When it is not in time; with the object.
    pub async fn until(&self, what: &str, holds: impl Fn(&LeaderElection) -> bool) -> Result<LeaderElection> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let election = self.get().await?;
            if holds(&election) {
                return Ok(election);
            }
            if Instant::now() > deadline {
                let status = serde_json::to_string_pretty(&election.status)?;
                bail!("{}: not in {PATIENCE:?}: {what}\n{status}\n{:?}", self.name, self.events().await?);
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until a condition is of that reason for the spec as it is.
    ///
    /// # Errors
    /// As [`Election::until`].
    pub async fn until_reason(&self, type_: ConditionType, reason: Reason) -> Result<LeaderElection> {
        self.until(&format!("{type_} {reason}"), |election| {
            let status = election.status.clone().unwrap_or_default();
            let current = status.observed_generation == election.metadata.generation;
            current && find(&status.conditions, type_).is_some_and(|found| found.reason == reason.as_str())
        })
        .await
    }

    /// Waits until its status names `pod` as the holder that surely leads.
    ///
    /// # Errors
    /// As [`Election::until`].
    pub async fn until_held_by(&self, pod: &str) -> Result<LeaderElection> {
        self.until(&format!("held by {pod}"), |election| {
            let status = election.status.clone().unwrap_or_default();
            let elected = find(&status.conditions, ConditionType::LeaderElected);
            elected.is_some_and(|elected| elected.status == "True")
                && status.holder.is_some_and(|holder| holder.name == pod)
        })
        .await
    }

    /// What has happened to it, in order: reason and note.
    ///
    /// # Errors
    /// When the events can't be listed.
    pub async fn events(&self) -> Result<Vec<(String, String)>> {
        let events = self.event_objects().await?;
        Ok(events.into_iter().map(|event| (event.reason.unwrap_or_default(), event.note.unwrap_or_default())).collect())
    }

    /// The reasons of [`Election::events`].
    ///
    /// # Errors
    /// When the events can't be listed.
    pub async fn event_reasons(&self) -> Result<Vec<String>> {
        Ok(self.events().await?.into_iter().map(|(reason, _)| reason).collect())
    }

    /// All events about it, whole, in the order in which they were stored.
    ///
    /// # Errors
    /// When they can't be listed.
    pub async fn event_objects(&self) -> Result<Vec<Event>> {
        let events = self.namespace.api::<Event>().list(&ListParams::default()).await?.items;
        let about = |event: &Event| {
            event.regarding.as_ref().is_some_and(|regarding| regarding.name.as_deref() == Some(&*self.name))
        };
        let mut events: Vec<Event> = events.into_iter().filter(about).collect();
        // All of one etcd: they grow as the writes go.
        events.sort_by_key(|event| event.resource_version().and_then(|version| version.parse::<u64>().ok()));
        Ok(events)
    }

    fn api(&self) -> Api<LeaderElection> {
        self.namespace.api()
    }
}
