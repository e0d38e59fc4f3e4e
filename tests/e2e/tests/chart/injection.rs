//! Pods that ask for the agent by a label get it, by a policy of the API server.

use std::process::Command;

use anyhow::Result;
use elector_harness::cluster::Namespace;
use elector_harness::kubectl::kubectl;
use elector_xtask::programs::Programs;
use serde_json::{Value, json};

use crate::release::{installed, restricted};

/// A pod as Pod Security's restricted has it, with one container.
pub(crate) fn pod() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "billing-0", "labels": {"app": "billing", "leader-elector.io/election": "billing"}},
        "spec": {"containers": [container("app")], "securityContext": {"runAsNonRoot": true, "runAsUser": 1000}},
    })
}

fn container(name: &str) -> Value {
    json!({
        "name": name,
        "image": "busybox",
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    })
}

/// What the API server makes of it.
pub(crate) async fn created(namespace: &Namespace<'_>, object: &Value) -> Result<Value> {
    let create = ["-n", namespace.name(), "create", "--dry-run=server", "--output=json", "--filename=-"];
    let stored = kubectl(&namespace.cluster().kubeconfig(), &create, &object.to_string()).await?;
    Ok(serde_json::from_str(&stored)?)
}

fn names(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().filter_map(|item| item["name"].as_str()).collect()
}

/// The mount of the volume with the status file.
fn mount(container: &Value) -> Option<&Value> {
    let mounts = container["volumeMounts"].as_array()?;
    mounts.iter().find(|mount| mount["mountPath"] == "/run/leader-election")
}

fn read_only() -> Value {
    json!({"name": "leader-election", "mountPath": "/run/leader-election", "readOnly": true})
}

/// With all that `elector-agent manifest` says is to be added.
pub(crate) async fn pasted(mut pod: Value, arguments: &[&str]) -> Result<Value> {
    let agent = &Programs::built().await?.agent;
    let manifest = Command::new(agent).arg("manifest").args(arguments).output()?;
    let manifest: Value = serde_yaml_ng::from_slice(&manifest.stdout)?;
    pod["spec"]["initContainers"] = manifest["initContainers"].clone();
    pod["spec"]["volumes"] = manifest["volumes"].clone();
    pod["spec"]["containers"][0]["volumeMounts"] = json!([read_only()]);
    Ok(pod)
}

#[tokio::test]
async fn it_adds_what_the_agent_prints_for_pasting_from_1_34() {
    let namespace = restricted("pasted").await.unwrap();
    let mut pod = pod();
    // Of class Burstable, for which the resources are that are printed.
    pod["spec"]["containers"][0]["resources"] = json!({"requests": {"cpu": "10m"}});
    let injected = created(&namespace, &pod).await.unwrap();
    let mut pasted = created(&namespace, &pasted(pod, &[]).await.unwrap()).await.unwrap();
    // The chart says what the API server would say for an image with this tag.
    assert_eq!(injected["spec"]["initContainers"], pasted["spec"]["initContainers"]);
    // An account's token comes with a name that is made up each time.
    let without_token = |pod: &mut Value| {
        let spec = &mut pod["spec"];
        let kept = |item: &Value| !item["name"].as_str().is_some_and(|name| name.starts_with("kube-api-access-"));
        spec["volumes"].as_array_mut().unwrap().retain(kept);
        for container in spec["containers"].as_array_mut().unwrap() {
            container["volumeMounts"].as_array_mut().unwrap().retain(kept);
        }
    };
    let mut injected = injected;
    without_token(&mut injected);
    without_token(&mut pasted);
    assert_eq!(injected["spec"], pasted["spec"]);
}

