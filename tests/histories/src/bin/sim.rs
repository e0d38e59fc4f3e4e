//! `cargo sim`: plays histories of the core and of the operator that ship.

use std::process::ExitCode;

use elector_histories::Shipped;
use elector_simulation::cli;

fn main() -> ExitCode {
    cli::run(Shipped::boxed)
}
