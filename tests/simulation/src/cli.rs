//! The command line: plays histories, and says what happened in them.

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;

use crate::clock::SECOND;
use crate::operator::NewOperator;
use crate::trace::Trace;
use crate::{Found, play, search};

/// Plays elections in virtual time, in bad weather, and exits with 1 if two ever lead
#[derive(Debug, Parser)]
#[command(name = "sim")]
struct Cli {
    /// Play this history alone, and print all that happens in it
    #[arg(long, value_name = "SEED", conflicts_with_all = ["histories", "first"])]
    seed: Option<u64>,
    /// How many histories to play
    #[arg(long, value_name = "NUMBER", default_value_t = 10_000)]
    histories: u64,
    /// The seed of the first of them
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    first: u64,
}

const LEGEND: &str = "\
seconds of true time, then who: `->` sends a request, `<-` is answered, LEADS from here, RETRACTS its file. A Lease is its uid,
version and holder; `since` and `renewed` are what the writer's wall clock said, which may be off by years.
";

/// Does what the arguments say, with this operator.
#[must_use]
pub fn run(operator: NewOperator) -> ExitCode {
    let cli = Cli::parse();
    match cli.seed {
        Some(seed) => replay(seed, operator),
        None => explore(cli.first, cli.histories, operator),
    }
}

fn replay(seed: u64, operator: NewOperator) -> ExitCode {
    let (tally, violation, trace) = play(seed, operator, Trace::kept());
    println!("{LEGEND}");
    for line in trace.lines() {
        println!("{line}");
    }
    println!("\n{tally}");
    match &violation {
        Some(violation) => println!("history {seed}: {violation}"),
        None => println!("history {seed}: nothing that must not happen"),
    }
    if violation.is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn explore(first: u64, histories: u64, operator: NewOperator) -> ExitCode {
    let began = Instant::now();
    let (tally, found) = search(first, histories, operator);
    let took = began.elapsed();
    println!("{tally}");
    let speed = tally.time as f64 / SECOND as f64 / took.as_secs_f64();
    println!("in {:.1} s: {speed:.0} times as fast as time passes", took.as_secs_f64());
    if let Some(Found { seed, violation }) = found {
        println!("history {seed}: {violation}\nits trace: cargo sim --seed {seed}");
        return ExitCode::FAILURE;
    }
    if let Some(idle) = tally.is_idle() {
        println!("this proves nothing: {idle}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
