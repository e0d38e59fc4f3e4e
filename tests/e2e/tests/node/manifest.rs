//! The Deployment of `docs/installing.md`, and what else its user makes of it.

use anyhow::{Context as _, Result};
use elector_harness::acts::ACT;
use serde_json::{Value, json};

const PAGE: &str = include_str!("../../../../docs/installing.md");

/// Where its containers have the status files.
const STATUS: &str = "/run/leader-election";
/// Where a container has the program of another's image.
const TOOLS: &str = "/run/elector";
/// Where an app has the log of all, and files that tell it what to do next.
const ACTS: &str = "/acts";

/// How an app knows that its pod leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum App {
    /// It does what the page's does, and nothing else.
    AsShown,
    /// It tests for the file, and then acts; the agent is added by the chart's policy.
    Injected,
    /// It asks `elector-agent check`, and then acts; the agent is added likewise.
    Check,
    /// It is run by `elector-agent exec`, in its own container, without a sidecar; and acts.
    Exec,
    /// As the page's, and the sidecar is ready only while its pod leads.
    Probed,
}

impl App {
    /// The container in which the agent is.
    pub(crate) fn agent(self) -> &'static str {
        match self {
            App::AsShown | App::Injected | App::Check | App::Probed => "leader-elector",
            App::Exec => "app",
        }
    }

    /// How many of its pods are ready when all is well.
    pub(crate) fn ready(self, replicas: usize) -> usize {
        match self {
            App::AsShown | App::Injected | App::Check | App::Exec => replicas,
            App::Probed => 1,
        }
    }

    /// The Deployment; apps that act do so in the log on the volume that is claimed as `acts`. Nothing is pulled.
    pub(crate) fn deployment(self) -> Result<Value> {
        let mut manifest = shown()?;
        if self == App::Exec {
            manifest["spec"]["template"]["metadata"]["labels"]["leader-elector.io/injection"] = json!("disabled");
        }
        let pod = &mut manifest["spec"]["template"]["spec"];
        let app = &mut pod["containers"][0];
        app["imagePullPolicy"] = json!("Never");
        app["resources"] = json!({"limits": {"memory": "32Mi"}});
        app["securityContext"] = restricted();
        match self {
            App::AsShown => return Ok(manifest),
            App::Probed => {
                let probe = json!({"exec": {"command": ["/elector-agent", "check"]}, "periodSeconds": 1});
                pod["initContainers"][0]["readinessProbe"] = probe;
                return Ok(manifest);
            }
            App::Injected => {
                strip(pod);
                act_when(pod, &format!("[ -f {STATUS}/leader_status ]"));
            }
            App::Check => {
                let agent = strip(pod);
                install(pod, &agent)?;
                act_when(pod, &format!("{TOOLS}/elector-agent check 2>/dev/null"));
            }
            App::Exec => {
                let agents = pod["initContainers"].as_array_mut();
                let agent = agents.and_then(Vec::pop).context("no init containers")?;
                install(pod, &agent)?;
                exec(pod, &agent);
            }
        }
        push(&mut pod["volumes"], json!({"name": "acts", "persistentVolumeClaim": {"claimName": "acts"}}))?;
        let app = &mut pod["containers"][0];
        push(&mut app["volumeMounts"], json!({"name": "acts", "mountPath": ACTS}))?;
        push(&mut app["env"], json!({"name": "ACTS", "value": format!("{ACTS}/log")}))?;
        // On the network of its node, a pod has the node's name.
        push(&mut app["env"], json!({"name": "HOSTNAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}))?;
        if self == App::Check {
            push(&mut app["env"], json!({"name": "STATUS_FILE", "value": format!("{STATUS}/leader_status")}))?;
        }
        Ok(manifest)
    }
}

/// What a Deployment is made into.
pub(crate) type Edit = fn(&mut Value);

/// As it is.
pub(crate) fn deployment(_: &mut Value) {}

/// The same pods with names that stay.
pub(crate) fn stateful_set(manifest: &mut Value) {
    manifest["kind"] = json!("StatefulSet");
    manifest["spec"]["serviceName"] = json!("billing");
    manifest["spec"]["podManagementPolicy"] = json!("Parallel");
}

/// The same pods, each of which ends when it has told `act` five times.
pub(crate) fn job(manifest: &mut Value) {
    manifest["apiVersion"] = json!("batch/v1");
    manifest["kind"] = json!("Job");
    let spec = &mut manifest["spec"];
    let pods = spec["replicas"].take();
    let mut template = spec["template"].take();
    template["spec"]["restartPolicy"] = json!("Never");
    *spec = json!({"completions": pods, "parallelism": pods, "template": template});
    for argument in commands(&mut spec["template"]["spec"]["containers"][0]) {
        *argument = json!(argument.as_str().unwrap_or_default().replace(TURN, FIVE_TURNS));
    }
}

/// The same pods, whose agents the chart's policy adds.
pub(crate) fn injected(manifest: &mut Value) {
    strip(&mut manifest["spec"]["template"]["spec"]);
}

/// The same pods, each of which says its name to whoever connects to it; the chart's policy adds their agents.
pub(crate) fn serving(manifest: &mut Value) {
    let pod = &mut manifest["spec"]["template"]["spec"];
    strip(pod);
    let script = format!("trap exit TERM; nc -ll -p {SERVED} -e hostname & wait");
    pod["containers"][0]["command"] = json!(["sh", "-c", script]);
}

/// Where [`serving`] pods do.
pub(crate) const SERVED: u16 = 8080;

/// The same pods, which are ready when the agent in their app's container could lead.
pub(crate) fn asked_by_kubelet(manifest: &mut Value) {
    let app = &mut manifest["spec"]["template"]["spec"]["containers"][0];
    if let Some(settings) = app["env"].as_array_mut() {
        settings.push(json!({"name": "OBSERVE_ADDRESS", "value": ":4041"}));
    }
    app["readinessProbe"] = json!({"httpGet": {"path": "/readyz", "port": 4041}, "periodSeconds": 1});
}

/// The same pods on the network of their node, whose name they share.
pub(crate) fn on_host_network(manifest: &mut Value) {
    manifest["spec"]["template"]["spec"]["hostNetwork"] = json!(true);
}

fn commands(container: &mut Value) -> impl Iterator<Item = &mut Value> {
    container["command"].as_array_mut().into_iter().flatten()
}

fn shown() -> Result<Value> {
    let (_, rest) = PAGE.split_once("<!-- manifest:").context("the page has a manifest")?;
    let (_, rest) = rest.split_once("```yaml\n").context("it is a block of YAML")?;
    let (text, _) = rest.split_once("```").context("the block ends")?;
    Ok(serde_yaml_ng::from_str(text)?)
}

/// What Pod Security "restricted" asks of each container.
fn restricted() -> Value {
    json!({
        "allowPrivilegeEscalation": false,
        "runAsNonRoot": true,
        "runAsUser": 65532,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    })
}

/// Before an app looks again.
const TURN: &str = "sleep 0.05";
/// The same for one that ends, and with it its container, after five acts.
const FIVE_TURNS: &str = r#"{ [ "${acted:-0}" -lt 5 ] || exit 0; } && sleep 0.05"#;

/// For sh: `tell TOKEN` acts, unless a file asks this pod's app to crash, or to take all memory that it can get.
const TELL: &str = r#"tell() {
    if [ -f "$ACTS.crash.$HOSTNAME" ]; then exit 1; fi
    if [ -f "$ACTS.exhaust.$HOSTNAME" ]; then rm "$ACTS.exhaust.$HOSTNAME"; exec tail /dev/zero; fi
    act "$1"; acted=$((acted + 1))
}"#;

/// The app is a loop that looks, finds out its fencing token, and acts.
fn act_when(pod: &mut Value, leads: &str) {
    let token = format!(r#"json=$(cat {STATUS}/leader_status.json 2>/dev/null) && token=${{json#*\"fencingToken\":}}"#);
    let script = format!(
        "{ACT}\n{TELL}\ntrap exit TERM; while {TURN}; do if {leads}; then {token} && tell \"${{token%%,*}}\"; fi; done"
    );
    pod["containers"][0]["command"] = json!(["sh", "-c", script]);
}

/// Takes out the agent, for the chart's policy to add what is shipped, and all that it brings; the agent.
fn strip(pod: &mut Value) -> Value {
    let mut remove = |of: &str, what: &str| pod.pointer_mut(of)?.as_object_mut()?.remove(what);
    remove("/containers/0", "volumeMounts");
    remove("", "volumes");
    remove("", "initContainers").map(|mut agents| agents[0].take()).unwrap_or_default()
}

/// An init container with the image of `agent` leaves its program where the app finds it.
fn install(pod: &mut Value, agent: &Value) -> Result<()> {
    let mount = json!({"name": "tools", "mountPath": TOOLS});
    let init = json!({
        "name": "install",
        "image": agent["image"],
        "args": ["install", TOOLS],
        "securityContext": agent["securityContext"],
        "volumeMounts": [mount],
    });
    push(&mut pod["initContainers"], init)?;
    push(&mut pod["volumes"], json!({"name": "tools", "emptyDir": {}}))?;
    push(&mut pod["containers"][0]["volumeMounts"], mount)
}

/// The app's container is the agent's too, and has no more rights than that.
fn exec(pod: &mut Value, agent: &Value) {
    let app = &mut pod["containers"][0];
    let script =
        format!("{ACT}\n{TELL}\ntrap exit TERM; while {TURN}; do tell \"$LEADER_ELECTION_FENCING_TOKEN\"; done");
    app["command"] = json!([format!("{TOOLS}/elector-agent"), "exec", "--", "sh", "-c", script]);
    for setting in ["env", "securityContext"] {
        app[setting] = agent[setting].clone();
    }
    app["volumeMounts"][0]["readOnly"] = json!(false);
}

fn push(list: &mut Value, item: Value) -> Result<()> {
    if list.is_null() {
        *list = json!([]);
    }
    list.as_array_mut().context("no list")?.push(item);
    Ok(())
}
