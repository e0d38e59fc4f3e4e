//! The whole project in a minute: an election of three, and what happens when its leader goes.
//!
//! Every step is judged from outside, by the files on disk and the Lease, never by a log.

mod stage;
mod steps;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use crate::stage::{Place, Stage};

/// Brings up a control plane, the operator and three agents, and takes their leader away in every way.
#[derive(Debug, Parser)]
struct Arguments {
    /// Leave everything up at the end, until Ctrl-C
    #[arg(long)]
    keep: bool,
    /// Play on the cluster of this kubeconfig, in a namespace that is removed at the end; the CustomResourceDefinition stays
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Do not ask before playing on a server that is not on this machine
    #[arg(long)]
    yes: bool,
    /// Another program in place of the agent: to see the demo fail
    #[arg(long, value_name = "PROGRAM", hide = true)]
    agent: Option<PathBuf>,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let played = play(&arguments).await;
    match played {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("\nnot as it should be: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn play(arguments: &Arguments) -> Result<()> {
    let begun = Instant::now();
    let cluster = unless_interrupted(stage::cluster(arguments)).await?;
    // Without a look at signals: what is made is removed.
    let place = Place::make(cluster, arguments.kubeconfig.is_some()).await?;
    let played = unless_interrupted(play_at(&place, arguments, begun)).await;
    place.leave().await?;
    played
}

async fn play_at(place: &Place, arguments: &Arguments, begun: Instant) -> Result<()> {
    let stage = Stage::set(place, arguments).await?;
    let played = steps::all(&stage).await;
    stage.fall_silent();
    match &played {
        Ok(()) => println!("\nall of it was seen, in {:.0} s", begun.elapsed().as_secs_f64()),
        Err(error) if arguments.keep => println!("\nnot as it should be: {error:#}"),
        Err(_) => {}
    }
    if arguments.keep {
        stage.keep().await?;
        std::future::pending::<()>().await;
    }
    played
}

async fn unless_interrupted<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::select! {
        done = work => done,
        stopped = interrupted() => stopped.and_then(|()| anyhow::bail!("interrupted")),
    }
}

async fn interrupted() -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        done = tokio::signal::ctrl_c() => done?,
        _ = terminate.recv() => {}
    }
    Ok(())
}
