//! The steps of the demo, each with what must be seen for it to count.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use elector_harness::witness::Sighting;
use tokio::time::sleep;

use crate::stage::{Stage, say};

/// How long the first leader may take: operator and agents wait out whoever may have led before.
const FIRST: Duration = Duration::from_secs(25);
/// The lease duration of the example.
const LEASE_DURATION: Duration = Duration::from_secs(5);

pub(crate) async fn all(stage: &Stage<'_>) -> Result<()> {
    let leader = elected(stage).await?;
    let leader = stopped(stage, leader).await?;
    let leader = killed_and_restarted(stage, leader).await?;
    let leader = killed_for_good(stage, leader).await?;
    operator_killed(stage, leader).await?;
    let overlaps = stage.witness().overlaps();
    ensure!(overlaps.is_empty(), "{}", overlaps[0]);
    say("at no time were there two status files of agents that live");
    Ok(())
}

async fn elected(stage: &Stage<'_>) -> Result<usize> {
    say(
        "waiting for a leader: the operator waits for its own Lease's 5 s, as nobody knows who held it; then so do the agents",
    );
    let begun = Instant::now();
    let first = appearance(stage, begun, FIRST, |_| true).await?;
    ensure_holder(stage, first.file).await?;
    let name = stage.candidates()[first.file].name();
    stage.show_table(name, Duration::from_secs(5)).await?;
    Ok(first.file)
}

async fn stopped(stage: &Stage<'_>, leader: usize) -> Result<usize> {
    let old = &stage.candidates()[leader];
    say(&format!("SIGTERM to the leader, {}", old.name()));
    let told = Instant::now();
    old.process().terminate()?;
    let next = appearance(stage, told, LEASE_DURATION, |file| file != leader).await?;
    let gone = disappearance(stage, told, Duration::ZERO, leader).await?;
    ensure!(gone < next.at, "{} had its status file while {} did", old.name(), stage.candidates()[next.file].name());
    println!("  => handed over in {}", milliseconds(next.at - told));
    ensure_holder(stage, next.file).await?;
    old.process().ended().await?;
    ensure!(old.process().exited()?.is_some_and(|status| status.success()), "{} did not exit with 0", old.name());
    old.process().start()?;
    stage.show_table(stage.candidates()[next.file].name(), Duration::from_secs(5)).await?;
    Ok(next.file)
}

async fn killed_and_restarted(stage: &Stage<'_>, leader: usize) -> Result<usize> {
    let old = &stage.candidates()[leader];
    say(&format!("SIGKILL to the leader, {}, and a restart at once, as by a kubelet", old.name()));
    let transitions = stage.transitions().await?;
    stage.witness().set_dead(leader, true);
    old.process().kill();
    ensure!(old.leads(), "the status file went with the process: nothing was left to remove");
    let restarted = Instant::now();
    old.process().start()?;
    let gone = disappearance(stage, restarted, LEASE_DURATION, leader).await?;
    println!("  => the stale file was removed {} after the restart", milliseconds(gone - restarted));
    stage.witness().set_dead(leader, false);
    let next = appearance(stage, gone, 3 * LEASE_DURATION, |_| true).await?;
    let name = stage.candidates()[next.file].name();
    println!("  => {name} leads {} after the restart", milliseconds(next.at - restarted));
    ensure!(stage.transitions().await? > transitions, "it is not a new tenure");
    ensure_holder(stage, next.file).await?;
    stage.show_table(name, Duration::from_secs(5)).await?;
    Ok(next.file)
}

async fn killed_for_good(stage: &Stage<'_>, leader: usize) -> Result<usize> {
    let old = &stage.candidates()[leader];
    say(&format!("SIGKILL to the leader, {}, for good", old.name()));
    stage.witness().set_dead(leader, true);
    let killed = Instant::now();
    old.process().kill();
    let next = appearance(stage, killed, 3 * LEASE_DURATION, |file| file != leader).await?;
    println!(
        "  => taken over after {:.1} s; its file stays in the volume of a pod that is dead",
        (next.at - killed).as_secs_f64()
    );
    ensure_holder(stage, next.file).await?;
    stage.show_table(stage.candidates()[next.file].name(), Duration::from_secs(5)).await?;
    Ok(next.file)
}

async fn operator_killed(stage: &Stage<'_>, leader: usize) -> Result<()> {
    say("SIGKILL to the operator: the election goes on without it");
    stage.operator().kill();
    let old = &stage.candidates()[leader];
    let told = Instant::now();
    old.process().terminate()?;
    let next = appearance(stage, told, LEASE_DURATION, |file| file != leader).await?;
    let name = stage.candidates()[next.file].name();
    println!("  => {} handed over to {name} in {}", old.name(), milliseconds(next.at - told));
    let table = stage.table().await?;
    ensure!(table.contains(old.name()), "nobody can have written the new holder yet:\n{table}");
    say("the operator is back, and says who leads");
    stage.operator().start()?;
    stage.show_table(name, 4 * LEASE_DURATION).await?;
    ensure_holder(stage, next.file).await
}

async fn ensure_holder(stage: &Stage<'_>, file: usize) -> Result<()> {
    let (holder, identity) = (stage.holder().await?, stage.candidates()[file].identity());
    ensure!(holder == identity, "the status file is {identity}'s, and the Lease {holder}'s");
    Ok(())
}

/// The first status file to appear since `since` among those that `wanted` accepts.
async fn appearance(
    stage: &Stage<'_>,
    since: Instant,
    patience: Duration,
    wanted: impl Fn(usize) -> bool,
) -> Result<Sighting> {
    sighting(stage, since, patience, |seen| seen.there && wanted(seen.file)).await.context("no new leader")
}

async fn disappearance(stage: &Stage<'_>, since: Instant, patience: Duration, file: usize) -> Result<Instant> {
    let gone = sighting(stage, since, patience, |seen| !seen.there && seen.file == file).await;
    Ok(gone.with_context(|| format!("the status file of {} is still there", stage.candidates()[file].name()))?.at)
}

async fn sighting(
    stage: &Stage<'_>,
    since: Instant,
    patience: Duration,
    wanted: impl Fn(&Sighting) -> bool,
) -> Result<Sighting> {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(seen) = stage.witness().sightings(since).into_iter().find(&wanted) {
            return Ok(seen);
        }
        if Instant::now() > deadline {
            bail!("nothing was seen within {patience:?}");
        }
        sleep(Duration::from_millis(1)).await;
    }
}

fn milliseconds(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1000.0)
}
