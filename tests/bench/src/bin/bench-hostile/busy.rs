//! Elections and pods by the thousand in one namespace, and pods that are labelled anew all the time.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use elector_crds::LeaderElection;
use elector_crds::conditions::{ConditionType, Reason, find};
use elector_harness::controlplane::{ControlPlane, Namespace, Options};
use elector_harness::operators::{Operators, arguments};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::json;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::Figure;
use crate::large::fill;
use crate::neighbour;

/// Label patches a second.
const PATCHES: u32 = 50;

/// How many elections neighbours make in each part.
const ELECTIONS: usize = 100;

pub(crate) async fn attack(program: &Path, share: usize) -> Result<Vec<Figure>> {
    let plane = ControlPlane::start(Options::default()).await?;
    let operators = Operators::install(&plane).await?;
    let operator = operators.replica_of("attacked", program.to_owned(), arguments(operators.namespace().name()))?;
    operator.process().start()?;
    operator.until_ready().await?;
    operator.until_leading().await?;
    let home = plane.namespace("home").await?;
    let mut figures = Vec::new();
    let others = json!({"candidates": {"selector": {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["no"]}]}}});
    for (during, spec) in [("pods that match nothing", json!({})), ("pods that match everything", others)] {
        let attacker = plane.namespace("attacker").await?;
        let count = 2000 / share;
        eprintln!("{during}: {count} elections, {count} pods");
        let pod = |number: usize| {
            json!({"metadata": {"name": format!("pod-{number}"), "labels": {"app": "some"}},
                   "spec": {"containers": [{"name": "app", "image": "none"}]}})
        };
        fill(&attacker, ("", "Pod"), count, pod).await?;
        let election = |number: usize| json!({"metadata": {"name": format!("election-{number}")}, "spec": spec});
        fill(&attacker, ("leader-elector.io", "LeaderElection"), count, election).await?;
        until_in_place(&attacker).await?;
        eprintln!("{PATCHES} labels a second");
        let watched = neighbour::watch(&operators, &operator, &home, ELECTIONS, during);
        tokio::select! {
            watched = watched => figures.extend(watched?),
            patched = patch(&attacker, count) => patched?,
        }
    }
    Ok(figures)
}

async fn until_in_place(namespace: &Namespace<'_>) -> Result<()> {
    let api = namespace.api::<LeaderElection>();
    loop {
        let elections = api.list(&ListParams::default()).await?;
        let is_in_place = |election: &LeaderElection| {
            let conditions = election.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
            find(conditions, ConditionType::Ready).is_some_and(|ready| ready.reason == Reason::Reconciled.as_str())
        };
        if elections.iter().all(is_in_place) {
            return Ok(());
        }
        sleep(Duration::from_secs(1)).await;
    }
}

/// For ever; a patch that takes its time delays the others, so that there are no more than so many.
async fn patch(namespace: &Namespace<'_>, pods: usize) -> Result<()> {
    let api: Api<Pod> = namespace.api();
    let mut ticks = interval(Duration::from_secs(1) / PATCHES);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for number in 0_u64.. {
        ticks.tick().await;
        let pod = usize::try_from(number)? % pods;
        let labels = json!({"metadata": {"labels": {"round": number.to_string()}}});
        api.patch(&format!("pod-{pod}"), &PatchParams::default(), &Patch::Merge(labels)).await?;
    }
    Ok(())
}
