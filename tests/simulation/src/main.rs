//! Plays histories with the smallest operator that there can be: all that is built is the core and what simulates it.

use std::process::ExitCode;

use elector_simulation::cli;
use elector_simulation::operator::Keeper;

fn main() -> ExitCode {
    cli::run(Keeper::boxed)
}
