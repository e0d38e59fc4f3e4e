//! The commands, in the words that kubectl's users know.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::inject::Inject;
use crate::print::Output;
use elector_program::failure::Failure;

const AFTER_HELP: &str = "\
Exit codes: 0 done, 1 it failed, was refused, or doctor found an error, 2 arguments, a kubeconfig or a file that cannot work.";

/// Says who leads, and pauses and hands over: LeaderElections, for people on call.
#[derive(Debug, Parser)]
#[command(
    name = "kubectl-election",
    bin_name = "kubectl election",
    version,
    after_help = AFTER_HELP,
    arg_required_else_help = false,
    disable_help_subcommand = true
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) reach: Reach,
}

/// Which cluster, and where in it.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Reach {
    /// The kubeconfig [default: KUBECONFIG, else ~/.kube/config, else the pod's service account]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// The kubeconfig's context [default: its current one]
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) context: Option<String>,
    /// The namespace [default: the context's]
    #[arg(short, long, global = true, value_name = "NAMESPACE", value_parser = object_name)]
    pub(crate) namespace: Option<String>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[command(flatten)]
    OnCluster(OnCluster),
    /// Adds the agent to the pods in a file that are labelled leader-elector.io/election, and prints all of it
    Inject(Box<Inject>),
}

/// What takes a cluster.
#[derive(Debug, Subcommand)]
pub(crate) enum OnCluster {
    /// Lists elections, and who leads each
    List {
        /// Those of all namespaces
        #[arg(short = 'A', long)]
        all_namespaces: bool,
        /// What else to print, or how
        #[arg(short, long, value_name = "FORMAT")]
        output: Option<ListOutput>,
    },
    /// Says who leads, who may, what is asked of them, and what is wrong
    Status {
        /// The LeaderElection
        #[arg(value_parser = object_name)]
        name: String,
        /// How to print it
        #[arg(short, long, value_name = "FORMAT")]
        output: Option<Output>,
    },
    /// Looks at all that an election needs, and says what is wrong and how to mend it
    Doctor {
        /// The LeaderElection
        #[arg(value_parser = object_name)]
        name: String,
        /// How to print it
        #[arg(short, long, value_name = "FORMAT")]
        output: Option<Output>,
    },
    /// Prints a line for each change of who leads, until it is interrupted
    Watch {
        /// The LeaderElection
        #[arg(value_parser = object_name)]
        name: String,
        /// How to print each
        #[arg(short, long, value_name = "FORMAT")]
        output: Option<Output>,
    },
    /// Asks for another leader, and waits until the operator has answered
    Transfer {
        /// The LeaderElection
        #[arg(value_parser = object_name)]
        name: String,
        #[command(flatten)]
        target: Target,
        /// How long to wait for the operator, which itself gives a request up after 60s; then it is taken back
        #[arg(long, value_name = "DURATION", default_value = "70s", value_parser = duration)]
        timeout: Duration,
    },
    /// Has nobody lead, and waits until nobody does
    Pause {
        /// The LeaderElection
        #[arg(value_parser = object_name)]
        name: String,
        /// How long to wait
        #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration)]
        timeout: Duration,
    },
    /// Ends a pause, and waits until somebody leads
    Resume {
        /// The LeaderElection
        #[arg(value_parser = object_name)]
        name: String,
        /// How long to wait
        #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration)]
        timeout: Duration,
    },
}

/// Who is to lead.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Target {
    /// The pod that is to lead
    #[arg(long, value_name = "POD", value_parser = object_name)]
    pub(crate) to: Option<String>,
    /// Any pod but the one that leads
    #[arg(long)]
    pub(crate) to_any: bool,
}

/// A table with more columns, or whole objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ListOutput {
    Wide,
    Json,
    Yaml,
}

impl Cli {
    /// Reads the arguments.
    ///
    /// # Errors
    /// Whatever clap says of them, also where only help was asked for.
    pub(crate) fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Cli, Failure> {
        Cli::try_parse_from(arguments).map_err(|said| Failure::of_arguments(&said))
    }
}

/// Anything else would name another path of the API.
fn object_name(name: &str) -> Result<String, String> {
    let is_allowed = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || "-.".contains(letter);
    if name.is_empty() || name.len() > 253 || !name.chars().all(is_allowed) || name.starts_with('.') {
        return Err("a name has lower-case letters, digits, - and . only".to_owned());
    }
    Ok(name.to_owned())
}

fn duration(text: &str) -> Result<Duration, String> {
    let signed: Option<jiff::SignedDuration> = text.parse().ok();
    signed.and_then(|signed| Duration::try_from(signed).ok()).ok_or_else(|| "say 30s, or 2m".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(arguments: &[&str]) -> Result<Cli, String> {
        let arguments = std::iter::once("kubectl-election").chain(arguments.iter().copied());
        Cli::read(arguments.map(OsString::from)).map_err(|Failure { code, message }| format!("{code} {message}"))
    }

    #[test]
    fn flags_stand_anywhere_as_kubectls_do() {
        for arguments in [&["-n", "shop", "status", "billing"][..], &["status", "billing", "--namespace=shop"]] {
            assert_eq!(read(arguments).unwrap().reach.namespace.as_deref(), Some("shop"));
        }
    }

    #[test]
    fn what_makes_no_sense_is_one_line_and_code_2() {
        for (arguments, said) in [
            (&[][..], "requires a subcommand"),
            (&["lst"], "unrecognized subcommand 'lst'"),
            (&["status"], "not provided: <NAME>"),
            (&["status", "billing/status"], "a name has lower-case letters"),
            (&["status", "billing", "-n", ".."], "a name has lower-case letters"),
            (&["status", "billing", "-o", "wide"], "invalid value 'wide'"),
            (&["doctor"], "not provided: <NAME>"),
            (&["doctor", "billing", "-o", "wide"], "invalid value 'wide'"),
            (&["transfer", "billing"], "<--to <POD>|--to-any>"),
            (&["transfer", "billing", "--to", "*"], "a name has lower-case letters"),
            (&["transfer", "billing", "--to", "billing-1", "--to-any"], "cannot be used with"),
            (&["pause", "billing", "--timeout", "60"], "say 30s, or 2m"),
            (&["pause", "billing", "--timeout=-60s"], "say 30s, or 2m"),
            (&["inject"], "not provided: --filename <FILE>"),
            (&["inject", "-f", "a", "-f", "b"], "cannot be used multiple times"),
            (&["watch", "billing", "shipping"], "unexpected argument 'shipping'"),
        ] {
            let told = read(arguments).unwrap_err();
            assert!(told.starts_with("2 error: ") && told.contains(said) && told.lines().count() == 1, "{told}");
        }
    }

    #[test]
    fn the_help_is_of_the_plugin_and_not_of_its_package() {
        let help = <Cli as clap::CommandFactory>::command().render_help().to_string();
        assert!(help.starts_with("Says who leads, and pauses and hands over"), "{help}");
    }

    #[test]
    fn a_timeout_is_said_as_kubectl_has_it() {
        for (text, seconds) in [("60s", 60), ("2m", 120), ("1m30s", 90), ("1h", 3600), ("0s", 0)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
    }
}
