//! Three candidates of one contender on a Lease of their own, and how their leaders go.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use elector_harness::candidate::{AgentOptions, Candidate, leader};
use elector_harness::controlplane::{ControlPlane, Namespace};
use elector_harness::peer::Peer;
use futures::TryStreamExt as _;
use k8s_openapi::api::coordination::v1::Lease;
use kube::runtime::{WatchStreamExt as _, watcher};
use tokio::time::{sleep, timeout};

use crate::family::{self, Memory};
use crate::files::{Change, FileChanges};

/// Lease duration, renew deadline, retry period: the defaults of both.
const TIMINGS: [u32; 3] = [15, 10, 2];
const LEASE: &str = "contest";
/// How long any hand-over may take: more than the slowest that either can need.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long after a renewal a leader is killed.
const AFTER_RENEWAL: Duration = Duration::from_secs(1);

/// Who contends.
#[derive(Debug, Clone)]
pub(crate) enum Contender {
    /// A sidecar on client-go.
    Peer(Peer),
    /// Our agent, of this program.
    Ours(PathBuf),
}

impl Contender {
    /// For a namespace and for whoever waits.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Peer(_) => "client-go",
            Self::Ours(_) => "leader-elector",
        }
    }

    async fn start(&self, namespace: &Namespace<'_>, pod: &str) -> Result<Candidate> {
        match self {
            Self::Peer(peer) => peer.start(namespace, LEASE, pod, TIMINGS).await,
            Self::Ours(program) => {
                let options = AgentOptions { program: Some(program.clone()), ..AgentOptions::default() };
                Candidate::start(namespace, LEASE, pod, &options.with_timings(TIMINGS)).await
            }
        }
    }
}

/// An election that goes on for as long as this lives.
pub(crate) struct Contest<'a> {
    namespace: Namespace<'a>,
    candidates: Vec<Candidate>,
}

/// What a hand-over was like.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Handover {
    /// From the signal to the next status file.
    pub(crate) took: Duration,
    /// Whether the old leader's file was still there.
    pub(crate) overlapped: bool,
}

impl<'a> Contest<'a> {
    /// Starts it; nobody needs to lead yet. Without an operator both need to create the Lease, and each what it uses.
    pub(crate) async fn start(plane: &'a ControlPlane, contender: &Contender) -> Result<Contest<'a>> {
        let namespace = plane.namespace(contender.name()).await?;
        namespace.allow_leases(&["create", "get", "list", "watch", "update"]).await?;
        let mut candidates = Vec::new();
        for pod in ["pod-0", "pod-1", "pod-2"] {
            candidates.push(contender.start(&namespace, pod).await?);
        }
        Ok(Contest { namespace, candidates })
    }

    /// Where its requests are logged.
    pub(crate) fn namespace(&self) -> &str {
        self.namespace.name()
    }

    /// Waits until exactly one leads; which pod.
    pub(crate) async fn leader(&self) -> Result<&Candidate> {
        leader(&self.candidates, PATIENCE).await
    }

    /// Of each standby.
    pub(crate) async fn standby_memory(&self) -> Result<Vec<Memory>> {
        let leader = self.leader().await?.name();
        let standbys = self.candidates.iter().filter(|candidate| candidate.name() != leader);
        standbys.map(|standby| family::memory(standby.process())).collect()
    }

    /// SIGTERM to the leader, which is started again afterwards.
    pub(crate) async fn sigterm(&self) -> Result<Handover> {
        let old = self.leading_index().await?;
        let process = self.candidates[old].process();
        let mut changes = self.changes()?;
        let told = Instant::now();
        process.terminate()?;
        let handover = next_file(&mut changes, old, told).await.with_context(|| self.logs())?;
        process.ended().await?;
        process.start()?;
        Ok(handover)
    }

    /// SIGKILL to all processes of the leader a second after a renewal; they are started again afterwards.
    pub(crate) async fn sigkill(&self) -> Result<Duration> {
        let old = self.leading_index().await?;
        let process = self.candidates[old].process();
        let mut changes = self.changes()?;
        self.renewal().await?;
        let killed = Instant::now();
        family::kill(process)?;
        let handover = next_file(&mut changes, old, killed).await.with_context(|| self.logs())?;
        process.start()?;
        Ok(handover.took)
    }

    /// Returns [`AFTER_RENEWAL`] after a renewal, with none in between.
    async fn renewal(&self) -> Result<()> {
        let config = watcher::Config::default().fields(&format!("metadata.name={LEASE}"));
        let leases = watcher::watcher(self.namespace.api::<Lease>(), config).applied_objects();
        let mut leases = std::pin::pin!(leases);
        // What is there when the watch begins is of any age.
        leases.try_next().await?;
        timeout(PATIENCE, leases.try_next()).await.context("nobody renews")??;
        while let Ok(renewed) = timeout(AFTER_RENEWAL, leases.try_next()).await {
            renewed?.context("the watch ended")?;
        }
        Ok(())
    }

    async fn leading_index(&self) -> Result<usize> {
        let name = self.leader().await?.name();
        self.candidates.iter().position(|candidate| candidate.name() == name).context("a leader that is no candidate")
    }

    fn changes(&self) -> Result<FileChanges> {
        FileChanges::of(self.candidates.iter().map(Candidate::status_file).collect())
    }

    fn logs(&self) -> String {
        self.candidates.iter().map(|candidate| format!("--- {}\n{}", candidate.name(), candidate.log())).collect()
    }
}

async fn next_file(changes: &mut FileChanges, old: usize, since: Instant) -> Result<Handover> {
    let mut removed = false;
    let deadline = tokio::time::Instant::from_std(since + PATIENCE);
    while let Ok(change) = tokio::time::timeout_at(deadline, changes.next()).await {
        let Change { file, appeared, at } = change?;
        match (file == old, appeared) {
            (true, gone_or_back) => removed = !gone_or_back,
            (false, true) => return Ok(Handover { took: at.duration_since(since), overlapped: !removed }),
            (false, false) => {}
        }
    }
    bail!("nobody leads after {PATIENCE:?}")
}

/// Lets whoever was started again settle, and keeps hand-overs out of step with what others do periodically.
pub(crate) async fn settle() -> Result<()> {
    let random = u64::from(getrandom::u32()? % 2000);
    sleep(Duration::from_millis(2000 + random)).await;
    Ok(())
}
