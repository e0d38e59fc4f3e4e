//! Manifests and commands: an API server takes them, and agents know what they set.

use std::collections::BTreeSet;

use anyhow::Result;
use elector_harness::controlplane::ControlPlane;
use elector_harness::kubectl::{kubectl, shell};
use elector_harness::operators::contended;
use elector_xtask::programs::Programs;
use serde::Deserialize as _;
use serde_json::Value;

use crate::page::{Page, code};
use crate::tables::options;

const INSTALLING: &str = "docs/installing.md";
const OPERATING: &str = "docs/operating.md";
pub(crate) const LEARNING: &str = "docs/how-the-app-learns.md";

fn yaml(page: &str, mark: &str) -> Result<String> {
    Ok(Page::read(page)?.block(mark, "yaml")?.to_owned())
}

pub(crate) fn manifest(page: &str, mark: &str) -> Result<Value> {
    Ok(serde_yaml_ng::from_str(&yaml(page, mark)?)?)
}

/// Variables of the agent, as its `--help` names them.
async fn variables() -> Result<BTreeSet<String>> {
    let options = options(&Programs::built().await?.agent, &[])?;
    Ok(options.into_iter().filter_map(|option| option.variable).collect())
}

#[tokio::test]
async fn the_manifests_are_accepted_by_an_api_server() {
    let plane = ControlPlane::shared().await.unwrap();
    let namespace = plane.namespace("docs").await.unwrap();
    let kubeconfig = plane.kubeconfig();
    kubectl(&kubeconfig, &["apply", "-f", "-"], &elector_crds::manifest::manifest()).await.unwrap();
    let established = ["wait", "--for=condition=Established", "crd/leaderelections.leader-elector.io"];
    kubectl(&kubeconfig, &established, "").await.unwrap();
    for (page, mark, created) in [
        ("README.md", "At most one replica acts", "leaderelection.leader-elector.io/billing created"),
        ("README.md", "## The first election", "leaderelection.leader-elector.io/billing created"),
        ("README.md", "## The first election", "deployment.apps/billing created"),
        (INSTALLING, "<!-- manifest:", "deployment.apps/billing created"),
        (INSTALLING, "## Rights", "lease.coordination.k8s.io/billing created"),
        (LEARNING, "<!-- check:", "deployment.apps/billing created"),
        (LEARNING, "<!-- exec:", "deployment.apps/billing created"),
        (LEARNING, "## Service", "leaderelection.leader-elector.io/billing created"),
        (OPERATING, "## Prefer some candidates", "leaderelection.leader-elector.io/billing created"),
        (OPERATING, "## Lead traffic to the leader", "leaderelection.leader-elector.io/billing created"),
    ] {
        let dry_run = ["-n", namespace.name(), "apply", "--dry-run=server", "-f", "-"];
        let said = kubectl(&kubeconfig, &dry_run, &yaml(page, mark).unwrap()).await.unwrap();
        assert!(said.contains(created), "{said}");
    }
}

#[tokio::test]
async fn the_manifest_sets_what_the_agent_reads_and_mounts_what_it_writes() {
    let known = variables().await.unwrap();
    let manifest = manifest(INSTALLING, "<!-- manifest:").unwrap();
    let pod = &manifest["spec"]["template"]["spec"];
    let (agent, app) = (&pod["initContainers"][0], &pod["containers"][0]);
    assert_eq!(agent["restartPolicy"], "Always");
    let environment = agent["env"].as_array().unwrap();
    for variable in environment {
        assert!(known.contains(variable["name"].as_str().unwrap()), "{variable}");
    }
    let status_file = environment.iter().find(|variable| variable["name"] == "STATUS_FILE").unwrap();
    let status_file = status_file["value"].as_str().unwrap();
    for container in [agent, app] {
        let mount = container["volumeMounts"][0]["mountPath"].as_str().unwrap();
        assert_eq!(status_file, format!("{mount}/leader_status"));
    }
    assert!(app["command"].to_string().contains(&format!("[ -f {status_file} ]")));
    assert_eq!(pod["volumes"][0]["emptyDir"]["medium"], "Memory");
    let label = &manifest["spec"]["template"]["metadata"]["labels"][elector_crds::ELECTION_LABEL];
    assert_eq!(label, "billing");
}

