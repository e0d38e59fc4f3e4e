//! A folder for a test's files that is gone when the test is, however it ends.

use std::{
    env,
    ffi::OsStr,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result};

/// Processes that get SIGKILL in the same moment may still add a file or two: hence the repetition.
const REMOVE: &str = r#"for _ in 1 2 3 4 5 6 7 8 9 10; do rm -rf "$0" && exit; sleep 0.2; done"#;

/// A script that sh runs when this is dropped, and when this process ends, whatever ends it.
#[derive(Debug)]
pub struct AtEnd {
    shell: Child,
}

impl AtEnd {
    /// `argument` is the script's `$0`.
    ///
    /// # Errors
    /// When there is no sh.
    pub fn run(script: &str, argument: &OsStr) -> Result<Self> {
        let shell = Command::new("sh")
            // Until the pipe's other end is closed, which the kernel does for a dead process too.
            .args(["-c", &format!("read -r _; {script}")])
            .arg(argument)
            .stdin(Stdio::piped())
            // Whoever reads our output until its end must not wait for this shell.
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .context("failed to run sh")?;
        Ok(Self { shell })
    }
}

impl Drop for AtEnd {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        // Scripts give up by themselves.
        let _ = self.shell.wait();
    }
}

/// A folder of mode 0700 below `$TMPDIR`. `LEADER_ELECTOR_KEEP=1` keeps it, to read the logs in it.
///
/// A destructor does not run for a static nor on SIGKILL, and an etcd takes 120 MB,
/// so a waiting shell does the removing.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
    _remover: Option<AtEnd>,
}

impl Scratch {
    /// Makes the folder.
    ///
    /// # Errors
    /// When the folder or the process that removes it can't be made.
    pub fn new() -> Result<Self> {
        Self::below(&env::temp_dir())
    }

    /// One in memory, as a pod's volume is that holds its status file: while a disk does not answer, no file on it can be
    /// removed, and who looks at it would see a leader of yesterday.
    ///
    /// # Errors
    /// As [`Scratch::new`].
    pub fn in_memory() -> Result<Self> {
        let memory = Path::new("/dev/shm");
        if memory.is_dir() { Self::below(memory) } else { Self::new() }
    }

    fn below(folder: &Path) -> Result<Self> {
        let path = tempfile::Builder::new()
            .prefix("leader-elector-")
            .tempdir_in(folder)
            .context("failed to create a temporary folder")?
            .keep();
        let remover = match env::var_os("LEADER_ELECTOR_KEEP") {
            Some(_) => {
                eprintln!("kept: {}", path.display());
                None
            }
            None => Some(AtEnd::run(REMOVE, path.as_os_str())?),
        };
        Ok(Self { path, _remover: remover })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
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
