//! Requests with the operator's token on objects of somebody else's, and on its own where it must not do what it likes.
//!
//! Each is a dry run: admission judges it like any other, and nothing changes, so that it can be repeated until the API
//! server has heard of the policies.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use elector_tests::controlplane::ControlPlane;
use elector_tests::operators::OPERATOR;
use hyper::{Method, Request};
use kube::Client;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::rights::Right;
use crate::release::RELEASE;

const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
const ELECTION: &str = "leader-elector.io/election";
const MARK: &str = "leader-elector.io/strict-identity";

/// What is expected of a request.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Allowed,
    /// With a message that has these words.
    Refused(&'static str),
}

struct Attempt {
    resource: &'static str,
    verb: &'static str,
    path: String,
    body: Value,
    fate: Fate,
}

/// Objects of others, and those that the operator would have made of LeaderElection `billing`.
pub(super) struct Scene {
    operator: Client,
    namespace: String,
    election: Value,
    made: Value,
    foreign: Value,
    adopted: Value,
    own: Value,
    own_role: Value,
    service: Value,
}

const COORDINATION: &str = "/apis/coordination.k8s.io/v1";
const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";
const DISCOVERY: &str = "/apis/discovery.k8s.io/v1";
const ELECTIONS: &str = "/apis/leader-elector.io/v1alpha1";

const NOT_MADE: &str = "changes only what it made itself";
const NOT_ITS_LEASE: &str = "changes only Leases that it made";
const SPEC: &str = "the spec of a Lease is its candidates'";

async fn send(client: &Client, method: Method, path: &str, kind: &str, body: &Value) -> Result<Value, kube::Error> {
    let body = if body.is_null() { vec![] } else { body.to_string().into_bytes() };
    let request = Request::builder().method(method).uri(path).header("Content-Type", kind).body(body);
    client.request(request.map_err(kube::Error::HttpError)?).await
}

