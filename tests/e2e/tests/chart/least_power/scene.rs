//! Requests with the operator's token on objects of somebody else's, and on its own where it must not do what it likes.
//!
//! Each is a dry run: admission judges it like any other, and nothing changes, so that it can be repeated until the API
//! server has heard of the policies.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use elector_harness::controlplane::ControlPlane;
use elector_harness::operators::OPERATOR;
use hyper::{Method, Request};
use kube::Client;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::rights::Right;
use crate::release::RELEASE;

pub(super) const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
pub(super) const ELECTION: &str = "leader-elector.io/election";
pub(super) const MARK: &str = "leader-elector.io/strict-identity";

/// What the admission plugin OwnerReferencesPermissionEnforcement says, before any policy is asked.
const OWNERS_OF_WHAT_CAN_BE_DELETED: &str = "cannot set an ownerRef on a resource you can't delete";

/// What is expected of a request.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fate {
    Allowed,
    /// With a message that has these words, or for its owners.
    Refused(&'static str),
}

pub(super) struct Attempt {
    pub(super) resource: &'static str,
    pub(super) verb: &'static str,
    pub(super) path: String,
    pub(super) body: Value,
    pub(super) fate: Fate,
}

/// Objects of others, and those that the operator would have made of LeaderElection `billing`.
pub(super) struct Scene {
    pub(super) operator: Client,
    pub(super) namespace: String,
    pub(super) election: Value,
    pub(super) made: Value,
    pub(super) foreign: Value,
    pub(super) adopted: Value,
    pub(super) own: Value,
    pub(super) own_role: Value,
    pub(super) service: Value,
}

pub(super) const COORDINATION: &str = "/apis/coordination.k8s.io/v1";
pub(super) const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";
pub(super) const DISCOVERY: &str = "/apis/discovery.k8s.io/v1";
pub(super) const ELECTIONS: &str = "/apis/leader-elector.io/v1alpha1";

pub(super) const NOT_MADE: &str = "changes only what it made itself";

async fn send(client: &Client, method: Method, path: &str, kind: &str, body: &Value) -> Result<Value, kube::Error> {
    let body = if body.is_null() { vec![] } else { body.to_string().into_bytes() };
    let request = Request::builder().method(method).uri(path).header("Content-Type", kind).body(body);
    client.request(request.map_err(kube::Error::HttpError)?).await
}

pub(super) fn with(object: &Value, change: impl FnOnce(&mut Value)) -> Value {
    let mut object = object.clone();
    change(&mut object);
    object
}

impl Scene {
    /// Makes them, as an administrator.
    pub(super) async fn set(plane: &ControlPlane, operator: &Client, namespace: &str) -> Result<Scene> {
        let admin = plane.client().await?;
        let make = async |client: &Client, group: &str, of: &str, plural: &str, object: Value| {
            let path = format!("{group}/namespaces/{of}/{plural}");
            let made = send(client, Method::POST, &path, "application/json", &object).await;
            match made {
                Err(kube::Error::Api(status)) if status.is_already_exists() => {
                    let name = object["metadata"]["name"].as_str().unwrap_or_default();
                    send(client, Method::GET, &format!("{path}/{name}"), "", &Value::Null).await
                }
                made => made,
            }
            .with_context(|| format!("failed to make {object}"))
        };
        let election = json!({
            "apiVersion": "leader-elector.io/v1alpha1", "kind": "LeaderElection",
            "metadata": {"name": "billing", "annotations": {"leader-elector.io/transfer-to": "*", "note": "theirs"}},
            "spec": {},
        });
        let election = make(&admin, ELECTIONS, namespace, "leaderelections", election).await?;
        let owner = owner("billing", &election["metadata"]["uid"]);
        let made = lease(
            "billing",
            json!({
                "labels": {MANAGED_BY: OPERATOR, ELECTION: "billing", MARK: "true"}, "ownerReferences": [owner],
            }),
        );
        let theirs = json!({"labels": {"app": "theirs"}});
        let adopt = json!({"annotations": {"leader-elector.io/adopt": "true"}});
        let mut adopted = lease("adopted", adopt.clone());
        // It is read as null.
        adopted["spec"]["acquireTime"] = json!("0001-01-01T00:00:00.000000Z");
        let leases = "leases";
        make(&admin, COORDINATION, "kube-system", leases, lease("controlplane", adopt)).await?;
        let role = json!({
            "metadata": {
                "name": "leader-elector-billing", "labels": {MANAGED_BY: OPERATOR, ELECTION: "billing"},
                "ownerReferences": [owner],
            },
            "rules": [{"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "resourceNames": ["billing"],
                       "verbs": ["get", "list", "watch", "update"]}],
        });
        let their_role = json!({"metadata": {"name": "leader-elector-theirs"}, "rules": role["rules"]});
        make(&admin, RBAC, namespace, "roles", their_role).await?;
        let binding = json!({
            "metadata": {"name": "leader-elector-theirs"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "leader-elector-theirs"},
        });
        make(&admin, RBAC, namespace, "rolebindings", binding).await?;
        let service =
            json!({"metadata": {"name": "theirs"}, "spec": {"ports": [{"port": 80}], "selector": {"app": "theirs"}}});
        let slice = json!({
            "metadata": {"name": "theirs-1", "labels": {"kubernetes.io/service-name": "theirs"}},
            "addressType": "IPv4", "endpoints": [],
        });
        make(&admin, DISCOVERY, namespace, "endpointslices", slice).await?;
        let pod = json!({
            "metadata": {"name": "theirs", "labels": {"app": "theirs"}},
            "spec": {"containers": [{"name": "app", "image": "theirs"}]},
        });
        make(&admin, "/api/v1", namespace, "pods", pod).await?;
        Ok(Scene {
            made: make(operator, COORDINATION, namespace, leases, made).await?,
            foreign: make(&admin, COORDINATION, namespace, leases, lease("foreign", theirs)).await?,
            adopted: make(&admin, COORDINATION, namespace, leases, adopted).await?,
            own: make(operator, COORDINATION, RELEASE, leases, lease(OPERATOR, json!({}))).await?,
            own_role: make(operator, RBAC, namespace, "roles", role).await?,
            service: make(&admin, "/api/v1", namespace, "services", service).await?,
            operator: operator.clone(),
            namespace: namespace.to_owned(),
            election,
        })
    }

