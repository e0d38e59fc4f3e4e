//! Carries out a plan. Leases and Services are written by create and replace; Roles, RoleBindings, EndpointSlices and
//! statuses by server-side apply; events by create.
//!
//! Every call has a timeout and one of three fates: success, a conflict (another client wrote in between: plan again)
//! or a failure. Nothing is retried here; the controller plans again from what the answers say.

mod error;
mod lease;
#[cfg(test)]
mod tests;
mod traffic;

use std::fmt::Debug;
use std::future::Future;
use std::time::Duration;

use elector_crds::untrusted::{FromUntrusted, StoredElection, Untrusted, shorten};
use elector_crds::{LeaderElection, LeaderElectionStatus, TRANSFER_ANNOTATION};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::events::v1 as events_api;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client, Resource, ResourceExt};
use serde::Serialize;
use serde_json::json;

pub(crate) use self::error::words;
pub use self::error::{Error, Refusal};
use self::error::{is_changed, is_refused};
use crate::index::{ClockReading, Part, WriteAnswer};
use crate::leadership::Leading;
use crate::plan::Plan;
use crate::{events, key::Key};
use elector_crds::event::ElectionEvent;
use elector_crds::ownership::{OPERATOR_NAME, conflict_message, is_made_for};

/// The result of carrying out a plan.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What the API server answered.
    pub answers: Vec<WriteAnswer>,
    /// The parts that were written.
    pub written: Vec<Part>,
    /// The parts that were not written, with the reasons. A part that the API server has refused holds up no other;
    /// after any other failure nothing more is tried.
    pub failures: Vec<(Part, Error)>,
    /// The names of the events that were created.
    pub created_events: Vec<String>,
    /// The events that could not be created.
    pub refused_events: Vec<ElectionEvent>,
}

/// Signals that nothing more of the plan may be tried.
struct Aborted;

impl Outcome {
    /// Notes the result of writing `part`.
    fn note(&mut self, part: Part, result: Result<(), Error>) -> Result<(), Aborted> {
        match result {
            Ok(()) => self.written.push(part),
            Err(error) => {
                let ends = !is_refused(&error);
                self.failures.push((part, error));
                if ends {
                    return Err(Aborted);
                }
            }
        }
        Ok(())
    }

    fn has_failed(&self, part: Part) -> bool {
        self.failures.iter().any(|(failed, _)| *failed == part)
    }
}

/// Carries out plans on the API server.
#[derive(Clone)]
pub struct Applier {
    /// The client of the API server.
    pub client: Client,
    /// Whether this replica leads, which is checked before every write.
    pub leading: Leading,
    /// The longest time that a request may take.
    pub timeout: Duration,
    /// The reporter in events: the identity of this replica.
    pub identity: String,
}

impl Applier {
    /// Carries out `plan` for `election`.
    pub async fn apply(&self, election: &LeaderElection, plan: Plan, now: ClockReading) -> Outcome {
        let mut outcome = Outcome::default();
        // Where it ended is among the failures.
        let _ = if !plan.traffic.is_empty() {
            self.apply_traffic(election, &plan.traffic, &mut outcome).await
        } else if plan.has_objects() {
            self.apply_objects(election, &plan, &mut outcome).await
        } else {
            self.report(election, &plan, now, &mut outcome).await
        };
        outcome
    }

    async fn apply_objects(
        &self,
        election: &LeaderElection,
        plan: &Plan,
        outcome: &mut Outcome,
    ) -> Result<(), Aborted> {
        self.apply_lease(election, &plan.lease, outcome).await?;
        if let Some(role) = &plan.role {
            let applied = self.apply_owned("Role", role, election).await;
            let applied = applied.map(|role| outcome.answers.push(WriteAnswer::Role(Box::new(role))));
            outcome.note(Part::Role, applied)?;
        }
        if let Some(role_binding) = plan.role_binding.as_ref().filter(|_| !outcome.has_failed(Part::Role)) {
            let applied = self.apply_owned("RoleBinding", role_binding, election).await;
            let applied = applied.map(|binding| outcome.answers.push(WriteAnswer::RoleBinding(Box::new(binding))));
            outcome.note(Part::RoleBinding, applied)?;
        }
        Ok(())
    }

