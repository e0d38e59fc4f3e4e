//! `cargo crdgen`, `cargo chartgen`, `cargo static`, `cargo supply-chain` and `cargo xtask bump`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, ensure};
use clap::{Parser, Subcommand};
use elector_xtask::supply_chain::{bills, check};
use elector_xtask::version::bump;
use elector_xtask::{helm, images, root};
use semver::Version;

/// Makes what is generated, and what is shipped
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Writes the definition of LeaderElections, which is made from its types
    Crdgen {
        /// Only says whether it is current
        #[arg(long)]
        check: bool,
    },
    /// Writes what is made from the chart: its README and charts/install.yaml
    Chartgen {
        /// Only says whether they are current
        #[arg(long)]
        check: bool,
    },
    /// Builds the programs as they are shipped, with all libraries in them, into dist/, where the Dockerfile finds them
    Static,
    /// Checks what everything here depends on, and writes into dist/ what the programs are made of
    SupplyChain,
    /// Sets the version in all files that say it, or in none of them
    Bump {
        /// The next version, as semantic versioning has them
        version: Version,
    },
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(Arguments::parse().task).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(task: Task) -> Result<()> {
    match task {
        Task::Crdgen { check } => generate(definitions(), "crdgen", check),
        Task::Chartgen { check } => generate(helm::generated().await?.into(), "chartgen", check),
        Task::Static => {
            eprintln!("building the programs, which takes some minutes");
            println!("{}", images::dist().await?.display());
            Ok(())
        }
        Task::SupplyChain => {
            check().await?;
            println!("licences, sources and bans: as deny.toml has them");
            for bill in bills().await? {
                println!("{}", bill.display());
            }
            Ok(())
        }
        Task::Bump { version } => bump(&root(), &version),
    }
}

/// Where the definition is kept.
fn definitions() -> Vec<(PathBuf, String)> {
    let text = elector_crds::manifest::manifest();
    elector_crds::manifest::PLACES.into_iter().map(|place| (root().join(place), text.clone())).collect()
}

fn generate(files: Vec<(PathBuf, String)>, task: &str, only_check: bool) -> Result<()> {
    for (path, text) in files {
        if only_check { ensure_current(&path, &text, task)? } else { fs::write(&path, text)? }
    }
    Ok(())
}

fn ensure_current(path: &Path, text: &str, task: &str) -> Result<()> {
    let current = fs::read_to_string(path).is_ok_and(|there| there == text);
    ensure!(current, "{} is stale: run `cargo {task}`", path.display());
    Ok(())
}
