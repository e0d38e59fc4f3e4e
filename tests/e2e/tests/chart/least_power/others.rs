//! LeaderElections and events, Services and their slices, pods.

use serde_json::{Value, json};

use super::scene::{Attempt, DISCOVERY, ELECTIONS, Fate, NOT_MADE, Scene, of_election, owner, with};

impl Scene {
    pub(super) fn of_elections(&self) -> Vec<Attempt> {
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
        let strange = |change: &dyn Fn(&mut Value)| {
            let event = with(&event(&self.election), |event| change(event));
            events(event, Fate::Refused("makes events of LeaderElections and their pods"))
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
            refused(json!({"metadata": {"generateName": "theirs-"}})),
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
            strange(&|event| event["metadata"]["finalizers"] = json!(["theirs.example/keep"])),
            strange(&|event| event["metadata"]["ownerReferences"] = json!([owner("theirs", &json!("gone"))])),
            strange(&|event| event["metadata"]["labels"] = json!({"app": "thief"})),
            strange(&|event| event["metadata"]["annotations"] = json!({"a": "b"})),
            strange(&|event| event["related"] = json!({"kind": "Node", "name": "theirs"})),
            strange(&|event| event["related"] = json!({"kind": "Pod", "name": "theirs", "namespace": "kube-system"})),
            events(event(&self.election), Fate::Allowed),
        ]
    }

    pub(super) fn of_traffic(&self) -> Vec<Attempt> {
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

    pub(super) fn of_pods(&self) -> Vec<Attempt> {
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
