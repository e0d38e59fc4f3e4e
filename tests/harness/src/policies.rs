//! When the policies of an API server are in force.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::{controlplane::ControlPlane, kubectl::kubectl};

/// How long an API server may take to learn of a policy. It takes a second.
const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until every policy that was made before is in force.
///
/// An API server watches policies and bindings, each in the order in which they were made. So two more are made, one of
/// each kind that the server has: once both act, those before them do.
///
/// # Errors
/// When they do not act within half a minute, and when the API server refuses them.
pub async fn until_in_force(plane: &ControlPlane) -> Result<()> {
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    let name = format!("policies-in-force-{}", CALLS.fetch_add(1, Ordering::Relaxed));
    let kubeconfig = plane.kubeconfig();
    let markers = markers(plane, &name).to_string();
    kubectl(&kubeconfig, &["apply", "--filename=-"], &markers).await?;
    let probe = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"}});
    let begun = Instant::now();
    loop {
        match kubectl(&kubeconfig, &["create", "--dry-run=server", "--filename=-"], &probe.to_string()).await {
            Err(error) if error.to_string().contains(&name) => break,
            Err(error) => bail!(error),
            Ok(_) => ensure!(begun.elapsed() < PATIENCE, "policies are not in force after {PATIENCE:?}"),
        }
        sleep(Duration::from_millis(100)).await;
    }
    kubectl(&kubeconfig, &["delete", "--filename=-"], &markers).await?;
    Ok(())
}

/// A policy that marks the probe, where there are such policies, and one that refuses it once it is marked.
fn markers(plane: &ControlPlane, name: &str) -> Value {
    const GROUP: &str = "admissionregistration.k8s.io";
    let constraints = json!({
        "resourceRules": [
            {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"],
             "resourceNames": [name]},
        ],
    });
    let object = |version: &str, kind: &str, spec: Value| json!({"apiVersion": format!("{GROUP}/{version}"), "kind": kind, "metadata": {"name": name}, "spec": spec});
    let mutating = plane.mutating_policies();
    let marked = if mutating.is_some() { "!has(object.metadata.labels)" } else { "false" };
    let refusing = json!({"matchConstraints": constraints, "validations": [{"expression": marked, "message": name}]});
    let mut items = vec![
        object("v1", "ValidatingAdmissionPolicy", refusing),
        object("v1", "ValidatingAdmissionPolicyBinding", json!({"policyName": name, "validationActions": ["Deny"]})),
    ];
    if let Some(version) = mutating {
        let label = "Object{metadata: Object.metadata{labels: {'in': 'force'}}}";
        let marking = json!({
            "matchConstraints": constraints,
            "reinvocationPolicy": "Never",
            "mutations": [{"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": label}}],
        });
        items.push(object(version, "MutatingAdmissionPolicy", marking));
        items.push(object(version, "MutatingAdmissionPolicyBinding", json!({"policyName": name})));
    }
    json!({"apiVersion": "v1", "kind": "List", "items": items})
}
