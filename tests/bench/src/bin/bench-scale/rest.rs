//! An operator that has nothing to do, while leaders renew.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use elector_harness::controlplane::{ControlPlane, Entry};
use elector_harness::machine::{computed, memory};
use elector_harness::operators::{Operator, Operators};
use jiff::Timestamp;
use tokio::time::{Instant, sleep};

use crate::cold::counted;
use crate::crowd::{Crowd, strangers};
use crate::holders::Holders;
use crate::results::{PODS, Rest, Strangers};
use crate::run::Plan;

/// Until everybody leads and everything is said.
const PATIENCE: Duration = Duration::from_secs(120);

/// Starts `operator`, waits until each election is led, and looks on. It is still at work on return.
pub(crate) async fn watch(
    plane: &ControlPlane,
    operators: &Operators<'_>,
    operator: &Operator,
    crowd: &Crowd<'_>,
    holders: &Holders,
    plan: &Plan,
) -> Result<Rest> {
    start(operator).await?;
    let deadline = Instant::now() + PATIENCE;
    while crowd.standing().await?.1 < crowd.members.len() {
        ensure!(Instant::now() < deadline, "not all are led after {PATIENCE:?}\n{}", operator.process().log_tail());
        sleep(Duration::from_secs(1)).await;
    }
    sleep(plan.settling).await;

    let id = operator.process().id().context("not started")?;
    let servers = [plane.api_server(), plane.etcd()];
    let of_servers = || -> Result<Duration> {
        servers.iter().map(|server| computed(server.id().context("not started")?)).sum::<Result<Duration>>()
    };
    let (begun, from) = (Instant::now(), Timestamp::now());
    let (renewals, computed_before, servers_before) = (holders.count().renewals.get(), computed(id)?, of_servers()?);
    sleep(Duration::from_secs(plan.rest_seconds.into())).await;
    let (elapsed, to) = (begun.elapsed(), Timestamp::now());
    let rest = Rest {
        seconds: elapsed.as_secs_f64(),
        renewals: holders.count().renewals.get() - renewals,
        computed_seconds: (computed(id)? - computed_before).as_secs_f64(),
        servers_computed_seconds: (of_servers()? - servers_before).as_secs_f64(),
        kibibytes: memory(id, "VmRSS:")?,
        anonymous_kibibytes: memory(id, "RssAnon:")?,
        ..Rest::default()
    };
    let requests = operators.requests(|entry| (from..to).contains(&entry.received))?;
    let is_about_elections = |entry: &&Entry| entry.is_write() && crowd.is_at_home_in(&entry.namespace);
    let (writes, other): (Vec<&Entry>, Vec<&Entry>) = requests.iter().partition(is_about_elections);
    let failures = holders.count().failures.get();
    ensure!(failures == 0, "{failures} renewals failed");
    Ok(Rest { writes: counted(writes), other_requests: counted(other), ..rest })
}

/// How much `operator` grows with pods that are candidates of nothing: once without and once with as many as there are
/// candidates.
pub(crate) async fn beside_strangers(
    plane: &ControlPlane,
    operator: &Operator,
    crowd: &Crowd<'_>,
    plan: &Plan,
) -> Result<Strangers> {
    let pods = u32::try_from(crowd.members.len())? * PODS;
    let kibibytes_without = after_a_start(operator, plan).await?;
    strangers(plane, pods).await?;
    let kibibytes_with = after_a_start(operator, plan).await?;
    Ok(Strangers { pods, kibibytes_without, kibibytes_with })
}

async fn after_a_start(operator: &Operator, plan: &Plan) -> Result<u64> {
    operator.process().stop().await?;
    start(operator).await?;
    sleep(plan.settling).await;
    memory(operator.process().id().context("not started")?, "VmRSS:")
}

async fn start(operator: &Operator) -> Result<()> {
    operator.process().start()?;
    operator.until_ready().await?;
    operator.until_leading().await
}
