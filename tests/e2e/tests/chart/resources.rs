//! The agent leaves a pod what it was: its QoS class, and whether quotas and LimitRanges let it in.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use elector_harness::cluster::Namespace;
use k8s_openapi::api::core::v1::{LimitRange, Pod, ResourceQuota};
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::release::installed;

/// A pod that is to have an agent.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) pod: Value,
    /// Its class, with the agent as without; where annotations don't say otherwise. Empty: versions differ in it.
    class: &'static str,
    /// What the agent requests of cpu and memory, and its limits.
    agent: &'static str,
}

fn container(name: &str, resources: &Value) -> Value {
    json!({"name": name, "image": "busybox", "resources": resources})
}

fn case(name: &'static str, spec: &Value, class: &'static str, agent: &'static str) -> Case {
    let labels = json!({"app": "billing", "leader-elector.io/election": "billing"});
    let metadata = json!({"name": name, "labels": labels});
    Case { name, pod: json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}), class, agent }
}

/// Of one container with these resources.
fn single(name: &'static str, resources: &Value, class: &'static str, agent: &'static str) -> Case {
    case(name, &json!({"containers": [container("app", resources)]}), class, agent)
}

/// With these of the four annotations for the agent's resources.
fn annotated(mut case: Case, name: &'static str, annotations: &[(&str, &str)], agent: &'static str) -> Case {
    let annotations: BTreeMap<String, &str> =
        annotations.iter().map(|(name, value)| (format!("leader-elector.io/agent-{name}"), *value)).collect();
    case.pod["metadata"]["annotations"] = json!(annotations);
    case.pod["metadata"]["name"] = json!(name);
    Case { name, agent, ..case }
}

const NONE: &str = "- - / - -";
const BURSTABLE: &str = "5m 16Mi / - 32Mi";
const BURSTABLE_LIMITED: &str = "5m 16Mi / 50m 32Mi";
const GUARANTEED: &str = "50m 32Mi / 50m 32Mi";

