//! What somebody does to the files of the leader, and that nothing of it is there afterwards.

use std::fs;
use std::os::unix::fs::symlink;

use anyhow::{Result, ensure};

use crate::attack::Arena;

/// What somebody does to the files of the leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tampering {
    /// Removes `leader_status`.
    Removed,
    /// Puts a link to another file there.
    Link,
    /// Puts a directory there.
    Directory,
    /// Puts a directory in place of the report.
    ReportDirectory,
    /// Puts garbage in place of the report.
    ReportGarbage,
    /// Removes the lock file.
    Lock,
}

impl Tampering {
    pub(super) fn apply(self, arena: &Arena<'_>, leader: usize) -> Result<()> {
        let status = arena.members[leader].candidate.status_file();
        let (report, lock) = (status.with_extension("json"), status.with_extension("lock"));
        match self {
            Tampering::Removed => fs::remove_file(&status)?,
            Tampering::Link => {
                fs::remove_file(&status)?;
                // To a file, so that who tests for one finds it.
                symlink("/etc/passwd", &status)?;
            }
            Tampering::Directory => {
                fs::remove_file(&status)?;
                fs::create_dir(&status)?;
            }
            Tampering::ReportDirectory => {
                fs::remove_file(&report)?;
                fs::create_dir(&report)?;
            }
            Tampering::ReportGarbage => fs::write(&report, "{\"leads\": true}")?,
            Tampering::Lock => fs::remove_file(&lock)?,
        }
        Ok(())
    }

    /// All of it mends by itself.
    pub(super) fn undo(self, arena: &Arena<'_>, leader: usize) -> Result<()> {
        let status = arena.members[leader].candidate.status_file();
        for path in [status.clone(), status.with_extension("json")] {
            let is_file = fs::symlink_metadata(&path).map_or(true, |found| found.is_file());
            ensure!(is_file, "what was put at {} is still there\n{}", path.display(), arena.logs());
        }
        Ok(())
    }
}
