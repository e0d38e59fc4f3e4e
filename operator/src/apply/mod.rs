//! Carries out a plan: Leases and Services by create and replace, Roles, RoleBindings, EndpointSlices and status by server-side
//! apply, events by create.
//!
//! Every call has a timeout and one of three fates: success, a conflict (somebody wrote in between: look again) or trouble.
//! Nothing is retried here; the controller plans again from what the answers say.

#[cfg(test)]
mod tests;
mod traffic;

use std::fmt::Debug;
use std::future::Future;
use std::time::Duration;

use elector_crds::conditions::Reason;
use elector_crds::lease;
use elector_crds::untrusted::{FromUntrusted, StoredElection, Untrusted, shorten};
use elector_crds::{LeaderElection, LeaderElectionStatus, StoredLease, TRANSFER_ANNOTATION};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::events::v1 as events_api;
use kube::api::{Patch, PatchParams, PostParams};
use kube::core::Status;
use kube::{Api, Client, Resource, ResourceExt};
use serde::Serialize;
use serde_json::json;

use crate::leadership::Leading;
use crate::observe::{Answer, Now, Part};
use crate::plan::lease::{Amendment, Release};
use crate::plan::{Event, LeaseAction, Plan, rbac};
use crate::{NAME, events, key::Key};

/// Why a plan was not carried out to its end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another replica writes now.
    #[error("this replica does not lead")]
    NotLeading,
    /// Somebody else wrote or deleted in between.
    #[error("failed to {0}: it has changed")]
    Stale(&'static str),
    /// The namespace is going, and the election with it.
    #[error("failed to {0}: the namespace is being deleted")]
    Terminating(&'static str),
    /// An object of that name is somebody else's. The message is for the user.
    #[error("{0}")]
    Conflict(String),
    /// The operator may not do it.
    #[error("the operator may not {what}: {message}; {}", refusal.mend())]
    Forbidden {
        /// What.
        what: &'static str,
        /// What the API server says.
        message: String,
        /// What of it refuses.
        refusal: Refusal,
    },
    /// No answer; whether it was done will be seen.
    #[error("failed to {what}: no answer within {} s", timeout.as_secs())]
    Timeout {
        /// What.
        what: &'static str,
        /// How long was waited.
        timeout: Duration,
    },
    /// Anything else.
    #[error("failed to {what}: {}", words(source))]
    Api {
        /// What.
        what: &'static str,
        /// Why.
        source: Box<kube::Error>,
    },
}

/// What keeps a write from being made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The rights of the operator's account.
    Rights,
    /// A policy or a webhook.
    Admission,
    /// A quota, or an admission plugin of the API server.
    Other,
}

impl Refusal {
    /// By the words of the API server: its answer has no field for that.
    fn of(status: &Status) -> Option<Refusal> {
        let says = |words: &str| status.message.contains(words);
        if says("ValidatingAdmissionPolicy") || says("MutatingAdmissionPolicy") || says("admission webhook") {
            return Some(Refusal::Admission);
        }
        if !status.is_forbidden() {
            return None;
        }
        Some(if says("cannot ") && says("in API group") { Refusal::Rights } else { Refusal::Other })
    }

    fn mend(self) -> &'static str {
        match self {
            Refusal::Rights => "give its account the rights that its Helm chart gives it",
            Refusal::Admission => "let that policy or webhook admit the operator's account",
            Refusal::Other => "change what the API server names",
        }
    }
}

/// What became of a plan.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What the API server said meanwhile.
    pub answers: Vec<Answer>,
    /// What was written.
    pub written: Vec<Part>,
    /// What was not, and why. One that the API server has refused holds up no other; after any other failure nothing is tried.
    pub failures: Vec<(Part, Error)>,
    /// Events that were created.
    pub created_events: Vec<String>,
    /// Events that were refused.
    pub refused_events: Vec<Event>,
}

/// Nothing more of the plan is to be tried.
struct Ended;

impl Outcome {
    /// Takes in what became of `part`.
    fn note(&mut self, part: Part, result: Result<(), Error>) -> Result<(), Ended> {
        match result {
            Ok(()) => self.written.push(part),
            Err(error) => {
                let ends = !is_refused(&error);
                self.failures.push((part, error));
                if ends {
                    return Err(Ended);
                }
            }
        }
        Ok(())
    }

    fn has_failed(&self, part: Part) -> bool {
        self.failures.iter().any(|(failed, _)| *failed == part)
    }
}

/// Carries out plans.
#[derive(Clone)]
pub struct Applier {
    /// How the API server is reached.
    pub client: Client,
    /// Looked at before every write.
    pub leading: Leading,
    /// The longest that a request may take.
    pub timeout: Duration,
    /// Reporter of events.
    pub identity: String,
}

