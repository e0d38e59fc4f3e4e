//! The agent: see the README.

mod app;
mod assist;
mod backstop;
mod beside;
mod children;
mod cli;
mod elect;
mod role;
mod signals;
mod supervise;

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::sync::mpsc;
use std::time::Duration;
use std::{env, thread};

use elector_crds::display_text::{MAX_LINE, shown};
use elector_program::usage;
use tracing_appender::non_blocking::WorkerGuard;

use crate::cli::{Cli, Command};
use crate::role::{Given, Role};

/// Something inside went wrong; a restart may help.
const INTERNAL: u8 = 1;
/// What was asked for cannot be done; a restart does not help.
const CONFIGURATION: u8 = 2;

/// How long a last line is waited for, if nobody reads it.
const LAST_WORD: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let first = env::args_os().nth(1);
    let result = match Role::of(first.as_deref()) {
        Some(role) => play(role),
        None => match first.as_deref().and_then(|first| first.to_str()) {
            Some("check" | "wait" | "manifest" | "install" | "help" | "--help" | "-h" | "--version" | "-V") => {
                read(env::args_os()).and_then(|cli| assist(&cli))
            }
            Some(_) | None => supervise::run().map_err(|error| internal(format!("failed to supervise: {error}"))),
        },
    };
    match result {
        Ok(code) => ExitCode::from(code),
        Err(Failure { code, said }) => fail(code, said),
    }
}

fn play(role: Role) -> Result<u8, Failure> {
    let given = Given::read().ok_or_else(|| configuration(format!("{role:?} is for the agent itself")))?;
    match role {
        Role::Elect => elect::run(given),
        Role::Become => Err(app::become_command(given)),
        Role::Probe => backstop::probed().map_err(internal).map(|()| 0),
    }
}

fn assist(cli: &Cli) -> Result<u8, Failure> {
    match &cli.command {
        Some(Command::Check { alive: true, status, .. }) => assist::tell_health(&status.path),
        Some(Command::Check { json, status, .. }) => assist::tell(&status.path, *json),
        Some(Command::Wait { timeout, status }) => Ok(assist::wait(&status.path, *timeout)),
        Some(Command::Manifest { image, platform_assigns_users }) => {
            Ok(assist::manifest(image, *platform_assigns_users))
        }
        Some(Command::Install { directory }) => assist::install(directory),
        Some(Command::Exec(_)) | None => Err(internal("what is supervised is read by the electing process")),
    }
}

fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Cli, Failure> {
    Cli::read(arguments).map_err(|asked| {
        if asked.use_stderr() {
            return Failure { code: CONFIGURATION, said: usage::refusal(&asked) };
        }
        print!("{asked}");
        Failure { code: 0, said: String::new() }
    })
}

/// Whatever is said, it is one line; and the exit code comes through, whether anybody reads that or not.
fn fail(code: u8, said: String) -> ExitCode {
    if !said.is_empty() {
        let (written, is_written) = mpsc::channel();
        thread::spawn(move || {
            // It may repeat what stands in a file that others can write.
            let line = said.replace(['\r', '\n'], " ");
            let _ = writeln!(io::stderr(), "{}", shown(&line, MAX_LINE));
            written.send(())
        });
        let _ = is_written.recv_timeout(LAST_WORD);
    }
    ExitCode::from(code)
}

/// Ends the process with this code and, unless it is empty, this line.
struct Failure {
    code: u8,
    said: String,
}

fn configuration(error: impl std::fmt::Display) -> Failure {
    Failure { code: CONFIGURATION, said: format!("error: {error}") }
}

fn internal(error: impl std::fmt::Display) -> Failure {
    Failure { code: INTERNAL, said: format!("error: {error}") }
}

fn start_logging(cli: &Cli) -> Result<WorkerGuard, Failure> {
    cli.options().log.start().map_err(configuration)
}
