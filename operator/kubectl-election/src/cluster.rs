//! The cluster, reached as kubectl reaches it. Every request has a timeout, and every failure says what to do.

use std::fmt::Debug;
use std::time::Duration;

use elector_crds::{LeaderElection, selector_query};
use k8s_openapi::NamespaceResourceScope;
use kube::api::ListParams;
use kube::core::{Selector, SelectorExt as _};
use kube::{Api, Client, Error, Resource, ResourceExt as _};
use leader_elector::connect::{self, Access, Choice};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use crate::cli::Reach;
use crate::lenient::{Lenient, readable};
use elector_program::failure::{Failure, chain};

/// The longest time that a request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a connection may be silent while a watch runs: longer than any watch request.
const READ_TIMEOUT: Duration = Duration::from_secs(75);

/// Why something could not be read from the cluster. `Display` names the right that is missing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unseen {
    /// This user lacks a right, which is named.
    #[error("you may not {0}")]
    Forbidden(String),
    /// Any other failure, in one line.
    #[error("{0}")]
    Failed(String),
}

/// A cluster, and the namespace to work in.
pub(crate) struct Cluster {
    pub(crate) client: Client,
    server: String,
    pub(crate) namespace: String,
}

impl Cluster {
    /// The cluster that the arguments and the kubeconfig name. No request is sent yet.
    ///
    /// # Errors
    /// If no kubeconfig says where the cluster is or which credentials to use.
    pub(crate) async fn reach(reach: &Reach) -> Result<Cluster, Failure> {
        let Reach { kubeconfig, context, namespace } = reach.clone();
        let choice = Choice { kubeconfig, context, home_before_pod: true };
        let unusable = |error: connect::Error| {
            Failure::usage(format!("{}; name another by --kubeconfig, KUBECONFIG or --context", chain(&error)))
        };
        let mut access = Access::find(&choice).map_err(unusable)?;
        access.config.read_timeout = Some(READ_TIMEOUT);
        let namespace = namespace.unwrap_or_else(|| access.config.default_namespace.clone());
        let server = access.config.cluster_url.to_string();
        let client = access.client().map_err(unusable)?;
        Ok(Cluster { client, server, namespace })
    }

    /// Access to objects of the namespace.
    pub(crate) fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Access to objects of all namespaces, or to objects without a namespace.
    pub(crate) fn api_of_all<K: Resource<DynamicType = ()>>(&self) -> Api<K> {
        Api::all(self.client.clone())
    }

    /// The objects of the namespace that a selector matches. They are matched here, because a query cannot state every
    /// selector.
    ///
    /// # Errors
    /// The errors of a list.
    pub(crate) async fn matching<K>(&self, selector: &Selector) -> Result<Vec<K>, Error>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned,
    {
        let query = ListParams::default().labels(&selector_query(selector));
        let mut found = readable(self.api::<Lenient<K>>().list(&query).await?);
        found.retain(|object| selector.matches(object.labels()));
        Ok(found)
    }

    /// The LeaderElection called `name`.
    ///
    /// # Errors
    /// If there is none, or it cannot be read.
    pub(crate) async fn election(&self, name: &str) -> Result<LeaderElection, Failure> {
        let missing = || {
            Failure::failed(format!(
                "no LeaderElection {name} in namespace {}; see kubectl election list -A",
                self.namespace
            ))
        };
        let found = self.ask("read the LeaderElection", self.api::<Lenient<LeaderElection>>().get_opt(name)).await;
        match found? {
            Some(election) => {
                let unreadable = || Failure::failed(format!("the spec of LeaderElection {name} cannot be read"));
                election.into_readable().ok_or_else(unreadable)
            }
            // Without its definition none can be found either, which a list tells apart.
            None => self.definition_is_there().await.and_then(|()| Err(missing())),
        }
    }

    async fn definition_is_there(&self) -> Result<(), Failure> {
        let one = ListParams::default().limit(1);
        match timeout(REQUEST_TIMEOUT, self.api::<Lenient<LeaderElection>>().list(&one)).await {
            Ok(Err(error)) if is_without_definition(&error) => Err(self.failure("list LeaderElections", &error)),
            Ok(Ok(_) | Err(_)) | Err(_) => Ok(()),
        }
    }

    /// The answer of the API server to a request; `doing` says for messages what the request does.
    ///
    /// # Errors
    /// If the API server refuses, or does not answer in time.
    pub(crate) async fn ask<T>(
        &self,
        doing: &str,
        request: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Failure> {
        match timeout(REQUEST_TIMEOUT, request).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(self.failure(doing, &error)),
            Err(_) => Err(self.unreachable(&format!("no answer within {} s", REQUEST_TIMEOUT.as_secs()))),
        }
    }

    /// The answer of the API server to a request that is not essential. `right` says what the request does, and so
    /// which right it needs.
    ///
    /// # Errors
    /// Which right is missing, or what failed.
    pub(crate) async fn look<T>(
        &self,
        right: &str,
        request: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Unseen> {
        match timeout(REQUEST_TIMEOUT, request).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(Error::Api(status))) if status.is_forbidden() => Err(Unseen::Forbidden(right.to_owned())),
            Ok(Err(Error::Api(status))) => Err(Unseen::Failed(format!("failed to {right}: {}", status.message))),
            Ok(Err(error)) => Err(Unseen::Failed(format!("failed to {right}: {}", chain(&error)))),
            Err(_) => {
                Err(Unseen::Failed(format!("failed to {right}: no answer within {} s", REQUEST_TIMEOUT.as_secs())))
            }
        }
    }

    fn failure(&self, doing: &str, error: &Error) -> Failure {
        match error {
            error if is_without_definition(error) => Failure::failed(format!(
                "{} knows no LeaderElections: install leader-elector there, or choose another --context",
                self.server
            )),
            Error::Api(status) => Failure::failed(format!("failed to {doing}: {}", status.message)),
            Error::Auth(_) => Failure::usage(format!("failed to {doing}: {}; look at --context", chain(error))),
            Error::Service(source) => self.unreachable(&chain(&**source)),
            error => Failure::failed(format!("failed to {doing}: {}", chain(error))),
        }
    }

    fn unreachable(&self, why: &str) -> Failure {
        Failure::failed(format!("failed to reach {}: {why}; look at --context and --kubeconfig", self.server))
    }
}

/// Whether the API server does not serve a kind of object. It then answers "page not found", or does not name an object
/// that is missing; if it serves the kind, it names the object.
pub(crate) fn is_without_definition(error: &Error) -> bool {
    let Error::Api(status) = error else { return false };
    let names_an_object = || status.details.as_ref().is_some_and(|details| !details.name.is_empty());
    status.code == 404 && !(status.reason == "NotFound" && names_an_object())
}

#[cfg(test)]
mod tests {
    use kube::core::Status;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_kind_that_is_not_served_is_told_from_an_object_that_is_missing() {
        let answer = |reason: &str, details: serde_json::Value| {
            let status = json!({"code": 404, "reason": reason, "message": "-", "details": details});
            Error::Api(Box::new(serde_json::from_value::<Status>(status).unwrap()))
        };
        assert!(is_without_definition(&answer("Failed to parse error data", json!(null))));
        assert!(is_without_definition(&answer("NotFound", json!({}))));
        assert!(is_without_definition(&answer("NotFound", json!(null))));
        assert!(!is_without_definition(&answer("NotFound", json!({"name": "billing", "kind": "leases"}))));
    }
}
