//! Roles and RoleBindings: what the operator may grant, and to whom.

use serde_json::{Value, json};

use super::scene::{Attempt, Fate, NOT_MADE, RBAC, Scene, of_election, owner, with};

impl Scene {
    pub(super) fn of_roles(&self) -> Vec<Attempt> {
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
                role["rules"] = json!([role["rules"][0], rule]);
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

    pub(super) fn of_bindings(&self) -> Vec<Attempt> {
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
}
