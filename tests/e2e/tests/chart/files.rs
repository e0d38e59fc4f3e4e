//! The chart as files: what is made from it, and what it refuses.

use std::fs;

use anyhow::{Context as _, Result};
use elector_xtask::helm::{chart, generated, helm};
use elector_xtask::version::VERSION;
use serde::Deserialize;
use serde_json::{Value, json};

/// `helm template` with these values.
pub(crate) async fn rendered(values: &[&str]) -> Result<Vec<Value>> {
    let chart = chart();
    let chart = chart.to_str().context("a path that is no text")?;
    let mut arguments = vec!["template", "leader-elector", chart, "--namespace=operators"];
    if !values.iter().any(|value| value.starts_with("--kube-version")) {
        arguments.push("--kube-version=1.37.0");
    }
    for value in values {
        if value.starts_with("--") { arguments.push(value) } else { arguments.extend(["--set", value]) }
    }
    let text = helm(None, &arguments).await?;
    let documents = serde_yaml_ng::Deserializer::from_str(&text);
    let documents: Vec<Value> = documents.map(Value::deserialize).collect::<Result<_, _>>()?;
    Ok(documents.into_iter().filter(|document| !document.is_null()).collect())
}

pub(crate) fn find<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    objects.iter().filter(|object| object["kind"] == kind).collect()
}

#[tokio::test]
async fn what_is_made_from_it_is_current() {
    for (path, text) in generated().await.unwrap() {
        let there = fs::read_to_string(&path).unwrap_or_default();
        assert!(there == text, "{} is stale: run `cargo chartgen`", path.display());
    }
}

#[tokio::test]
async fn helm_finds_no_fault() {
    let chart = chart();
    helm(None, &["lint", "--strict", "--kube-version=1.37.0", chart.to_str().unwrap()]).await.unwrap();
}

#[tokio::test]
async fn the_definition_is_the_generated_one() {
    let generated: Value = serde_yaml_ng::from_str(&elector_crds::manifest::manifest()).unwrap();
    let objects = rendered(&["crds.keep=false"]).await.unwrap();
    assert_eq!(find(&objects, "CustomResourceDefinition"), [&generated]);
    let objects = rendered(&[]).await.unwrap();
    let mut kept = find(&objects, "CustomResourceDefinition")[0].clone();
    assert_eq!(kept["metadata"]["annotations"]["helm.sh/resource-policy"], "keep");
    kept["metadata"].as_object_mut().unwrap().remove("annotations");
    assert_eq!(kept, generated);
    assert!(find(&rendered(&["crds.enabled=false"]).await.unwrap(), "CustomResourceDefinition").is_empty());
}

#[tokio::test]
async fn rights_are_those_of_the_namespaces_that_are_watched_and_never_everything() {
    let all = rendered(&[]).await.unwrap();
    let some = rendered(&["watchNamespaces={shop,bank}"]).await.unwrap();
    let rules = |object: &Value| object["rules"].clone();
    let named = |objects: &[Value], kind: &str, namespace: &str| -> Vec<Value> {
        let of_operator = |object: &&&Value| {
            object["metadata"]["name"] == "leader-elector-operator"
                && (namespace.is_empty() || object["metadata"]["namespace"] == namespace)
        };
        find(objects, kind).iter().filter(of_operator).map(|object| rules(object)).collect()
    };
    let cluster = named(&all, "ClusterRole", "");
    assert_eq!(cluster.len(), 1);
    assert!(named(&some, "ClusterRole", "").is_empty());
    assert_eq!(named(&some, "Role", "shop"), cluster);
    assert_eq!(named(&some, "Role", "bank"), cluster);
    let watched = &find(&some, "Deployment")[0]["spec"]["template"]["spec"]["containers"][0]["env"];
    let watched = watched.as_array().unwrap().iter().find(|variable| variable["name"] == "WATCH_NAMESPACES");
    assert_eq!(watched.unwrap()["value"], "shop,bank");

    for role in find(&all, "ClusterRole").into_iter().chain(find(&all, "Role")) {
        for rule in role["rules"].as_array().unwrap() {
            let text = rule.to_string();
            for never in ["*", "secrets", "nodes", "exec", "escalate", "bind\"", "impersonate"] {
                assert!(!text.contains(never), "{never} in {text}");
            }
        }
    }
}

