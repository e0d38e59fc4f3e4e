//! Hooks: programs that run when this pod begins to lead, and when it no longer does.
//!
//! The hooks run one after the other, `on-lost` after each `on-acquired`. A tenure that is over before its turn comes
//! is left out. No hook delays the election: a program that must not act for longer than its pod leads is run by `exec`
//! instead.

use std::io;
use std::process::ExitStatus;
use std::time::Duration;

use leader_elector::status::Marker;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::{info, warn};

use super::snapshot::Snapshot;

/// The programs of the hooks, each with its arguments, without a shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hooks {
    pub(crate) on_acquired: Vec<String>,
    pub(crate) on_lost: Vec<String>,
    /// The time after which a hook is killed.
    pub(crate) timeout: Duration,
}

impl Hooks {
    /// Runs the hooks until the election has ended and `on-lost` has run for the last tenure. `marker` exists while
    /// `on-acquired` has run and `on-lost` has not: an earlier process may have left it.
    pub(super) async fn run(self, mut snapshot: watch::Receiver<Snapshot>, marker: &Marker) {
        if marker.is_there() {
            self.lost(&mut snapshot, marker).await;
        }
        loop {
            let (token, is_over) = {
                let snapshot = snapshot.borrow_and_update();
                (snapshot.fencing_token(), snapshot.is_over())
            };
            if let Some(token) = token {
                if let Err(error) = marker.put() {
                    warn!(%error, "failed to note that on-acquired is run: on-lost will not be run if this process crashes");
                }
                self.acquired(&mut snapshot, token).await;
                let ended = snapshot.wait_for(|snapshot| snapshot.fencing_token() != Some(token)).await.is_err();
                self.lost(&mut snapshot, marker).await;
                if ended {
                    return;
                }
            } else if is_over || snapshot.changed().await.is_err() {
                return;
            }
        }
    }

    /// Runs `on-acquired` until it ends, or the tenure is over.
    async fn acquired(&self, snapshot: &mut watch::Receiver<Snapshot>, token: u64) {
        let identity = snapshot.borrow().identity().to_owned();
        let token_text = token.to_string();
        let variables = [("LEADER_ELECTION_FENCING_TOKEN", &*token_text), ("LEADER_ELECTION_HOLDER", &identity)];
        let Some(child) = start("on-acquired", &self.on_acquired, &variables) else { return };
        let over = snapshot.wait_for(|snapshot| snapshot.fencing_token() != Some(token));
        let run = Run::of(child);
        tokio::select! {
            biased;
            _ = over => warn!(hook = "on-acquired", "killed the hook: it ran when the tenure ended"),
            () = run.end("on-acquired", self.timeout) => {}
        }
    }

    async fn lost(&self, snapshot: &mut watch::Receiver<Snapshot>, marker: &Marker) {
        let identity = snapshot.borrow().identity().to_owned();
        if let Some(child) = start("on-lost", &self.on_lost, &[("LEADER_ELECTION_HOLDER", &identity)]) {
            Run::of(child).end("on-lost", self.timeout).await;
        }
        // On a volume that turned read-only: then on-lost is run once more than needed.
        let _ = marker.remove();
    }
}

fn start(hook: &'static str, command: &[String], variables: &[(&str, &str)]) -> Option<Child> {
    let (program, arguments) = command.split_first()?;
    let event = hook.trim_start_matches("on-");
    let mut command = Command::new(program);
    command.args(arguments).env("LEADER_ELECTION_EVENT", event).envs(variables.iter().copied()).process_group(0);
    let child = command
        .spawn()
        .inspect_err(|error| warn!(hook, program, %error, "failed to start the hook: it is not run"))
        .ok()?;
    info!(hook, program, "started the hook");
    Some(child)
}

/// A hook that runs; when it is dropped, it is killed with all that it has started.
struct Run {
    child: Child,
}

impl Run {
    fn of(child: Child) -> Run {
        Run { child }
    }

    async fn end(mut self, hook: &'static str, most: Duration) {
        match timeout(most, self.child.wait()).await {
            Ok(Ok(status)) if status.success() => {}
            Ok(ended) => warn!(hook, ended = %said(ended), "the hook failed"),
            Err(_) => warn!(hook, seconds = most.as_secs(), "killed the hook: it ran for longer than it may"),
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // It is ours until it was waited for; what it has started and left keeps its group.
        if let Some(id) = self.child.id().and_then(|id| i32::try_from(id).ok()) {
            let _ = killpg(Pid::from_raw(id), Signal::SIGKILL);
        }
    }
}

fn said(ended: io::Result<ExitStatus>) -> String {
    ended.map_or_else(|error| error.to_string(), |status| status.to_string())
}