impl Error {
    /// For the condition Ready.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Error::Conflict(_) => Reason::ObjectConflict,
            Error::Forbidden { .. } => Reason::Forbidden,
            Error::NotLeading | Error::Stale(_) | Error::Terminating(_) | Error::Timeout { .. } | Error::Api { .. } => {
                Reason::ReconcileFailed
            }
        }
    }

    fn of(what: &'static str, error: kube::Error) -> Error {
        if let kube::Error::Api(status) = &error
            && !is_namespace_terminating(status)
            && let Some(refusal) = Refusal::of(status)
        {
            return Error::Forbidden { what, message: status.message.clone(), refusal };
        }
        match error {
            kube::Error::Api(status) if is_namespace_terminating(&status) => Error::Terminating(what),
            // Made in between, or gone, is changed as well.
            kube::Error::Api(status) if status.is_conflict() || status.is_already_exists() || status.is_not_found() => {
                Error::Stale(what)
            }
            source => Error::Api { what, source: Box::new(source) },
        }
    }
}

impl Applier {
    /// Carries out `plan` for `election`.
    pub async fn apply(&self, election: &LeaderElection, plan: Plan, now: Now) -> Outcome {
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

    async fn apply_objects(&self, election: &LeaderElection, plan: &Plan, outcome: &mut Outcome) -> Result<(), Ended> {
        self.apply_lease(election, &plan.lease, outcome).await?;
        if let Some(role) = &plan.role {
            let applied = self.apply_owned("Role", role, election).await;
            let applied = applied.map(|role| outcome.answers.push(Answer::Role(Box::new(role))));
            outcome.note(Part::Role, applied)?;
        }
        if let Some(role_binding) = plan.role_binding.as_ref().filter(|_| !outcome.has_failed(Part::Role)) {
            let applied = self.apply_owned("RoleBinding", role_binding, election).await;
            let applied = applied.map(|binding| outcome.answers.push(Answer::RoleBinding(Box::new(binding))));
            outcome.note(Part::RoleBinding, applied)?;
        }
        Ok(())
    }

    async fn apply_lease(
        &self,
        election: &LeaderElection,
        action: &LeaseAction,
        outcome: &mut Outcome,
    ) -> Result<(), Ended> {
        let answers = &mut outcome.answers;
        let (part, result) = match action {
            LeaseAction::None => return Ok(()),
            LeaseAction::Create(lease) => (Part::Lease, self.create_lease(election, lease, answers).await),
            LeaseAction::Amend(amendment) => return self.amend_lease(election, amendment, outcome).await,
            LeaseAction::Release(release) => (Part::Release, self.release_lease(election, release, answers).await),
            LeaseAction::Look => (Part::Look, self.read_lease(election, answers).await.map(|_| ())),
        };
        outcome.note(part, result)
    }

    async fn create_lease(
        &self,
        election: &LeaderElection,
        lease: &StoredLease,
        answers: &mut Vec<Answer>,
    ) -> Result<(), Error> {
        let leases = self.api::<StoredLease>(election);
        match self.write("create the Lease", leases.create(&post(), lease)).await {
            Ok(created) => {
                answers.push(Answer::Lease(Box::new(created)));
                Ok(())
            }
            Err(stale @ Error::Stale(_)) => {
                self.read_lease(election, answers).await?;
                Err(stale)
            }
            Err(error) => Err(error),
        }
    }

    /// All at once, or if that is refused each part of it alone.
    async fn amend_lease(
        &self,
        election: &LeaderElection,
        amendment: &Amendment,
        outcome: &mut Outcome,
    ) -> Result<(), Ended> {
        let parts = amendment.parts();
        if let [_, _, ..] = parts[..] {
            match self.amend(election, amendment, "replace the Lease's metadata", outcome).await {
                Ok(()) => {
                    outcome.written.extend(parts);
                    return Ok(());
                }
                Err(error) if is_refused(&error) => {}
                Err(error) => return outcome.note(parts[0], Err(error)),
            }
        }
        let mut upon = amendment.upon;
        for part in parts {
            let alone = Amendment { upon, ..amendment.only(part) };
            let what = match part {
                Part::Timings => "put the timings on the Lease",
                Part::Hints => "pass on to candidates, on the Lease, what they are asked for",
                Part::Owner => "put the reference to the LeaderElection on the Lease",
                _ => "put the mark for the check of identities on the Lease",
            };
            let amended = self.amend(election, &alone, what, outcome).await;
            if amended.is_ok() {
                upon = alone.timings.unwrap_or(upon);
            }
            outcome.note(part, amended)?;
        }
        Ok(())
    }

    /// By uid, annotation and the version that was read: a renewal in between is a conflict, and it is looked at again.
    async fn amend(
        &self,
        election: &LeaderElection,
        amendment: &Amendment,
        what: &'static str,
        outcome: &mut Outcome,
    ) -> Result<(), Error> {
        let is_meant = |lease: &StoredLease| amendment.is_meant_for(lease);
        let apply = |lease: &mut StoredLease| amendment.apply(lease);
        self.replace_lease(what, election, &mut outcome.answers, is_meant, apply).await
    }

    /// Exactly the version that has just been read to be the dead holder's.
    async fn release_lease(
        &self,
        election: &LeaderElection,
        release: &Release,
        answers: &mut Vec<Answer>,
    ) -> Result<(), Error> {
        let is_meant = |lease: &StoredLease| lease::read(lease).is_ok_and(|(lease, _)| lease.record == release.of);
        let apply = |lease: &mut StoredLease| lease::apply(&release.write, lease);
        self.replace_lease("release the Lease of a pod that is dead", election, answers, is_meant, apply).await
    }

    async fn replace_lease(
        &self,
        what: &'static str,
        election: &LeaderElection,
        answers: &mut Vec<Answer>,
        is_meant: impl Fn(&StoredLease) -> bool,
        apply: impl FnOnce(&mut StoredLease),
    ) -> Result<(), Error> {
        let read = self.read_lease(election, answers).await?;
        let Some(mut lease) = read.filter(is_meant) else { return Err(Error::Stale(what)) };
        apply(&mut lease);
        let leases = self.api::<StoredLease>(election);
        let replaced = self.write(what, leases.replace(&election.name_any(), &post(), &lease)).await?;
        answers.push(Answer::Lease(Box::new(replaced)));
        Ok(())
    }

    async fn read_lease(
        &self,
        election: &LeaderElection,
        answers: &mut Vec<Answer>,
    ) -> Result<Option<StoredLease>, Error> {
        let leases = self.api::<StoredLease>(election);
        let read = self.call("read the Lease", leases.get_opt(&election.name_any())).await?;
        answers.push(match &read {
            Some(lease) => Answer::LeaseRead(Box::new(lease.clone())),
            None => Answer::NoLease(Key::of(election)),
        });
        Ok(read)
    }

    /// One that is there already is only taken over if an operator made it.
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
        let mut parameters = PatchParams::apply(NAME);
        if let Some(existing) = existing {
            if !rbac::is_made_for(&existing, election) {
                return Err(Error::Conflict(rbac::conflict_message(kind, &existing)));
            }
            parameters = parameters.force();
        }
        let patch = Patch::Apply(desired);
        let Untrusted(applied) = self.write(apply, api.patch(&desired.name_any(), &parameters, &patch)).await?;
        Ok(applied)
    }

