//! The project's own programs, as cargo has just built them: never what lies in a folder from earlier.

use std::env;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use tokio::sync::OnceCell;
use tokio::task::spawn_blocking;

/// Paths of the programs.
#[derive(Debug, Clone)]
pub struct Programs {
    /// `elector-agent`.
    pub agent: PathBuf,
    /// `elector-operator`.
    pub operator: PathBuf,
    /// `kubectl-election`.
    pub plugin: PathBuf,
    /// What `cargo controlplane` runs.
    pub controlplane: PathBuf,
}

impl Programs {
    /// Built once per process, as `cargo build` builds them; cargo's own lock keeps processes apart.
    ///
    /// # Errors
    /// When they do not compile; cargo has said why on stderr.
    pub async fn built() -> Result<&'static Programs> {
        static BUILT: OnceCell<Programs> = OnceCell::const_new();
        // All packages at once: the same features, and so the same dependencies, as in `cargo test`.
        let build = async || {
            let executables = spawn_blocking(|| cargo_build(&["--workspace", "--bins"], None)).await??;
            anyhow::Ok(Programs {
                agent: find(&executables, "elector-agent"),
                operator: find(&executables, "elector-operator"),
                plugin: find(&executables, "kubectl-election"),
                controlplane: find(&executables, "controlplane"),
            })
        };
        BUILT.get_or_try_init(build).await
    }

    /// The agent as it is shipped.
    ///
    /// # Errors
    /// As [`Programs::built`].
    pub async fn static_agent() -> Result<PathBuf> {
        build_static("elector-agent").await
    }

    /// All as they are shipped.
    ///
    /// # Errors
    /// As [`Programs::built`].
    pub async fn shipped() -> Result<[PathBuf; 3]> {
        // One after the other: built at once, the features of what one depends on would be the others', too.
        let [agent, operator, plugin] = ["elector-agent", "elector-operator", "kubectl-election"].map(build_static);
        Ok([agent.await?, operator.await?, plugin.await?])
    }
}

/// With the release profile and all libraries in it, as an image without any needs it.
async fn build_static(package: &'static str) -> Result<PathBuf> {
    // With a target named, the flags are not those of build scripts and macros, which can't be static.
    let target = format!("{}-unknown-linux-gnu", env::consts::ARCH);
    let arguments = ["--release", "-p", package, "--target", &target].map(str::to_owned);
    let flags = ("RUSTFLAGS", "-C target-feature=+crt-static");
    let built = spawn_blocking(move || cargo_build(&arguments, Some(flags))).await??;
    Ok(find(&built, package))
}

fn find(executables: &[PathBuf], name: &str) -> PathBuf {
    executables.iter().find(|path| path.file_name().is_some_and(|file| file == name)).cloned().unwrap_or_default()
}

fn cargo_build<A: AsRef<str>>(arguments: &[A], variable: Option<(&str, &str)>) -> Result<Vec<PathBuf>> {
    /// A line that cargo prints for each thing that it has built or found fresh.
    #[derive(Deserialize)]
    struct Message {
        executable: Option<PathBuf>,
    }
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    // What cargo tells a program about its package is left out: build scripts that look at it, as ring's does, would
    // run again with all that depends on them, here and at the next build from a shell.
    let of_this_package = env::vars_os().map(|(name, _)| name).filter(|name| {
        let name = name.as_encoded_bytes();
        name.starts_with(b"CARGO_PKG_") || name.starts_with(b"CARGO_MANIFEST_")
    });
    let mut command = Command::new(cargo);
    for name in of_this_package {
        command.env_remove(name);
    }
    let output = command
        .args(["build", "--quiet", "--locked", "--message-format=json-render-diagnostics"])
        .args(arguments.iter().map(AsRef::as_ref))
        .envs(variable)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("failed to run cargo")?;
    if !output.status.success() {
        let arguments: Vec<&str> = arguments.iter().map(AsRef::as_ref).collect();
        bail!("cargo build {} failed", arguments.join(" "));
    }
    let lines = String::from_utf8(output.stdout)?;
    let messages = lines.lines().map(serde_json::from_str::<Message>).collect::<Result<Vec<_>, _>>()?;
    Ok(messages.into_iter().filter_map(|message| message.executable).collect())
}
