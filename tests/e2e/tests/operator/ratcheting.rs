//! Limits that came later: what was stored before them goes on working.

use anyhow::{Context as _, Result, ensure};
use elector_crds::conditions::{ConditionType, Reason};
use elector_crds::{LeaderElection, ROLE_LABEL, manifest};
use elector_harness::controlplane::{ControlPlane, Namespace, Options};
use elector_harness::kubectl::kubectl;
use elector_harness::operators::{Election, OPERATOR, Operators};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Map, Value, json};
use tokio::time::{Duration, sleep};

/// The definition without any limit of lengths, counts and characters, as one that is older than them.
fn without_limits() -> Result<String> {
    let mut definition: Value = serde_yaml_ng::from_str(&manifest::manifest())?;
    remove_limits(&mut definition["spec"]["versions"][0]["schema"]);
    Ok(definition.to_string())
}

fn remove_limits(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            // A field may be called so, too.
            for limit in ["maxLength", "maxItems", "maxProperties", "pattern"] {
                if fields.get(limit).is_some_and(|limit| !limit.is_object()) {
                    fields.remove(limit);
                }
            }
            // A rule is only taken where it is known how much it has to look at.
            fields.remove("x-kubernetes-validations");
            fields.values_mut().for_each(remove_limits);
        }
        Value::Array(items) => items.iter_mut().for_each(remove_limits),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Selectors that the limits refuse.
fn refused() -> Vec<Value> {
    let many: Map<String, Value> = (0..200).map(|number| (format!("label-{number}"), json!("a"))).collect();
    let expressions =
        |values: Value| json!({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": values}]});
    vec![
        json!({"matchLabels": {"app": "a,b=c"}}),
        json!({"matchLabels": {"app": "a in (b)"}}),
        json!({"matchLabels": {"app,b": "c"}}),
        json!({"matchLabels": {"app": "\u{ffff}\u{7f}\u{202e}"}}),
        json!({"matchLabels": {"app": "a".repeat(40_000)}}),
        json!({"matchLabels": {"a".repeat(400): "a"}}),
        json!({"matchLabels": many}),
        expressions(json!(["a),b in (c"])),
        expressions(json!((0..100).map(|number| number.to_string()).collect::<Vec<_>>())),
        json!({"matchExpressions": [{"key": "\u{7f}", "operator": "Exists"}]}),
    ]
}

/// Not by an apply, which takes fewer characters.
async fn create<'a>(namespace: &Namespace<'a>, name: &str, spec: Value) -> Result<Election<'a>> {
    let election = json!({"metadata": {"name": name}, "spec": spec});
    let election = serde_json::from_value::<LeaderElection>(election)?;
    namespace.api().create(&PostParams::default(), &election).await?;
    Ok(Election::named(namespace, name))
}

async fn patched(
    elections: &kube::Api<LeaderElection>,
    name: &str,
    patch: Value,
) -> Result<LeaderElection, kube::Error> {
    elections.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await
}

#[tokio::test]
async fn what_was_stored_before_the_limits_goes_on_working_from_1_34() {
    ratcheted().await.unwrap();
}

async fn ratcheted() -> Result<()> {
    let plane = ControlPlane::start(Options::default()).await?;
    let operators = Operators::install_with(&plane, &without_limits()?).await?;
    let namespace = plane.namespace("old").await?;
    let elections = namespace.api::<LeaderElection>();
    let mut old = Vec::new();
    for (selector, number) in refused().into_iter().zip(0..) {
        let name = format!("old-{number}");
        let spec = json!({"candidates": {"selector": selector}, "podLabels": "Enabled"});
        old.push(create(&namespace, &name, spec).await.with_context(|| name.clone())?);
        // As an operator that is older wrote it.
        let status = json!({
            "apiVersion": "leader-elector.io/v1alpha1", "kind": "LeaderElection",
            "status": {"holder": {"name": "h".repeat(5_000), "identity": "h".repeat(5_000)}},
        });
        elections.patch_status(&name, &PatchParams::apply(OPERATOR), &Patch::Apply(status)).await?;
    }

    kubectl(&plane.kubeconfig(), &["apply", "-f", "-"], &manifest::manifest()).await?;
    // The API server takes a moment to go by it.
    let begun = std::time::Instant::now();
    let refused_spec = || json!({"candidates": {"selector": refused()[0]}});
    while create(&namespace, &format!("new-{}", begun.elapsed().as_millis()), refused_spec()).await.is_ok() {
        ensure!(begun.elapsed() < Duration::from_secs(20), "the limits are not served");
        sleep(Duration::from_millis(100)).await;
    }
    for selector in refused() {
        let spec = json!({"candidates": {"selector": selector}});
        ensure!(create(&namespace, "newer", spec).await.is_err(), "{selector}");
    }

    // People and the operator go on with the rest of it.
    for election in &old {
        let name = election.name();
        patched(&elections, name, json!({"spec": {"leaseDurationSeconds": 20}}))
            .await
            .with_context(|| name.to_owned())?;
    }
    let _operator = operators.leader("one").await?;
    for election in &old {
        let reported = election.until_reason(ConditionType::Ready, Reason::Reconciled).await?;
        let status = reported.status.unwrap_or_default();
        ensure!(status.holder.is_none() && status.candidates == Some(0), "{status:?}");
        // Another value is refused as a first one is; one that holds to the limits is not.
        let name = election.name();
        let worse = json!({"spec": {"candidates": {"selector": {"matchLabels": {"app": "d,e"}}}}});
        ensure!(patched(&elections, name, worse).await.is_err(), "{name}");
    }

    // A selector that no request can say is held against what it finds.
    let candidate = namespace.create_pod("old-7-a", "default", &[("app", "old")]).await?;
    namespace.set_pod_ready("old-7-a", true).await?;
    namespace.hold_lease("old-7", "old-7-a", 60).await?;
    let renewed = format!("{:.6}", jiff::Timestamp::now());
    namespace.edit_lease("old-7", json!({"spec": {"renewTime": renewed}})).await?;
    let pods = namespace.api::<Pod>();
    let begun = std::time::Instant::now();
    while pods.get(&candidate.name_any()).await?.labels().get(ROLE_LABEL).map(String::as_str) != Some("leader") {
        ensure!(begun.elapsed() < Duration::from_secs(20), "{:?}", old[7].get().await?.status);
        sleep(Duration::from_millis(100)).await;
    }
    let better = json!({"spec": {"candidates": {"selector": {"matchExpressions": null, "matchLabels": {"app": "d"}}}}});
    patched(&elections, "old-0", better).await?;
    Ok(())
}
