//! A cluster as its administrator reaches it: ours, or one that is there.

mod namespace;
mod pods;

use std::fs::OpenOptions;
use std::io::Write as _;
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use kube::api::PostParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use serde_json::{from_value, json};

pub use self::namespace::Namespace;
pub use self::pods::NODE;
use elector_xtask::scratch::Scratch;

/// Access by a kubeconfig, and kubeconfigs for others.
#[derive(Debug)]
pub struct Cluster {
    kubeconfig: PathBuf,
    others: Scratch,
    made: AtomicU32,
}

impl Cluster {
    /// Nothing is asked of it yet.
    ///
    /// # Errors
    /// When no folder can be made.
    pub fn new(kubeconfig: PathBuf) -> Result<Self> {
        Ok(Self { kubeconfig, others: Scratch::new()?, made: AtomicU32::new(0) })
    }

    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        self.kubeconfig.clone()
    }

    /// Where its API server is.
    ///
    /// # Errors
    /// When the kubeconfig can't be used.
    pub async fn server(&self) -> Result<String> {
        Ok(config(&self.kubeconfig).await?.cluster_url.to_string())
    }

    /// Whether its API server is on this machine.
    ///
    /// # Errors
    /// When the kubeconfig can't be used.
    pub async fn is_local(&self) -> Result<bool> {
        let url = config(&self.kubeconfig).await?.cluster_url;
        let host = url.host().unwrap_or_default();
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        Ok(host == "localhost" || address.is_ok_and(|address| address.is_loopback()))
    }

    /// A client of the administrator. It belongs to the tokio runtime that it is made in, so each test makes its own.
    ///
    /// # Errors
    /// When the kubeconfig can't be used.
    pub async fn client(&self) -> Result<Client> {
        Ok(Client::try_from(config(&self.kubeconfig).await?)?)
    }

    /// A client of the token's user.
    ///
    /// # Errors
    /// When the kubeconfig can't be written or used.
    pub async fn client_for(&self, token: &str) -> Result<Client> {
        Ok(Client::try_from(config(&self.kubeconfig_for(token)?).await?)?)
    }

    /// Writes a kubeconfig of the token's user, readable by us alone. It goes with the cluster.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn kubeconfig_for(&self, token: &str) -> Result<PathBuf> {
        self.kubeconfig_at(token, None)
    }

    /// The same for what stands in front of the API server at `server`, a URL.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn kubeconfig_at(&self, token: &str, server: Option<&str>) -> Result<PathBuf> {
        let mut kubeconfig = Kubeconfig::read_from(&self.kubeconfig)?;
        if let Some(server) = server {
            for cluster in kubeconfig.clusters.iter_mut().filter_map(|named| named.cluster.as_mut()) {
                cluster.server = Some(server.to_owned());
            }
        }
        for user in &mut kubeconfig.auth_infos {
            user.auth_info = Some(from_value(json!({"token": token}))?);
        }
        self.write(&kubeconfig)
    }

    /// Writes a kubeconfig of any user, with the rights of that user only, for someone who reaches the API server at `url`.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn kubeconfig_as(&self, user: &str, groups: &[&str], url: &str) -> Result<PathBuf> {
        let mut kubeconfig = Kubeconfig::read_from(&self.kubeconfig)?;
        for info in kubeconfig.auth_infos.iter_mut().filter_map(|user| user.auth_info.as_mut()) {
            info.impersonate = Some(user.to_owned());
            info.impersonate_groups = Some(groups.iter().map(|group| (*group).to_owned()).collect());
        }
        for cluster in kubeconfig.clusters.iter_mut().filter_map(|cluster| cluster.cluster.as_mut()) {
            cluster.server = Some(url.to_owned());
        }
        self.write(&kubeconfig)
    }

    fn write(&self, kubeconfig: &Kubeconfig) -> Result<PathBuf> {
        let text = serde_yaml_ng::to_string(kubeconfig)?;
        let path = self.others.path().join(format!("kubeconfig-{}", self.made.fetch_add(1, Ordering::Relaxed)));
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        file.and_then(|mut file| file.write_all(text.as_bytes()))
            .with_context(|| format!("failed to write {}", path.display()))?;
        Ok(path)
    }

    /// A token of a service account, valid for an hour; with `pod`, bound to it, as the one that a kubelet mounts.
    ///
    /// # Errors
    /// When the API server refuses, as for a pod of another service account.
    pub async fn service_account_token(
        &self,
        namespace: &str,
        service_account: &str,
        pod: Option<&Pod>,
    ) -> Result<String> {
        let request = TokenRequest {
            spec: TokenRequestSpec {
                audiences: vec![],
                expiration_seconds: Some(3600),
                bound_object_ref: pod.map(|pod| BoundObjectReference {
                    api_version: Some("v1".to_owned()),
                    kind: Some("Pod".to_owned()),
                    name: pod.metadata.name.clone(),
                    uid: pod.metadata.uid.clone(),
                }),
            },
            ..TokenRequest::default()
        };
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client().await?, namespace);
        let answer = accounts.create_token_request(service_account, &PostParams::default(), &request).await?;
        Ok(answer.status.context("the API server gave no token")?.token)
    }
}

async fn config(kubeconfig: &Path) -> Result<Config> {
    let kubeconfig = Kubeconfig::read_from(kubeconfig)?;
    Ok(Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?)
}
