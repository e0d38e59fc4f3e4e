//! What others can do to the files of an agent: the user that it runs as, who may write to them, and anybody else, who may only read.
//! Each trick is played on each file in each state of the agent, on a real API server. In time the file is gone or true again,
//! `check` believes nobody who does not lead, nothing outside of the folder is touched, and the agent never hangs.

mod tricks;

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use elector_harness::candidate::{AgentOptions, Candidate};
use elector_harness::controlplane::{ControlPlane, Namespace};
use elector_harness::leases::short_timings;
use futures::{StreamExt as _, stream};
use leader_elector::status::{Standing, Unknown, check};
use rustix::process::{Signal, kill_process};
use tokio::time::{Instant, sleep, timeout};

use self::tricks::{Played, Trick, Volume};

const START: Duration = Duration::from_secs(10);
/// Two retry periods, and some time for a machine that is busy.
const RENEWAL: Duration = Duration::from_secs(4);
/// To take over from somebody else: a lease duration of 5 s, and some time likewise.
const TAKEOVER: Duration = Duration::from_secs(12);
const AT_ONCE: Duration = Duration::from_millis(500);
/// For an orderly end with two hooks.
const END: Duration = Duration::from_secs(5);
/// `check` waits for nobody.
const LOOK: Duration = Duration::from_secs(2);
/// So many agents at a time: the machine has other work.
const AT_A_TIME: usize = 4;

/// An agent with hooks, whose Lease is named as the trick that is played on it.
struct Target {
    trick: Trick,
    namespace: Namespace<'static>,
    candidate: Candidate,
    volume: Volume,
}

impl Target {
    async fn new(namespace: &Namespace<'static>, trick: Trick) -> Result<Target> {
        let election = trick.name();
        namespace.create_lease(&election, short_timings()).await?;
        let pod = namespace.create_pod(&format!("{election}-0"), "default", &[]).await?;
        let options = AgentOptions {
            environment: ["ON_ACQUIRED", "ON_LOST"].map(|hook| (hook.to_owned(), "true".to_owned())).to_vec(),
            ..AgentOptions::default()
        };
        let candidate = Candidate::of_pod(namespace, &election, pod, &options).await?;
        let volume = Volume::of(&candidate)?;
        Ok(Target { trick, namespace: namespace.clone(), candidate, volume })
    }

    /// One that leads.
    async fn leading(namespace: &Namespace<'static>, trick: Trick) -> Result<Target> {
        let target = Target::new(namespace, trick).await?;
        target.candidate.process().start()?;
        target.leads_truly(START).await?;
        Ok(target)
    }

    fn play(&self, files: &[PathBuf]) -> Result<Played> {
        self.trick.play(files, &self.volume).with_context(|| self.trick.name())
    }

    /// What `check` says, which must not take long.
    async fn check(&self) -> Result<Result<Standing, Unknown>> {
        let path = self.candidate.status_file();
        let look = tokio::task::spawn_blocking(move || check(&path));
        Ok(timeout(LOOK, look).await.context("check hangs")??)
    }

