//! Objects that are as large as the API server lets them be, in one namespace.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use elector_crds::conditions::{ConditionType, Reason};
use elector_harness::controlplane::{ControlPlane, Namespace, Options};
use elector_harness::machine::memory;
use elector_harness::operators::{Election, Operator, Operators, arguments};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use kube::Api;
use kube::api::{DynamicObject, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Map, Value, json};

use crate::Figure;
use crate::neighbour;

/// How often an object is sent until it is given up: all of them together are more than an etcd is made for.
const ATTEMPTS: usize = 5;

/// Requests at a time.
const AT_ONCE: usize = 4;

/// What the chart gives the operator, in MiB.
const MEMORY_LIMIT: f64 = 256.0;

/// What the API server's collector of garbage aims at, that all of it and etcd fit into 24 GiB.
const API_SERVER_MEMORY: &str = "13GiB";

/// How long a restarted operator may take to list everything: 0.2 s of a processor of the API server for each 1.2 MB.
const READY_PATIENCE: Duration = Duration::from_secs(900);

/// How many elections neighbours make.
const ELECTIONS: usize = 100;

pub(crate) async fn attack(program: &Path, share: usize) -> Result<Vec<Figure>> {
    let etcd_arguments = vec!["--quota-backend-bytes=8589934592".to_owned()];
    let api_server_environment = vec![("GOMEMLIMIT".to_owned(), API_SERVER_MEMORY.to_owned())];
    let plane = ControlPlane::start(Options { etcd_arguments, api_server_environment, ..Options::default() }).await?;
    let operators = Operators::install(&plane).await?;
    let operator = operators.replica_of("attacked", program.to_owned(), arguments(operators.namespace().name()))?;
    operator.process().start()?;
    operator.until_ready().await?;
    operator.until_leading().await?;
    let (attacker, home) = (plane.namespace("attacker").await?, plane.namespace("home").await?);
    let first = Election::create(&home, "first", json!({})).await?;
    first.until_reason(ConditionType::Ready, Reason::Reconciled).await?;

    eprintln!("1.4 MB in each of {} Leases", 1000 / share);
    let lease = |number: usize| {
        json!({"metadata": {"name": format!("lease-{number}")},
               "spec": {"holderIdentity": format!("{number}-{}", "h".repeat(1_400_000)), "leaseDurationSeconds": 15}})
    };
    fill(&attacker, ("coordination.k8s.io", "Lease"), 1000 / share, lease).await?;
    eprintln!("1.2 MB in each of {} LeaderElections", 1000 / share);
    let election = |number: usize| json!({"metadata": {"name": format!("election-{number}"), "labels": labels(1_200_000)}, "spec": {}});
    fill(&attacker, ("leader-elector.io", "LeaderElection"), 1000 / share, election).await?;
    eprintln!("250 kB in each of {} pods", 5000 / share);
    let pod = |number: usize| {
        json!({"metadata": {"name": format!("pod-{number}"), "labels": labels(250_000)},
               "spec": {"containers": [{"name": "app", "image": "none"}]}})
    };
    fill(&attacker, ("", "Pod"), 5000 / share, pod).await?;

    let mut figures = neighbour::watch(&operators, &operator, &home, ELECTIONS, "large objects").await?;
    figures.push(peak("large objects: the operator's memory, peak", &operator)?);
    eprintln!("a restart");
    operator.process().kill();
    let begun = Instant::now();
    operator.process().start()?;
    until_ready(&operator).await?;
    let took = begun.elapsed().as_secs_f64();
    // The API server takes its time for each of them: it alone is slower than the short form's limit with all of them.
    let most = if share == 1 { 300.0 } else { 10.0 };
    figures.push(Figure::new("large objects: ready again after a restart", took, "s").at_most(most));
    // It waits for its predecessor, of which it knows nothing, before it writes.
    let again = Election::create(&home, "again", json!({})).await?;
    again.until_reason(ConditionType::Ready, Reason::Reconciled).await?;
    figures.extend(neighbour::watch(&operators, &operator, &home, ELECTIONS / 2, "after a restart").await?);
    figures.push(peak("after a restart: the operator's memory, peak", &operator)?);
    Ok(figures)
}

fn peak(what: &str, operator: &Operator) -> Result<Figure> {
    let id = operator.process().id().context("the operator has ended")?;
    Ok(Figure::new(what, memory(id, "VmHWM:")? as f64 / 1024.0, "MiB").at_most(MEMORY_LIMIT))
}

async fn until_ready(operator: &Operator) -> Result<()> {
    let deadline = Instant::now() + READY_PATIENCE;
    while Instant::now() < deadline {
        if operator.answer("/readyz").await.is_ok_and(|(status, _)| status == 200) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    anyhow::bail!("not ready after {READY_PATIENCE:?}\n{}", operator.log())
}

/// So many bytes of labels, as JSON.
fn labels(bytes: usize) -> Value {
    let labels = (0..bytes / 85).map(|number| (format!("label-{number:09}"), json!("x".repeat(63))));
    Value::Object(labels.collect::<Map<_, _>>())
}

pub(crate) async fn fill(
    namespace: &Namespace<'_>,
    (group, kind): (&str, &str),
    count: usize,
    object: impl Fn(usize) -> Value,
) -> Result<()> {
    let version = if group == "leader-elector.io" { "v1alpha1" } else { "v1" };
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    let api: Api<DynamicObject> = Api::namespaced_with(namespace.client(), namespace.name(), &resource);
    let made = stream::iter(0..count).map(|number| {
        let (api, mut object) = (api.clone(), object(number));
        object["apiVersion"] = json!(resource.api_version);
        object["kind"] = json!(kind);
        async move {
            let object = serde_json::from_value(object)?;
            for _ in 1..ATTEMPTS {
                match api.create(&PostParams::default(), &object).await {
                    Ok(_) => return Ok(()),
                    Err(kube::Error::Api(status)) if status.is_already_exists() => return Ok(()),
                    Err(error) => eprintln!("{kind} {number}: {error}"),
                }
            }
            api.create(&PostParams::default(), &object).await.map(drop).map_err(anyhow::Error::from)
        }
    });
    made.buffer_unordered(AT_ONCE).try_for_each(async |_| Ok(())).await
}
