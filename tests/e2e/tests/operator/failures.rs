//! One LeaderElection that cannot be served never stops the others, and is served as soon as it can be.

use std::time::Duration;

use anyhow::Result;
use elector_crds::conditions::{ConditionType, Reason, find};
use elector_crds::{LeaderElection, TIMINGS_ANNOTATION};
use elector_harness::candidate::{AgentOptions, Candidate, leader};
use elector_harness::controlplane::{ControlPlane, Options};
use elector_harness::operators::{Election, Operators, place, short_timings};
use k8s_openapi::api::core::v1::ResourceQuota;
use k8s_openapi::api::rbac::v1::Role;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, CustomResourceExt};
use serde_json::{Value, json};

fn ready_message(election: &LeaderElection) -> &str {
    let conditions = election.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    find(conditions, ConditionType::Ready).map(|ready| ready.message.as_str()).unwrap_or_default()
}

#[tokio::test]
async fn an_obstacle_in_one_namespace_is_told_there_and_is_over_when_it_goes() {
    obstacle().await.unwrap();
}

async fn obstacle() -> Result<()> {
    let namespace = place("quota").await?;
    let quotas: Api<ResourceQuota> = namespace.api();
    let hard = json!({"count/roles.rbac.authorization.k8s.io": "0"});
    let quota: ResourceQuota = serde_json::from_value(json!({"metadata": {"name": "none"}, "spec": {"hard": hard}}))?;
    quotas.create(&PostParams::default(), &quota).await?;
    // As the controller of quotas would.
    let status = Patch::Merge(json!({"status": {"hard": hard, "used": hard}}));
    quotas.patch_status("none", &PatchParams::default(), &status).await?;
    refuses_roles(&namespace.api()).await?;

    let election = Election::create(&namespace, "billing", short_timings()).await?;
    let stored = election.until_reason(ConditionType::Ready, Reason::Forbidden).await?;
    let message = ready_message(&stored);
    assert!(message.starts_with("the operator may not apply the Role: "), "{message}");
    assert!(message.contains("exceeded quota: none"), "{message}");

    let elsewhere = place("no-quota").await?;
    let other = Election::create(&elsewhere, "billing", short_timings()).await?;
    other.until_reason(ConditionType::Ready, Reason::Reconciled).await?;
    // The rest of the status is kept up meanwhile.
    namespace.create_pod("billing-0", "default", &[("leader-elector.io/election", "billing")]).await?;
    election.until_reason(ConditionType::CandidatesReady, Reason::SomeNotReady).await?;
    assert_eq!(election.lease().await?.spec, other.lease().await?.spec);

    quotas.delete("none", &Default::default()).await?;
    election.until_reason(ConditionType::Ready, Reason::Reconciled).await?;
    namespace.api::<Role>().get("leader-elector-billing").await?;
    Ok(())
}

/// Waits until admission has heard of the quota.
async fn refuses_roles(roles: &Api<Role>) -> Result<()> {
    for number in 0..200 {
        let mut role = Role::default();
        role.metadata.name = Some(format!("probe-{number}"));
        match roles.create(&PostParams::default(), &role).await {
            Err(kube::Error::Api(status)) if status.is_forbidden() => return Ok(()),
            Err(error) => return Err(error.into()),
            Ok(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
    anyhow::bail!("the quota has no effect")
}

/// The CustomResourceDefinition as it would have been before there were rules.
fn without_rules() -> Result<String> {
    fn strip(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                fields.remove("x-kubernetes-validations");
                fields.values_mut().for_each(strip);
            }
            Value::Array(items) => items.iter_mut().for_each(strip),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let mut definition = json!(LeaderElection::crd());
    strip(&mut definition);
    Ok(definition.to_string())
}

#[tokio::test]
async fn a_spec_that_was_stored_before_the_rules_is_refused_and_the_others_go_on() {
    invalid().await.unwrap();
}

async fn invalid() -> Result<()> {
    let plane = ControlPlane::start(Options::default()).await?;
    let operators = Operators::install_with(&plane, &without_rules()?).await?;
    let operator = operators.leader("one").await?;
    let namespace = plane.namespace("invalid").await?;
    let bad = json!({"leaseDurationSeconds": 15, "renewDeadlineSeconds": 12, "retryPeriodSeconds": 2});
    let refusal = "spec: renewDeadlineSeconds is 12; with leaseDurationSeconds 15 it can be 11 at most";

    let broken = Election::create(&namespace, "broken", bad.clone()).await?;
    let stored = broken.until_reason(ConditionType::Ready, Reason::InvalidSpec).await?;
    assert_eq!(ready_message(&stored), refusal);
    assert_eq!(broken.events().await?, [("InvalidSpec".to_owned(), refusal.to_owned())]);
    assert!(broken.lease().await.is_err());
    // Whatever else may be stored: the operator must read it, and the rest of the list.
    let odd = json!({"candidates": {"selector": {}}, "releaseDelaySeconds": -5, "retryPeriodSeconds": 0});
    let odd = Election::create(&namespace, "odd", odd).await?;
    odd.until_reason(ConditionType::Ready, Reason::InvalidSpec).await?;

    let election = Election::create(&namespace, "billing", short_timings()).await?;
    election.until_reason(ConditionType::Ready, Reason::Reconciled).await?;
    let candidates = [Candidate::start(&namespace, "billing", "billing-0", &AgentOptions::default()).await?];
    let since = leader(&candidates, Duration::from_secs(5)).await?.leads_since()?;
    election.until_held_by("billing-0").await?;

    // A good one that turns bad: what is in place stays, the leader leads on, and expiry is still told.
    let timings = election.lease().await?.annotation(TIMINGS_ANNOTATION).map(str::to_owned);
    election.apply(bad).await?;
    election.until_reason(ConditionType::Ready, Reason::InvalidSpec).await?;
    assert_eq!(election.lease().await?.annotation(TIMINGS_ANNOTATION).map(str::to_owned), timings);
    assert_eq!(candidates[0].leads_since()?, since);
    election.until_held_by("billing-0").await?;

    // The same after a restart, when all three are read as a list.
    operator.process().stop().await?;
    operator.process().start()?;
    operator.until_ready().await?;
    operator.until_leading().await?;
    broken.apply(short_timings()).await?;
    broken.until_reason(ConditionType::Ready, Reason::Reconciled).await?;
    election.apply(short_timings()).await?;
    election.until_reason(ConditionType::Ready, Reason::Reconciled).await?;
    assert_eq!(election.event_reasons().await?, ["LeaderElected", "InvalidSpec"]);
    // Nobody has watched it being made, so that it may have a past.
    assert_eq!(broken.event_reasons().await?, ["InvalidSpec", "LeaseCreated"]);
    Ok(())
}
