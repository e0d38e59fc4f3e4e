//! How the program ends when it has not done what it was asked for.

use std::fmt::Display;

use crate::print::print;

/// It failed, or was refused.
const FAILED: u8 = 1;
/// What was asked for cannot be done: arguments, or a kubeconfig.
const USAGE: u8 = 2;

/// Ends the process with this code and, unless it is empty, this line.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: u8,
    pub(crate) said: String,
}

impl Failure {
    pub(crate) fn failed(error: impl Display) -> Failure {
        Failure { code: FAILED, said: format!("error: {error}") }
    }

    pub(crate) fn usage(error: impl Display) -> Failure {
        Failure { code: USAGE, said: format!("error: {error}") }
    }

    /// Ends with this code, and says nothing.
    pub(crate) fn silent(code: u8) -> Failure {
        Failure { code, said: String::new() }
    }

    /// What clap says: help goes to standard output and is no failure; of the rest, what is wrong and what would do.
    pub(crate) fn of_arguments(said: &clap::Error) -> Failure {
        if !said.use_stderr() {
            return print(&said.to_string()).err().unwrap_or(Failure::silent(0));
        }
        let said = said.to_string();
        let lines: Vec<&str> = said.lines().map(str::trim).take_while(|line| !line.is_empty()).collect();
        Failure { code: USAGE, said: format!("{}; see --help", lines.join(" ")) }
    }
}

/// An error with all that it came from, as one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut said = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        // Many errors say what they came from themselves.
        if !said.contains(&more) {
            said = format!("{said}: {more}");
        }
        source = error.source();
    }
    said
}