fn with(object: &Value, change: impl FnOnce(&mut Value)) -> Value {
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
                (Fate::Refused(words), Err(kube::Error::Api(status))) if status.message.contains(words) => {
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

    fn at(&self, group: &str, plural: &str, name: &str) -> String {
        let slash = if name.is_empty() { "" } else { "/" };
        format!("{group}/namespaces/{}/{plural}{slash}{name}", self.namespace)
    }

    fn of_leases(&self) -> Vec<Attempt> {
        let resource = "leases.coordination.k8s.io";
        let attempt = |verb, path, body, fate| Attempt { resource, verb, path, body, fate };
        let put = |object: &Value, fate, change: &dyn Fn(&mut Value)| {
            let (namespace, name) = (&object["metadata"]["namespace"], &object["metadata"]["name"]);
            let path = format!("{COORDINATION}/namespaces/{}/leases/{}", text(namespace), text(name));
            attempt("update", path, with(object, |object| change(object)), fate)
        };
        let create = |object: Value, fate| attempt("create", self.at(COORDINATION, "leases", ""), object, fate);
        let delete = |name: &str, words| {
            attempt("delete", self.at(COORDINATION, "leases", name), Value::Null, Fate::Refused(words))
        };
        let hold = |lease: &mut Value| lease["spec"]["holderIdentity"] = json!("thief");
        let release = |lease: &mut Value| {
            lease["spec"]["holderIdentity"] = Value::Null;
            lease["spec"]["leaseDurationSeconds"] = json!(1);
        };
        let annotate = |key: &'static str| move |lease: &mut Value| lease["metadata"]["annotations"][key] = json!("{}");
        let label =
            |key: &'static str, value: Value| move |lease: &mut Value| lease["metadata"]["labels"][key] = value.clone();
        let disown = |lease: &mut Value| lease["metadata"]["ownerReferences"] = json!([]);
        let give = |name: &'static str| {
            move |lease: &mut Value| lease["metadata"]["ownerReferences"] = json!([owner(name, &json!("gone"))])
        };
        let keep = |lease: &mut Value| lease["metadata"]["finalizers"] = json!(["theirs.example/keep"]);
        let (labels, owners) = ("changes no label of a Lease", "gives a Lease no owner");
        let annotations = "changes no annotation of a Lease";
        let its_own = || json!({"labels": {MANAGED_BY: OPERATOR, ELECTION: "new", MARK: "true"}, "ownerReferences": [owner("new", &json!("u"))]});
        let belongs = "belongs to the LeaderElection of its name";
        let foreign = |change| put(&self.foreign, Fate::Refused(NOT_ITS_LEASE), change);
        let made = |fate, change| put(&self.made, fate, change);
        let adopted = |fate, change| put(&self.adopted, fate, change);
        let own = |fate, change| put(&self.own, fate, change);
        vec![
            create(lease("new", json!({})), Fate::Refused(belongs)),
            create(lease("other", its_own()), Fate::Refused(belongs)),
            create(with(&lease("new", its_own()), disown), Fate::Refused(belongs)),
            create(with(&lease("new", its_own()), give("other")), Fate::Refused(owners)),
            create(with(&lease("new", its_own()), keep), Fate::Refused(owners)),
            create(with(&lease("new", its_own()), label("app", json!("theirs"))), Fate::Refused(labels)),
            create(lease("new", its_own()), Fate::Allowed),
            foreign(&hold),
            foreign(&release),
            foreign(&annotate("leader-elector.io/hints")),
            foreign(&annotate("leader-elector.io/adopt")),
            foreign(&label(MANAGED_BY, json!(OPERATOR))),
            foreign(&give("foreign")),
            foreign(&keep),
            delete("foreign", "deletes no Lease"),
            // Another policy may say so first.
            delete("billing", "denied request"),
            made(Fate::Refused(SPEC), &hold),
            made(Fate::Refused(SPEC), &|lease| {
                label(MARK, json!("false"))(lease);
                hold(lease);
            }),
            made(Fate::Refused(SPEC), &|lease| {
                release(lease);
                lease["spec"]["leaseTransitions"] = json!(0);
            }),
            made(Fate::Refused(labels), &|lease| {
                lease["metadata"]["labels"].as_object_mut().map(|labels| labels.remove(MARK));
            }),
            made(Fate::Refused(labels), &label(MARK, json!("none"))),
            made(Fate::Refused(labels), &label("app", json!("theirs"))),
            made(Fate::Refused(owners), &give("other")),
            made(Fate::Refused(owners), &keep),
            made(Fate::Refused(owners), &disown),
            made(Fate::Refused(annotations), &annotate("leader-elector.io/agent")),
            made(Fate::Refused(annotations), &annotate("leader-elector.io/adopt")),
            made(Fate::Allowed, &label(MARK, json!("false"))),
            made(Fate::Allowed, &annotate("leader-elector.io/timings")),
            made(Fate::Allowed, &release),
            adopted(Fate::Refused(SPEC), &hold),
            adopted(Fate::Refused(labels), &label(MARK, json!("true"))),
            adopted(Fate::Refused(owners), &give("adopted")),
            adopted(Fate::Allowed, &annotate("leader-elector.io/hints")),
            own(Fate::Allowed, &hold),
            own(Fate::Refused(annotations), &annotate("leader-elector.io/hints")),
            own(Fate::Refused(owners), &give(OPERATOR)),
            own(Fate::Refused(labels), &label(MANAGED_BY, json!(OPERATOR))),
        ]
    }

    fn of_roles(&self) -> Vec<Attempt> {
        let resource = "roles.rbac.authorization.k8s.io";
        let attempt =
            |verb, name: &str, body, fate| Attempt { resource, verb, path: self.at(RBAC, "roles", name), body, fate };
        let new = |change: &dyn Fn(&mut Value)| {
            with(&self.own_role, |role| {
                role["metadata"] = of_election("new");
                role["rules"][0]["resourceNames"] = json!(["new"]);
                change(role);
            })
        };
        let refused = |words, change: &dyn Fn(&mut Value)| attempt("create", "", new(change), Fate::Refused(words));
        let (called, grants) = ("is called leader-elector-NAME", "grants get, list, watch and update on the Lease");
        let empty = json!({"rules": []});
        let own = "leader-elector-billing";
        vec![
            attempt("create", "", new(&|_| ()), Fate::Allowed),
            attempt("create", "", new(&|role| role["rules"] = json!([])), Fate::Allowed),
            refused(called, &|role| role["metadata"]["name"] = json!("new")),
            refused(called, &|role| role["metadata"]["name"] = json!("leader-elector-other")),
            refused(called, &|role| role["metadata"]["labels"] = json!({})),
            refused(called, &|role| role["metadata"]["ownerReferences"] = json!([])),
            refused(called, &|role| role["metadata"]["ownerReferences"] = json!([owner("other", &json!("u"))])),
            refused(called, &|role| role["metadata"]["finalizers"] = json!(["theirs.example/keep"])),
            refused(grants, &|role| role["rules"][0]["verbs"] = json!(["get", "create"])),
            refused(grants, &|role| role["rules"][0]["resourceNames"] = json!(["foreign"])),
            refused(grants, &|role| role["rules"][0]["resourceNames"] = json!([])),
            refused(grants, &|role| {
                role["rules"] = json!([{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}])
            }),
            refused(grants, &|role| {
                let rule = json!({"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]});
                role["rules"].as_array_mut().map(|rules| rules.push(rule));
            }),
            attempt("patch", "leader-elector-theirs", empty.clone(), Fate::Refused(NOT_MADE)),
            attempt(
                "patch",
                "leader-elector-theirs",
                json!({"metadata": of_election("theirs")}),
                Fate::Refused(NOT_MADE),
            ),
            attempt("patch", own, empty, Fate::Allowed),
            attempt("patch", own, json!({"metadata": {"ownerReferences": []}}), Fate::Refused(called)),
            attempt("delete", "leader-elector-theirs", Value::Null, Fate::Refused("deletes no Role")),
            attempt("delete", own, Value::Null, Fate::Refused("deletes no Role")),
        ]
    }

    fn of_bindings(&self) -> Vec<Attempt> {
        let resource = "rolebindings.rbac.authorization.k8s.io";
        let attempt = |verb, name: &str, body, fate| Attempt {
            resource,
            verb,
            path: self.at(RBAC, "rolebindings", name),
            body,
            fate,
        };
        let binding = |subjects: Value, role: &str| {
            json!({
                "metadata": of_election("billing"), "subjects": subjects,
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": role},
            })
        };
        let account = |namespace: &str| json!([{"kind": "ServiceAccount", "name": "default", "namespace": namespace}]);
        let by_group =
            |kind: &str, name: &str| json!([{"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name}]);
        let refused =
            |words, subjects, role: &str| attempt("create", "", binding(subjects, role), Fate::Refused(words));
        let accounts = "to service accounts of the same namespace";
        let own = "leader-elector-billing";
        let many: Vec<Value> = (0..33)
            .map(|number| json!({"kind": "ServiceAccount", "name": format!("a{number}"), "namespace": self.namespace}))
            .collect();
        let gone = json!({"metadata": {"ownerReferences": [owner("theirs", &json!("gone"))]}});
        vec![
            attempt("create", "", binding(account(&self.namespace), own), Fate::Allowed),
            refused(accounts, by_group("User", "system:anonymous"), own),
            refused(accounts, by_group("Group", "system:authenticated"), own),
            refused(accounts, account("kube-system"), own),
            refused(accounts, json!(many), own),
            refused(accounts, account(&self.namespace), "leader-elector-theirs"),
            attempt(
                "patch",
                "leader-elector-theirs",
                json!({"subjects": account(&self.namespace)}),
                Fate::Refused(NOT_MADE),
            ),
            attempt("patch", "leader-elector-theirs", gone, Fate::Refused(NOT_MADE)),
            attempt("delete", "leader-elector-theirs", Value::Null, Fate::Refused("deletes no Role")),
        ]
    }

    fn of_elections(&self) -> Vec<Attempt> {
        let path = self.at(ELECTIONS, "leaderelections", "billing");
        let patch = |body, fate| Attempt {
            resource: "leaderelections.leader-elector.io",
            verb: "patch",
            path: path.clone(),
            body,
            fate,
        };
        let refused = |body| patch(body, Fate::Refused("changes nothing of a LeaderElection but its status"));
        let annotations = |annotations| json!({"metadata": {"annotations": annotations}});
        let event = |regarding: &Value| {
            json!({
                "metadata": {"name": "theirs.1"}, "eventTime": "2026-11-27T10:00:00.000000Z", "type": "Warning", "reason": "Theirs",
                "action": "Reconcile", "reportingController": "leader-elector.io/operator", "reportingInstance": "thief",
                "regarding": {"kind": regarding["kind"], "apiVersion": regarding["apiVersion"],
                              "name": regarding["metadata"]["name"], "namespace": self.namespace},
            })
        };
        let events = |body, fate| Attempt {
            resource: "events.events.k8s.io",
            verb: "create",
            path: self.at("/apis/events.k8s.io/v1", "events", ""),
            body,
            fate,
        };
        let pod = json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "theirs"}});
        vec![
            refused(json!({"spec": {"paused": true}})),
            refused(json!({"spec": {"candidates": {"serviceAccountNames": ["thief"]}}})),
            refused(annotations(json!({"note": null}))),
            refused(annotations(json!({"note": "thief's"}))),
            refused(annotations(json!({"another": "thief's"}))),
            refused(annotations(json!({"leader-elector.io/transfer-to": "thief"}))),
            refused(json!({"metadata": {"labels": {"app": "thief"}}})),
            refused(json!({"metadata": {"finalizers": ["theirs.example/keep"]}})),
            refused(json!({"metadata": {"ownerReferences": [owner("theirs", &json!("gone"))]}})),
            patch(annotations(json!({"leader-elector.io/transfer-to": null})), Fate::Allowed),
            Attempt {
                resource: "leaderelections/status.leader-elector.io",
                verb: "patch",
                path: format!("{path}/status"),
                body: json!({"status": {"leaseTransitions": 7}}),
                fate: Fate::Allowed,
            },
            events(event(&pod), Fate::Refused("makes events of LeaderElections")),
            events(event(&self.election), Fate::Allowed),
        ]
    }

    fn of_traffic(&self) -> Vec<Attempt> {
        let attempt = |verb, name: &str, body, fate| Attempt {
            resource: "services",
            verb,
            path: self.at("/api/v1", "services", name),
            body,
            fate,
        };
        let new = |spec: Value| json!({"metadata": with(&of_election("billing"), |metadata| metadata["name"] = json!("new")), "spec": spec});
        let slice = |verb, name: &str, body, fate| Attempt {
            resource: "endpointslices.discovery.k8s.io",
            verb,
            path: self.at(DISCOVERY, "endpointslices", name),
            body,
            fate,
        };
        let endpoints = |service: &str| {
            let metadata = with(&of_election("billing"), |metadata| {
                metadata["name"] = json!("leader-elector-billing-ipv4");
                metadata["labels"]["kubernetes.io/service-name"] = json!(service);
            });
            json!({"metadata": metadata, "addressType": "IPv4", "endpoints": [{"addresses": ["192.0.2.7"]}]})
        };
        let theirs = json!({"metadata": {"labels": {"kubernetes.io/service-name": "theirs"}}, "endpoints": [{"addresses": ["192.0.2.7"]}]});
        vec![
            attempt(
                "create",
                "",
                new(json!({"ports": [{"port": 80}], "selector": {"app": "theirs"}})),
                Fate::Refused("has no selector"),
            ),
            attempt("create", "", new(json!({"ports": [{"port": 80}]})), Fate::Allowed),
            attempt(
                "create",
                "",
                with(&new(json!({"ports": [{"port": 80}]})), |it| it["metadata"]["annotations"] = json!({"a": "b"})),
                Fate::Refused("gives no annotation"),
            ),
            attempt(
                "update",
                "theirs",
                with(&self.service, |it| it["spec"]["selector"] = json!({"app": "thief"})),
                Fate::Refused(NOT_MADE),
            ),
            attempt("delete", "theirs", Value::Null, Fate::Refused(NOT_MADE)),
            slice(
                "create",
                "",
                endpoints("theirs"),
                Fate::Refused("leads traffic to no Service but those that it made"),
            ),
            slice("create", "", endpoints("none"), Fate::Allowed),
            slice("patch", "theirs-1", theirs, Fate::Refused("denied request")),
            slice("delete", "theirs-1", Value::Null, Fate::Refused(NOT_MADE)),
        ]
    }

    fn of_pods(&self) -> Vec<Attempt> {
        let patch = |body, fate| Attempt {
            resource: "pods",
            verb: "patch",
            path: self.at("/api/v1", "pods", "theirs"),
            body,
            fate,
        };
        let refused = |body| patch(body, Fate::Refused("changes nothing of a pod but the label"));
        vec![
            refused(json!({"spec": {"activeDeadlineSeconds": 1}})),
            refused(json!({"metadata": {"labels": {"app": "thief"}}})),
            refused(json!({"metadata": {"annotations": {"note": "thief's"}}})),
            patch(json!({"metadata": {"labels": {"leader-elector.io/role": "leader"}}}), Fate::Allowed),
        ]
    }
}

/// Of an object that the operator would make for the LeaderElection `name`.
fn of_election(name: &str) -> Value {
    json!({
        "name": format!("leader-elector-{name}"), "labels": {MANAGED_BY: OPERATOR, ELECTION: name},
        "ownerReferences": [owner(name, &json!("u"))],
    })
}

fn owner(name: &str, uid: &Value) -> Value {
    json!({"apiVersion": "leader-elector.io/v1alpha1", "kind": "LeaderElection", "name": name, "uid": uid, "controller": true})
}

/// Held by somebody.
fn lease(name: &str, mut metadata: Value) -> Value {
    metadata["name"] = json!(name);
    json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata,
        "spec": {"holderIdentity": "theirs_1", "leaseDurationSeconds": 15, "leaseTransitions": 3,
                 "renewTime": "2026-11-27T10:00:00.000000Z"},
    })
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
