//! Processes of containers, as this machine sees them.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::sleep;

use crate::stage::PATIENCE;

/// Whether it can still do anything.
pub(crate) fn lives(id: u32) -> bool {
    fs::read_to_string(format!("/proc/{id}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

/// SIGKILL; when that was.
pub(crate) fn kill(id: u32) -> Result<Instant> {
    let at = Instant::now();
    send(id, Signal::KILL)?;
    Ok(at)
}

/// SIGSTOP.
pub(crate) fn stop(id: u32) -> Result<()> {
    send(id, Signal::STOP)
}

fn send(id: u32, signal: Signal) -> Result<()> {
    let id = i32::try_from(id).ok().and_then(Pid::from_raw).context("no process id")?;
    Ok(kill_process(id, signal)?)
}

/// Waits until it is gone; when that was.
pub(crate) async fn until_gone(id: u32) -> Result<Instant> {
    let begun = Instant::now();
    while lives(id) {
        ensure!(begun.elapsed() < PATIENCE, "process {id} is still there");
        sleep(Duration::from_millis(1)).await;
    }
    Ok(Instant::now())
}
