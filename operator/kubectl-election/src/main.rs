//! The plugin `kubectl election`: see the README.

mod actions;
mod age;
mod cli;
mod cluster;
mod complete;
mod doctor;
mod inject;
mod lenient;
mod list;
mod live;
mod print;
mod status;
mod style;
mod table;
mod watch;

use std::env;
use std::ffi::OsString;
use std::process::ExitCode;

use crate::cli::{Cli, Command, OnCluster, Reach, Target};
use crate::cluster::Cluster;
use elector_program::failure::Failure;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.exit(),
    }
}

fn run() -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::failed)?;
    let arguments: Vec<OsString> = env::args_os().collect();
    // Its words are those of a line that is being typed, and no flags of its own.
    if let [_, first, words @ ..] = arguments.as_slice()
        && first == complete::COMMAND
    {
        return runtime.block_on(complete::complete(words));
    }
    let cli = Cli::read(arguments)?;
    match &cli.command {
        Command::OnCluster(command) => runtime.block_on(act(command, &cli.reach)),
        Command::Inject(options) => inject::inject(options),
    }
}

async fn act(command: &OnCluster, reach: &Reach) -> Result<(), Failure> {
    let cluster = Cluster::reach(reach).await?;
    match command {
        OnCluster::List { all_namespaces, output } => list::list(&cluster, *all_namespaces, *output).await,
        OnCluster::Status { name, output } => status::status(&cluster, name, *output).await,
        OnCluster::Doctor { name, output } => doctor::doctor(&cluster, name, *output).await,
        OnCluster::Watch { name, output } => watch::watch(&cluster, name, *output).await,
        OnCluster::Transfer { name, target: Target { to, to_any: _ }, timeout } => {
            actions::transfer(&cluster, name, to.as_deref(), *timeout).await
        }
        OnCluster::Pause { name, timeout } => actions::pause(&cluster, name, *timeout).await,
        OnCluster::Resume { name, timeout } => actions::resume(&cluster, name, *timeout).await,
    }
}
