//! How the API server is reached: every request with a timeout, and none repeated behind the election's back.

use std::path::Path;
use std::time::Duration;

use kube::Client;
use kube::config::{Config, InClusterError, KubeconfigError};

use crate::url;

const IN_CLUSTER_TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// Why there is no connection to try.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The files of the pod's service account.
    #[error("failed to read the pod's service account: {0}")]
    InCluster(#[from] InClusterError),
    /// Neither in a pod nor with a usable kubeconfig.
    #[error("failed to read a kubeconfig: {0}; run in a pod with a service account token, or set KUBECONFIG")]
    Kubeconfig(#[from] KubeconfigError),
    /// The API server's address is none.
    #[error("the API server {0:?} cannot be asked: its port must be a number from 1 to 65535")]
    Server(String),
    /// What was found makes no client.
    #[error("failed to make a client: {0}")]
    Client(#[from] kube::Error),
}

/// The pod's service account if there is one, else `$KUBECONFIG`, else `~/.kube/config`.
///
/// # Errors
/// If none of them can be read. The API server is not asked.
pub async fn config() -> Result<Config, Error> {
    let in_cluster = std::env::var_os("KUBERNETES_SERVICE_HOST").is_some() && Path::new(IN_CLUSTER_TOKEN).exists();
    let mut config =
        if in_cluster { Config::incluster()? } else { Config::from_kubeconfig(&Default::default()).await? };
    let server = &config.cluster_url;
    if let (Some(authority), Some(host)) = (server.authority(), server.host())
        && !url::has_possible_port(authority.as_str(), host)
    {
        return Err(Error::Server(server.to_string()));
    }
    // A retry that the election cannot see would leave later than the clock was read (rule L1).
    config.default_retry = false;
    config.connect_timeout = Some(Duration::from_secs(5));
    Ok(config)
}

/// A client whose token and certificates are read anew.
///
/// # Errors
/// As [`config`], and if the certificates or the address are of no use.
pub async fn client() -> Result<Client, Error> {
    Ok(Client::try_from(config().await?)?)
}
