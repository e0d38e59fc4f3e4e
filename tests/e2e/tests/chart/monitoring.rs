//! What the chart makes for Prometheus and Grafana: accepted where their definitions are, and it finds what it is for.

use std::fs;

use anyhow::{Context as _, Result};
use elector_harness::kubectl::kubectl;
use elector_harness::prometheus::{Query, Recording, definitions};
use elector_xtask::helm::chart;
use serde_json::{Value, json};

use crate::files::{find, rendered};
use crate::release::installed;

const ALL: [&str; 4] = [
    "monitoring.serviceMonitor.enabled=true",
    "monitoring.podMonitor.enabled=true",
    "monitoring.prometheusRule.enabled=true",
    "monitoring.dashboard.enabled=true",
];

fn file(name: &str) -> Result<String> {
    Ok(fs::read_to_string(chart().join("files").join(name))?)
}

#[tokio::test]
async fn an_api_server_with_the_definitions_accepts_it() {
    let plane = installed().await.unwrap();
    let kubeconfig = plane.kubeconfig();
    let kinds = ["servicemonitors", "podmonitors", "prometheusrules"];
    for kind in kinds {
        let definition = definitions().await.unwrap().join(format!("monitoring.coreos.com_{kind}.yaml"));
        let apply = ["apply", "--server-side", "--filename", definition.to_str().unwrap()];
        kubectl(&kubeconfig, &apply, "").await.unwrap();
        let established = format!("crd/{kind}.monitoring.coreos.com");
        kubectl(&kubeconfig, &["wait", "--for=condition=Established", &established], "").await.unwrap();
    }
    let set = [
        "monitoring.serviceMonitor.interval=30s",
        "monitoring.podMonitor.interval=1m30s",
        "monitoring.dashboard.annotations.grafana_folder=Kubernetes",
    ];
    for more in [&set[..], &["watchNamespaces={shop,bank}"]] {
        let objects = rendered(&[&ALL[..], more].concat()).await.unwrap();
        let wanted = ["Service", "ServiceMonitor", "PodMonitor", "PrometheusRule", "ConfigMap"];
        let made: Vec<&Value> = wanted.iter().flat_map(|kind| find(&objects, kind)).collect();
        assert_eq!(made.len(), wanted.len());
        let made: Vec<Value> = made
            .into_iter()
            .cloned()
            .map(|mut object| {
                object["metadata"]["namespace"] = json!("default");
                object
            })
            .collect();
        let list = json!({"apiVersion": "v1", "kind": "List", "items": made}).to_string();
        let apply = ["apply", "--dry-run=server", "--validate=strict", "--filename=-"];
        let said = kubectl(&kubeconfig, &apply, &list).await.unwrap();
        assert_eq!(said.matches(" created (server dry run)").count(), wanted.len(), "{said}");
    }
}

#[tokio::test]
async fn rules_and_dashboard_are_the_files_whatever_is_in_them() {
    let objects = rendered(&ALL).await.unwrap();
    let rules: Value = serde_yaml_ng::from_str(&file("alerts.yaml").unwrap()).unwrap();
    assert_eq!(find(&objects, "PrometheusRule")[0]["spec"], rules);
    assert!(rules.to_string().contains("{{ $labels.namespace }}"), "{rules}");
    let dashboard = &find(&objects, "ConfigMap")[0];
    assert_eq!(dashboard["data"]["leader-elector.json"], file("dashboard.json").unwrap());
    assert_eq!(dashboard["metadata"]["labels"]["grafana_dashboard"], "1");

    let published = "monitoring.prometheusRule.runbookUrl=https://wiki.example.com/runbooks/";
    let objects = rendered(&[&ALL[..], &[published]].concat()).await.unwrap();
    let first = &find(&objects, "PrometheusRule")[0]["spec"]["groups"][0]["rules"][0];
    assert_eq!(first["annotations"]["runbook_url"], "https://wiki.example.com/runbooks/LeaderElectorNoLeader.md");
}

#[tokio::test]
async fn each_has_the_labels_by_which_it_is_selected() {
    let mut values = ALL.to_vec();
    let kinds = ["serviceMonitor", "podMonitor", "prometheusRule", "dashboard"];
    let labels = kinds.map(|kind| format!("monitoring.{kind}.labels.release={kind}"));
    values.extend(labels.iter().map(String::as_str));
    let objects = rendered(&values).await.unwrap();
    for (kind, label) in ["ServiceMonitor", "PodMonitor", "PrometheusRule", "ConfigMap"].iter().zip(kinds) {
        assert_eq!(find(&objects, kind)[0]["metadata"]["labels"]["release"], label);
    }
}

