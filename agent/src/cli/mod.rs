//! The agent's commands and settings; each setting has a flag and an environment variable.

mod services;
mod settings;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{ArgMatches, Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use elector_program::usage::without_empty_variables;
use rustix::process::Signal;

pub(crate) use self::settings::{Options, Settings};
use crate::signals;

/// The default status file: the path of the sidecars that this agent replaces.
const STATUS_FILE: &str = "/tmp/leader_status";

/// The agent's image, as the sidecar's file names it.
pub(crate) const DEFAULT_IMAGE: &str = concat!("leader-elector/agent:", env!("CARGO_PKG_VERSION"));

const AFTER_HELP: &str = "\
LEASE_NAME is required. KUBECONFIG names the API server and the credentials; without it the pod's service account does.
Exit codes: 0 ended by a signal, 1 internal error, 2 settings that cannot work.";

/// Contends for a Lease and keeps a file that exists only while this pod leads.
#[derive(Debug, Parser)]
#[command(name = "elector-agent", version, about, after_help = AFTER_HELP, args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    options: Options,
}

/// A command of the agent other than to contend.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Contends, and runs a command only while this pod leads
    Exec(Exec),
    /// Exits with 0 if this pod leads, with 1 if it does not, with 2 if that cannot be told
    Check {
        /// Checks that the agent works, whether it leads or not: for a liveness probe
        #[arg(long, conflicts_with = "json")]
        alive: bool,
        /// Prints the result as JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        status: StatusFile,
    },
    /// Returns once this pod leads; the pod may lose its leadership right afterwards
    Wait {
        /// Seconds after which wait gives up and exits with 124
        #[arg(long, value_name = "SECONDS")]
        timeout: Option<u64>,
        #[command(flatten)]
        status: StatusFile,
    },
    /// Prints the agent as a sidecar, with its volumes, to add to a pod by hand
    Manifest {
        /// Image of the agent
        #[arg(long, value_name = "IMAGE", default_value = DEFAULT_IMAGE)]
        image: String,
        /// Leaves out the user id, for a platform that assigns its own to each namespace, as OpenShift does
        #[arg(long)]
        platform_assigns_users: bool,
    },
    /// Copies this program into a directory, for a container whose image lacks it
    Install {
        /// Directory to copy to, on a volume that the other container mounts too
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
}

/// The settings of `exec`: a command that runs only while this pod leads.
#[derive(Debug, Args)]
pub(crate) struct Exec {
    #[command(flatten)]
    options: Box<Options>,
    /// Ends with the command instead of contending again after a loss
    #[arg(long)]
    pub(crate) once: bool,
    /// Signal that stops the container (STOPSIGNAL of its image): it ends the agent, as SIGTERM, SIGINT and SIGQUIT do
    #[arg(long, env = "STOP_SIGNAL", value_name = "SIGNAL", value_parser = signals::parse)]
    pub(crate) stop_signal: Option<Signal>,
    /// Command to run, with its arguments, without a shell
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}

/// The path of the status file.
#[derive(Debug, Args)]
pub(crate) struct StatusFile {
    /// Path of the file that exists only while this pod leads, or of a directory for leader_status
    #[arg(long = "status-file", env = "STATUS_FILE", value_name = "PATH", default_value = STATUS_FILE)]
    pub(crate) path: PathBuf,
}

impl Cli {
    /// Reads the arguments and the environment.
    ///
    /// # Errors
    /// The errors of clap, and its output if only help or the version was asked for.
    pub(crate) fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
        Cli::from_arg_matches(&command().try_get_matches_from(arguments)?)
    }

    /// The path of the status file, as far as it can be read from arguments that are invalid.
    pub(crate) fn status_file_of_sorts(arguments: impl IntoIterator<Item = OsString>) -> PathBuf {
        let matches = command().ignore_errors(true).try_get_matches_from(arguments).ok();
        let path = matches.and_then(|matches| {
            let of_command = matches.subcommand().and_then(|(_, matches)| path_in(matches));
            of_command.or_else(|| path_in(&matches))
        });
        path.unwrap_or_else(|| PathBuf::from(STATUS_FILE))
    }

    /// The settings by which the agent contends.
    pub(crate) fn options(&self) -> &Options {
        match &self.command {
            Some(Command::Exec(exec)) => &exec.options,
            Some(Command::Check { .. } | Command::Wait { .. } | Command::Manifest { .. } | Command::Install { .. })
            | None => &self.options,
        }
    }
}

fn path_in(matches: &ArgMatches) -> Option<PathBuf> {
    matches.try_get_one::<PathBuf>("path").ok().flatten().cloned()
}

fn command() -> clap::Command {
    without_empty_variables(Cli::command())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_comes_after_two_dashes_with_all_that_it_is_given() {
        let arguments = ["elector-agent", "exec", "--once", "--lease-name=billing", "--", "run", "--once", "-x"];
        let cli = Cli::try_parse_from(arguments).unwrap();
        assert_eq!(cli.options().lease_name(), Some("billing"));
        let Some(Command::Exec(exec)) = cli.command else { panic!("{:?}", cli.command) };
        assert!(exec.once);
        assert_eq!(exec.command, ["run", "--once", "-x"]);
        for arguments in [&["exec"][..], &["exec", "run"], &["exec", "--"], &["--lease-name=a", "exec", "--", "run"]] {
            assert!(Cli::try_parse_from(["elector-agent"].iter().chain(arguments)).is_err(), "{arguments:?}");
        }
    }
}
