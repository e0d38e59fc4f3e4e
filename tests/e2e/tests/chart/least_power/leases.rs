//! Leases of others, those that the operator made or may adopt, and its own.

use elector_harness::operators::OPERATOR;
use serde_json::{Value, json};

use super::scene::{Attempt, COORDINATION, ELECTION, Fate, MANAGED_BY, MARK, Scene, lease, owner, text, with};

const NOT_ITS_LEASE: &str = "changes only Leases that it made";
const SPEC: &str = "the spec of a Lease is its candidates'";

impl Scene {
    pub(super) fn of_leases(&self) -> Vec<Attempt> {
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
        let begin = |lease: &mut Value| lease["metadata"]["generateName"] = json!("theirs-");
        // The garbage collector knows no such kind, and would never take it.
        let of_version = |version: &'static str| {
            move |lease: &mut Value| lease["metadata"]["ownerReferences"][0]["apiVersion"] = json!(version)
        };
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
            create(with(&lease("new", its_own()), begin), Fate::Refused(owners)),
            create(with(&lease("new", its_own()), of_version("leader-elector.io/v99")), Fate::Refused(owners)),
            attempt(
                "create",
                format!("{COORDINATION}/namespaces/kube-node-lease/leases"),
                with(&lease("new", its_own()), |lease| lease["metadata"]["namespace"] = json!("kube-node-lease")),
                // By the policy, or where it watches some namespaces by its rights.
                Fate::Refused("forbidden"),
            ),
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
            made(Fate::Refused(owners), &begin),
            made(Fate::Refused(owners), &of_version("leader-elector.io/v99")),
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
}
