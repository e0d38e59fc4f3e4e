//! The run itself: what is measured, in which order, and what happens at the same time.
//!
//! What takes milliseconds is measured alone, the contenders in turn. What takes many seconds, and hardly any
//! processor time, goes on in several elections at once.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use elector_harness::controlplane::{ControlPlane, Options};
use elector_harness::machine::Machine;
use elector_harness::peer::Peer;
use elector_xtask::programs::Programs;
use futures::future::try_join_all;
use jiff::Timestamp;
use tokio::time::sleep;

use crate::contest::{Contender, Contest, settle};
use crate::family::Memory;
use crate::requests::Requests;
use crate::results::{Results, Samples};

/// How much of each is measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Hand-overs by SIGTERM, of each contender.
    pub(crate) sigterm: usize,
    /// Takeovers after SIGKILL, of each contender.
    pub(crate) sigkill: usize,
    /// How long requests are counted.
    pub(crate) steady_minutes: u32,
}

impl Plan {
    /// What the table is made from.
    pub(crate) const FULL: Plan = Plan { sigterm: 50, sigkill: 9, steady_minutes: 10 };
    /// For a look.
    pub(crate) const QUICK: Plan = Plan { sigterm: 5, sigkill: 3, steady_minutes: 1 };

    /// Whether nothing is less than in a full run.
    pub(crate) fn is_full(&self) -> bool {
        let Plan { sigterm, sigkill, steady_minutes } = Self::FULL;
        self.sigterm >= sigterm && self.sigkill >= sigkill && self.steady_minutes >= steady_minutes
    }
}

/// Elections of each contender in which leaders are killed at once.
const LANES: usize = 3;
/// When memory is read.
const MINUTE: Duration = Duration::from_secs(60);

/// One of each, the peer first.
type Both<T> = [T; 2];

/// Measures everything; what is known so far is always in `json`.
pub(crate) async fn run(plan: &Plan, json: &Path) -> Result<Results> {
    let ours = kept(&Programs::static_agent().await?)?;
    let peer = Peer::client_go().await?;
    let begun = Instant::now();
    let mut results = Results {
        date: Timestamp::now().strftime("%Y-%m-%d").to_string(),
        machine: Machine::this()?,
        client_go: samples(peer.version(), peer.program())?,
        leader_elector: samples(env!("CARGO_PKG_VERSION"), &ours)?,
        ..Results::default()
    };
    let contenders = [Contender::Peer(peer), Contender::Ours(ours)];
    let plane = ControlPlane::start(Options::default()).await?;
    results.kubernetes = plane.client().await?.apiserver_version().await?.git_version;
    for part in [Part::Steady, Part::Sigterm, Part::Sigkill] {
        match part {
            Part::Steady => steady(&plane, &contenders, plan, &mut results).await?,
            Part::Sigterm => sigterm(&plane, &contenders, plan, &mut results).await?,
            Part::Sigkill => sigkill(&plane, &contenders, plan, &mut results).await?,
        }
        results.minutes = begun.elapsed().as_secs_f64() / 60.0;
        results.save(json)?;
    }
    Ok(results)
}

/// A copy of `program`: whoever builds it again meanwhile must not change what is measured.
fn kept(program: &Path) -> Result<PathBuf> {
    let copy = program.with_extension("measured");
    fs::copy(program, &copy).with_context(|| format!("failed to write {}", copy.display()))?;
    Ok(copy)
}

#[derive(Clone, Copy)]
enum Part {
    Steady,
    Sigterm,
    Sigkill,
}

fn samples(version: &str, program: &Path) -> Result<Samples> {
    Ok(Samples { version: version.to_owned(), binary_bytes: fs::metadata(program)?.len(), ..Samples::default() })
}

