//! Writes Services, EndpointSlices and labels of pods.

use std::fmt::Debug;

use elector_crds::untrusted::{FromUntrusted, Untrusted};
use elector_crds::{LeaderElection, ROLE_LABEL, selector_query};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::Service;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, Preconditions};
use kube::core::{Expression, Selector, SelectorExt as _};
use kube::{Resource, ResourceExt};
use serde_json::json;

use super::{Aborted, Applier, Error, Outcome, post};
use crate::index::{PodRole, RoleLabel};
use crate::index::{StoredPod, WriteAnswer};
use crate::key::Key;
use crate::plan::TrafficWrite;
use crate::plan::traffic::service::amend;
use elector_crds::ownership::{conflict_message, is_made_for};

/// How many pods with the leader's label are listed at a time: there should be one.
const PAGE: u32 = 10;

/// The most pages of pods that one search for labelled leaders reads. A request cannot express every selector, so pages may
/// hold pods of other elections.
const MAX_PAGES: u32 = 10;

impl Applier {
    pub(super) async fn apply_traffic(
        &self,
        election: &LeaderElection,
        writes: &[TrafficWrite],
        outcome: &mut Outcome,
    ) -> Result<(), Aborted> {
        for write in writes {
            // Those of one part go one after the other: no pod is labelled as the leader before the last one is not any more.
            if outcome.has_failed(write.part()) {
                continue;
            }
            let written = self.write_traffic(election, write, &mut outcome.answers).await;
            let written = written.map(|answer| outcome.answers.push(answer));
            outcome.note(write.part(), written)?;
        }
        Ok(())
    }

    async fn write_traffic(
        &self,
        election: &LeaderElection,
        write: &TrafficWrite,
        answers: &mut Vec<WriteAnswer>,
    ) -> Result<WriteAnswer, Error> {
        Ok(match write {
            TrafficWrite::Service(service) => {
                WriteAnswer::Service(Box::new(self.put_service(election, service).await?))
            }
            TrafficWrite::Slice(slice) => {
                WriteAnswer::Slice(Box::new(self.apply_owned("EndpointSlice", &**slice, election).await?))
            }
            TrafficWrite::Label(label) => {
                let label = self.label(election, label, answers).await?;
                WriteAnswer::Label(Key::new(&election.namespace().unwrap_or_default(), &label.pod), label)
            }
            TrafficWrite::DeleteService(service) => {
                self.delete("delete the Service", &**service, election).await?;
                WriteAnswer::NoService(service.clone())
            }
            TrafficWrite::DeleteSlice(slice) => {
                self.delete("delete the EndpointSlice", &**slice, election).await?;
                WriteAnswer::NoSlice(slice.clone())
            }
        })
    }

    /// Writes a Service by create and replace: server-side apply would keep what others have put into its lists.
    async fn put_service(&self, election: &LeaderElection, desired: &Service) -> Result<Service, Error> {
        let services = self.api::<Untrusted<Service>>(election);
        let name = desired.name_any();
        let Some(Untrusted(mut known)) = self.call("read the Service", services.get_opt(&name)).await? else {
            let desired = Untrusted(desired.clone());
            let Untrusted(created) = self.write("create the Service", services.create(&post(), &desired)).await?;
            return Ok(created);
        };
        if !is_made_for(&known, election) {
            return Err(Error::Conflict(conflict_message("Service", &known)));
        }
        amend(&mut known, desired);
        let known = Untrusted(known);
        let Untrusted(replaced) = self.write("replace the Service", services.replace(&name, &post(), &known)).await?;
        Ok(replaced)
    }

    /// Labels a pod. Returns the pod's label as it is then; none if the pod is gone.
    async fn label(
        &self,
        election: &LeaderElection,
        label: &RoleLabel,
        answers: &mut Vec<WriteAnswer>,
    ) -> Result<RoleLabel, Error> {
        let pods = self.api::<Untrusted<StoredPod>>(election);
        if label.role == Some(PodRole::Leader) {
            self.check_no_other_leads(election, label, answers).await?;
        }
        let patch = Patch::Merge(json!({
            "metadata": {"uid": label.uid, "labels": {ROLE_LABEL: label.role.map(PodRole::as_str)}},
        }));
        match self.write("label a pod", pods.patch(&label.pod, &PatchParams::default(), &patch)).await {
            Ok(pod) => {
                let role = pod.labels().get(ROLE_LABEL).and_then(|role| PodRole::parse(role));
                Ok(RoleLabel { role, ..label.clone() })
            }
            Err(Error::Stale(_)) => Ok(RoleLabel { role: None, ..label.clone() }),
            Err(error) => Err(error),
        }
    }

    /// Checks that no other pod has the leader's label. The watch may be late, or another replica may have labelled a
    /// pod in the last moment of its own tenure.
    async fn check_no_other_leads(
        &self,
        election: &LeaderElection,
        label: &RoleLabel,
        answers: &mut Vec<WriteAnswer>,
    ) -> Result<(), Error> {
        let mut selector =
            Selector::from(Expression::Equal(ROLE_LABEL.to_owned(), PodRole::Leader.as_str().to_owned()));
        selector.extend(election.spec.selector(&election.name_any()));
        let pods = self.api::<Untrusted<StoredPod>>(election);
        let mut page = ListParams::default().labels(&selector_query(&selector)).limit(PAGE);
        let is_other =
            |pod: &Untrusted<StoredPod>| selector.matches(pod.labels()) && pod.uid().as_ref() != Some(&label.uid);
        let mut others = Vec::new();
        for _ in 0..MAX_PAGES {
            let listed = self.call("list pods", pods.list(&page)).await?;
            let next = listed.metadata.continue_.clone().filter(|token| !token.is_empty());
            others.extend(listed.into_iter().filter(is_other));
            let Some(token) = next.filter(|_| others.is_empty()) else { break };
            page = page.continue_token(&token);
        }
        if others.is_empty() {
            return Ok(());
        }
        for pod in others {
            let uid = pod.uid().unwrap_or_default();
            let seen = RoleLabel { pod: pod.name_any(), uid, role: Some(PodRole::Leader) };
            answers.push(WriteAnswer::Label(Key::of(&pod), seen));
        }
        Err(Error::Stale("label a pod"))
    }

    /// Deletes an object. An object that is gone already counts as deleted.
    async fn delete<K>(&self, what: &'static str, unwanted: &K, election: &LeaderElection) -> Result<(), Error>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + FromUntrusted + Clone + Debug,
    {
        let parameters = DeleteParams {
            preconditions: Some(Preconditions { uid: unwanted.uid(), resource_version: None }),
            ..DeleteParams::default()
        };
        match self.write(what, self.api::<Untrusted<K>>(election).delete(&unwanted.name_any(), &parameters)).await {
            Ok(_) | Err(Error::Stale(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