/// What kubelet makes of them is what it makes of any field of a pod.
#[tokio::test]
async fn the_pods_annotations_are_settings_of_the_agent_from_1_34() {
    let namespace = restricted("annotated").await.unwrap();
    let settings = ["HTTP_ADDRESS", "OBSERVE_ADDRESS", "HEALTH_URL"];
    let annotation = |setting: &str| format!("leader-elector.io/{}", setting.to_lowercase().replace('_', "-"));
    let pod = created(&namespace, &pod()).await.unwrap();
    let agent = &pod["spec"]["initContainers"][0];
    let from_annotations = agent["env"].as_array().unwrap().iter().filter_map(|variable| {
        let path = variable["valueFrom"]["fieldRef"]["fieldPath"].as_str()?;
        Some((variable["name"].as_str()?, path.strip_prefix("metadata.annotations['")?.strip_suffix("']")?.to_owned()))
    });
    let expected = settings.map(|setting| (setting, annotation(setting)));
    assert_eq!(from_annotations.collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn it_comes_first_and_all_others_see_the_file_and_only_it_has_its_token_from_1_34() {
    let namespace = restricted("others").await.unwrap();
    let mut pod = pod();
    pod["spec"]["automountServiceAccountToken"] = json!(false);
    pod["spec"]["initContainers"] = json!([container("migrate"), container("proxy")]);
    pod["spec"]["initContainers"][1]["restartPolicy"] = json!("Always");
    pod["spec"]["containers"] = json!([container("app"), container("exporter")]);
    pod["spec"]["volumes"] = json!([{"name": "scratch", "emptyDir": {}}]);
    pod["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "scratch", "mountPath": "/scratch"}]);
    let pod = created(&namespace, &pod).await.unwrap();
    let spec = &pod["spec"];
    assert_eq!(names(&spec["initContainers"]), ["leader-elector", "migrate", "proxy"]);
    assert_eq!(names(&spec["containers"]), ["app", "exporter"]);
    assert_eq!(names(&spec["volumes"]), ["scratch", "leader-election", "leader-elector-token"]);
    assert_eq!(names(&spec["containers"][0]["volumeMounts"]), ["scratch", "leader-election"]);
    for other in
        [&spec["initContainers"][1], &spec["initContainers"][2], &spec["containers"][0], &spec["containers"][1]]
    {
        assert_eq!(mount(other), Some(&read_only()), "{other}");
        assert!(!other["volumeMounts"].to_string().contains("serviceaccount"), "{other}");
    }
    let agent = &spec["initContainers"][0];
    assert_eq!(names(&agent["volumeMounts"]), ["leader-election", "leader-elector-token"]);
    assert_eq!(agent["restartPolicy"], "Always");
    assert!(agent.get("readinessProbe").is_none(), "it would take the app out of its Service");
    let token = spec["volumes"].as_array().unwrap().iter().find(|volume| volume["name"] == "leader-elector-token");
    assert_eq!(token.unwrap()["projected"]["sources"][0]["serviceAccountToken"]["expirationSeconds"], 3600);
}

#[tokio::test]
async fn a_pod_without_volumes_or_init_containers_has_the_agents_alone_from_1_34() {
    let namespace = restricted("bare").await.unwrap();
    let mut pod = pod();
    // Else it has the volume of its token.
    pod["spec"]["automountServiceAccountToken"] = json!(false);
    let pod = created(&namespace, &pod).await.unwrap();
    let spec = &pod["spec"];
    assert_eq!(names(&spec["initContainers"]), ["leader-elector"]);
    assert_eq!(names(&spec["volumes"]), ["leader-election", "leader-elector-token"]);
    assert_eq!(spec["containers"][0]["volumeMounts"], json!([read_only()]));
}

#[tokio::test]
async fn who_has_an_agent_or_asks_for_none_is_left_alone() {
    let namespace = restricted("alone").await.unwrap();
    let mut unlabelled = pod();
    unlabelled["metadata"]["labels"] = json!({"app": "billing"});
    let mut opted_out = pod();
    opted_out["metadata"]["labels"]["leader-elector.io/injection"] = json!("disabled");
    let mut sidecar = pod();
    sidecar["spec"]["initContainers"] = json!([container("leader-elector")]);
    let mut container_of_old = pod();
    container_of_old["spec"]["containers"] = json!([container("app"), container("leader-elector")]);
    for left_alone in [unlabelled, opted_out, sidecar, container_of_old] {
        let stored = created(&namespace, &left_alone).await.unwrap();
        assert_eq!(names(&stored["spec"]["initContainers"]), names(&left_alone["spec"]["initContainers"]));
        assert_eq!(names(&stored["spec"]["containers"]), names(&left_alone["spec"]["containers"]));
        assert!(!stored["spec"]["volumes"].to_string().contains("leader-elect"), "{stored}");
    }
}

#[tokio::test]
async fn who_has_a_mount_at_the_path_keeps_it() {
    let namespace = restricted("mounted").await.unwrap();
    let mut pod = pod();
    let own = json!({"name": "mine", "mountPath": "/run/leader-election"});
    pod["spec"]["volumes"] = json!([{"name": "mine", "emptyDir": {}}]);
    pod["spec"]["containers"][0]["volumeMounts"] = json!([own]);
    let pod = created(&namespace, &pod).await.unwrap();
    assert_eq!(mount(&pod["spec"]["containers"][0]), Some(&own));
}

#[tokio::test]
async fn pods_on_their_nodes_network_and_of_jobs_get_it_too_from_1_34() {
    let plane = installed().await.unwrap();
    let namespace = plane.namespace("nodes").await.unwrap();
    let mut on_network = pod();
    on_network["spec"]["hostNetwork"] = json!(true);
    let mut of_job = pod();
    of_job["spec"]["restartPolicy"] = json!("OnFailure");
    for pod in [on_network, of_job] {
        let pod = created(&namespace, &pod).await.unwrap();
        assert_eq!(names(&pod["spec"]["initContainers"]), ["leader-elector"]);
    }
}