#[tokio::test]
async fn what_pods_and_services_take_is_granted_with_their_features_alone() {
    for (values, resource, verb, granted) in [
        (&[][..], "pods", "patch", false),
        (&["podLabels.enabled=true"], "pods", "patch", true),
        (&[], "services", "create", true),
        (&["leaderService.enabled=false"], "services", "create", false),
        (&["leaderService.enabled=false"], "endpointslices", "list", false),
        (&[], "endpointslices/restricted", "create", true),
        (&["leaderService.enabled=false"], "endpointslices/restricted", "create", false),
    ] {
        let objects = rendered(values).await.unwrap();
        let rules = find(&objects, "ClusterRole").into_iter().flat_map(|role| role["rules"].as_array().cloned());
        let grants = |rule: &Value| {
            let has = |list: &str, word: &str| rule[list].as_array().is_some_and(|list| list.contains(&json!(word)));
            has("resources", resource) && has("verbs", verb)
        };
        assert_eq!(rules.flatten().any(|rule| grants(&rule)), granted, "{verb} {resource} with {values:?}");
    }
}

#[tokio::test]
async fn toggles_add_and_remove() {
    let kinds = [
        ("networkPolicy.enabled=true", "NetworkPolicy", 1),
        ("networkPolicy.enabled=false", "NetworkPolicy", 0),
        ("operator.replicas=2", "PodDisruptionBudget", 1),
        ("operator.replicas=1", "PodDisruptionBudget", 0),
        ("operator.podDisruptionBudget.enabled=false", "PodDisruptionBudget", 0),
        ("injection.enabled=true", "MutatingAdmissionPolicy", 1),
        ("injection.enabled=false", "MutatingAdmissionPolicy", 0),
        ("injection.enabled=false", "ValidatingAdmissionPolicy", 6),
        ("strictIdentity.enabled=true,leaderService.enabled=true", "ValidatingAdmissionPolicy", 7),
        ("strictIdentity.enabled=false", "ValidatingAdmissionPolicy", 6),
        ("leaderService.enabled=false", "ValidatingAdmissionPolicy", 5),
        ("podLabels.enabled=true", "ValidatingAdmissionPolicy", 8),
        ("monitoring.serviceMonitor.enabled=true", "ServiceMonitor", 1),
        ("monitoring.serviceMonitor.enabled=true", "Service", 1),
        ("monitoring.podMonitor.enabled=true", "PodMonitor", 1),
        ("monitoring.prometheusRule.enabled=true", "PrometheusRule", 1),
        ("monitoring.dashboard.enabled=true", "ConfigMap", 1),
    ];
    for (value, kind, number) in kinds {
        let objects = rendered(&[value]).await.unwrap();
        assert_eq!(find(&objects, kind).len(), number, "{value}");
    }
    // What asks for definitions of others.
    let objects = rendered(&[]).await.unwrap();
    for kind in ["ServiceMonitor", "Service", "PodMonitor", "PrometheusRule", "ConfigMap"] {
        assert_eq!(find(&objects, kind), [] as [&Value; 0]);
    }
}

/// Of operator and agent.
#[tokio::test]
async fn users_are_left_to_a_platform_that_assigns_them() {
    for (value, times) in [("platformAssignsUsers=false", 2), ("platformAssignsUsers=true", 0)] {
        let text = json!(rendered(&[value]).await.unwrap()).to_string();
        assert_eq!(text.matches("runAsUser").count(), times, "{value}");
        assert_eq!(text.matches("runAsGroup").count(), times / 2, "{value}");
        assert_eq!(text.matches("runAsNonRoot").count(), 2, "{value}");
    }
}

