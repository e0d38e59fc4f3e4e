//! The command `__complete`: how a command line may go on, in the form that kubectl expects from its plugins'
//! `kubectl_complete-…`.

use std::ffi::OsString;
use std::fmt::Debug;

use clap::{ArgMatches, CommandFactory as _, FromArgMatches as _};
use elector_crds::LeaderElection;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::ListParams;
use kube::{Api, Resource, ResourceExt};
use leader_elector::connect::{Choice, context_names};
use serde::de::DeserializeOwned;

use crate::cli::{Cli, Reach};
use crate::cluster::Cluster;
use crate::lenient::Lenient;
use crate::print::print;
use elector_program::failure::Failure;

/// The first argument that asks for completions.
pub(crate) const COMMAND: &str = "__complete";

/// Cobra's directive to offer only the given completions, and no files.
const NO_FILES: &str = ":4";
/// Cobra's directive to offer files if no completions are given.
const FILES: &str = ":0";

/// Prints a line for each way in which the last of `words` may go on, with its description after a tab.
///
/// # Errors
/// If standard output cannot be written. What cannot be found out is left out, because the line is still being typed.
pub(crate) async fn complete(words: &[OsString]) -> Result<(), Failure> {
    let words: Vec<&str> = words.iter().filter_map(|word| word.to_str()).collect();
    let (word, before) = words.split_last().map_or(("", &[][..]), |(word, before)| (*word, before));
    let mut lines = ways(word, before).await;
    lines.retain(|line| line.starts_with(word));
    let is_file = matches!(before.last(), Some(&("--kubeconfig" | "-f" | "--filename")));
    lines.push(if is_file { FILES } else { NO_FILES }.to_owned());
    print(&(lines.join("\n") + "\n"))
}

async fn ways(word: &str, before: &[&str]) -> Vec<String> {
    let line = std::iter::once("kubectl-election").chain(before.iter().copied());
    let Ok(matches) = Cli::command().ignore_errors(true).try_get_matches_from(line) else { return Vec::new() };
    let command = matches.subcommand();
    let named = command.and_then(|(_, matches)| matches.try_get_one::<String>("name").ok().flatten());
    match (before.last().copied(), command) {
        (Some("-n" | "--namespace"), _) => names(&matches, Cluster::api_of_all::<Lenient<Namespace>>).await,
        (Some("--context"), _) => contexts(&matches),
        (Some("--election"), _) => names(&matches, Cluster::api::<Lenient<LeaderElection>>).await,
        (Some("-o" | "--output"), Some((name, _))) => formats(name),
        (Some("--to"), _) => match named {
            Some(name) => candidates(&matches, name).await.unwrap_or_default(),
            None => Vec::new(),
        },
        (Some(flag), command) if takes_a_value(command.map(|(name, _)| name), flag) => Vec::new(),
        (_, command) if word.starts_with('-') => flags(command.map(|(name, _)| name)),
        (_, None) => commands(),
        (_, Some(_)) if named.is_some() => Vec::new(),
        (_, Some((name, _))) if takes_a_name(name) => names(&matches, Cluster::api::<Lenient<LeaderElection>>).await,
        (_, Some(_)) => Vec::new(),
    }
}

fn commands() -> Vec<String> {
    let command = Cli::command();
    command.get_subcommands().map(|command| described(command.get_name(), command.get_about())).collect()
}

fn takes_a_name(command: &str) -> bool {
    let cli = Cli::command();
    let command = cli.find_subcommand(command);
    command.is_some_and(|command| command.get_positionals().any(|argument| argument.get_id() == "name"))
}

/// Whether the flag takes a value.
fn takes_a_value(command: Option<&str>, flag: &str) -> bool {
    let cli = Cli::command();
    let of_command = command.and_then(|command| cli.find_subcommand(command));
    let mut arguments = of_command.into_iter().chain([&cli]).flat_map(|command| command.get_arguments());
    let is_it = |argument: &clap::Arg| {
        let long = argument.get_long().is_some_and(|long| flag.strip_prefix("--") == Some(long));
        long || argument.get_short().is_some_and(|short| flag.strip_prefix('-') == Some(short.to_string().as_str()))
    };
    arguments.any(|argument| is_it(argument) && argument.get_action().takes_values())
}

fn flags(command: Option<&str>) -> Vec<String> {
    let cli = Cli::command();
    let of_command = command.and_then(|command| cli.find_subcommand(command));
    let arguments = of_command.into_iter().chain([&cli]).flat_map(|command| command.get_arguments());
    let flags =
        arguments.filter_map(|argument| Some(described(&format!("--{}", argument.get_long()?), argument.get_help())));
    flags.collect()
}

fn formats(command: &str) -> Vec<String> {
    let cli = Cli::command();
    let output = cli
        .find_subcommand(command)
        .and_then(|command| command.get_arguments().find(|argument| argument.get_id() == "output"));
    let values = output.map(|output| output.get_possible_values()).unwrap_or_default();
    values.iter().map(|value| value.get_name().to_owned()).collect()
}

fn described(name: &str, what: Option<&impl ToString>) -> String {
    what.map_or_else(|| name.to_owned(), |what| format!("{name}\t{}", what.to_string()))
}

/// The global flags of an incomplete line. Such flags may stand before the command or after it.
fn reach(matches: &ArgMatches) -> Reach {
    let read = |matches| Reach::from_arg_matches(matches).unwrap_or_default();
    let before = read(matches);
    let behind = matches.subcommand().map(|(_, matches)| read(matches)).unwrap_or_default();
    Reach {
        kubeconfig: behind.kubeconfig.or(before.kubeconfig),
        context: behind.context.or(before.context),
        namespace: behind.namespace.or(before.namespace),
    }
}

fn contexts(matches: &ArgMatches) -> Vec<String> {
    let choice = Choice { kubeconfig: reach(matches).kubeconfig, ..Choice::default() };
    context_names(&choice).unwrap_or_default()
}

/// The names of the election's candidates.
async fn candidates(matches: &ArgMatches, name: &str) -> Option<Vec<String>> {
    let cluster = Cluster::reach(&reach(matches)).await.ok()?;
    let election = cluster.election(name).await.ok()?;
    let pods = cluster.ask("list pods", cluster.matching::<Pod>(&election.spec.selector(name))).await.ok()?;
    Some(pods.iter().map(ResourceExt::name_any).collect())
}

async fn names<K>(matches: &ArgMatches, api: impl Fn(&Cluster) -> Api<K>) -> Vec<String>
where
    K: Resource + Clone + Debug + DeserializeOwned,
{
    let Ok(cluster) = Cluster::reach(&reach(matches)).await else { return Vec::new() };
    let list = ListParams::default();
    let listed = cluster.ask("list names", api(&cluster).list(&list)).await;
    listed.map(|listed| listed.items.iter().map(ResourceExt::name_any).collect()).unwrap_or_default()
}
