//! The real kubectl, for what users do with it.

use std::{path::Path, process::Stdio, time::Duration};

use anyhow::{Context, Result, bail};
use tokio::{io::AsyncWriteExt, process::Command, time::timeout};

use crate::controlplane::Binary;

/// Runs kubectl and returns what it printed. `input` is its standard input, as for `apply -f -`.
///
/// # Errors
/// With its own message when it fails; after a minute.
pub async fn kubectl(kubeconfig: &Path, arguments: &[&str], input: &str) -> Result<String> {
    let command = format!("kubectl {}", arguments.join(" "));
    let mut child = Command::new(Binary::Kubectl.ready().await?)
        .arg("--kubeconfig")
        .arg(kubeconfig)
        // What it remembers of a server is wrong for the next one on that port.
        .arg("--cache-dir")
        .arg(kubeconfig.with_extension("cache"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("failed to run {command}"))?;
    let mut stdin = child.stdin.take().context("kubectl has no stdin")?;
    let run = async {
        // One that doesn't read its input closes it.
        let _ = stdin.write_all(input.as_bytes()).await;
        drop(stdin);
        child.wait_with_output().await
    };
    let output =
        timeout(Duration::from_secs(60), run).await.with_context(|| format!("{command} took over a minute"))??;
    if !output.status.success() {
        bail!("{command} failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8(output.stdout)?)
}
