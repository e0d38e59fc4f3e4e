//! The files that exist only while this process leads, and the lock that says whose they are.
//!
//! | file | content | order |
//! |---|---|---|
//! | `leader_status` | the hostname, for `if [ -f … ]` | appears last, disappears first |
//! | `leader_status.json` | the tenure, for readers that want to know how long it is valid | before, and after |
//! | `leader_status.lock` | nothing; held by the electing process for as long as it lives | always |

mod lock;
mod report;

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use elector_election::{Now, Predecessor, Tenure};

use self::lock::Lock;
pub use self::report::{Report, boot_id};
use crate::driver::Publication;

/// Why a status path cannot be used. Each message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not a place for files.
    #[error("{}: {reason}", path.display())]
    Unusable {
        /// What was looked at.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        reason: &'static str,
    },
    /// The system refused.
    #[error("failed to {doing} {}: {source}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another agent lives.
    #[error("{} is locked: another agent uses this status path; give each agent its own", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
}

/// What the status files say of this process, tenure by tenure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Author {
    /// Contents of `leader_status`.
    pub hostname: String,
    /// As whom it contends.
    pub identity: String,
    /// Of the Lease.
    pub namespace: String,
    /// Of the Lease.
    pub lease: String,
    /// The nonce of this process.
    pub start: String,
    /// Of the running kernel.
    pub boot_id: String,
}

/// The status files of one agent: held from before its first candidacy until it ends.
#[derive(Debug)]
pub struct StatusFiles {
    status: PathBuf,
    report: PathBuf,
    author: Author,
    _lock: Lock,
}

impl StatusFiles {
    /// Takes the lock, then removes what an earlier process left behind. Of its tenure it returns what it finds:
    /// whoever holds the lock may vouch for its death (rule L5).
    ///
    /// `path` is that of `leader_status`, or a directory that is to hold it.
    ///
    /// # Errors
    /// If the path cannot serve, with what to do about it. Nothing was asked of the API server by then.
    pub fn open(path: &Path, author: Author) -> Result<(StatusFiles, Option<Predecessor>), Error> {
        let status = status_path(path)?;
        let files = StatusFiles {
            report: with_suffix(&status, ".json"),
            _lock: Lock::take(&with_suffix(&status, ".lock"))?,
            status,
            author,
        };
        remove(&files.status).map_err(|source| files.failed("remove the stale", &files.status, source))?;
        let predecessor = Report::read(&files.report).and_then(|report| report.predecessor(&files.author.boot_id));
        remove(&files.report).map_err(|source| files.failed("remove the stale", &files.report, source))?;
        files.probe()?;
        Ok((files, predecessor))
    }

    /// Fails now rather than at the first tenure.
    fn probe(&self) -> Result<(), Error> {
        let probe = with_suffix(&self.status, ".tmp");
        write_whole(&probe, &probe, b"")
            .and_then(|()| remove(&probe))
            .map_err(|source| self.failed("write beside", &self.status, source))
    }

    fn failed(&self, doing: &'static str, path: &Path, source: io::Error) -> Error {
        Error::Io { doing, path: path.to_owned(), source }
    }

    fn write_report(&self, tenure: &Tenure, now: Now) -> io::Result<()> {
        let report = Report::new(&self.author, tenure, now).to_json()?;
        write_whole(&with_suffix(&self.report, ".tmp"), &self.report, &report)
    }
}

impl Publication for StatusFiles {
    fn publish(&mut self, tenure: &Tenure, now: Now) -> io::Result<()> {
        self.write_report(tenure, now)?;
        let line = format!("{}\n", self.author.hostname);
        write_whole(&with_suffix(&self.status, ".tmp"), &self.status, line.as_bytes())
    }

    fn extend(&mut self, tenure: &Tenure, now: Now) -> io::Result<()> {
        self.write_report(tenure, now)
    }

    fn retract(&mut self) -> io::Result<()> {
        remove(&self.status)?;
        remove(&self.report)
    }
}

fn status_path(path: &Path) -> Result<PathBuf, Error> {
    let unusable = |reason| Err(Error::Unusable { path: path.to_owned(), reason });
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => Ok(path.join("leader_status")),
        Ok(found) if found.is_symlink() => {
            unusable("is a symbolic link: name the file itself, which is replaced at each tenure")
        }
        Ok(found) if !found.is_file() => unusable("is no regular file: name another status file"),
        Ok(_) => Ok(path.to_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            if path.file_name().is_none() {
                unusable("names no file: name a status file")
            } else if parent.is_dir() {
                Ok(path.to_owned())
            } else {
                unusable("its directory does not exist: create it, or mount a volume there")
            }
        }
        Err(source) => Err(Error::Io { doing: "look at", path: path.to_owned(), source }),
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Makes `path` appear whole or not at all. What lies at `temporary` is removed, never written through.
fn write_whole(temporary: &Path, path: &Path, content: &[u8]) -> io::Result<()> {
    remove(temporary)?;
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o644).open(temporary)?;
    file.write_all(content)?;
    fs::rename(temporary, path)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests;
