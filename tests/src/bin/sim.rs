//! `cargo sim`: plays histories of the core and of the operator that ship.

use std::process::ExitCode;

use elector_simulation::cli;
use elector_tests::simulated::Shipped;

fn main() -> ExitCode {
    cli::run(Shipped::boxed)
}