#[tokio::test]
async fn the_operator_is_told_whether_to_speak_of_elections() {
    for per_election in ["true", "false"] {
        let objects = rendered(&[&format!("operator.metrics.perElection={per_election}")]).await.unwrap();
        let told = &find(&objects, "Deployment")[0]["spec"]["template"]["spec"]["containers"][0]["env"];
        let told = told.as_array().unwrap().iter().find(|variable| variable["name"] == "METRICS_PER_ELECTION");
        assert_eq!(told.unwrap()["value"], per_election);
    }
}

#[tokio::test]
async fn the_operator_is_told_how_much_of_a_namespace_to_keep() {
    let objects = rendered(&["operator.namespaceMebibytes=7"]).await.unwrap();
    let told = &find(&objects, "Deployment")[0]["spec"]["template"]["spec"]["containers"][0]["env"];
    let told = told.as_array().unwrap().iter().find(|variable| variable["name"] == "NAMESPACE_MEBIBYTES");
    assert_eq!(told.unwrap()["value"], "7");
}

#[tokio::test]
async fn policies_refuse_what_they_cannot_judge_and_hold_where_the_release_looks() {
    let policies = ["MutatingAdmissionPolicy", "ValidatingAdmissionPolicy"];
    let bindings = policies.map(|kind| format!("{kind}Binding"));
    let objects = rendered(&["podLabels.enabled=true"]).await.unwrap();
    for policy in policies.iter().flat_map(|kind| find(&objects, kind)) {
        assert_eq!(policy["spec"]["failurePolicy"], "Fail");
    }
    assert_eq!(find(&objects, policies[0])[0]["spec"]["reinvocationPolicy"], "Never");
    for binding in bindings.iter().flat_map(|kind| find(&objects, kind)) {
        assert_eq!(binding["spec"]["matchResources"], Value::Null);
    }
    // The policies that hold the operator hold everywhere.
    let objects = rendered(&["watchNamespaces={shop,bank}", "podLabels.enabled=true"]).await.unwrap();
    let watched = json!([{"key": "kubernetes.io/metadata.name", "operator": "In", "values": ["shop", "bank"]}]);
    for binding in bindings.iter().flat_map(|kind| find(&objects, kind)) {
        let of_candidates = ["leader-elector-injection", "leader-elector-strict-identity"];
        let is_of_candidates = of_candidates.iter().any(|name| binding["metadata"]["name"] == *name);
        let expected = if is_of_candidates { json!({"matchExpressions": watched}) } else { Value::Null };
        assert_eq!(binding["spec"]["matchResources"]["namespaceSelector"], expected, "{binding}");
    }
    let values = ["watchNamespaces={shop,bank}", "injection.namespaceSelector.matchLabels.tier=one"];
    let objects = rendered(&values).await.unwrap();
    let selector = &find(&objects, &bindings[0])[0]["spec"]["matchResources"]["namespaceSelector"];
    assert_eq!(selector, &json!({"matchLabels": {"tier": "one"}, "matchExpressions": watched}));
}

