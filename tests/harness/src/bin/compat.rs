//! `cargo compat 1.31 1.34`: what users rely on, on API servers of other releases of Kubernetes.

use std::env;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use elector_harness::controlplane::Release;

/// Runs the tests of definition, rights, agent, operator, plugin and chart, and the demo, on API servers of these releases
///
/// All other programs stay those of `cargo test`.
#[derive(Parser)]
struct Arguments {
    /// `1.34` is the newest patch of that; `1.34.2` is exactly that
    #[arg(required = true)]
    releases: Vec<Release>,
}

/// The binaries whose tests ask an API server for something that could differ from release to release.
const TESTS: [&str; 5] = ["agent", "operator", "interop", "plugin", "chart"];

/// Modules of these binaries that are left out: what they ask for is the same in every release.
const THE_SAME_EVERYWHERE: [&str; 4] = ["clients::", "contract::", "kubeconfig::", "prometheus::"];

/// A test that needs what came with a release has it in its name: `…_from_1_36`.
const NEWEST: u32 = 37;

fn main() -> ExitCode {
    match Arguments::parse().releases.iter().try_for_each(run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(release: &Release) -> Result<()> {
    let assets = release.assets().with_context(|| format!("failed to build kube-apiserver {release}"))?;
    eprintln!("tests on Kubernetes {release}");
    let mut test = cargo(&["test", "--workspace", "--locked", "--no-fail-fast"], &assets);
    test.args(TESTS.iter().flat_map(|name| ["--test", name])).arg("--");
    test.args(THE_SAME_EVERYWHERE.iter().flat_map(|module| ["--skip", module]));
    test.args((release.minor() + 1..=NEWEST).flat_map(|minor| ["--skip".to_owned(), format!("_from_1_{minor}")]));
    succeed(test, release)?;
    succeed(cargo(&["run", "--locked", "--package=elector-demo"], &assets), release)
}

fn cargo(arguments: &[&str], assets: &Path) -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(arguments).env("KUBEBUILDER_ASSETS", assets);
    cargo
}

fn succeed(mut command: Command, release: &Release) -> Result<()> {
    let status = command.status().context("failed to run cargo")?;
    ensure!(status.success(), "Kubernetes {release}: it failed, {status}");
    Ok(())
}
