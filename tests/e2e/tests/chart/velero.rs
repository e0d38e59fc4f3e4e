//! A namespace that is restored from a backup, as Velero does it: objects without uid, owners, status and addresses, and with its labels.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use elector_crds::StoredLease;
use elector_crds::conditions::{ConditionType, Reason};
use elector_harness::candidate::{AgentOptions, Candidate};
use elector_harness::cluster::Namespace;
use elector_harness::kubectl::kubectl;
use elector_harness::operators::{Election, short_timings};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::ResourceExt as _;
use serde_json::{Value, json};

use crate::release::operated;

const SOON: Duration = Duration::from_secs(20);

/// What Velero leaves out of an object's metadata.
const NOT_RESTORED: [&str; 7] =
    ["generateName", "uid", "resourceVersion", "generation", "creationTimestamp", "ownerReferences", "managedFields"];

/// All of one kind.
async fn backup(namespace: &Namespace<'_>, kind: &str) -> Result<Vec<Value>> {
    let get = ["-n", namespace.name(), "get", kind, "--output=json"];
    let list: Value = serde_json::from_str(&kubectl(&namespace.cluster().kubeconfig(), &get, "").await?)?;
    list["items"].as_array().cloned().context("no list")
}

async fn restore(namespace: &Namespace<'_>, mut object: Value) -> Result<String> {
    let metadata = object["metadata"].as_object_mut().context("no metadata")?;
    metadata.retain(|field, _| !NOT_RESTORED.contains(&&**field));
    metadata.insert("namespace".to_owned(), json!(namespace.name()));
    object["metadata"]["labels"]["velero.io/backup-name"] = json!("nightly");
    object["metadata"]["labels"]["velero.io/restore-name"] = json!("nightly-1");
    object.as_object_mut().context("no object")?.remove("status");
    for subject in object.get_mut("subjects").and_then(Value::as_array_mut).into_iter().flatten() {
        subject["namespace"] = json!(namespace.name());
    }
    if object["kind"] == "Service" {
        object["spec"].as_object_mut().context("no spec")?.retain(|field, _| !field.starts_with("clusterIP"));
    }
    kubectl(&namespace.cluster().kubeconfig(), &["create", "--filename=-"], &object.to_string()).await
}

#[tokio::test]
async fn a_namespace_that_is_restored_elects_anew_and_its_lease_does_not_come_back() {
    restored().await.unwrap();
}

async fn restored() -> Result<()> {
    let plane = operated().await?;
    let before = plane.namespace("backed-up").await?;
    let mut spec = short_timings();
    spec["leaderService"] = json!({"name": "front", "ports": [{"port": 80}]});
    let election = Election::create(&before, "billing", spec).await?;
    let leader = Candidate::start(&before, "billing", "billing-0", &AgentOptions::default()).await?;
    leader.leads_within(SOON).await?;
    election.until_held_by("billing-0").await?;
    election.until_reason(ConditionType::Ready, Reason::Reconciled).await?;

    let after = plane.namespace("restored").await?;
    let lease = backup(&before, "leases").await?.pop().context("no Lease")?;
    let said = restore(&after, lease).await.expect_err("it is refused").to_string();
    ensure!(said.contains("only the operator of leader-elector may create a Lease with this mark"), "{said}");
    let candidate = Candidate::start(&after, "billing", "billing-0", &AgentOptions::default()).await?;
    // In the order of Velero, which restores pods before what is nobody's but a custom resource.
    for kind in ["services", "leaderelections", "rolebindings", "roles"] {
        for object in backup(&before, kind).await? {
            match restore(&after, object).await {
                // It leaves what is there: the operator was faster.
                Err(error) if !error.to_string().contains("AlreadyExists") => return Err(error),
                Ok(_) | Err(_) => {}
            }
        }
    }
    let again = Election::named(&after, "billing");
    let uid = again.get().await?.uid().context("no uid")?;
    candidate.leads_within(SOON).await?;
    again.until_held_by("billing-0").await?;
    again.until_reason(ConditionType::Ready, Reason::Reconciled).await?;
    let role: Role = after.api().get("leader-elector-billing").await?;
    let binding: RoleBinding = after.api().get("leader-elector-billing").await?;
    let service: Service = after.api().get("front").await?;
    let lease: StoredLease = after.api().get("billing").await?;
    let owners = [&role.metadata, &binding.metadata, &service.metadata, &lease.metadata]
        .map(|metadata| metadata.owner_references.iter().flatten().map(|owner| &*owner.uid).collect::<Vec<_>>());
    ensure!(owners == [[&*uid]; 4].map(Vec::from), "{owners:?}");
    ensure!(leader.leads(), "the one that was backed up leads on");
    Ok(())
}
