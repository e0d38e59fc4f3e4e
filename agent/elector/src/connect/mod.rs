//! The connection to the API server: its address, credentials and proxy. Every request has a timeout, and none is
//! repeated without the election's knowledge.

mod credentials;
mod exec;
mod files;
mod kubeconfig;
mod proxy;
mod server;

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Uri;
use http::uri::Scheme;
use kube::Client;
use kube::client::ClientBuilder;
use kube::config::{AuthInfo, Cluster, Config, InClusterError, KubeconfigError};
use secrecy::ExposeSecret as _;
use tower::util::MapRequestLayer;

use self::credentials::TokenFile;
pub use self::kubeconfig::Error as UnusableKubeconfig;
use self::kubeconfig::{Chosen, Kubeconfig};
use crate::url::has_possible_port;

/// The directory of a pod's service account files.
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Why no connection can be tried.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The files of the pod's service account cannot be read.
    #[error("failed to read the pod's service account: {0}")]
    InCluster(#[from] InClusterError),
    /// A kubeconfig cannot be read, or lacks something that is needed.
    #[error(transparent)]
    Kubeconfig(#[from] UnusableKubeconfig),
    /// None of the files that `KUBECONFIG` names exists.
    #[error("no kubeconfig is where KUBECONFIG says: {0:?}")]
    Missing(OsString),
    /// The kubeconfig has no current context, and none was chosen.
    #[error("the kubeconfig has no current-context, and none is named")]
    NoContext,
    /// The process runs neither in a pod nor with a kubeconfig.
    #[error("there is no kubeconfig: run in a pod with a service account token, or set KUBECONFIG")]
    Nowhere,
    /// A kubeconfig, or an environment variable, has a value that cannot be used.
    #[error("{0}")]
    Unusable(String),
    /// The kubeconfig or the service account names another API server than at the start.
    #[error("the kubeconfig names another API server now, {now}, and not {before}: start anew to move there")]
    Moved {
        /// The API server at the start.
        before: String,
        /// The API server that is named now.
        now: String,
    },
    /// No client can be made of the configuration.
    #[error("failed to make a client: {0}")]
    Client(#[from] kube::Error),
}

/// The user's choice, beside the environment, of a cluster.
#[derive(Debug, Default, Clone)]
pub struct Choice {
    /// The kubeconfig to use in place of those that `KUBECONFIG` lists.
    pub kubeconfig: Option<PathBuf>,
    /// The context to use in place of the current one.
    pub context: Option<String>,
    /// Whether, in a pod, `~/.kube/config` goes before the pod's service account, as it does for kubectl.
    pub home_before_pod: bool,
}

/// An API server, and the credentials to ask it with.
#[derive(Debug, Clone)]
pub struct Access {
    /// The configuration of a client, without a token that is in a file: that token changes.
    pub config: Config,
    /// The source of the credentials, for the log.
    pub source: String,
    token: Option<TokenFile>,
}

impl Access {
    /// Finds the API server and its credentials: as `choice` says, or else from what `KUBECONFIG` lists, the pod's
    /// service account or `~/.kube/config`, the first that exists. The API server is not asked. If a kubeconfig names a
    /// program that gives credentials, it is run.
    ///
    /// # Errors
    /// If there is no source of credentials, or the one that is found cannot be used.
    pub fn find(choice: &Choice) -> Result<Access, Error> {
        let context = choice.context.as_deref();
        if let Some(named) = named(choice)? {
            return Access::of(named.choose(context)?.ok_or(Error::NoContext)?);
        }
        let asks_home = choice.home_before_pod || !is_in_pod() || context.is_some();
        if asks_home && let Some(chosen) = of_home()?.choose(context)? {
            return Access::of(chosen);
        }
        if is_in_pod() && context.is_none() { Access::in_pod() } else { Err(Error::Nowhere) }
    }

    fn in_pod() -> Result<Access, Error> {
        let mut config = Config::incluster()?;
        let (authority, host) = (config.cluster_url.authority(), config.cluster_url.host());
        if !authority.zip(host).is_some_and(|(authority, host)| has_possible_port(authority.as_str(), host)) {
            let server = &config.cluster_url;
            let why = format!("the API server {server} cannot be asked: its port must be a number from 1 to 65535");
            return Err(Error::Unusable(why));
        }
        let user = std::mem::take(&mut config.auth_info);
        Access::new(config, user, "service account", "the service account of the pod".to_owned())
    }

    fn of(chosen: Chosen) -> Result<Access, Error> {
        let Chosen { context, mut cluster, mut user, user_name, namespace } = chosen;
        let mut config =
            Config::new(server::parse(cluster.server.as_deref().unwrap_or_default()).map_err(Error::Unusable)?);
        config.default_namespace = namespace.or_else(namespace_of_pod).unwrap_or_else(|| "default".to_owned());
        if config.cluster_url.scheme() == Some(&Scheme::HTTPS) {
            config.root_cert = authorities(&mut cluster).map_err(Error::Unusable)?;
            config.accept_invalid_certs = cluster.insecure_skip_tls_verify.unwrap_or(false);
            if config.accept_invalid_certs && config.root_cert.is_some() {
                let why =
                    "a certificate authority and insecure-skip-tls-verify are both there: one of them is too many";
                return Err(Error::Unusable(format!("cluster of the kubeconfig: {why}")));
            }
            if let Some(exec) = user.exec.as_mut().filter(|exec| exec.provide_cluster_info) {
                let known = (&cluster).try_into();
                exec.cluster = Some(known.map_err(|error: KubeconfigError| Error::Unusable(error.to_string()))?);
            }
        }
        // Unlike kubectl a server without TLS is told who asks, as it is by the token that an agent knows its pod: it is a proxy on
        // this machine, as a rule.
        config.disable_compression = cluster.disable_compression.unwrap_or(false);
        config.tls_server_name = cluster.tls_server_name;
        config.proxy_url = proxy::of(&config.cluster_url, cluster.proxy_url.as_deref()).map_err(Error::Unusable)?;
        if config.proxy_url.is_some() {
            config.cluster_url = proxy::with_port(config.cluster_url);
        }
        Access::new(config, user, &user_name, format!("context {context:?} of the kubeconfig"))
    }

    fn new(mut config: Config, user: AuthInfo, user_name: &str, source: String) -> Result<Access, Error> {
        let (user, token) = credentials::of(user, user_name).map_err(Error::Unusable)?;
        config.auth_info = user;
        // A retry that the election cannot see would leave later than the clock was read (rule L1).
        config.default_retry = false;
        config.connect_timeout = Some(Duration::from_secs(5));
        Ok(Access { config, source, token })
    }

    /// A client for this API server. Must be called in a tokio runtime.
    ///
    /// # Errors
    /// If the certificates or the address cannot be used.
    pub fn client(&self) -> Result<Client, Error> {
        let builder = ClientBuilder::try_from(self.config.clone())?;
        Ok(match self.token.clone() {
            Some(token) => builder.with_layer(&MapRequestLayer::new(move |request| token.sign(request))).build(),
            None => builder.build(),
        })
    }

    /// A client for the same API server, with credentials and certificates that are read again. An API server elsewhere
    /// would have another election, so it is refused. Must be called in a tokio runtime.
    ///
    /// # Errors
    /// As [`access`] and [`Access::client`], and if the configuration names another API server now.
    pub fn renewed_client(server: &Uri) -> Result<Client, Error> {
        let access = access()?;
        if access.config.cluster_url != *server {
            return Err(Error::Moved { before: server.to_string(), now: access.config.cluster_url.to_string() });
        }
        access.client()
    }

    /// The service account token that requests are sent with, read now; `None` without a token file.
    #[must_use]
    pub fn token(&self) -> Option<String> {
        let of_user = || self.config.auth_info.token.as_ref().map(|token| token.expose_secret().to_owned());
        self.token.as_ref().and_then(TokenFile::token).or_else(of_user)
    }
}

/// The names of the contexts in the kubeconfigs that `choice` and the environment name.
///
/// # Errors
/// If one of the kubeconfigs cannot be read.
pub fn context_names(choice: &Choice) -> Result<Vec<String>, Error> {
    let read = named(choice)?.map_or_else(of_home, Ok)?;
    Ok(read.context_names())
}

/// The kubeconfig that `choice` or `KUBECONFIG` names; `None` if neither names one.
fn named(choice: &Choice) -> Result<Option<Kubeconfig>, Error> {
    if let Some(path) = &choice.kubeconfig {
        return Ok(Some(Kubeconfig::read(path)?));
    }
    let Some(list) = env::var_os("KUBECONFIG").filter(|list| !list.is_empty()) else { return Ok(None) };
    let paths = env::split_paths(&list).filter(|path| !path.as_os_str().is_empty());
    Ok(Some(Kubeconfig::read_all(paths)?.ok_or(Error::Missing(list))?))
}

/// The kubeconfig `~/.kube/config`; an empty one if there is none.
fn of_home() -> Result<Kubeconfig, Error> {
    let path = env::home_dir().map(|home| home.join(".kube/config"));
    Ok(Kubeconfig::read_all(path)?.unwrap_or_default())
}

fn is_in_pod() -> bool {
    let is_set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
    is_set("KUBERNETES_SERVICE_HOST") && is_set("KUBERNETES_SERVICE_PORT") && Path::new(ACCOUNT).join("token").exists()
}

fn namespace_of_pod() -> Option<String> {
    let namespace = fs::read_to_string(Path::new(ACCOUNT).join("namespace")).ok().filter(|_| is_in_pod())?;
    Some(namespace.trim().to_owned()).filter(|namespace| !namespace.is_empty())
}

/// The certificate authorities by which the cluster's server is checked.
fn authorities(cluster: &mut Cluster) -> Result<Option<Vec<Vec<u8>>>, String> {
    let what = "certificate-authority";
    let data = credentials::data(
        cluster.certificate_authority_data.take().as_deref(),
        cluster.certificate_authority.take().as_deref(),
        what,
    );
    let unusable = |why: String| format!("cluster of the kubeconfig: {why}");
    cluster.certificate_authority_data = data.map_err(unusable)?;
    let Some(data) = &cluster.certificate_authority_data else { return Ok(None) };
    let pem = STANDARD.decode(data).map_err(|error| unusable(format!("{what} is no base64: {error}")))?;
    let blocks =
        pem::parse_many(pem).map_err(|error| unusable(format!("{what} is no PEM: {:?}", error.to_string())))?;
    let certificates: Vec<Vec<u8>> =
        blocks.into_iter().filter(|block| block.tag() == "CERTIFICATE").map(pem::Pem::into_contents).collect();
    if certificates.is_empty() {
        Err(unusable(format!("there is no certificate in {what}")))
    } else {
        Ok(Some(certificates))
    }
}

/// [`Access::find`] for a program whose only choice is its environment.
///
/// # Errors
/// As [`Access::find`].
pub fn access() -> Result<Access, Error> {
    Access::find(&Choice::default())
}