pub(crate) fn cases() -> Vec<Case> {
    let best_effort = || single("best-effort", &json!({}), "BestEffort", NONE);
    let burstable = || single("burstable", &json!({"requests": {"memory": "64Mi"}}), "Burstable", BURSTABLE);
    let full = json!({"limits": {"cpu": "100m", "memory": "64Mi"}});
    let guaranteed = || single("guaranteed", &full, "Guaranteed", GUARANTEED);
    let half = json!({"requests": {"cpu": "50m"}, "limits": {"cpu": "100m", "memory": "64Mi"}});
    let with_init = |init: Value| json!({"initContainers": init, "containers": [container("app", &full)]});
    let mut sidecar = container("proxy", &full);
    sidecar["restartPolicy"] = json!("Always");
    let mut greedy_sidecar = container("proxy", &half);
    greedy_sidecar["restartPolicy"] = json!("Always");
    let pod_level = |resources: Value, containers: &Value| json!({"resources": resources, "containers": [containers]});
    let numbers = json!({"requests": {"cpu": 0.5}, "limits": {"cpu": 0.5, "memory": 67108864}});
    let notations =
        json!({"requests": {"cpu": "0.1", "memory": "1Mi"}, "limits": {"cpu": "100m", "memory": "1048576"}});
    vec![
        best_effort(),
        burstable(),
        guaranteed(),
        single(
            "requests-too",
            &json!({"requests": full["limits"], "limits": full["limits"]}),
            "Guaranteed",
            GUARANTEED,
        ),
        single("numbers", &numbers, "Guaranteed", GUARANTEED),
        single("notations", &notations, "Guaranteed", GUARANTEED),
        case("guaranteed-init", &with_init(json!([container("migrate", &full)])), "Guaranteed", GUARANTEED),
        case("guaranteed-sidecar", &with_init(json!([sidecar])), "Guaranteed", GUARANTEED),
        case("burstable-sidecar", &with_init(json!([greedy_sidecar])), "Burstable", BURSTABLE_LIMITED),
        case("best-effort-init", &with_init(json!([container("migrate", &json!({}))])), "Burstable", BURSTABLE),
        case(
            "two-containers",
            &json!({"containers": [container("app", &full), container("exporter", &half)]}),
            "Burstable",
            BURSTABLE_LIMITED,
        ),
        case(
            "one-limited-of-two",
            &json!({"containers": [container("app", &full), container("exporter", &json!({"requests": {"cpu": "1m"}}))]}),
            "Burstable",
            BURSTABLE,
        ),
        single("all-figures", &half, "Burstable", BURSTABLE_LIMITED),
        single("cpu-limit-alone", &json!({"limits": {"cpu": "100m"}}), "Burstable", BURSTABLE_LIMITED),
        single("memory-limit-alone", &json!({"limits": {"memory": "64Mi"}}), "Burstable", BURSTABLE),
        single("requests-alone", &json!({"requests": full["limits"]}), "Burstable", BURSTABLE),
        single("zeros", &json!({"requests": {"cpu": "0", "memory": "0"}}), "BestEffort", "0 0 / - -"),
        single("zero-limits", &json!({"limits": {"cpu": 0, "memory": "0Mi"}}), "BestEffort", "0 0 / 0 0"),
        single(
            "zero-request",
            &json!({"requests": {"cpu": 0}, "limits": full["limits"]}),
            "Burstable",
            BURSTABLE_LIMITED,
        ),
        single("disk-alone", &json!({"limits": {"ephemeral-storage": "1Gi"}}), "BestEffort", NONE),
        case("pod-level", &pod_level(full.clone(), &container("app", &full)), "Guaranteed", NONE),
        case("pod-level-alone", &pod_level(half.clone(), &container("app", &json!({}))), "Burstable", NONE),
        case("pod-level-empty", &pod_level(json!({}), &container("app", &full)), "", GUARANTEED),
        annotated(
            burstable(),
            "annotated",
            &[("cpu-request", "7m"), ("memory-request", "20Mi"), ("cpu-limit", "70m"), ("memory-limit", "40Mi")],
            "7m 20Mi / 70m 40Mi",
        ),
        annotated(burstable(), "annotated-cpu-request", &[("cpu-request", "0.1")], "100m 16Mi / - 32Mi"),
        annotated(burstable(), "annotated-memory-limit", &[("memory-limit", "1e8")], "5m 16Mi / - 100e6"),
        annotated(
            burstable(),
            "annotated-low-limits",
            &[("cpu-limit", "2m"), ("memory-limit", "8Mi")],
            "2m 8Mi / 2m 8Mi",
        ),
        annotated(burstable(), "annotated-high-request", &[("memory-request", "64Mi")], "5m 64Mi / - 64Mi"),
        annotated(burstable(), "annotated-empty", &[("memory-request", ""), ("cpu-limit", "")], BURSTABLE),
        annotated(guaranteed(), "guaranteed-cpu-limit", &[("cpu-limit", "200m")], "200m 32Mi / 200m 32Mi"),
        annotated(guaranteed(), "guaranteed-memory-request", &[("memory-request", "64Mi")], "50m 64Mi / 50m 64Mi"),
        Case {
            class: "Burstable",
            ..annotated(guaranteed(), "guaranteed-cpu-request", &[("cpu-request", "10m")], "10m 32Mi / 50m 32Mi")
        },
        Case {
            class: "Burstable",
            ..annotated(best_effort(), "best-effort-memory", &[("memory-limit", "32Mi")], "- 32Mi / - 32Mi")
        },
        annotated(
            case(
                "",
                &pod_level(
                    json!({"requests": full["limits"], "limits": full["limits"]}),
                    &container("app", &json!({})),
                ),
                "Guaranteed",
                "",
            ),
            "pod-level-annotated",
            &[("cpu-request", "20m"), ("memory-limit", "32Mi")],
            "20m 32Mi / - 32Mi",
        ),
    ]
}

/// As the API server stores it.
pub(crate) async fn stored(namespace: &Namespace<'_>, pod: &Value) -> kube::Result<Value> {
    let pods = Api::namespaced_with(namespace.client(), namespace.name(), &ApiResource::erase::<Pod>(&()));
    let pod: DynamicObject = serde_json::from_value(pod.clone()).map_err(kube::Error::SerdeError)?;
    let stored = pods.create(&PostParams::default(), &pod).await?;
    serde_json::to_value(stored).map_err(kube::Error::SerdeError)
}

/// The same pod without an agent.
fn plain(pod: &Value) -> Value {
    let mut pod = pod.clone();
    pod["metadata"]["labels"]["leader-elector.io/injection"] = json!("disabled");
    pod["metadata"]["name"] = json!(format!("{}-plain", pod["metadata"]["name"].as_str().unwrap_or_default()));
    pod
}

