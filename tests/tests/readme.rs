//! What the README shows is what the programs do.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use anyhow::Result;
use elector_tests::controlplane::ControlPlane;
use elector_tests::kubectl::kubectl;
use elector_tests::programs::Programs;
use serde::Deserialize as _;

const README: &str = include_str!("../../README.md");

/// The first block of YAML after `mark`.
fn yaml_after(mark: &str) -> &'static str {
    let (_, rest) = README.split_once(mark).expect("the README has the mark");
    let (_, rest) = rest.split_once("```yaml\n").expect("a block of YAML follows");
    rest.split_once("```").expect("the block ends").0
}

/// Variables of the agent, as its `--help` names them.
async fn variables() -> Result<BTreeSet<String>> {
    variables_of(&Programs::built().await?.agent)
}

fn variables_of(program: &Path) -> Result<BTreeSet<String>> {
    let help = String::from_utf8(Command::new(program).arg("--help").env_clear().output()?.stdout)?;
    let names = help.split("[env: ").skip(1).filter_map(|rest| rest.split('=').next());
    Ok(names.map(str::to_owned).collect())
}

#[tokio::test]
async fn the_manifests_are_accepted_by_an_api_server() {
    let plane = ControlPlane::shared().await.unwrap();
    let namespace = plane.namespace("readme").await.unwrap();
    let kubeconfig = plane.kubeconfig();
    kubectl(&kubeconfig, &["apply", "-f", "-"], &elector_crds::manifest::manifest()).await.unwrap();
    let established = ["wait", "--for=condition=Established", "crd/leaderelections.leader-elector.io"];
    kubectl(&kubeconfig, &established, "").await.unwrap();
    for (mark, created) in [
        ("exactly one acts", "leaderelection.leader-elector.io/billing created"),
        ("the LeaderElection names it:", "leaderelection.leader-elector.io/billing created"),
        ("<!-- manifest:", "deployment.apps/billing created"),
        ("<!-- exec:", "deployment.apps/billing created"),
        ("## Rights", "lease.coordination.k8s.io/billing created"),
    ] {
        let dry_run = ["-n", namespace.name(), "apply", "--dry-run=server", "-f", "-"];
        let said = kubectl(&kubeconfig, &dry_run, yaml_after(mark)).await.unwrap();
        assert!(said.contains(created), "{said}");
    }
}

#[tokio::test]
async fn the_manifest_sets_what_the_agent_reads_and_mounts_what_it_writes() {
    let known = variables().await.unwrap();
    let manifest: serde_json::Value = serde_yaml_ng::from_str(yaml_after("<!-- manifest:")).unwrap();
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
    let manifest: serde_json::Value = serde_yaml_ng::from_str(yaml_after("<!-- exec:")).unwrap();
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

#[tokio::test]
async fn the_tables_of_settings_are_complete() {
    let mut of_agent = listed("## Settings of the agent", "In whole seconds");
    // Read by the client library, as everywhere.
    assert!(of_agent.remove("KUBECONFIG"));
    assert_eq!(of_agent, variables().await.unwrap());
    let operator = variables_of(&Programs::built().await.unwrap().operator).unwrap();
    assert_eq!(listed("## Settings of the operator", "## Rights"), operator);
}

/// In the first column of a table.
fn listed(from: &str, to: &str) -> BTreeSet<String> {
    let (_, rest) = README.split_once(from).expect("the README has the heading");
    let (table, _) = rest.split_once(to).expect("the table ends");
    let first_column = table.lines().filter_map(|line| line.strip_prefix("| `")?.split(" |").next());
    first_column.flat_map(|cell| cell.split("`, `")).map(|name| name.trim_matches('`').to_owned()).collect()
}

#[test]
fn every_cargo_command_is_an_alias_or_cargos_own() {
    let config = include_str!("../../.cargo/config.toml");
    let commands: BTreeSet<&str> = README
        .split("`cargo ")
        .skip(1)
        .filter_map(|rest| rest.split(['`', ' ']).next())
        .filter(|command| !["test", "run", "build"].contains(command))
        .collect();
    assert!(commands.contains("demo"));
    for command in commands {
        assert!(config.contains(&format!("\n{command} = ")), "cargo {command} is no alias");
    }
}

#[test]
fn the_rights_that_are_shown_are_four_verbs_on_one_lease() {
    let role = serde_yaml_ng::Deserializer::from_str(yaml_after("## Rights")).next().unwrap();
    let role = serde_json::Value::deserialize(role).unwrap();
    let verbs = role["rules"][0]["verbs"].as_array().unwrap();
    assert_eq!(verbs, &["get", "list", "watch", "update"]);
    assert_eq!(role["rules"][0]["resourceNames"][0], "billing");
}
