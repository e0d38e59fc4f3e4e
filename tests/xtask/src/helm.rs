//! The real helm, and what writes a chart's README: built from the module `tests/go/helm`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::process::Command;

use crate::command;
use crate::gobuild::GoProgram;
use crate::root;

/// The newest Kubernetes that the project is tested on: what charts are rendered for where there is no cluster to ask.
const KUBERNETES: &str = "--kube-version=1.37.0";

const HELM: &str = "helm.sh/helm/v4";
const HELM_DOCS: &str = "github.com/norwoodj/helm-docs";

/// The chart as it is shipped.
#[must_use]
pub fn chart() -> PathBuf {
    root().join("charts/leader-elector")
}

/// Runs helm on the cluster of `kubeconfig`, or without one, and returns what it printed.
///
/// # Errors
/// With its own message when it fails; after two minutes. When it has to be built and can't be.
pub async fn helm(kubeconfig: Option<&Path>, arguments: &[&str]) -> Result<String> {
    let mut helm = Command::new(program().await?);
    // Nobody's plugins, repositories or remembered servers.
    let nowhere = kubeconfig.unwrap_or(Path::new("/nonexistent/kubeconfig"));
    let home = nowhere.with_extension("helm");
    helm.env("KUBECONFIG", nowhere).env("HOME", &home).args(arguments);
    for folder in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
        helm.env(folder, home.join(folder));
    }
    command::run(&mut helm, "", Duration::from_secs(120)).await
}

/// Where helm is, for what runs it itself.
///
/// # Errors
/// When it has to be built and can't be.
pub async fn program() -> Result<PathBuf> {
    built(HELM, "helm").await
}

/// What is made from the chart and checked in, with where it is kept: its README, and a file for those who have no helm.
///
/// # Errors
/// As [`helm`].
pub async fn generated() -> Result<[(PathBuf, String); 2]> {
    Ok([
        (chart().join("README.md"), readme().await?),
        (chart().join("../install.yaml"), install_yaml(&[KUBERNETES]).await?),
    ])
}

/// As its template and the comments in values.yaml make it.
async fn readme() -> Result<String> {
    let mut docs = Command::new(built(HELM_DOCS, "helm-docs").await?);
    docs.arg("--chart-search-root").arg(chart()).args(["--dry-run", "--log-level=error", "--sort-values-order=file"]);
    command::run(&mut docs, "", Duration::from_secs(60)).await
}

/// All objects of a release called `leader-elector` in a namespace of that name, with the default values and what `more` says.
///
/// # Errors
/// As [`helm`].
pub async fn install_yaml(more: &[&str]) -> Result<String> {
    let chart = chart();
    let chart = chart.to_str().context("a path that is no text")?;
    let release = ["template", "leader-elector", chart, "--namespace=leader-elector"];
    let objects = helm(None, &[&release[..], more].concat()).await?;
    // Nothing that says it is helm's: it would not take it over either.
    let is_helms = |line: &&str| {
        let line = line.trim_start();
        line.starts_with("helm.sh/") || line == "app.kubernetes.io/managed-by: Helm"
    };
    let objects: Vec<&str> = objects.lines().filter(|line| !is_helms(line)).collect();
    Ok(format!("{INSTALL_HEAD}{}\n", objects.join("\n")))
}

const INSTALL_HEAD: &str = "\
# Generated from charts/leader-elector by `cargo chartgen`, for Kubernetes 1.36 and later; its README says how to apply it.
apiVersion: v1
kind: Namespace
metadata:
  name: leader-elector
  labels:
    pod-security.kubernetes.io/enforce: restricted
";

async fn built(module: &'static str, name: &'static str) -> Result<PathBuf> {
    tokio::task::spawn_blocking(move || GoProgram::pinned("helm", module, name)?.path()).await?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_is_keyed_by_version() {
        let key = GoProgram::pinned("helm", HELM, "helm").unwrap().key;
        assert!(key.starts_with("helm/helm-4."), "{key}");
    }
}
