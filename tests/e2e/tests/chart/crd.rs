//! What the API server accepts as a LeaderElection, and in which words it refuses the rest.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use anyhow::{Result, ensure};
use elector_crds::LeaderElection;
use elector_crds::timings_cases::{TIMINGS_CASES, TimingsCase};
use elector_harness::controlplane::{ControlPlane, Namespace};
use elector_harness::kubectl::kubectl;
use elector_xtask::helm::helm;
use elector_xtask::scratch::Scratch;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, ApiResource, DynamicObject, PostParams};
use serde_json::{Value, json};
use tokio::sync::OnceCell;
use tokio::time::{Instant, sleep};

const CRD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../crds/leaderelections.yaml");

/// A namespace where the CustomResourceDefinition is served, as it lies in the repository, and no operator is at work.
async fn namespace(name: &str) -> Result<Namespace<'static>> {
    static INSTALLED: OnceCell<()> = OnceCell::const_new();
    let plane = ControlPlane::shared().await?;
    let install = async || -> Result<()> {
        kubectl(&plane.kubeconfig(), &["apply", "-f", CRD], "").await?;
        let established = ["wait", "--for=condition=Established", "crd/leaderelections.leader-elector.io"];
        kubectl(&plane.kubeconfig(), &established, "").await?;
        Ok(())
    };
    INSTALLED.get_or_try_init(install).await?;
    plane.namespace(name).await
}

/// Asks for it without storing it, and returns what would be stored.
async fn ask(namespace: &Namespace<'_>, name: &str, spec: &Value) -> Result<DynamicObject, kube::Error> {
    let resource = ApiResource::erase::<LeaderElection>(&());
    let elections: Api<DynamicObject> = Api::namespaced_with(namespace.client(), namespace.name(), &resource);
    let election = DynamicObject::new(name, &resource).data(json!({"spec": spec}));
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    elections.create(&dry_run, &election).await
}

#[tokio::test]
async fn an_empty_spec_is_complete() {
    let namespace = namespace("empty").await.unwrap();
    let stored = ask(&namespace, "billing", &json!({})).await.unwrap();
    let complete = json!({
        "candidates": {"serviceAccountNames": ["default"], "identity": "Pod"},
        "paused": false, "podLabels": "Disabled",
        "leaseDurationSeconds": 15, "renewDeadlineSeconds": 10, "retryPeriodSeconds": 2, "releaseDelaySeconds": 0,
        "unreadyLeaderSeconds": 60,
    });
    assert_eq!(stored.data["spec"], complete);
}

#[tokio::test]
async fn timings_are_accepted_and_refused_in_the_words_of_the_agent() {
    let namespace = namespace("timings").await.unwrap();
    for case in TIMINGS_CASES {
        let TimingsCase { lease_duration, renew_deadline, retry_period, release_delay, refusal } = *case;
        let spec = json!({
            "leaseDurationSeconds": lease_duration, "renewDeadlineSeconds": renew_deadline,
            "retryPeriodSeconds": retry_period, "releaseDelaySeconds": release_delay,
        });
        match (ask(&namespace, "billing", &spec).await, refusal) {
            (Ok(_), None) => {}
            (Err(said), Some(refusal)) => {
                let said = said.to_string();
                assert!(said.contains(refusal), "{case:?}: {said}");
                let others = TIMINGS_CASES.iter().filter_map(|case| case.refusal).filter(|other| *other != refusal);
                assert!(!others.into_iter().any(|other| said.contains(other)), "more than one: {said}");
            }
            (answer, _) => panic!("{case:?}: {answer:?}"),
        }
    }
}

