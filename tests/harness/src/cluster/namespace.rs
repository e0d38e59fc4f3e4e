//! A place of its own for each test on a shared control plane.

use std::{path::PathBuf, time::Duration};

use anyhow::{Result, bail};
use k8s_openapi::{
    NamespaceResourceScope,
    api::core::v1::{self as core, ServiceAccount},
};
use kube::{
    Api, Client, Resource,
    api::{DeleteParams, PostParams},
    core::ObjectMeta,
};
use tokio::time::sleep;

use super::Cluster;

/// A namespace that nobody else uses, with the service account `default`.
///
/// It is never deleted: without kube-controller-manager that would not end, and the control plane goes with the process.
#[derive(Clone)]
pub struct Namespace<'a> {
    cluster: &'a Cluster,
    client: Client,
    name: String,
}

impl Cluster {
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
        let namespace = Namespace { cluster: self, client, name: namespace.metadata.name.unwrap_or_default() };
        namespace.service_account("default").await?;
        Ok(namespace)
    }

    /// One that somebody else made.
    ///
    /// # Errors
    /// When there is no client to be had.
    pub async fn existing_namespace(&self, name: &str) -> Result<Namespace<'_>> {
        Ok(Namespace { cluster: self, client: self.client().await?, name: name.to_owned() })
    }
}

impl Namespace<'_> {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it is.
    pub fn cluster(&self) -> &Cluster {
        self.cluster
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

    /// Deletes it, and waits until it is gone. On a control plane without kube-controller-manager that would be for ever.
    ///
    /// # Errors
    /// When the API server refuses, or it is still there after two minutes.
    pub async fn delete(self) -> Result<()> {
        let namespaces = Api::<core::Namespace>::all(self.client());
        namespaces.delete(&self.name, &DeleteParams::default()).await?;
        for _ in 0..240 {
            if namespaces.get_opt(&self.name).await?.is_none() {
                return Ok(());
            }
            sleep(Duration::from_millis(500)).await;
        }
        bail!("namespace {} is still there after two minutes", self.name)
    }

    /// A kubeconfig with a token of a service account that is bound to no pod.
    ///
    /// # Errors
    /// When the service account does not exist.
    pub async fn kubeconfig(&self, service_account: &str) -> Result<PathBuf> {
        let token = self.cluster.service_account_token(&self.name, service_account, None).await?;
        self.cluster.kubeconfig_for(&token)
    }
}
