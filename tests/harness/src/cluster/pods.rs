//! Real pods that nobody runs: the test says what a kubelet would report.

use std::{collections::BTreeMap, path::PathBuf};

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};
use kube::{
    api::{DeleteParams, Patch, PatchParams, PostParams},
    core::ObjectMeta,
};
use serde_json::{Value, json};

use super::Namespace;

/// The node of all pods. There is no such Node, and no kubelet.
pub const NODE: &str = "node-1";

impl Namespace<'_> {
    /// Makes a pod that is pending on [`NODE`]. It is on a node so that its deletion waits for a kubelet.
    ///
    /// # Errors
    /// When the API server refuses, as for a service account that does not exist.
    pub async fn create_pod(&self, name: &str, service_account: &str, labels: &[(&str, &str)]) -> Result<Pod> {
        let labels: BTreeMap<_, _> =
            labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let pod = Pod {
            metadata: ObjectMeta { name: Some(name.to_owned()), labels: Some(labels), ..ObjectMeta::default() },
            spec: Some(PodSpec {
                node_name: Some(NODE.to_owned()),
                service_account_name: Some(service_account.to_owned()),
                containers: vec![Container {
                    name: "app".to_owned(),
                    image: Some("none".to_owned()),
                    ..Container::default()
                }],
                ..PodSpec::default()
            }),
            status: None,
        };
        Ok(self.api().create(&PostParams::default(), &pod).await?)
    }

    /// Reports it running, and ready or not.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn set_pod_ready(&self, name: &str, ready: bool) -> Result<Pod> {
        let ready = if ready { "True" } else { "False" };
        let conditions = json!([{"type": "Ready", "status": ready}, {"type": "ContainersReady", "status": ready}]);
        self.patch_pod_status(name, json!({"phase": "Running", "conditions": conditions})).await
    }

    /// Reports anything: a strategic merge patch of the pod's status.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn patch_pod_status(&self, name: &str, status: Value) -> Result<Pod> {
        let patch = Patch::Strategic(json!({"status": status}));
        Ok(self.api::<Pod>().patch_status(name, &PatchParams::default(), &patch).await?)
    }

    /// Deletes it as a user does: it is terminating until [`Namespace::remove_pod`], as if its containers took their time.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn terminate_pod(&self, name: &str) -> Result<()> {
        self.api::<Pod>().delete(name, &DeleteParams::default()).await?;
        Ok(())
    }

    /// Deletes it as a kubelet does when its containers have ended: it is gone on return.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn remove_pod(&self, name: &str) -> Result<()> {
        self.api::<Pod>().delete(name, &DeleteParams::default().grace_period(0)).await?;
        Ok(())
    }

    /// The token that a kubelet would mount into it.
    ///
    /// # Errors
    /// When the pod is gone.
    pub async fn pod_token(&self, pod: &Pod) -> Result<String> {
        let spec = pod.spec.as_ref().context("a pod without spec")?;
        let account = spec.service_account_name.as_deref().unwrap_or("default");
        self.cluster().service_account_token(self.name(), account, Some(pod)).await
    }

    /// A kubeconfig with [`Namespace::pod_token`], for the API server or what stands in front of it at `server`, a URL.
    ///
    /// # Errors
    /// When the pod is gone.
    pub async fn pod_kubeconfig_at(&self, pod: &Pod, server: Option<&str>) -> Result<PathBuf> {
        let token = self.pod_token(pod).await?;
        self.cluster().kubeconfig_at(&token, server)
    }
}
