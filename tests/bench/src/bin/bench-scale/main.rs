//! Measures the operator with thousands of elections on a real API server, and draws what that costs.

mod cold;
mod crowd;
mod holders;
mod plot;
mod rest;
mod results;
mod run;
mod sidecars;
mod table;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Parser;
use elector_harness::page;

use crate::results::Results;
use crate::run::{Plan, Subjects};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// Between these markers of BENCHMARKS.md.
const NAME: &str = "bench-scale";

/// Measures the operator with up to 2,000 elections, 6,000 pods and 300 renewals/s. A full run takes a quarter of an hour and
/// writes docs/scale.json, docs/scale.svg and its table into BENCHMARKS.md.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many elections, in one step after the other [default: 100,500,1000,2000]
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=20_000))]
    elections: Vec<u32>,
    /// For how long each step is watched at rest, and candidates for the plot [default: 60]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..))]
    rest_seconds: Option<u32>,
    /// Where the numbers of a run that is not full are kept [default: target/bench-scale.json]
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Measures nothing: table and plot once more from docs/scale.json
    #[arg(long)]
    draw: bool,
}

impl Arguments {
    fn plan(&self) -> Plan {
        let mut plan = Plan::full();
        if !self.elections.is_empty() {
            plan.elections.clone_from(&self.elections);
        }
        plan.rest_seconds = self.rest_seconds.unwrap_or(plan.rest_seconds);
        plan
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let numbers = Path::new(ROOT).join("docs/scale.json");
    if arguments.draw {
        publish(&Results::read(&numbers)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let plan = arguments.plan();
    let json = match arguments.json {
        Some(json) => json,
        None if plan == Plan::full() => numbers,
        None => Path::new(ROOT).join("target/bench-scale.json"),
    };
    let results = run::run(&plan, &Subjects::shipped().await?).await?;
    results.save(&json)?;
    println!("{}", table::section(&results));
    if plan == Plan::full() {
        publish(&results)?;
    } else {
        println!("BENCHMARKS.md is as it was: it is for full runs.");
    }
    println!("The numbers are in {}", json.display());
    let missed = table::missed(&results);
    for target in &missed {
        println!("missed: {target}");
    }
    Ok(if missed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn publish(results: &Results) -> Result<()> {
    let svg = Path::new(ROOT).join("docs/scale.svg");
    fs::write(&svg, plot::svg(results)).with_context(|| format!("failed to write {}", svg.display()))?;
    page::update(&Path::new(ROOT).join("BENCHMARKS.md"), NAME, &table::section(results))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_and_plot_are_what_the_numbers_give() {
        let root = Path::new(ROOT);
        let results = Results::read(&root.join("docs/scale.json")).unwrap();
        let stale = "stale: run `cargo bench-scale --draw`";
        assert_eq!(fs::read_to_string(root.join("docs/scale.svg")).unwrap(), plot::svg(&results), "{stale}");
        assert_eq!(page::section(&root.join("BENCHMARKS.md"), NAME).unwrap(), table::section(&results), "{stale}");
    }
}
