//! The commands of the plugin, in terms that users of kubectl know.

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

/// The cluster and the namespace to work on.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Reach {
    /// Kubeconfig to use [default: KUBECONFIG, else ~/.kube/config, else the pod's service account]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig to use [default: its current one]
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) context: Option<String>,
    /// Namespace to work in [default: the context's]
    #[arg(short, long, global = true, value_name = "NAMESPACE", value_parser = object_name)]
    pub(crate) namespace: Option<String>,
}

/// A command of the plugin.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[command(flatten)]
    OnCluster(OnCluster),
    /// Adds the agent to the pods in a file that are labelled leader-elector.io/election, and prints the whole file
    Inject(Box<Inject>),
}

/// A command that needs a cluster.
#[derive(Debug, Subcommand)]
pub(crate) enum OnCluster {
    /// Lists LeaderElections, and the leader of each
    List {
        /// Lists the LeaderElections of all namespaces
        #[arg(short = 'A', long)]
        all_namespaces: bool,
        /// Format of the output, in place of a table
        #[arg(short, long, value_name = "FORMAT")]
        output: Option<ListOutput>,
    },
    /// Says who leads, who may lead, what is asked of the candidates, and what is wrong
    Status {
        /// Name of the LeaderElection
        #[arg(value_parser = object_name)]
        name: String,
        /// Format of the output, in place of text
        #[arg(short, long, value_name = "FORMAT")]
        output: Option<Output>,
    },
    /// Checks all that an election needs, and says what is wrong and how to mend it
    Doctor {
        /// Name of the LeaderElection
        #[arg(value_parser = object_name)]
        name: String,
        /// Format of the output, in place of text
        #[arg(short, long, value_name = "FORMAT")]
        output: Option<Output>,
    },
    /// Prints a line for each change of the leader, until it is interrupted
    Watch {
        /// Name of the LeaderElection
        #[arg(value_parser = object_name)]
        name: String,
        /// Format of each change, in place of text
        #[arg(short, long, value_name = "FORMAT")]
        output: Option<Output>,
    },
    /// Asks for another leader, and waits until the operator has answered
    Transfer {
        /// Name of the LeaderElection
        #[arg(value_parser = object_name)]
        name: String,
        #[command(flatten)]
        target: Target,
        /// Time to wait for the operator, after which the request is taken back; the operator itself refuses a request
        /// after 60s
        #[arg(long, value_name = "DURATION", default_value = "70s", value_parser = duration)]
        timeout: Duration,
    },
    /// Pauses an election, and waits until no candidate leads
    Pause {
        /// Name of the LeaderElection
        #[arg(value_parser = object_name)]
        name: String,
        /// Time to wait until no candidate leads
        #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration)]
        timeout: Duration,
    },
    /// Ends a pause, and waits until a candidate leads
    Resume {
        /// Name of the LeaderElection
        #[arg(value_parser = object_name)]
        name: String,
        /// Time to wait until a candidate leads
        #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration)]
        timeout: Duration,
    },
}

/// The pod to ask for as leader.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Target {
    /// Name of the pod that is to lead
    #[arg(long, value_name = "POD", value_parser = object_name)]
    pub(crate) to: Option<String>,
    /// Asks for any pod but the one that leads
    #[arg(long)]
    pub(crate) to_any: bool,
}

/// A format of `list`: a table with more columns, or whole objects.
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
    /// The errors of clap, and its output if only help or the version was asked for.
    pub(crate) fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Cli, Failure> {
        Cli::try_parse_from(arguments).map_err(|said| Failure::of_arguments(&said))
    }
}

/// Checks a name of an object. Any other text could name another path of the API.
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
