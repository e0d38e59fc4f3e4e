//! What the programs are made of: licences, sources and duplicates of all that they depend on, and a bill of materials for each.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tokio::process::Command;

use crate::command;
use crate::gobuild::{cache, lock, say};
use crate::images::dist_folder;
use crate::root;

/// What is shipped, in images and beside them: each a package with a program of its name.
const PROGRAMS: [&str; 3] = ["elector-agent", "elector-operator", "kubectl-election"];

/// How long one of the tools may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long it may take to build one.
const BUILDING: Duration = Duration::from_secs(1800);

const DENY: CargoTool = CargoTool { name: "cargo-deny", version: "0.20.2" };
const CYCLONEDX: CargoTool = CargoTool { name: "cargo-cyclonedx", version: "0.5.9" };

/// A program that cargo runs as one of its commands, built when first needed and kept in the cache.
#[derive(Debug, Clone, Copy)]
struct CargoTool {
    name: &'static str,
    version: &'static str,
}

impl CargoTool {
    /// What runs it, in the root of the checkout.
    async fn command(self) -> Result<Command> {
        let CargoTool { name, version } = self;
        let folder = cache()?.join("cargo").join(format!("{name}-{version}"));
        let program = folder.join("bin").join(name);
        if !program.exists() {
            fs::create_dir_all(&folder)?;
            let locked = folder.clone();
            let _lock = tokio::task::spawn_blocking(move || lock(&locked)).await??;
            if !program.exists() {
                say(&format!("building {name} in {}", folder.display()));
                let mut install = Command::new("cargo");
                install.args(["install", "--locked", "--quiet", name, "--version", version, "--root"]).arg(&folder);
                command::run(install.env_remove("CARGO_TARGET_DIR"), "", BUILDING).await?;
            }
        }
        let mut command = Command::new(program);
        command.current_dir(root()).arg(name.trim_start_matches("cargo-"));
        Ok(command)
    }
}

/// Asks cargo-deny what `deny.toml` asks for.
///
/// # Errors
/// With what it found.
pub async fn check() -> Result<()> {
    let mut deny = DENY.command().await?;
    deny.args(["--workspace", "--locked", "check", "--hide-inclusion-graph", "bans", "licenses", "sources"]);
    command::run(&mut deny, "", PATIENCE).await.map(drop)
}

/// Writes a bill of materials for each program that is shipped, beside it; the files.
///
/// # Errors
/// When it can't be made, or lacks something that the program is linked with.
pub async fn bills() -> Result<Vec<PathBuf>> {
    let mut cyclonedx = CYCLONEDX.command().await?;
    cyclonedx.args([
        "--format",
        "json",
        "--spec-version",
        "1.5",
        "--describe",
        "binaries",
        "--no-build-deps",
        "--quiet",
    ]);
    command::run(&mut cyclonedx, "", PATIENCE).await?;
    let folder = dist_folder()?;
    let mut bills = Vec::new();
    // It writes one for each program of the workspace, beside its Cargo.toml.
    for written in written().await? {
        let name = written.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let of_program = |program: &&&str| name == format!("{program}_bin.cdx.json");
        if let Some(program) = PROGRAMS.iter().find(of_program) {
            let whole = fs::canonicalize(root())?;
            let text = fs::read_to_string(&written)?.replace(&format!("{}/", whole.display()), "");
            ensure_complete(program, &serde_json::from_str(&text)?).await?;
            let bill = folder.join(format!("{program}.cdx.json"));
            fs::write(&bill, text)?;
            bills.push(bill);
        }
        fs::remove_file(written)?;
    }
    ensure!(bills.len() == PROGRAMS.len(), "bills of {bills:?} alone");
    Ok(bills)
}

async fn written() -> Result<Vec<PathBuf>> {
    let metadata = cargo(&["metadata", "--no-deps", "--locked", "--format-version", "1"]).await?;
    let metadata: Value = serde_json::from_str(&metadata)?;
    let manifests = metadata["packages"].as_array().into_iter().flatten();
    let folders = manifests.filter_map(|package| Path::new(package["manifest_path"].as_str()?).parent());
    let mut written = Vec::new();
    for folder in folders {
        let files = fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?.into_iter().map(|entry| entry.path());
        written.extend(files.filter(|file| file.to_string_lossy().ends_with(".cdx.json")));
    }
    Ok(written)
}

/// Compares it with what cargo itself says.
async fn ensure_complete(program: &str, bill: &Value) -> Result<()> {
    let linked = cargo(&["tree", "--locked", "--package", program, "--edges", "normal", "--prefix", "none"]).await?;
    let linked: BTreeSet<&str> = linked.lines().filter_map(|line| line.split_whitespace().next()).collect();
    let components = bill["components"].as_array().context("no components")?;
    let listed: BTreeSet<&str> = components.iter().filter_map(|component| component["name"].as_str()).collect();
    let missing: Vec<_> = linked.difference(&listed).filter(|name| **name != program).collect();
    ensure!(missing.is_empty(), "the bill of {program} lacks {missing:?}");
    Ok(())
}

async fn cargo(arguments: &[&str]) -> Result<String> {
    command::run(Command::new("cargo").current_dir(root()).args(arguments), "", PATIENCE).await
}
