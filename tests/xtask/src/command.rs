//! Commands that run to their end, for what users type.

use std::{process::Stdio, time::Duration};

use anyhow::{Context, Result, bail};
use tokio::{io::AsyncWriteExt, process::Command, time::timeout};

/// Runs it with `input` as its standard input and returns what it printed.
///
/// # Errors
/// With its own message when it fails; when it takes longer than `patience`, after which it is killed.
pub async fn run(command: &mut Command, input: &str, patience: Duration) -> Result<String> {
    let line = line(command);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("failed to run {line}"))?;
    let mut stdin = child.stdin.take().context("a command without stdin")?;
    let run = async {
        // One that doesn't read its input closes it.
        let _ = stdin.write_all(input.as_bytes()).await;
        drop(stdin);
        child.wait_with_output().await
    };
    let output = timeout(patience, run).await.with_context(|| format!("{line} took over {patience:?}"))??;
    if !output.status.success() {
        bail!("{line} failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// As it was typed, but for the folder of the program.
fn line(command: &Command) -> String {
    let command = command.as_std();
    let program = std::path::Path::new(command.get_program()).file_name().unwrap_or_default();
    let words = std::iter::once(program).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