/// What it requests of cpu and memory, and its limits.
fn figures(container: &Value) -> String {
    let figure = |kind: &str, name: &str| container["resources"][kind][name].as_str().unwrap_or("-").to_owned();
    let pair = |kind: &str| format!("{} {}", figure(kind, "cpu"), figure(kind, "memory"));
    format!("{} / {}", pair("requests"), pair("limits"))
}

#[tokio::test]
async fn a_pod_keeps_its_class_and_the_agent_has_what_fits_from_1_34() {
    let namespace = installed().await.unwrap().namespace("classes").await.unwrap();
    for Case { name, pod, class, agent } in cases() {
        let with = stored(&namespace, &pod).await.unwrap();
        let container = &with["spec"]["initContainers"][0];
        assert_eq!(container["name"], "leader-elector", "{name}");
        assert_eq!(figures(container), agent, "{name}");
        let with = &with["status"]["qosClass"];
        assert!(with == class || class.is_empty(), "{name}: {with}");
        if pod["metadata"].get("annotations").is_none() {
            assert_eq!(&stored(&namespace, &plain(&pod)).await.unwrap()["status"]["qosClass"], with, "{name}");
        }
    }
}

#[tokio::test]
async fn an_annotation_that_cannot_be_meant_is_refused_by_its_name_from_1_34() {
    let namespace = installed().await.unwrap().namespace("annotations").await.unwrap();
    for (annotations, said) in [
        (&[("cpu-request", "half")][..], "annotation leader-elector.io/agent-cpu-request is no quantity, such as 50m"),
        (&[("cpu-limit", "50 m")], "annotation leader-elector.io/agent-cpu-limit is no quantity, such as 50m"),
        (
            &[("memory-request", "32MB")],
            "annotation leader-elector.io/agent-memory-request is no quantity, such as 32Mi",
        ),
        (&[("memory-limit", "-1Mi")], "annotation leader-elector.io/agent-memory-limit is no quantity, such as 32Mi"),
        (
            &[("memory-request", "64Mi"), ("memory-limit", "32Mi")],
            "annotation leader-elector.io/agent-memory-request is more than annotation leader-elector.io/agent-memory-limit",
        ),
    ] {
        let bad = annotated(single("bad", &json!({}), "", ""), "bad", annotations, "");
        let refused = stored(&namespace, &bad.pod).await.unwrap_err().to_string();
        assert!(refused.contains(said), "{annotations:?}: {refused}");
    }
}

/// A namespace with rules for the resources of its pods.
struct Ruled {
    prefix: &'static str,
    rule: Rule,
    /// Which pods are refused with an agent and not without, unless annotations say what the agent is to have.
    refused: &'static [&'static str],
    /// The annotations with which they are let in.
    annotations: &'static [(&'static str, &'static str)],
    /// Which of them have no room for another container, whatever it asks for.
    full: &'static [&'static str],
}

enum Rule {
    Quota(Value),
    Limits(Value),
}

impl Ruled {
    async fn namespace(&self) -> Result<Namespace<'static>> {
        let namespace = installed().await?.namespace(self.prefix).await?;
        let (create, apply) = (PostParams::default(), PatchParams::default());
        match &self.rule {
            Rule::Quota(hard) => {
                let quotas: Api<ResourceQuota> = namespace.api();
                let quota = json!({"metadata": {"name": "quota"}, "spec": {"hard": hard}});
                quotas.create(&create, &serde_json::from_value(quota)?).await?;
                // Else that is done by kube-controller-manager.
                let used: BTreeMap<&String, &str> =
                    hard.as_object().context("no map")?.keys().map(|name| (name, "0")).collect();
                let status = json!({"status": {"hard": hard, "used": used}});
                quotas.patch_status("quota", &apply, &Patch::Merge(status)).await?;
            }
            Rule::Limits(limit) => {
                let limits = json!({"metadata": {"name": "limits"}, "spec": {"limits": [limit]}});
                namespace.api::<LimitRange>().create(&create, &serde_json::from_value(limits)?).await?;
            }
        }
        self.until_in_force(&namespace).await?;
        Ok(namespace)
    }

    /// An API server learns of quotas and LimitRanges by watching them.
    async fn until_in_force(&self, namespace: &Namespace<'_>) -> Result<()> {
        let begun = Instant::now();
        let pods = namespace.api::<Pod>();
        let probe = json!({"metadata": {"name": "probe", "labels": {"leader-elector.io/injection": "disabled"}},
                           "spec": {"containers": [container("app", &json!({}))]}});
        let dry_run = PostParams { dry_run: true, ..PostParams::default() };
        loop {
            match pods.create(&dry_run, &serde_json::from_value(probe.clone())?).await {
                Err(kube::Error::Api(status)) if status.is_forbidden() => return Ok(()),
                Ok(pod) if pod.annotations().contains_key("kubernetes.io/limit-ranger") => return Ok(()),
                other => drop(other?),
            }
            ensure!(begun.elapsed() < Duration::from_secs(30), "{} is not in force", self.prefix);
            sleep(Duration::from_millis(100)).await;
        }
    }
}