#[tokio::test]
async fn what_no_operator_could_use_is_refused() {
    let namespace = namespace("refused").await.unwrap();
    let selector = |selector: Value| json!({"candidates": {"selector": selector}});
    let expression = |operator: &str, values: Value| {
        selector(json!({"matchExpressions": [{"key": "app", "operator": operator, "values": values}]}))
    };
    let accounts = |names: Value| json!({"candidates": {"serviceAccountNames": names}});
    let service = |name: &str, ports: Value| json!({"leaderService": {"name": name, "ports": ports}});
    let port = |more: Value| {
        let mut port = json!({"port": 80});
        port.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        service("front", json!([port]))
    };
    let many: Vec<String> = (0..33).map(|number| format!("a-{number}")).collect();
    for (spec, words) in [
        (selector(json!({})), "selector is empty, which would select every pod"),
        (selector(json!({"matchLabels": {}, "matchExpressions": []})), "selector is empty"),
        (expression("In", json!([])), "In and NotIn need at least one"),
        (expression("Exists", json!(["a"])), "Exists and DoesNotExist take none"),
        (expression("Is", json!(["a"])), "Unsupported value"),
        (accounts(json!([])), "should have at least 1 items"),
        (accounts(json!(many)), "must have at most 32 items"),
        (accounts(json!(["a", "a"])), "Duplicate value"),
        (accounts(json!(["No"])), "should match"),
        (service("front", json!([])), "should have at least 1 items"),
        (service("Front", json!([{"port": 80}])), "should match"),
        (service("1front", json!([{"port": 80}])), "should match"),
        (service(&"a".repeat(64), json!([{"port": 80}])), "Too long: may not be"),
        (service("front", json!([{"port": 80}, {"port": 80}])), "Duplicate value"),
        (service("front", json!([{"port": 80}, {"port": 81}])), "of several, each needs a name of its own"),
        (
            service("front", json!([{"port": 80, "name": "a"}, {"port": 81, "name": "a"}])),
            "of several, each needs a name of its own",
        ),
        (port(json!({"port": 0})), "greater than or equal to 1"),
        (port(json!({"port": 65536})), "less than or equal to 65535"),
        (port(json!({"targetPort": 0})), "greater than or equal to 1"),
        (port(json!({"targetPort": 65536})), "less than or equal to 65535"),
        (port(json!({"targetPort": "8080"})), "should match"),
        (port(json!({"targetPort": "a-port-with-a-long-name"})), "Too long: may not be"),
        (port(json!({"protocol": "ICMP"})), "Unsupported value"),
        (port(json!({"appProtocol": "h2c, http"})), "should match"),
        (json!({"leaderService": {"ports": [{"port": 80}]}}), "Required value"),
        (json!({"candidates": {"preferred": [{}]}}), "selector is empty"),
        (
            json!({"candidates": {"preferred": vec![json!({"matchLabels": {"a": "b"}}); 9]}}),
            "must have at most 8 items",
        ),
        (json!({"podLabels": "Sometimes"}), "Unsupported value"),
        (json!({"leaseDurationSeconds": "15"}), "must be of type integer"),
        (json!({"leaseDurationSeconds": 15.5}), "must be of type integer"),
        (json!({"leaseDurationSeconds": 2_147_483_648_u64}), "leaseDurationSeconds"),
    ] {
        let said = ask(&namespace, "billing", &spec).await.expect_err(words).to_string();
        assert!(said.contains(words), "{spec}: {said}");
    }
    let said = ask(&namespace, &"a".repeat(64), &json!({})).await.unwrap_err().to_string();
    assert!(said.contains("metadata.name is 64 characters long; it can be 63 at most"), "{said}");
    ask(&namespace, &"a".repeat(63), &expression("In", json!(["a"]))).await.unwrap();
}

/// One of the longest keys: domain, slash and name.
fn longest_key(number: usize) -> String {
    let domain = [63, 63, 63, 61].map(|length| "d".repeat(length)).join(".");
    format!("{domain}/{}{number:02}", "n".repeat(61))
}

#[tokio::test]
async fn a_selector_has_the_labels_that_pods_can_have() {
    let namespace = namespace("labels").await.unwrap();
    let selector = |selector: &Value| json!({"candidates": {"selector": selector, "preferred": vec![selector; 8]}});
    let of_labels =
        |labels: &[(&str, &str)]| json!({"matchLabels": labels.iter().copied().collect::<BTreeMap<_, _>>()});
    let many = |count: usize| -> Value {
        let labels: BTreeMap<_, _> = (0..count).map(|number| (longest_key(number), "v".repeat(63))).collect();
        json!({"matchLabels": labels})
    };
    let expression =
        |key: &str, values: Value| json!({"matchExpressions": [{"key": key, "operator": "In", "values": values}]});
    let values = |count: usize| json!((0..count).map(|number| format!("v{number:062}")).collect::<Vec<_>>());
    let requirement = json!({"key": longest_key(0), "operator": "In", "values": values(64)});

    for accepted in [
        many(64),
        json!({"matchExpressions": vec![requirement; 32]}),
        of_labels(&[("app", ""), ("App_1.x-y", "a"), ("example.com/app", "A-b_c.9"), ("in", "a")]),
        expression("app", json!(["", "a"])),
    ] {
        ask(&namespace, "billing", &selector(&accepted)).await.unwrap();
    }

    let key = "matchLabels: a key is a domain and a slash";
    for (refused, words) in [
        (many(65), "must have at most 64 items"),
        (of_labels(&[("app", &"v".repeat(64))]), "Too long: may not be"),
        (of_labels(&[(&format!("d{}", longest_key(0)), "a")]), key),
        (of_labels(&[(&"n".repeat(64), "a")]), key),
        (of_labels(&[("", "a")]), key),
        (of_labels(&[("app,tier", "a")]), key),
        (of_labels(&[("Example.com/app", "a")]), key),
        (of_labels(&[("a/b/c", "a")]), key),
        (of_labels(&[(&"n".repeat(100_000), "a")]), key),
        (of_labels(&[("app", "a,b=c")]), "should match"),
        (of_labels(&[("app", "a in (b)")]), "should match"),
        (of_labels(&[("app", "-a")]), "should match"),
        (of_labels(&[("app", "\u{202e}a")]), "should match"),
        (of_labels(&[("app", "a\n")]), "should match"),
        (expression("a,b", json!(["a"])), "should match"),
        (expression(&"n".repeat(318), json!(["a"])), "Too long: may not be"),
        (expression("app", json!(["a),b in (c"])), "should match"),
        (expression("app", values(65)), "must have at most 64 items"),
    ] {
        let said = ask(&namespace, "billing", &selector(&refused)).await.expect_err(words).to_string();
        assert!(said.contains(words), "{said:.2000}");
    }
}

