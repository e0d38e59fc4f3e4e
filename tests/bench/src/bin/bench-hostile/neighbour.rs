//! What the neighbours of an attacked namespace see: how soon a new election is in place, and how soon the operator answers.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use elector_crds::LeaderElection;
use elector_crds::conditions::{ConditionType, Reason, find};
use elector_harness::controlplane::Namespace;
use elector_harness::operators::{OPERATOR, Operator, Operators};
use kube::api::PostParams;
use serde_json::json;
use tokio::time::sleep;

use crate::Figure;

/// How long a neighbour waits for an election before it is given up.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often the operator is asked whether it is well.
const PROBE_PERIOD: Duration = Duration::from_millis(100);

/// Between two elections.
const PAUSE: Duration = Duration::from_millis(250);

/// Makes `count` elections in `namespace`, one after the other, and asks the operator all the while. `during` names the attack.
pub(crate) async fn watch(
    operators: &Operators<'_>,
    operator: &Operator,
    namespace: &Namespace<'_>,
    count: usize,
    during: &str,
) -> Result<Vec<Figure>> {
    let before = transitions(operators).await?;
    let elections = async {
        let mut waits = Vec::new();
        for number in 0..count {
            waits.push(until_in_place(namespace, &format!("{}-{number}", during.replace(' ', "-"))).await?);
            sleep(PAUSE).await;
        }
        anyhow::Ok(waits)
    };
    let mut answers = Vec::new();
    let probes = async {
        loop {
            let begun = Instant::now();
            let answered = operator.answer("/healthz").await;
            answers.push(if answered.is_ok_and(|(status, _)| status == 200) { begun.elapsed() } else { PATIENCE });
            sleep(PROBE_PERIOD).await;
        }
    };
    let waits = tokio::select! {
        waits = elections => waits?,
        () = probes => Vec::new(),
    };
    let lost = transitions(operators).await? - before;
    Ok(vec![
        percentile(format!("{during}: a neighbour's new election is in place, p99"), &waits, 99).at_most(1000.0),
        percentile(format!("{during}: the same, median"), &waits, 50),
        percentile(format!("{during}: /healthz answers, slowest"), &answers, 100).at_most(100.0),
        Figure::new(format!("{during}: changes of the operator's own Lease"), f64::from(lost), "").at_most(0.0),
    ])
}

/// From the request that makes it until its Lease and its status are there.
async fn until_in_place(namespace: &Namespace<'_>, name: &str) -> Result<Duration> {
    let api = namespace.api::<LeaderElection>();
    let election = serde_json::from_value(json!({"metadata": {"name": name}, "spec": {}}))?;
    let begun = Instant::now();
    api.create(&PostParams::default(), &election).await?;
    loop {
        let status = api.get(name).await?.status.unwrap_or_default();
        let ready = find(&status.conditions, ConditionType::Ready);
        if ready.is_some_and(|ready| ready.reason == Reason::Reconciled.as_str()) {
            return Ok(begun.elapsed());
        }
        ensure!(begun.elapsed() < PATIENCE, "{name} is not in place after {PATIENCE:?}: {status:?}");
        sleep(Duration::from_millis(10)).await;
    }
}

async fn transitions(operators: &Operators<'_>) -> Result<i32> {
    let lease = operators.namespace().lease(OPERATOR).await?;
    Ok(i32::try_from(lease.record.transitions)?)
}

pub(crate) fn percentile(what: impl Into<String>, samples: &[Duration], percent: usize) -> Figure {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable();
    let index = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    let value = sorted.get(index).copied().unwrap_or(PATIENCE);
    Figure::new(what, value.as_secs_f64() * 1000.0, "ms")
}
