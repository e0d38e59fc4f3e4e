//! The demo can fail: it judges what it sees.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Result;
use elector_harness::controlplane::{ControlPlane, Options};
use elector_harness::kubectl::kubectl;
use elector_harness::release::install_yaml_for;
use elector_xtask::programs::Programs;
use elector_xtask::scratch::Scratch;

/// The real agent beside the place where its file is looked for. What appears there is copied, and never removed.
const NEVER_REMOVES: &str = r#"#!/bin/sh
shown=$STATUS_FILE
STATUS_FILE=$shown.real
export STATUS_FILE
AGENT "$@" &
agent=$!
trap 'kill -TERM $agent' TERM
while kill -0 $agent 2>/dev/null; do
  if [ -f "$STATUS_FILE" ] && [ ! -f "$shown" ]; then cp "$STATUS_FILE" "$shown"; fi
  sleep 0.05
done
"#;

/// What a demo with this option says that exits with 1.
fn failed(option: &str, value: &Path) -> Result<String> {
    let mut demo = Command::new(env!("CARGO_BIN_EXE_demo"));
    let output = demo.arg(option).arg(value).stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
    let said = String::from_utf8(output.stdout)?;
    assert_eq!(output.status.code(), Some(1), "{said}");
    Ok(said)
}

#[tokio::test]
async fn an_agent_that_never_removes_its_file_makes_it_exit_with_1() {
    let scratch = Scratch::new().unwrap();
    let agent = scratch.path().join("stubborn-agent");
    let real = &Programs::built().await.unwrap().agent;
    fs::write(&agent, NEVER_REMOVES.replace("AGENT", real.to_str().unwrap())).unwrap();
    fs::set_permissions(&agent, fs::Permissions::from_mode(0o755)).unwrap();
    let said = failed("--agent", &agent).unwrap();
    // It got as far as the step in which the file should go.
    assert!(said.contains("SIGTERM to the leader"), "{said}");
    assert!(said.contains("not as it should be: "), "{said}");
}

#[tokio::test]
async fn it_asks_before_it_plays_on_a_server_that_is_not_here() {
    let scratch = Scratch::new().unwrap();
    let kubeconfig = scratch.path().join("kubeconfig");
    let text = "apiVersion: v1\nkind: Config\ncurrent-context: far\n\
                clusters: [{name: far, cluster: {server: 'https://far.example:6443'}}]\n\
                users: [{name: far, user: {token: none}}]\n\
                contexts: [{name: far, context: {cluster: far, user: far}}]\n";
    fs::write(&kubeconfig, text).unwrap();
    let said = failed("--kubeconfig", &kubeconfig).unwrap();
    assert!(said.contains("This plays on https://far.example:6443/. Go on? [y/N]"), "{said}");
}

#[tokio::test]
async fn it_says_at_once_that_a_release_is_there() {
    let plane = ControlPlane::start(Options::default()).await.unwrap();
    let install = install_yaml_for(&plane).await.unwrap();
    kubectl(&plane.kubeconfig(), &["apply", "--server-side", "-f", "-"], &install).await.unwrap();
    let said = failed("--kubeconfig", &plane.kubeconfig()).unwrap();
    let words =
        ["leader-elector is installed on this cluster", "deployment.apps/leader-elector-operator", "first election"];
    assert!(words.iter().all(|word| said.contains(word)), "{said}");
}