    async fn until(&self, patience: Duration, what: &str, holds: impl AsyncFn() -> Result<bool>) -> Result<()> {
        let begun = Instant::now();
        while !holds().await? {
            ensure!(begun.elapsed() < patience, "{what}: not in {patience:?}\n{}", self.candidate.log());
            sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    /// Waits until it leads, and its file is one that it has made.
    async fn leads_truly(&self, patience: Duration) -> Result<()> {
        self.until(patience, "to lead by a file of its own", async || {
            let believed = matches!(self.check().await?, Ok(Standing::Leads { .. }));
            Ok(believed && self.volume.shows_a_true_file())
        })
        .await
    }

    async fn is_believed(&self) -> Result<bool> {
        Ok(matches!(self.check().await?, Ok(Standing::Leads { .. })))
    }

    /// Ends it, which leaves nothing that speaks of leadership.
    async fn end(&self) -> Result<()> {
        kill_process(self.candidate.supervisor()?, Signal::TERM)?;
        self.candidate.ends_within(END).await?;
        ensure!(!self.candidate.leads(), "the file is still there\n{}", self.candidate.log());
        ensure!(!self.is_believed().await?, "check believes in somebody who has ended");
        let holder = self.namespace.lease(&self.trick.name()).await?.record.holder;
        ensure!(holder.is_empty(), "the lease was not released but names {holder}\n{}", self.candidate.log());
        self.volume.ensure_nothing_touched()
    }
}

/// Plays all tricks, a few at a time, and says of all what came of them.
async fn play_all<F>(state: &'static str, play: impl Fn(Arc<Namespace<'static>>, Trick) -> F) -> Result<()>
where
    F: Future<Output = Result<()>>,
{
    let namespace = ControlPlane::shared().await?.namespace(state).await?;
    namespace.allow_leases(&["get", "list", "watch", "update"]).await?;
    let namespace = Arc::new(namespace);
    let results = stream::iter(Trick::all())
        .map(|trick| {
            let played = play(Arc::clone(&namespace), trick);
            async move { (trick, played.await) }
        })
        .buffer_unordered(AT_A_TIME);
    let results: Vec<(Trick, Result<()>)> = results.collect().await;
    let failed: Vec<String> = results
        .iter()
        .filter_map(|(trick, result)| Some(format!("{state}, {}: {:#}", trick.name(), result.as_ref().err()?)))
        .collect();
    ensure!(failed.is_empty(), "{} of {}\n{}", failed.len(), results.len(), failed.join("\n"));
    Ok(())
}

#[tokio::test]
async fn a_leader_mends_each_file_and_its_own_goes_when_it_is_killed() {
    play_all("leading", |namespace, trick| async move {
        let target = Target::leading(&namespace, trick).await?;
        for file in target.volume.files() {
            let played = target.play(std::slice::from_ref(&file))?;
            // Not before its next renewal.
            sleep(Duration::from_millis(1200)).await;
            target.leads_truly(RENEWAL).await.with_context(|| file.display().to_string())?;
            drop(played);
        }
        let _played = target.play(&target.volume.files())?;
        kill_process(target.candidate.electing()?, Signal::KILL)?;
        // It leads again soon, unless somebody took the proof away that its predecessor is dead.
        target.candidate.yields_within(AT_ONCE).await?;
        target.leads_truly(TAKEOVER).await?;
        target.end().await
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_leader_that_is_told_to_end_does_so_and_its_file_goes() {
    play_all("ending", |namespace, trick| async move {
        let target = Target::leading(&namespace, trick).await?;
        let _played = target.play(&target.volume.files())?;
        target.end().await
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_standby_removes_what_is_put_there_and_leads_when_it_is_its_turn() {
    play_all("standby", |namespace, trick| async move {
        let target = Target::new(&namespace, trick).await?;
        let other = format!("{}-1", trick.name());
        let other = Candidate::start(&namespace, &trick.name(), &other, &AgentOptions::default()).await?;
        other.leads_within(START).await?;
        target.candidate.process().start()?;
        target.candidate.says_within("observed holder", START).await?;
        let _played = target.play(&target.volume.files())?;
        target.candidate.yields_within(RENEWAL).await?;
        ensure!(!target.is_believed().await?, "check believes in a standby");
        other.process().stop().await?;
        target.leads_truly(TAKEOVER).await?;
        target.end().await
    })
    .await
    .unwrap();
}

/// After its container was killed, which leaves nobody to remove the file.
#[tokio::test]
async fn an_agent_that_starts_removes_what_it_finds_and_leads() {
    play_all("starting", |namespace, trick| async move {
        let target = Target::leading(&namespace, trick).await?;
        target.candidate.process().kill();
        let played = target.play(&target.volume.files())?;
        ensure!(trick.forges() || !target.is_believed().await?, "check believes in the dead");
        target.candidate.process().start()?;
        if trick.looks_like_an_agent() {
            // Until the time of the report is over, it takes whoever has the lock for an agent that leads.
            target.until(END, "to give way", async || Ok(target.candidate.process().exited()?.is_some())).await?;
            sleep(Duration::from_secs(3)).await;
            target.candidate.process().start()?;
            target.candidate.yields_within(END).await?;
            drop(played);
            target.until(END, "to give way", async || Ok(target.candidate.process().exited()?.is_some())).await?;
            target.candidate.process().start()?;
        } else {
            target.candidate.yields_within(START).await?;
        }
        target.leads_truly(START + TAKEOVER).await?;
        target.end().await
    })
    .await
    .unwrap();
}
