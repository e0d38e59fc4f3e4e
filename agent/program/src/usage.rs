//! How the programs read their arguments and environment.

use std::env;

use clap::{Arg, Command};

/// Makes a variable that is set but empty count as not set: charts and manifests set what is left out to nothing.
#[must_use]
pub fn without_empty_variables(command: Command) -> Command {
    fn without_empty(argument: Arg) -> Arg {
        let value = argument.get_env().and_then(env::var_os);
        if value.is_some_and(|value| value.is_empty()) { argument.env(None::<&str>) } else { argument }
    }
    let command = command.mut_args(without_empty);
    command.mut_subcommands(|command| command.mut_args(without_empty))
}
