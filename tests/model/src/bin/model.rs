//! `cargo model`: looks at every state of some small worlds, and prints what it saw.

use std::process::ExitCode;

use clap::Parser;
use elector_model::{Bounds, search};

/// Looks at every state of some small worlds of elections. Exit code 1: something that must never happen did.
#[derive(Parser)]
struct Arguments {
    /// Only this world
    #[arg(long)]
    world: Option<String>,
    /// Prints the names of all worlds
    #[arg(long)]
    list: bool,
    /// As many faults in one history, instead of what the world is known for: each takes some thirty times as long
    #[arg(long)]
    faults: Option<u32>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut worlds: Vec<Bounds> = Bounds::small().into_iter().chain(Bounds::large()).collect();
    if let Some(name) = &arguments.world {
        worlds.retain(|world| world.name == name);
        if worlds.is_empty() {
            eprintln!("there is no world {name}: see --list");
            return ExitCode::from(2);
        }
    }
    let mut is_broken = false;
    for mut world in worlds {
        world.faults = arguments.faults.unwrap_or(world.faults);
        if arguments.list {
            println!("{}", world.name);
            continue;
        }
        let report = search(world);
        println!("{report}");
        is_broken |= report.counterexample.is_some();
    }
    ExitCode::from(u8::from(is_broken))
}
