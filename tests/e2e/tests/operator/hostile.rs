//! What others may write into any object that the operator reads: it costs their own elections at most.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use elector_crds::conditions::{ConditionType, Reason};
use elector_crds::untrusted::{StoredElection, Untrusted};
use elector_crds::{LeaderElection, StoredLease};
use elector_harness::candidate::{AgentOptions, Candidate};
use elector_harness::controlplane::{ControlPlane, Namespace, Options};
use elector_harness::odd_objects::{FAR, Tally, Target};
use elector_harness::operators::{Election, Operators, short_timings};
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::Client;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

/// How long a replica may take to be ready again.
const READY: Duration = Duration::from_secs(10);

/// How many fields of each kind are tried: of a pod there are thousands, which take minutes.
const MOST_FIELDS: usize = 150;

#[tokio::test]
async fn no_field_of_any_object_keeps_the_operator_from_other_elections() {
    attacked().await.unwrap();
}

/// Every kind that the operator watches, as an operator would have made it.
async fn targets(client: &Client) -> Result<Vec<(&'static str, Target)>> {
    let managed = json!({
        "name": "odd",
        "labels": {"app.kubernetes.io/managed-by": "leader-elector-operator", "leader-elector.io/election": "odd"},
    });
    let spec = |spec: Value| json!({"metadata": managed, "spec": spec});
    Ok(vec![
        ("leaderelections", Target::new::<LeaderElection>(client, spec(json!({}))).await?),
        (
            "leases",
            Target::new::<StoredLease>(client, spec(json!({"holderIdentity": "a", "leaseDurationSeconds": 15})))
                .await?,
        ),
        ("pods", Target::new::<Pod>(client, spec(json!({"containers": [{"name": "app", "image": "none"}]}))).await?),
        ("roles", Target::new::<Role>(client, json!({"metadata": managed, "rules": []})).await?),
        (
            "rolebindings",
            Target::new::<RoleBinding>(
                client,
                json!({
                    "metadata": managed,
                    "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "odd"},
                }),
            )
            .await?,
        ),
        (
            "services",
            Target::new::<Service>(client, spec(json!({"clusterIP": "None", "ports": [{"port": 80}]}))).await?,
        ),
        (
            "endpointslices",
            Target::new::<EndpointSlice>(
                client,
                json!({
                    "metadata": managed, "addressType": "IPv4", "endpoints": [], "ports": [],
                }),
            )
            .await?,
        ),
    ])
}

async fn attacked() -> Result<()> {
    let plane = ControlPlane::start(Options::default()).await?;
    let operators = Operators::install(&plane).await?;
    let operator = operators.leader("one").await?;
    let (attacker, neighbour) = (plane.namespace("attacker").await?, plane.namespace("neighbour").await?);
    let before = led(&neighbour, "before").await?;

    let client = attacker.client();
    for (kind, target) in targets(&client).await? {
        let Tally { tried, stored } = target.attack(&client, attacker.name(), MOST_FIELDS).await?;
        eprintln!("{kind}: {} fields, {tried} objects tried, {stored} stored", target.fields().len());
        ensure!(stored > 10, "of {tried} {kind} the API server has stored {stored}: this is no attack");
    }
    // The gravest of them, where it must not be left to the sampling.
    let far = Election::create(&attacker, "far", short_timings()).await?;
    far.until_reason(ConditionType::Ready, Reason::Reconciled).await?;
    let fields = json!({"metadata": {"managedFields": [{
        "manager": "m", "operation": "Update", "apiVersion": "leader-elector.io/v1alpha1", "time": FAR,
        "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {"f:paused": {}}},
    }]}});
    let elections = attacker.api::<Untrusted<StoredElection>>();
    elections.patch(far.name(), &PatchParams::default(), &Patch::Merge(fields)).await?;

    // While it runs.
    let election = Election::create(&neighbour, "while", short_timings()).await?;
    election.until_reason(ConditionType::Ready, Reason::Reconciled).await?;
    // And from nothing but what it finds.
    let begun = Instant::now();
    operator.process().kill();
    operator.process().start()?;
    operator.until_ready().await?;
    let took = begun.elapsed();
    eprintln!("ready again after {took:?}");
    ensure!(took < READY, "ready again after {took:?} only");
    operator.until_leading().await?;
    before.0.until_held_by("before-0").await?;
    let (election, _candidate) = led(&neighbour, "after").await?;
    election.until_held_by("after-0").await?;
    // Of the attacker's own namespace the elections that are as they should be are looked after, too.
    let sane = Election::create(&attacker, "sane", short_timings()).await?;
    sane.until_reason(ConditionType::Ready, Reason::Reconciled).await?;
    Ok(())
}

/// An election with a candidate that leads.
async fn led<'a>(namespace: &Namespace<'a>, name: &str) -> Result<(Election<'a>, Candidate)> {
    let election = Election::create(namespace, name, short_timings()).await?;
    election.until_reason(ConditionType::Ready, Reason::Reconciled).await?;
    let pod = namespace.create_pod(&format!("{name}-0"), "default", &[("leader-elector.io/election", name)]).await?;
    let candidate = Candidate::of_pod(namespace, name, pod, &AgentOptions::default()).await?;
    candidate.process().start()?;
    election.until_held_by(&format!("{name}-0")).await?;
    Ok((election, candidate))
}