/// Each pod is created with and without an agent.
#[tokio::test]
async fn what_quotas_and_limit_ranges_let_in_they_let_in_with_the_agent_from_1_34() {
    let ruled = [
        Ruled {
            prefix: "quota-limits",
            rule: Rule::Quota(json!({"limits.cpu": "100", "limits.memory": "100Gi"})),
            refused: &[],
            annotations: &[],
            full: &[],
        },
        Ruled {
            prefix: "quota-requests",
            rule: Rule::Quota(json!({"requests.cpu": "100", "requests.memory": "100Gi"})),
            refused: &[],
            annotations: &[],
            full: &[],
        },
        Ruled {
            prefix: "limits-default",
            rule: Rule::Limits(json!({"type": "Container", "default": {"cpu": "500m", "memory": "256Mi"}})),
            refused: &["pod-level"],
            annotations: &[("cpu-limit", "0"), ("memory-limit", "0")],
            full: &[],
        },
        Ruled {
            prefix: "limits-default-request",
            rule: Rule::Limits(json!({
                "type": "Container", "default": {"cpu": "500m", "memory": "256Mi"}, "defaultRequest": {"cpu": "10m", "memory": "32Mi"},
            })),
            refused: &["pod-level"],
            annotations: &[("cpu-limit", "0"), ("memory-limit", "0")],
            full: &[],
        },
        Ruled {
            prefix: "limits-max",
            rule: Rule::Limits(json!({"type": "Container", "max": {"cpu": "1", "memory": "1Gi"}})),
            refused: &["pod-level"],
            annotations: &[("cpu-limit", "0"), ("memory-limit", "0")],
            full: &[],
        },
        Ruled {
            prefix: "limits-min",
            rule: Rule::Limits(json!({"type": "Container", "min": {"cpu": "10m", "memory": "32Mi"}})),
            refused: &[
                "best-effort",
                "burstable",
                "burstable-sidecar",
                "best-effort-init",
                "two-containers",
                "all-figures",
                "cpu-limit-alone",
                "memory-limit-alone",
                "requests-alone",
                "disk-alone",
                "pod-level",
            ],
            annotations: &[("cpu-request", "10m"), ("memory-request", "32Mi")],
            full: &["pod-level"],
        },
        Ruled {
            prefix: "limits-ratio",
            rule: Rule::Limits(json!({"type": "Container", "maxLimitRequestRatio": {"cpu": "4"}})),
            refused: &["burstable-sidecar", "two-containers", "all-figures", "cpu-limit-alone", "pod-level"],
            annotations: &[("cpu-request", "25m")],
            full: &["pod-level"],
        },
    ];
    for ruled in &ruled {
        let namespace = ruled.namespace().await.unwrap();
        let mut refused = Vec::new();
        for Case { name, mut pod, .. } in cases() {
            if pod["metadata"].get("annotations").is_some() {
                continue;
            }
            let Ok(without) = stored(&namespace, &plain(&pod)).await else { continue };
            let class = &without["status"]["qosClass"];
            let with = match stored(&namespace, &pod).await {
                Ok(with) => with,
                Err(_) => {
                    refused.push(name);
                    pod = annotated(Case { name, pod, class: "", agent: "" }, name, ruled.annotations, "").pod;
                    let annotated = stored(&namespace, &pod).await;
                    assert_eq!(
                        annotated.is_err(),
                        ruled.full.contains(&name),
                        "{} {name}: {annotated:?}",
                        ruled.prefix
                    );
                    let Ok(annotated) = annotated else { continue };
                    annotated
                }
            };
            assert_eq!(&with["status"]["qosClass"], class, "{} {name}", ruled.prefix);
        }
        assert_eq!(refused, ruled.refused, "{}", ruled.prefix);
    }
}
