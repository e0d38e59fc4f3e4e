//! The real kubectl, for what users do with it.

use std::{env, path::Path, time::Duration};

use anyhow::{Context as _, Result};
use tokio::process::Command;

use crate::controlplane::Binary;
use elector_xtask::command;

/// Runs kubectl and returns what it printed. `input` is its standard input, as for `apply -f -`.
///
/// # Errors
/// With its own message when it fails; after a minute.
pub async fn kubectl(kubeconfig: &Path, arguments: &[&str], input: &str) -> Result<String> {
    let mut kubectl = Command::new(Binary::Kubectl.ready().await?);
    // What it remembers of a server is wrong for the next one on that port.
    let cache = kubeconfig.with_extension("cache");
    kubectl.args(arguments).arg("--kubeconfig").arg(kubeconfig).arg("--cache-dir").arg(cache);
    command::run(&mut kubectl, input, Duration::from_secs(60)).await
}

/// Runs lines of a POSIX shell, in which kubectl speaks to the cluster of `kubeconfig`, to the first that fails; and returns
/// what they printed.
///
/// # Errors
/// As [`kubectl`].
pub async fn shell(kubeconfig: &Path, lines: &str) -> Result<String> {
    let kubectl = Binary::Kubectl.ready().await?;
    let folder = kubectl.parent().context("kubectl is in no folder")?.display();
    let mut shell = Command::new("sh");
    let path = format!("{folder}:{}", env::var("PATH").unwrap_or_default());
    shell.args(["-e", "-c", lines]).env("PATH", path).env("KUBECONFIG", kubeconfig);
    shell.env("KUBECACHEDIR", kubeconfig.with_extension("cache"));
    command::run(&mut shell, "", Duration::from_secs(60)).await
}
