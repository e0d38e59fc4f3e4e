//! A folder for a test's files that is gone when the test is, however it ends.

use std::{
    env,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result};

/// Reads until the pipe's other end is closed, which the kernel does for a dead process too.
/// Processes that get SIGKILL in the same moment may still add a file or two: hence the repetition.
const REMOVE_AT_EOF: &str = r#"read -r _; for _ in 1 2 3 4 5 6 7 8 9 10; do rm -rf "$0" && exit; sleep 0.2; done"#;

/// A folder of mode 0700 below `$TMPDIR`. `LEADER_ELECTOR_KEEP=1` keeps it, to read the logs in it.
///
/// A destructor does not run for a static nor on SIGKILL, and an etcd takes 120 MB,
/// so a waiting shell does the removing.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
    remover: Option<Child>,
}

impl Scratch {
    /// Makes the folder.
    ///
    /// # Errors
    /// When the folder or the process that removes it can't be made.
    pub fn new() -> Result<Self> {
        let path = tempfile::Builder::new()
            .prefix("leader-elector-")
            .tempdir()
            .context("failed to create a temporary folder")?
            .keep();
        let remover = match env::var_os("LEADER_ELECTOR_KEEP") {
            Some(_) => {
                eprintln!("kept: {}", path.display());
                None
            }
            None => Some(
                Command::new("sh")
                    .args(["-c", REMOVE_AT_EOF])
                    .arg(&path)
                    .stdin(Stdio::piped())
                    // Whoever reads our output until its end must not wait for this shell.
                    .stdout(Stdio::null())
                    .stderr(Stdio::null())
                    .process_group(0)
                    .spawn()
                    .context("failed to run sh")?,
            ),
        };
        Ok(Self { path, remover })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Some(mut remover) = self.remover.take() {
            drop(remover.stdin.take());
            // It gives up by itself after 2 s; what it leaves is a folder.
            let _ = remover.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_gone_after_drop() {
        let scratch = Scratch::new().unwrap();
        let path = scratch.path().to_owned();
        std::fs::write(path.join("file"), "text").unwrap();
        drop(scratch);
        assert!(!path.exists());
    }
}
