//! Services, EndpointSlices and labels of pods.

use std::fmt::Debug;

use elector_crds::{LeaderElection, ROLE_LABEL};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, Preconditions};
use kube::{Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::{Applier, Error};
use crate::key::Key;
use crate::observe::Answer;
use crate::plan::{Label, PodRole, Write};

impl Applier {
    pub(super) async fn apply_traffic(
        &self,
        election: &LeaderElection,
        writes: &[Write],
        answers: &mut Vec<Answer>,
    ) -> Result<(), Error> {
        for write in writes {
            let answer = match write {
                Write::Service(service) => {
                    Answer::Service(Box::new(self.apply_owned("Service", &**service, election).await?))
                }
                Write::Slice(slice) => {
                    Answer::Slice(Box::new(self.apply_owned("EndpointSlice", &**slice, election).await?))
                }
                Write::Label(label) => {
                    self.label(election, label, answers).await?;
                    Answer::Label(Key::new(&election.namespace().unwrap_or_default(), &label.pod), label.clone())
                }
                Write::DeleteService(service) => {
                    self.delete("delete the Service", &**service, election).await?;
                    Answer::NoService(service.clone())
                }
                Write::DeleteSlice(slice) => {
                    self.delete("delete the EndpointSlice", &**slice, election).await?;
                    Answer::NoSlice(slice.clone())
                }
            };
            answers.push(answer);
        }
        Ok(())
    }

    /// One that is gone has no label.
    async fn label(&self, election: &LeaderElection, label: &Label, answers: &mut Vec<Answer>) -> Result<(), Error> {
        let pods = self.api::<Pod>(election);
        if label.role == Some(PodRole::Leader) {
            self.check_no_other_leads(election, label, answers).await?;
        }
        let patch = Patch::Merge(json!({
            "metadata": {"uid": label.uid, "labels": {ROLE_LABEL: label.role.map(PodRole::as_str)}},
        }));
        match self.write("label a pod", pods.patch_metadata(&label.pod, &PatchParams::default(), &patch)).await {
            Ok(_) | Err(Error::Stale(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The watch may be late, and another replica have labelled one in the last moment of its own tenure.
    async fn check_no_other_leads(
        &self,
        election: &LeaderElection,
        label: &Label,
        answers: &mut Vec<Answer>,
    ) -> Result<(), Error> {
        let selector = election.spec.selector(&election.name_any());
        let leaders = format!("{selector},{ROLE_LABEL}={}", PodRole::Leader.as_str());
        let pods = self.api::<Pod>(election);
        let listed = self.call("list pods", pods.list_metadata(&ListParams::default().labels(&leaders))).await?;
        let others: Vec<_> = listed.into_iter().filter(|pod| pod.uid().as_ref() != Some(&label.uid)).collect();
        if others.is_empty() {
            return Ok(());
        }
        for pod in others {
            let uid = pod.uid().unwrap_or_default();
            let seen = Label { pod: pod.name_any(), uid, role: Some(PodRole::Leader) };
            answers.push(Answer::Label(Key::of(&pod), seen));
        }
        Err(Error::Stale("label a pod"))
    }

    /// One that is gone already is as well.
    async fn delete<K>(&self, what: &'static str, unwanted: &K, election: &LeaderElection) -> Result<(), Error>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
    {
        let parameters = DeleteParams {
            preconditions: Some(Preconditions { uid: unwanted.uid(), resource_version: None }),
            ..DeleteParams::default()
        };
        match self.write(what, self.api::<K>(election).delete(&unwanted.name_any(), &parameters)).await {
            Ok(_) | Err(Error::Stale(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