    /// Returns the rights of which use was made.
    pub(super) async fn try_all(&self, features: &[&str]) -> Result<BTreeSet<Right>> {
        let mut attempts = self.of_leases();
        attempts.extend(self.of_roles().into_iter().chain(self.of_bindings()).chain(self.of_elections()));
        if features.contains(&"leaderService.enabled") {
            attempts.extend(self.of_traffic());
        }
        if features.contains(&"podLabels.enabled") {
            attempts.extend(self.of_pods());
        }
        let deadline = Instant::now() + Duration::from_secs(30);
        let (mut tried, mut wrong) = (BTreeSet::new(), Vec::new());
        for attempt in &attempts {
            wrong.extend(self.make(attempt, deadline).await.err().map(|error| error.to_string()));
            tried.insert(Right::new(attempt.resource, attempt.verb));
        }
        ensure!(wrong.is_empty(), "{wrong:#?}");
        Ok(tried)
    }

    /// Reads what is somebody else's; `false` if `right` is none to read.
    pub(super) async fn reads(&self, right: &Right) -> Result<bool> {
        let (plural, group) = right.resource.split_once('.').unwrap_or((&right.resource, ""));
        let (path, name) = match group {
            "" => ("/api/v1", "theirs"),
            "leader-elector.io" => (ELECTIONS, "billing"),
            "coordination.k8s.io" => (COORDINATION, "foreign"),
            "rbac.authorization.k8s.io" => (RBAC, "leader-elector-theirs"),
            "discovery.k8s.io" => (DISCOVERY, "theirs-1"),
            _ => return Ok(false),
        };
        let path = match &*right.verb {
            "get" => self.at(path, plural, name),
            "list" => self.at(path, plural, ""),
            "watch" => format!("{}?watch=true&timeoutSeconds=1", self.at(path, plural, "")),
            _ => return Ok(false),
        };
        let read = self.operator.request_text(Request::get(path).body(vec![])?).await?;
        ensure!(read.contains(&format!(r#""name":"{name}""#)), "{right:?}: {read}");
        Ok(true)
    }

    async fn make(&self, attempt: &Attempt, deadline: Instant) -> Result<()> {
        let Attempt { verb, path, body, fate, .. } = attempt;
        let (method, kind) = match *verb {
            "create" => (Method::POST, "application/json"),
            "update" => (Method::PUT, "application/json"),
            "delete" => (Method::DELETE, "application/json"),
            _ => (Method::PATCH, "application/merge-patch+json"),
        };
        loop {
            let answer = send(&self.operator, method.clone(), &format!("{path}?dryRun=All"), kind, body).await;
            match (fate, &answer) {
                (Fate::Allowed, Ok(_)) => return Ok(()),
                (Fate::Refused(words), Err(kube::Error::Api(status)))
                    if status.message.contains(words) || status.message.contains(OWNERS_OF_WHAT_CAN_BE_DELETED) =>
                {
                    return Ok(());
                }
                _ if Instant::now() > deadline => {
                    let answer = answer.map_or_else(|error| error.to_string(), |_| "allowed".to_owned());
                    bail!("{verb} {path} {body}: {fate:?}, and was {answer}")
                }
                _ => sleep(Duration::from_millis(200)).await,
            }
        }
    }

    pub(super) fn at(&self, group: &str, plural: &str, name: &str) -> String {
        let slash = if name.is_empty() { "" } else { "/" };
        format!("{group}/namespaces/{}/{plural}{slash}{name}", self.namespace)
    }
}

/// Of an object that the operator would make for the LeaderElection `name`.
pub(super) fn of_election(name: &str) -> Value {
    json!({
        "name": format!("leader-elector-{name}"), "labels": {MANAGED_BY: OPERATOR, ELECTION: name},
        "ownerReferences": [owner(name, &json!("u"))],
    })
}

pub(super) fn owner(name: &str, uid: &Value) -> Value {
    json!({"apiVersion": "leader-elector.io/v1alpha1", "kind": "LeaderElection", "name": name, "uid": uid, "controller": true})
}

/// Held by somebody.
pub(super) fn lease(name: &str, mut metadata: Value) -> Value {
    metadata["name"] = json!(name);
    json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata,
        "spec": {"holderIdentity": "theirs_1", "leaseDurationSeconds": 15, "leaseTransitions": 3,
                 "renewTime": "2026-11-27T10:00:00.000000Z"},
    })
}

pub(super) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