/// Requests and memory, with no faults, in both elections at once.
async fn steady(plane: &ControlPlane, contenders: &Both<Contender>, plan: &Plan, results: &mut Results) -> Result<()> {
    let minutes = plan.steady_minutes;
    eprintln!("steady state, for {minutes} min");
    let contests = [Contest::start(plane, &contenders[0]).await?, Contest::start(plane, &contenders[1]).await?];
    let started = Instant::now();
    let steady = try_join_all(contests.iter().map(|contest| counted(plane, contest, minutes)));
    let memory = async {
        sleep(MINUTE.saturating_sub(started.elapsed())).await;
        try_join_all(contests.iter().map(Contest::standby_memory)).await
    };
    let (requests, memory): (Vec<Requests>, Vec<Vec<Memory>>) = tokio::try_join!(steady, memory)?;
    for (samples, (requests, memory)) in both(results).into_iter().zip(requests.into_iter().zip(memory)) {
        samples.requests = requests;
        samples.standby_memory = memory;
    }
    results.machine.note_load()
}

/// Counts from when somebody has led for a while.
async fn counted(plane: &ControlPlane, contest: &Contest<'_>, minutes: u32) -> Result<Requests> {
    contest.leader().await?;
    settle().await?;
    let leader = contest.leader().await?.name();
    let from = Timestamp::now();
    sleep(MINUTE * minutes).await;
    let to = Timestamp::now();
    ensure!(contest.leader().await?.name() == leader, "another leads, although nothing was done to {leader}");
    let entries = plane
        .audit()
        .requests(|entry| entry.is_from(contest.namespace(), "default") && (from..to).contains(&entry.received))?;
    Ok(Requests::count(&entries, leader, f64::from(minutes)))
}

/// Hand-overs, the contenders in turn.
async fn sigterm(plane: &ControlPlane, contenders: &Both<Contender>, plan: &Plan, results: &mut Results) -> Result<()> {
    let contests = [Contest::start(plane, &contenders[0]).await?, Contest::start(plane, &contenders[1]).await?];
    for number in 1..=plan.sigterm {
        let mut took = [Duration::ZERO; 2];
        for (index, contest) in contests.iter().enumerate() {
            contest.leader().await?;
            settle().await?;
            let handover = contest.sigterm().await?;
            let samples = &mut both(results)[index];
            samples.sigterm_seconds.push(handover.took.as_secs_f64());
            samples.overlaps += usize::from(handover.overlapped);
            took[index] = handover.took;
        }
        results.machine.note_load()?;
        eprintln!("SIGTERM {number} of {}: client-go {:.1?}, ours {:.1?}", plan.sigterm, took[0], took[1]);
    }
    Ok(())
}

/// Takeovers, in several elections at once.
async fn sigkill(plane: &ControlPlane, contenders: &Both<Contender>, plan: &Plan, results: &mut Results) -> Result<()> {
    eprintln!("SIGKILL, {} of each", plan.sigkill);
    let lanes = (0..LANES).map(|lane| (plan.sigkill + lane) / LANES);
    let lanes = lanes.flat_map(|takeovers| [(0, takeovers), (1, takeovers)]);
    let taken = lanes.map(|(index, takeovers)| async move {
        anyhow::Ok((index, lane(plane, &contenders[index], takeovers).await?))
    });
    for (index, seconds) in try_join_all(taken).await? {
        both(results)[index].sigkill_seconds.extend::<Vec<f64>>(seconds);
    }
    results.machine.note_load()
}

async fn lane(plane: &ControlPlane, contender: &Contender, takeovers: usize) -> Result<Vec<f64>> {
    let contest = Contest::start(plane, contender).await?;
    let mut seconds = Vec::new();
    for _ in 0..takeovers {
        // Who was killed before removes its file only when it runs again: until then two seem to lead.
        settle().await?;
        contest.leader().await?;
        settle().await?;
        let took = contest.sigkill().await?;
        eprintln!("SIGKILL of {}: {took:.1?}", contender.name());
        seconds.push(took.as_secs_f64());
    }
    Ok(seconds)
}

fn both(results: &mut Results) -> Both<&mut Samples> {
    [&mut results.client_go, &mut results.leader_elector]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_full_run_is_full() {
        assert!(Plan::FULL.is_full());
        assert!(!Plan::QUICK.is_full());
        assert!(Plan { steady_minutes: 11, ..Plan::FULL }.is_full());
        assert!(!Plan { sigterm: 49, ..Plan::FULL }.is_full());
    }
}
