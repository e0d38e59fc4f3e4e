//! The agent, a sidecar that contends for one Lease: see the README.

mod children;
mod cli;
mod commands;
mod electing;
mod exec;
mod kill_timer;
mod process_role;
mod services;
mod signals;
mod supervise;

use std::env;
use std::ffi::OsString;
use std::process::ExitCode;

use elector_program::failure::Failure;
use tracing_appender::non_blocking::WorkerGuard;

use crate::cli::{Cli, Command};
use crate::process_role::{Given, Role};

fn main() -> ExitCode {
    let first = env::args_os().nth(1);
    let result = match Role::of(first.as_deref()) {
        Some(role) => play(role),
        None => match first.as_deref().and_then(|first| first.to_str()) {
            Some("check" | "wait" | "manifest" | "install" | "help" | "--help" | "-h" | "--version" | "-V") => {
                read(env::args_os()).and_then(|cli| assist(&cli))
            }
            Some(_) | None => {
                supervise::run().map_err(|error| Failure::failed(format!("failed to supervise: {error}")))
            }
        },
    };
    match result {
        Ok(code) => ExitCode::from(code),
        Err(failure) => failure.exit(),
    }
}

fn play(role: Role) -> Result<u8, Failure> {
    let given = Given::read().ok_or_else(|| Failure::usage(format!("{role:?} is for the agent itself")))?;
    match role {
        Role::Elect => electing::run(given),
        Role::Become => Err(exec::become_command(given)),
        Role::Probe => kill_timer::probed().map_err(Failure::failed).map(|()| 0),
    }
}

fn assist(cli: &Cli) -> Result<u8, Failure> {
    match &cli.command {
        Some(Command::Check { alive: true, status, .. }) => commands::tell_health(&status.path),
        Some(Command::Check { json, status, .. }) => commands::tell(&status.path, *json),
        Some(Command::Wait { timeout, status }) => Ok(commands::wait(&status.path, *timeout)),
        Some(Command::Manifest { image, platform_assigns_users }) => {
            Ok(commands::manifest(image, *platform_assigns_users))
        }
        Some(Command::Install { directory }) => commands::install(directory),
        Some(Command::Exec(_)) | None => Err(Failure::failed("what is supervised is read by the electing process")),
    }
}

fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Cli, Failure> {
    Cli::read(arguments).map_err(|error| Failure::of_arguments(&error))
}

fn start_logging(cli: &Cli) -> Result<WorkerGuard, Failure> {
    cli.options().log.start().map_err(Failure::usage)
}