    /// Applies an object. An object that exists is taken over only if an operator made it.
    async fn apply_owned<K>(&self, kind: &'static str, desired: &K, election: &LeaderElection) -> Result<K, Error>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + FromUntrusted + Clone + Debug + Serialize,
    {
        let (read, apply) = match kind {
            "Role" => ("read the Role", "apply the Role"),
            "RoleBinding" => ("read the RoleBinding", "apply the RoleBinding"),
            _ => ("read the EndpointSlice", "apply the EndpointSlice"),
        };
        let api = self.api::<Untrusted<K>>(election);
        let existing = self.call(read, api.get_opt(&desired.name_any())).await?;
        // Where there is none, one that somebody makes in between must not be taken from them.
        let mut parameters = PatchParams::apply(OPERATOR_NAME);
        if let Some(existing) = existing {
            if !is_made_for(&existing, election) {
                return Err(Error::Conflict(conflict_message(kind, &existing)));
            }
            parameters = parameters.force();
        }
        let patch = Patch::Apply(desired);
        let Untrusted(applied) = self.write(apply, api.patch(&desired.name_any(), &parameters, &patch)).await?;
        Ok(applied)
    }

    /// Creates the events, and then writes the status. A crash in between repeats the events, whose names exist once;
    /// in the other order it would lose them.
    async fn report(
        &self,
        election: &LeaderElection,
        plan: &Plan,
        now: ClockReading,
        outcome: &mut Outcome,
    ) -> Result<(), Aborted> {
        for event in &plan.events {
            let created = self.create_event(election, event, now).await;
            match created {
                Ok(()) => {
                    outcome.created_events.push(event.name.clone());
                    outcome.written.push(Part::Event);
                }
                Err(Error::NotLeading) => return outcome.note(Part::Event, Err(Error::NotLeading)),
                // Nor does the status wait for a webhook that does not answer.
                Err(error) => {
                    outcome.refused_events.push(event.clone());
                    outcome.failures.push((Part::Event, error));
                }
            }
        }
        if let Some(status) = &plan.status {
            let applied = self.apply_status(election, status).await;
            let applied = applied.map(|applied| outcome.answers.push(WriteAnswer::Election(Box::new(applied))));
            outcome.note(Part::Status, applied)?;
        }
        // Last: if it cannot be removed, all else has been said.
        if let Some(target) = &plan.request_done {
            let removed = self.remove_request(election, target).await;
            let removed = removed.map(|removed| outcome.answers.push(WriteAnswer::Election(Box::new(removed))));
            outcome.note(Part::Request, removed)?;
        }
        Ok(())
    }

    /// Creates an event. An event that exists was created earlier, which counts as success.
    async fn create_event(
        &self,
        election: &LeaderElection,
        event: &ElectionEvent,
        now: ClockReading,
    ) -> Result<(), Error> {
        let object = events::object(election, event, &self.identity, now);
        let events = self.api::<events_api::Event>(election);
        match self.write("create an event", events.create(&post(), &object)).await {
            Ok(_) => {
                tracing::info!(election = %Key::of(election), reason = %event.reason, note = event.note, "event");
                Ok(())
            }
            Err(Error::Stale(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Removes the request for another leader that was answered, unless another request has taken its place.
    async fn remove_request(&self, election: &LeaderElection, target: &str) -> Result<StoredElection, Error> {
        let what = "remove the request";
        let (elections, name) = (self.api::<Untrusted<StoredElection>>(election), election.name_any());
        let stored = self.call("read the request", elections.get(&name)).await?;
        let request = stored.annotations().get(TRANSFER_ANNOTATION);
        let Some(request) = request.filter(|request| shorten(request) == target) else {
            return Err(Error::Stale(what));
        };
        let path = format!("/metadata/annotations/{}", TRANSFER_ANNOTATION.replace('/', "~1"));
        let patch = json!([
            {"op": "test", "path": "/metadata/uid", "value": election.uid()},
            {"op": "test", "path": path, "value": request},
            {"op": "remove", "path": path},
        ]);
        let patch = serde_json::from_value(patch)
            .map_err(|error| Error::Api { what, source: Box::new(kube::Error::SerdeError(error)) })?;
        let (parameters, patch) = (PatchParams::default(), Patch::<()>::Json(patch));
        match self.write(what, elections.patch(&name, &parameters, &patch)).await {
            Ok(Untrusted(stored)) => Ok(stored),
            // A test that fails is told as 422.
            Err(Error::Api { what, source }) if is_changed(&source) => Err(Error::Stale(what)),
            Err(error) => Err(error),
        }
    }

    async fn apply_status(
        &self,
        election: &LeaderElection,
        status: &LeaderElectionStatus,
    ) -> Result<StoredElection, Error> {
        let patch = json!({
            "apiVersion": LeaderElection::api_version(&()),
            "kind": LeaderElection::kind(&()),
            // An election that was made anew meanwhile is another one.
            "metadata": {"name": election.name_any(), "uid": election.uid()},
            "status": status,
        });
        let elections = self.api::<Untrusted<StoredElection>>(election);
        let (parameters, patch) = (PatchParams::apply(OPERATOR_NAME).force(), Patch::Apply(patch));
        let name = election.name_any();
        let applying = elections.patch_status(&name, &parameters, &patch);
        let Untrusted(applied) = self.write("apply the status", applying).await?;
        Ok(applied)
    }

    fn api<K>(&self, election: &LeaderElection) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), &election.namespace().unwrap_or_default())
    }

    async fn write<T>(
        &self,
        what: &'static str,
        request: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, Error> {
        if !self.leading.holds() {
            return Err(Error::NotLeading);
        }
        self.call(what, request).await
    }

    async fn call<T>(
        &self,
        what: &'static str,
        request: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, Error> {
        match tokio::time::timeout(self.timeout, request).await {
            Ok(answer) => answer.map_err(|error| Error::of(what, error)),
            Err(_) => Err(Error::Timeout { what, timeout: self.timeout }),
        }
    }
}

fn post() -> PostParams {
    PostParams { field_manager: Some(OPERATOR_NAME.to_owned()), ..PostParams::default() }
}
