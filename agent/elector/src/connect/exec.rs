//! Programs that provide credentials, as kubeconfigs name them.

use std::io::{self, IsTerminal as _};
use std::process::{Command, Stdio};

use kube::config::{ExecConfig, ExecInteractiveMode};
use serde::Deserialize;
use serde_json::json;

/// The credentials that a program has given.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Credential {
    pub(super) token: Option<String>,
    pub(super) expiration_timestamp: Option<String>,
    pub(super) client_certificate_data: Option<String>,
    pub(super) client_key_data: Option<String>,
}

/// Checks that kubectl would run this program.
///
/// # Errors
/// Why kubectl would not run it.
pub(super) fn check(exec: &ExecConfig) -> Result<(), String> {
    let is_set = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
    if !is_set(&exec.command) {
        return Err("exec has no command".to_owned());
    }
    if !is_set(&exec.api_version) {
        return Err("exec has no apiVersion".to_owned());
    }
    let is_v1 = exec.api_version.as_deref() == Some("client.authentication.k8s.io/v1");
    if is_v1 && exec.interactive_mode.is_none() {
        return Err("exec has no interactiveMode".to_owned());
    }
    Ok(())
}

/// Runs the program that a user of a kubeconfig names, to its end. The program may ask the person at the terminal,
/// unless the kubeconfig says that it never does.
///
/// # Errors
/// If the program cannot be run, fails, gives no credentials, or must ask a person and there is no terminal.
pub(super) fn run(exec: &ExecConfig) -> Result<Credential, String> {
    #[derive(Deserialize)]
    struct ExecCredential {
        status: Option<Credential>,
    }
    check(exec)?;
    let program = exec.command.as_deref().unwrap_or_default();
    let may_ask = exec.interactive_mode != Some(ExecInteractiveMode::Never) && io::stdin().is_terminal();
    if exec.interactive_mode == Some(ExecInteractiveMode::Always) && !may_ask {
        return Err(format!("{program:?} must ask a person at a terminal, and there is no terminal"));
    }
    let mut spec = json!({"interactive": may_ask});
    if let Some(cluster) = &exec.cluster {
        spec["cluster"] = serde_json::to_value(cluster).map_err(|error| error.to_string())?;
    }
    let info = json!({"apiVersion": exec.api_version, "kind": "ExecCredential", "spec": spec});
    let mut command = Command::new(program);
    command.args(exec.args.iter().flatten()).env("KUBERNETES_EXEC_INFO", info.to_string());
    for variable in exec.env.iter().flatten() {
        if let (Some(name), Some(value)) = (variable.get("name"), variable.get("value")) {
            command.env(name, value);
        }
    }
    let stdin = if may_ask { Stdio::inherit() } else { Stdio::null() };
    let output = command.stdin(stdin).stderr(Stdio::inherit()).output();
    let output = output.map_err(|error| format!("failed to run {program:?}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{program:?} gave no credentials: {}", output.status));
    }
    let given: ExecCredential = serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("what {program:?} printed is no ExecCredential: {error}"))?;
    given.status.ok_or_else(|| format!("what {program:?} printed has no status"))
}
