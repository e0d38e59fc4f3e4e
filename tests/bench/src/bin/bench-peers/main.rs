//! Measures our agent against a sidecar on client-go, both in one run on one control plane.

mod contest;
mod family;
mod files;
mod page;
mod requests;
mod results;
mod run;
mod table;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

use crate::run::Plan;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// Measures the agent against client-go: hand-overs, requests, memory. A full run takes eighteen minutes and
/// writes its table into BENCHMARKS.md.
#[derive(Debug, Parser)]
struct Arguments {
    /// A look in four minutes: 5 SIGTERMs, 3 SIGKILLs, 1 minute of steady state
    #[arg(long)]
    quick: bool,
    /// Hand-overs by SIGTERM, each [default: 50]
    #[arg(long, value_name = "NUMBER")]
    sigterm: Option<usize>,
    /// Takeovers after SIGKILL, each [default: 9]
    #[arg(long, value_name = "NUMBER")]
    sigkill: Option<usize>,
    /// How long requests are counted [default: 10]
    #[arg(long, value_name = "MINUTES", value_parser = clap::value_parser!(u32).range(1..))]
    steady_minutes: Option<u32>,
    /// Where all samples are kept [default: target/bench-peers.json]
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

impl Arguments {
    fn plan(&self) -> Plan {
        let plan = if self.quick { Plan::QUICK } else { Plan::FULL };
        Plan {
            sigterm: self.sigterm.unwrap_or(plan.sigterm),
            sigkill: self.sigkill.unwrap_or(plan.sigkill),
            steady_minutes: self.steady_minutes.unwrap_or(plan.steady_minutes),
        }
    }
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let plan = arguments.plan();
    let json = arguments.json.unwrap_or_else(|| Path::new(ROOT).join("target/bench-peers.json"));
    let results = run::run(&plan, &json).await?;
    println!("{}", page::section(&results));
    if plan.is_full() {
        page::update(&Path::new(ROOT).join("BENCHMARKS.md"), &results)?;
    } else {
        println!("BENCHMARKS.md is as it was: it is for full runs.");
    }
    println!("Every sample is in {}", json.display());
    let missed = table::missed(&results);
    for target in &missed {
        println!("missed: {target}");
    }
    Ok(if missed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