#[tokio::test]
async fn the_monitor_finds_the_operators_pods_through_the_service() {
    let objects = rendered(&[&ALL[..], &["monitoring.serviceMonitor.interval=10s"]].concat()).await.unwrap();
    let (monitor, service) = (find(&objects, "ServiceMonitor")[0], find(&objects, "Service")[0]);
    let pods = &find(&objects, "Deployment")[0]["spec"]["template"];
    let selects = |selector: &Value, labels: &Value| {
        let wanted = selector.as_object().unwrap();
        !wanted.is_empty() && wanted.iter().all(|(label, value)| labels[label] == *value)
    };
    assert!(selects(&monitor["spec"]["selector"]["matchLabels"], &service["metadata"]["labels"]));
    assert_eq!(monitor["spec"]["namespaceSelector"]["matchNames"], json!([service["metadata"]["namespace"]]));
    assert!(selects(&service["spec"]["selector"], &pods["metadata"]["labels"]));
    let (endpoint, port) = (&monitor["spec"]["endpoints"][0], &service["spec"]["ports"][0]);
    assert_eq!((&endpoint["port"], &endpoint["interval"]), (&port["name"], &json!("10s")));
    let of_pods = pods["spec"]["containers"][0]["ports"].as_array().unwrap();
    assert!(of_pods.iter().any(|there| there["name"] == port["targetPort"]), "{port}");
    // The namespace of an election is not the operator's.
    assert_eq!(endpoint["honorLabels"], true);
    let closed = rendered(&[&ALL[..], &["networkPolicy.enabled=true"]].concat()).await.unwrap();
    let ingress = &find(&closed, "NetworkPolicy")[0]["spec"]["ingress"][0];
    assert_eq!(*ingress, json!({"ports": [{"protocol": "TCP", "port": port["targetPort"]}]}));
}

#[tokio::test]
async fn agents_are_found_by_the_address_that_their_pod_names() {
    let objects = rendered(&["monitoring.podMonitor.enabled=true", "watchNamespaces={shop,bank}"]).await.unwrap();
    let monitor = &find(&objects, "PodMonitor")[0]["spec"];
    assert_eq!(monitor["namespaceSelector"], json!({"matchNames": ["shop", "bank"]}));
    let everywhere = rendered(&["monitoring.podMonitor.enabled=true"]).await.unwrap();
    assert_eq!(find(&everywhere, "PodMonitor")[0]["spec"]["namespaceSelector"], json!({"any": true}));
    let rules = monitor["podMetricsEndpoints"][0]["relabelings"].as_array().unwrap();
    assert_eq!(rules[0]["regex"], elector_crds::AGENT_CONTAINER);
    relabelled(&rules[1..]).await.unwrap();
}

/// Has Prometheus itself carry out what it would when it finds pods.
async fn relabelled(rules: &[Value]) -> Result<()> {
    const ANNOTATION: &str = "__meta_kubernetes_pod_annotation_leader_elector_io_observe_address";
    let (kept, replaced) = rules.split_first().context("no rules")?;
    anyhow::ensure!(kept["action"] == "keep" && kept["sourceLabels"] == json!([ANNOTATION]), "{kept}");
    let kept = kept["regex"].as_str().context("no regex")?;
    let mut address = "found".to_owned();
    for rule in replaced {
        anyhow::ensure!(rule["sourceLabels"] == json!(["__meta_kubernetes_pod_ip", ANNOTATION]), "{rule}");
        anyhow::ensure!(rule["targetLabel"] == "__address__", "{rule}");
        let (regex, replacement) = (&rule["regex"], &rule["replacement"]);
        address = format!(r#"label_replace({address}, "address", {replacement}, "joined", {regex})"#);
    }
    for (ip, annotation, scraped) in [
        ("10.0.0.1", "[::]:4041", Some("10.0.0.1:4041")),
        ("10.0.0.1", "0.0.0.0:80", Some("10.0.0.1:80")),
        ("fd00::1", "[::]:4041", Some("[fd00::1]:4041")),
        ("::ffff:10.0.0.1", "0.0.0.0:4041", Some("[::ffff:10.0.0.1]:4041")),
        ("10.0.0.1", "", None),
        ("10.0.0.1", "4041", None),
    ] {
        let wanted = scraped.unwrap_or("nowhere");
        let text = format!(
            "found{{joined=\"{ip};{annotation}\",annotation=\"{annotation}\"}} 1\nwanted{{address=\"{wanted}\"}} 1\n# EOF\n"
        );
        let mut recording = Recording::default();
        recording.scrape(&[(&[], &text)]).await?;
        let expression = format!(r#"{address} and on (address) wanted"#);
        let address = Query { expression, finds: scraped.is_some() };
        let keeps = Query { expression: format!(r#"found{{annotation=~"{kept}"}}"#), finds: scraped.is_some() };
        recording.answer(&[address, keeps]).await.with_context(|| format!("{ip} {annotation}"))?;
    }
    Ok(())
}