#[tokio::test]
async fn the_command_that_is_run_by_the_agent_finds_it_and_its_settings() {
    let known = variables().await.unwrap();
    let manifest = manifest(LEARNING, "<!-- exec:").unwrap();
    let pod = &manifest["spec"]["template"];
    assert_eq!(pod["metadata"]["labels"][elector_crds::ELECTION_LABEL], "billing");
    assert_eq!(pod["metadata"]["labels"]["leader-elector.io/injection"], "disabled");
    let (install, app) = (&pod["spec"]["initContainers"][0], &pod["spec"]["containers"][0]);
    let tools = install["args"][1].as_str().unwrap();
    assert_eq!(install["args"][0], "install");
    assert_eq!(install["volumeMounts"][0]["mountPath"], tools);
    assert_eq!(app["volumeMounts"][0]["mountPath"], tools);
    assert_eq!(app["command"][0], format!("{tools}/elector-agent"));
    for variable in app["env"].as_array().unwrap() {
        assert!(known.contains(variable["name"].as_str().unwrap()), "{variable}");
    }
    let status_file = app["env"].as_array().unwrap().iter().find(|variable| variable["name"] == "STATUS_FILE").unwrap();
    assert_eq!(status_file["value"], app["volumeMounts"][1]["mountPath"]);
}

/// Where the chart's policy puts the files.
#[tokio::test]
async fn who_asks_check_finds_the_program_and_the_files_of_the_injected_agent() {
    let manifest = manifest(LEARNING, "<!-- check:").unwrap();
    let pod = &manifest["spec"]["template"]["spec"];
    let (install, app) = (&pod["initContainers"][0], &pod["containers"][0]);
    let tools = install["args"][1].as_str().unwrap();
    assert_eq!([&install["volumeMounts"][0]["mountPath"], &app["volumeMounts"][0]["mountPath"]], [tools, tools]);
    let variable = |name: &str| {
        let all = app["env"].as_array().unwrap();
        all.iter().find(|variable| variable["name"] == name).unwrap()["value"].as_str().unwrap()
    };
    assert!(variable("PATH").starts_with(&format!("{tools}:")));
    let sidecar: Value = serde_yaml_ng::from_str(include_str!("../../../../agent/src/sidecar.yaml")).unwrap();
    let of_agent = sidecar["initContainers"][0]["env"].as_array().unwrap();
    let status_file = of_agent.iter().find(|variable| variable["name"] == "STATUS_FILE").unwrap();
    assert_eq!(status_file["value"], variable("STATUS_FILE"));
}

#[test]
fn the_rights_that_are_shown_are_four_verbs_on_one_lease() {
    let yaml = yaml(INSTALLING, "## Rights").unwrap();
    let role = Value::deserialize(serde_yaml_ng::Deserializer::from_str(&yaml).next().unwrap()).unwrap();
    let verbs = role["rules"][0]["verbs"].as_array().unwrap();
    assert_eq!(verbs, &["get", "list", "watch", "update"]);
    assert_eq!(role["rules"][0]["resourceNames"][0], "billing");
}

#[tokio::test]
async fn commands_show_who_leads_and_steer() {
    let (namespace, _election, _candidates) = contended("docs-commands").await.unwrap();
    let page = Page::read(OPERATING).unwrap();
    let type_in = async |lines: &str| {
        let lines = lines.replace("kubectl ", &format!("kubectl -n {} ", namespace.name()));
        shell(&namespace.cluster().kubeconfig(), &lines).await.unwrap()
    };
    let commands = page.table("See").unwrap().into_iter().flat_map(|row| code(&row[1]));
    // There is no kubelet that would have logs.
    let commands = commands.filter(|code| code.starts_with("kubectl ") && !code.starts_with("kubectl logs"));
    let commands: Vec<String> = commands.collect();
    assert!(commands.len() >= 3, "{commands:?}");
    for command in commands {
        let said = type_in(&command).await;
        assert!(said.contains("billing-0"), "{command}: {said}");
    }
    for (page, mark) in [(OPERATING, "## Pause"), ("README.md", "## See and steer")] {
        let lines =
            Page::read(page).unwrap().block(mark, "sh").unwrap().replace("billing-7d9-y", "billing-1 --overwrite");
        let said = type_in(&lines).await;
        assert!(said.contains("leaderelection.leader-elector.io/billing annotated"), "{said}");
        assert!(said.contains("leaderelection.leader-elector.io/billing patched"), "{said}");
    }
}