    /// Events first: a crash in between repeats them, and they have names that exist once. The other way round it would
    /// lose them.
    async fn report(
        &self,
        election: &LeaderElection,
        plan: &Plan,
        now: Now,
        outcome: &mut Outcome,
    ) -> Result<(), Ended> {
        for event in &plan.events {
            let created = self.create_event(election, event, now).await;
            match &created {
                Ok(()) => outcome.created_events.push(event.name.clone()),
                Err(error) if is_refused(error) => outcome.refused_events.push(event.clone()),
                Err(_) => {}
            }
            outcome.note(Part::Event, created)?;
        }
        if let Some(status) = &plan.status {
            let applied = self.apply_status(election, status).await;
            let applied = applied.map(|applied| outcome.answers.push(Answer::Election(Box::new(applied))));
            outcome.note(Part::Status, applied)?;
        }
        // Last: if it cannot be removed, all else has been said.
        if let Some(target) = &plan.request_done {
            let removed = self.remove_request(election, target).await;
            let removed = removed.map(|removed| outcome.answers.push(Answer::Election(Box::new(removed))));
            outcome.note(Part::Request, removed)?;
        }
        Ok(())
    }

    /// One that is there already was created earlier.
    async fn create_event(&self, election: &LeaderElection, event: &Event, now: Now) -> Result<(), Error> {
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

    /// Only the request that was answered: another may have taken its place.
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
        let (parameters, patch) = (PatchParams::apply(NAME).force(), Patch::Apply(patch));
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

/// Whether the API server has answered that it will not do it, for whatever reason: a right, a rule, a quota, somebody's webhook.
/// Nothing else must wait until that changes.
fn is_refused(error: &Error) -> bool {
    match error {
        Error::Forbidden { .. } | Error::Conflict(_) | Error::Terminating(_) => true,
        Error::Api { source, .. } => matches!(**source, kube::Error::Api(_)),
        Error::NotLeading | Error::Stale(_) | Error::Timeout { .. } => false,
    }
}

fn is_changed(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 422)
}

fn is_namespace_terminating(status: &Status) -> bool {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    causes.into_iter().any(|cause| cause.reason == "NamespaceTerminating")
}

/// The condition Ready shows it: what the API server says is for people, the rest of its answer is not.
fn words(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        error => error.to_string(),
    }
}

fn post() -> PostParams {
    PostParams { field_manager: Some(NAME.to_owned()), ..PostParams::default() }
}
