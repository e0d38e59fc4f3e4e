//! What a release of the chart is told of an API server.

use anyhow::Result;
use elector_xtask::helm::install_yaml;

use crate::controlplane::ControlPlane;

/// What the chart needs to be told of an API server beyond what it asks of it.
#[must_use]
pub fn values_for(plane: &ControlPlane) -> &'static [&'static str] {
    if plane.has_mutating_policies() { &[] } else { &["--set=injection.enabled=false"] }
}

/// `charts/install.yaml` as it would be for the release of an API server.
///
/// # Errors
/// As [`install_yaml`].
pub async fn install_yaml_for(plane: &ControlPlane) -> Result<String> {
    let version = format!("--kube-version=1.{}.0", plane.minor());
    let policies = "--api-versions=admissionregistration.k8s.io/v1beta1/MutatingAdmissionPolicy";
    install_yaml(&[&[&version, policies], values_for(plane)].concat()).await
}