#[tokio::test]
async fn what_is_injected_is_what_the_values_say() {
    let digest = format!("sha256:{}", "0123456789abcdef".repeat(4));
    let image = format!("agent.image.digest={digest}");
    let values = [
        &*image,
        "agent.image.repository=registry.example.com/agent",
        "agent.image.pullPolicy=Always",
        "agent.resources.limits.memory=48Mi",
        "agent.resources.limits.ephemeral-storage=1Mi",
        "agent.guaranteedResources.cpu=60m",
    ];
    let objects = rendered(&values).await.unwrap();
    let variables = &find(&objects, "MutatingAdmissionPolicy")[0]["spec"]["variables"];
    let variable = |name: &str| {
        let variable = variables.as_array().unwrap().iter().find(|variable| variable["name"] == name).unwrap();
        variable["expression"].as_str().unwrap()
    };
    for (name, said) in [
        ("agent", &*format!(r#""image": dyn("registry.example.com/agent:{VERSION}@{digest}")"#)),
        ("agent", r#""imagePullPolicy": dyn("Always")"#),
        ("memoryLimitByClass", r#""48Mi""#),
        ("cpuLimitByClass", r#"variables.isGuaranteed ? "60m""#),
        ("resources", r#""ephemeral-storage": "1Mi""#),
    ] {
        assert!(variable(name).contains(said), "{said} in {}", variable(name));
    }
}

#[tokio::test]
async fn replicas_of_the_operator_prefer_different_nodes() {
    let objects = rendered(&[]).await.unwrap();
    let template = &find(&objects, "Deployment")[0]["spec"]["template"];
    let preferred = &template["spec"]["affinity"]["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"];
    let term = &preferred[0]["podAffinityTerm"];
    assert_eq!(term["topologyKey"], "kubernetes.io/hostname");
    assert_eq!(term["labelSelector"]["matchLabels"], template["metadata"]["labels"]);
}

#[tokio::test]
async fn a_bad_value_is_refused_with_what_is_wrong() {
    for (value, said) in [
        ("operator.replicas=two", "at '/operator/replicas': got string, want integer"),
        ("operator.replicas=-1", "at '/operator/replicas': minimum"),
        ("operator.replica=2", "additional properties 'replica' not allowed"),
        ("operator.logFormat=xml", "at '/operator/logFormat': value must be one of 'text', 'json'"),
        ("operator.image.digest=latest", "at '/operator/image/digest'"),
        ("operator.leaseDurationSeconds=0", "at '/operator/leaseDurationSeconds': minimum"),
        ("watchNamespaces={Shop}", "at '/watchNamespaces/0'"),
        ("monitoring.podMonitor.interval=soon", "at '/monitoring/podMonitor/interval'"),
        ("monitoring.dashboard.label=x", "additional properties 'label' not allowed"),
        ("monitoring.prometheusRule.runbookUrl=", "at '/monitoring/prometheusRule/runbookUrl'"),
        ("agent.guaranteedResources.cpu=half", "at '/agent/guaranteedResources/cpu'"),
        ("agent.guaranteedResources.memory=null", "at '/agent/guaranteedResources'"),
        ("crds.keep=yes", "at '/crds/keep': got string, want boolean"),
        ("networkPolicy.apiServerPorts={https}", "at '/networkPolicy/apiServerPorts/0'"),
        (
            "operator.renewDeadlineSeconds=12",
            "operator.renewDeadlineSeconds is 12; with operator.leaseDurationSeconds 15 it can be 11 at most",
        ),
        (
            "operator.retryPeriodSeconds=6",
            "operator.retryPeriodSeconds is 6; with operator.renewDeadlineSeconds 10 it can be 5 at most",
        ),
        ("--kube-version=1.35.0", "set injection.enabled=false"),
        ("--kube-version=1.35.0", "name the cluster's version: --kube-version, or kubeVersion of helmCharts"),
        ("--kube-version=1.29.0", "chart requires kubeVersion: >=1.30.0-0"),
    ] {
        let refused = rendered(&[value]).await.map(|objects| objects.len()).unwrap_err().to_string();
        assert!(refused.contains(said), "{value}: {refused}");
    }
    rendered(&["--kube-version=1.35.0", "injection.enabled=false"]).await.unwrap();
}

/// What helm asks a cluster for, or is told.
#[tokio::test]
async fn pods_are_changed_by_policies_of_the_version_that_the_cluster_has() {
    let beta = "--api-versions=admissionregistration.k8s.io/v1beta1/MutatingAdmissionPolicy";
    let stable = "--api-versions=admissionregistration.k8s.io/v1/MutatingAdmissionPolicy";
    for (arguments, version) in [
        (&["--kube-version=1.36.0"][..], "v1"),
        (&["--kube-version=1.36.0", beta], "v1"),
        (&["--kube-version=1.35.0", stable, beta], "v1"),
        (&["--kube-version=1.34.0", beta], "v1beta1"),
    ] {
        let objects = rendered(arguments).await.unwrap();
        for kind in ["MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding"] {
            let expected = format!("admissionregistration.k8s.io/{version}");
            assert_eq!(find(&objects, kind)[0]["apiVersion"], expected, "{arguments:?}");
        }
        let checks = find(&objects, "ValidatingAdmissionPolicy");
        assert!(checks.iter().all(|policy| policy["apiVersion"] == "admissionregistration.k8s.io/v1"), "{arguments:?}");
    }
}
