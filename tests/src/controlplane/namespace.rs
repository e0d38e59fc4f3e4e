//! A place of its own for each test on a shared control plane.

use std::path::PathBuf;

use anyhow::Result;
use k8s_openapi::{
    NamespaceResourceScope,
    api::core::v1::{self as core, ServiceAccount},
};
use kube::{Api, Client, Resource, api::PostParams, core::ObjectMeta};

use super::ControlPlane;

/// A namespace that nobody else uses, with the service account `default`.
///
/// It is never deleted: without kube-controller-manager that would not end, and the control plane goes with the process.
#[derive(Clone)]
pub struct Namespace<'a> {
    plane: &'a ControlPlane,
    client: Client,
    name: String,
}

impl ControlPlane {
    /// Makes a namespace whose name begins with `prefix`.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn namespace(&self, prefix: &str) -> Result<Namespace<'_>> {
        let client = self.client().await?;
        let namespace = core::Namespace {
            metadata: ObjectMeta { generate_name: Some(format!("{prefix}-")), ..ObjectMeta::default() },
            ..core::Namespace::default()
        };
        let namespace = Api::all(client.clone()).create(&PostParams::default(), &namespace).await?;
        let namespace = Namespace { plane: self, client, name: namespace.metadata.name.unwrap_or_default() };
        namespace.service_account("default").await?;
        Ok(namespace)
    }
}

impl Namespace<'_> {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it is.
    pub fn plane(&self) -> &ControlPlane {
        self.plane
    }

    /// The client of user `admin` that made it.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// Its objects of one kind, as user `admin`.
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client(), &self.name)
    }

    /// Makes a service account, unless it is there.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn service_account(&self, name: &str) -> Result<()> {
        let account = ServiceAccount {
            metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
            ..ServiceAccount::default()
        };
        let created = self.api().create(&PostParams::default(), &account).await;
        match created {
            Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
            Ok(_) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// A kubeconfig with a token of a service account that is bound to no pod.
    ///
    /// # Errors
    /// When the service account does not exist.
    pub async fn kubeconfig(&self, service_account: &str) -> Result<PathBuf> {
        let plane = self.plane;
        let token = plane.service_account_token(&self.name, service_account, None).await?;
        plane.kubeconfig_for(&token)
    }
}