#[tokio::test]
async fn a_leaders_service_has_the_ports_of_a_service() {
    let namespace = namespace("leader-service").await.unwrap();
    let ports = json!([
        {"name": "http", "port": 80, "targetPort": "http", "appProtocol": "kubernetes.io/h2c"},
        {"name": "dns", "port": 53, "protocol": "UDP"},
        {"name": "dns-tcp", "port": 53, "targetPort": 5353, "protocol": "TCP"},
    ]);
    let spec = json!({"leaderService": {"name": "front", "ports": ports}});
    let stored = ask(&namespace, "billing", &spec).await.unwrap();
    assert_eq!(stored.data["spec"]["leaderService"]["ports"][0]["protocol"], "TCP");
    let read: LeaderElection =
        serde_json::from_value(json!({"metadata": {}, "spec": stored.data["spec"].clone()})).unwrap();
    assert_eq!(read.spec.leader_service.unwrap().ports.len(), 3);
}

#[tokio::test]
async fn every_field_is_explained() {
    let namespace = namespace("explain").await.unwrap();
    let kubeconfig = namespace.cluster().kubeconfig();
    // Discovery lags behind a little.
    let begun = Instant::now();
    let explained = loop {
        match kubectl(&kubeconfig, &["explain", "le.spec", "--recursive"], "").await {
            Ok(explained) => break explained,
            Err(error) => assert!(begun.elapsed() < Duration::from_secs(20), "{error}"),
        }
        sleep(Duration::from_millis(200)).await;
    };
    for field in ["candidates", "selector", "matchLabels", "serviceAccountNames", "releaseDelaySeconds"] {
        assert!(explained.contains(field), "{explained}");
    }
    let explained = kubectl(&kubeconfig, &["explain", "le.spec.retryPeriodSeconds"], "").await.unwrap();
    assert!(explained.contains("How often a leader renews"), "{explained}");

    let crds: Api<CustomResourceDefinition> = Api::all(namespace.client());
    let crd = crds.get("leaderelections.leader-elector.io").await.unwrap();
    let schema = crd.spec.versions[0].schema.clone().unwrap().open_api_v3_schema.unwrap();
    let mut silent = Vec::new();
    undescribed(&serde_json::to_value(schema).unwrap(), "", &mut silent);
    assert_eq!(silent, [] as [String; 0]);
}

fn undescribed(schema: &Value, path: &str, found: &mut Vec<String>) {
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}/{name}");
        if property["description"].as_str().unwrap_or_default().is_empty() {
            found.push(path.clone());
        }
        undescribed(property, &path, found);
    }
    if schema["items"].is_object() {
        undescribed(&schema["items"], path, found);
    }
}

/// Helm takes a custom resource without a status for ready.
#[tokio::test]
async fn helm_waits_for_one_that_no_operator_has_looked_at() {
    waited_for().await.unwrap();
}

async fn waited_for() -> Result<()> {
    let namespace = namespace("waited-for").await?;
    let folder = Scratch::new()?;
    fs::create_dir(folder.path().join("templates"))?;
    fs::write(folder.path().join("Chart.yaml"), "{apiVersion: v2, name: elections, version: 1.0.0}")?;
    let election =
        "{apiVersion: leader-elector.io/v1alpha1, kind: LeaderElection, metadata: {name: billing}, spec: {}}";
    fs::write(folder.path().join("templates/billing.yaml"), election)?;
    let chart = folder.path().display().to_string();
    let install = ["install", "elections", &chart, "--namespace", namespace.name(), "--wait", "--timeout=3s"];
    let said =
        helm(Some(&namespace.cluster().kubeconfig()), &install).await.expect_err("nobody looks at it").to_string();
    ensure!(said.contains("LeaderElection/"), "{said}");
    let stored = namespace.api::<LeaderElection>().get("billing").await?;
    ensure!(stored.observed().is_none(), "{:?}", stored.status);
    Ok(())
}
