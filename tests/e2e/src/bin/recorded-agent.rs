//! The agent's driver with its status files, and nothing else of the agent. At its end it hands what was recorded of its election
//! to the simulation, and exits with 1 if that does not recognise itself.

use std::path::PathBuf;

use anyhow::{Context as _, Result, anyhow};
use clap::Parser;
use elector_crds::ReleaseReason;
use elector_election::Timings;
use elector_simulation::replay::replay;
use leader_elector::driver::{self, Campaign};
use leader_elector::status::{self, Author, Claim};
use leader_elector::{connect, nonce};
use tokio::signal::unix::{SignalKind, signal};

/// What [`elector_harness::candidate::Candidate`] says to an agent
#[derive(Debug, Parser)]
struct Arguments {
    #[arg(long, env = "LEASE_NAME")]
    lease_name: String,
    #[arg(long, env = "NAMESPACE")]
    namespace: String,
    #[arg(long, env = "STATUS_FILE")]
    status_file: PathBuf,
    #[arg(long)]
    lease_duration_seconds: i64,
    #[arg(long)]
    renew_deadline_seconds: i64,
    #[arg(long)]
    retry_period_seconds: i64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let Arguments {
        lease_name: lease,
        namespace,
        status_file,
        lease_duration_seconds,
        renew_deadline_seconds,
        retry_period_seconds,
    } = Arguments::parse();
    let timings = Timings::new(lease_duration_seconds, renew_deadline_seconds, retry_period_seconds, 0)?;
    let mut terminate = signal(SignalKind::terminate())?;
    let start = nonce()?;
    let identity = start.clone();
    let author = Author {
        hostname: identity.clone(),
        identity: identity.clone(),
        namespace: namespace.clone(),
        lease: lease.clone(),
        start: start.clone(),
    };
    let mut files = Claim::take(&status_file, &start)?.sign(author, status::boot_id()?);
    let access = connect::access()?;
    let campaign =
        Campaign { access, namespace, lease, identity, start, timings, predecessor: None, obeys_hints: true };
    let stop = async move {
        terminate.recv().await;
        ReleaseReason::Stopped
    };
    let recording = driver::run_recorded(campaign, &mut files, stop).await?;
    let replayed =
        replay(&recording).map_err(|departure| anyhow!("{departure}")).context("what was recorded departs")?;
    println!("replayed {replayed}");
    Ok(())
}
