//! `cargo chartgen`: writes what is made from the chart, its README and `charts/install.yaml`; with `--check` it only says
//! whether they are current.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, ensure};
use elector_tests::helm;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let only_check = std::env::args().any(|argument| argument == "--check");
    match run(only_check).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(only_check: bool) -> Result<()> {
    for (path, text) in helm::generated().await? {
        if only_check { ensure_current(&path, &text)? } else { fs::write(&path, text)? }
    }
    Ok(())
}

fn ensure_current(path: &Path, text: &str) -> Result<()> {
    let current = fs::read_to_string(path).is_ok_and(|there| there == text);
    ensure!(current, "{} is stale: run `cargo chartgen`", path.display());
    Ok(())
}
