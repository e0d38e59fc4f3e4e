//! Measures what one namespace can do to the operator, and to its neighbours.

mod busy;
mod large;
mod neighbour;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use elector_xtask::programs::Programs;

/// Attacks an operator from one namespace, with objects that are too large and with changes that do not end, and prints what its
/// neighbours see of that. A full run takes half an hour, a machine of its own and 22 GiB of memory, nearly all of it the API server's.
#[derive(Debug, Parser)]
struct Arguments {
    /// A twentieth of all, in two minutes
    #[arg(long)]
    quick: bool,
    /// Only one of the attacks
    #[arg(long, value_enum)]
    only: Option<Attack>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Attack {
    /// Leases, LeaderElections and pods that are as large as the API server lets them be
    Large,
    /// Elections and pods by the thousand, and pods that are labelled anew all the time
    Busy,
}

/// A figure, and what it must not be above.
#[derive(Debug)]
struct Figure {
    what: String,
    value: f64,
    unit: &'static str,
    most: Option<f64>,
}

impl Figure {
    fn new(what: impl Into<String>, value: f64, unit: &'static str) -> Figure {
        let what = what.into();
        // At once: what comes later may not come to its end.
        eprintln!("{what}: {value:.1} {unit}");
        Figure { what, value, unit, most: None }
    }

    fn at_most(self, most: f64) -> Figure {
        Figure { most: Some(most), ..self }
    }

    fn is_missed(&self) -> bool {
        self.most.is_some_and(|most| self.value > most)
    }
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<ExitCode> {
    let Arguments { quick, only } = Arguments::parse();
    let [_, operator, _] = Programs::shipped().await?;
    let share = if quick { 20 } else { 1 };
    let mut figures = Vec::new();
    if only.is_none_or(|only| only == Attack::Large) {
        figures.extend(large::attack(&operator, share).await?);
    }
    if only.is_none_or(|only| only == Attack::Busy) {
        figures.extend(busy::attack(&operator, share).await?);
    }
    println!("| figure | value | at most |\n|---|---:|---:|");
    for figure in &figures {
        let Figure { what, value, unit, most } = figure;
        let most = most.map_or_else(String::new, |most| format!("{most:.0} {unit}"));
        println!("| {what} | {value:.1} {unit} | {most} |");
    }
    let missed: Vec<&Figure> = figures.iter().filter(|figure| figure.is_missed()).collect();
    for Figure { what, .. } in &missed {
        println!("missed: {what}");
    }
    Ok(if missed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
