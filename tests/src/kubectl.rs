//! The real kubectl, for what users do with it.

use std::{path::Path, time::Duration};

use anyhow::Result;
use tokio::process::Command;

use crate::{command, controlplane::Binary};

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
