//! The files that exist only while this process leads, and the lock that says whose they are.
//!
//! | file | content | order |
//! |---|---|---|
//! | `leader_status` | the hostname, for `if [ -f … ]` | appears last, disappears first |
//! | `leader_status.json` | the tenure, for readers that want to know how long it is valid | before, and after |
//! | `leader_status.lock` | until when the electing process may be taken for one that works; locked by it for as long as it lives | always |

mod check;
mod lock;
mod report;

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use elector_election::{Now, Predecessor, Tenure};

pub use self::check::{Health, NotLeading, Standing, Unknown, check, check_health};
use self::lock::{Lock, Pulse};
pub use self::report::{Report, boot_id};
use crate::driver::TURN;
use crate::publication::Publication;

const ELSEWHERE: &str = "name a status file in a directory that this user may write to, with room in it";

/// Why a status path cannot be used. Each message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not a place for files.
    #[error("status path {path:?} {reason}")]
    Unusable {
        /// What was looked at.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        reason: &'static str,
    },
    /// The system refused.
    #[error("failed to {doing} {}: {source}; {advice}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
        /// What to do.
        advice: &'static str,
    },
    /// Another agent lives.
    #[error("{} is locked: another agent uses this status path; give each agent one of its own", path.display())]
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
}

/// A status path of which this process is the only user, and that shows nothing: held from before its first candidacy
/// until it ends.
#[derive(Debug)]
pub struct Claim {
    status: PathBuf,
    report: PathBuf,
    left_behind: Option<Report>,
    lock: Lock,
}

impl Claim {
    /// Takes the lock, then removes what an earlier process left behind.
    ///
    /// `path` is that of `leader_status`, or a directory that is to hold it.
    ///
    /// # Errors
    /// If the path cannot serve, with what to do about it.
    pub fn take(path: &Path) -> Result<Claim, Error> {
        let status = status_path(path)?;
        let report = with_suffix(&status, ".json");
        let lock = Lock::take(&with_suffix(&status, ".lock"))?;
        remove_stale(&status)?;
        let left_behind = Report::read(&report).ok();
        remove_stale(&report)?;
        probe(&status)?;
        Ok(Claim { status, report, left_behind, lock })
    }

    /// A file beside the others, for whoever has to remember something across a crash.
    #[must_use]
    pub fn beside(&self, suffix: &str) -> PathBuf {
        with_suffix(&self.status, suffix)
    }

    /// The tenure that the earlier process had in this election, if that was in this boot: whoever holds the lock may vouch
    /// for its death (rule L5).
    #[must_use]
    pub fn predecessor(&self, boot_id: &str, namespace: &str, lease: &str) -> Option<Predecessor> {
        let of_this = |report: &Report| report.namespace == namespace && report.lease == lease;
        self.left_behind.clone().filter(of_this)?.predecessor(boot_id)
    }

    /// The files as `author` writes them; `boot_id` is the running kernel's.
    ///
    /// # Errors
    /// If the lock file cannot say that the process of this nonce lives.
    pub fn sign(self, author: Author, boot_id: String) -> Result<StatusFiles, Error> {
        self.lock.sign(&author.start)?;
        Ok(StatusFiles { claim: self, author, boot_id, pulse_at: None })
    }
}

/// Removes the `leader_status` that a dead electing process left, or what is there in its place. What another one that lives shows stays, and so does
/// the report: it ends the wait of whoever comes next on this path (rule L5), and whoever reads it sees its time.
///
/// # Errors
/// If the file is there and cannot be removed.
pub fn clear(path: &Path) -> Result<(), Error> {
    let status = match status_path(path) {
        // No agent starts with such a thing in the file's place: it was put there since, and who tests for a file may
        // find one behind a link.
        Err(Error::Unusable { .. }) => path.to_owned(),
        status => status?,
    };
    if !fs::symlink_metadata(&status).is_ok_and(|found| !found.is_dir()) {
        return Ok(());
    }
    match Lock::take(&with_suffix(&status, ".lock")) {
        Ok(_lock) => remove_stale(&status),
        Err(Error::Locked { .. }) => Ok(()),
        // A lock file that nobody can open keeps nobody alive.
        Err(Error::Io { .. } | Error::Unusable { .. }) => remove_stale(&status),
    }
}

/// For how long a turn of the loop vouches for it: so many turns may be late.
pub const PULSE: Duration = Duration::from_secs(3 * TURN.as_secs());
/// Not at each renewal of a busy leader.
const BETWEEN_PULSES: Duration = Duration::from_secs(1);

/// The status files of one agent.
#[derive(Debug)]
pub struct StatusFiles {
    claim: Claim,
    author: Author,
    boot_id: String,
    /// When the last pulse was written, in `CLOCK_BOOTTIME`.
    pulse_at: Option<Duration>,
}

impl StatusFiles {
    fn write_report(&mut self, tenure: &Tenure, now: Now) -> io::Result<()> {
        self.claim.lock.keep(&self.author.start).map_err(io::Error::other)?;
        let report = Report::new(&self.author, &self.boot_id, tenure, now).to_json()?;
        write_whole(&with_suffix(&self.claim.report, ".tmp"), &self.claim.report, &report)
    }

    fn write_status(&self) -> io::Result<()> {
        let line = format!("{}\n", self.author.hostname);
        write_whole(&with_suffix(&self.claim.status, ".tmp"), &self.claim.status, line.as_bytes())
    }
}

impl Publication for StatusFiles {
    fn publish(&mut self, tenure: &Tenure, now: Now) -> io::Result<()> {
        self.write_report(tenure, now)?;
        self.write_status()
    }

    fn extend(&mut self, tenure: &Tenure, now: Now) -> io::Result<()> {
        self.write_report(tenure, now)?;
        // Somebody else may have removed it.
        if self.claim.status.try_exists()? { Ok(()) } else { self.write_status() }
    }

    fn retract(&mut self) -> io::Result<()> {
        remove(&self.claim.status)?;
        remove(&self.claim.report)
    }

    fn turned(&mut self, now: Now) {
        let now = now.moment.boottime;
        if self.pulse_at.is_some_and(|last| now < last + BETWEEN_PULSES) {
            return;
        }
        let pulse = Pulse { boot_id: self.boot_id.clone(), until: now + PULSE };
        // A volume that cannot be written to shows in what depends on it.
        if self.claim.lock.write(&pulse).is_ok() {
            self.pulse_at = Some(now);
        }
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
                unusable("lies in a directory that does not exist: create it, or mount a volume there")
            }
        }
        Err(source) => Err(Error::Io { doing: "look at", path: path.to_owned(), source, advice: ELSEWHERE }),
    }
}

/// Fails now rather than at the first tenure, for which there must be room too.
fn probe(status: &Path) -> Result<(), Error> {
    let probe = with_suffix(status, ".tmp");
    write_whole(&probe, &probe, &[b' '; 4096]).and_then(|()| remove(&probe)).map_err(|source| Error::Io {
        doing: "write beside",
        path: status.to_owned(),
        source,
        advice: ELSEWHERE,
    })
}

fn remove_stale(path: &Path) -> Result<(), Error> {
    let advice = "remove it, or name another status file";
    remove(path).map_err(|source| Error::Io { doing: "remove the stale", path: path.to_owned(), source, advice })
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
