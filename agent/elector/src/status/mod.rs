//! The status files, which exist only while this process leads, and the lock that says to which process they belong.
//!
//! | file | content | order |
//! |---|---|---|
//! | `leader_status` | the hostname, for `if [ -f … ]` | appears last, disappears first |
//! | `leader_status.json` | the tenure, for readers that want to know how long it is valid | before, and after |
//! | `leader_status.lock` | until when the electing process may be taken for one that works; locked by it for as long as it lives | always |

mod check;
mod folder;
mod lock;
mod report;

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use elector_election::{Now, Predecessor, Tenure};

pub use self::check::{Health, NotLeading, Standing, Unknown, check, check_health};
use self::folder::Folder;
use self::lock::{Former, Lock, Pulse};
pub use self::report::{Report, boot_id};
use crate::driver::TURN;
use crate::publication::Publication;

const ELSEWHERE: &str = "name a status file in a directory that this user may write to, with room in it";

/// Why a status path cannot be used. Each message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The path is not a place for files.
    #[error("status path {path:?} {reason}")]
    Unusable {
        /// The path that cannot be used.
        path: PathBuf,
        /// What is wrong with the path, and what to do.
        reason: &'static str,
    },
    /// The system refused an operation.
    #[error("failed to {doing} {}: {source}; {advice}", path.display())]
    Io {
        /// The operation, as a verb.
        doing: &'static str,
        /// The path on which the operation failed.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
        /// The advice to the user: what to do.
        advice: &'static str,
    },
    /// Another agent uses this status path.
    #[error("{} is locked: another agent uses this status path; give each agent one of its own", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
}

/// What the status files say of this process in each tenure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Author {
    /// The content of `leader_status`.
    pub hostname: String,
    /// The identity under which this process contends.
    pub identity: String,
    /// The namespace of the Lease.
    pub namespace: String,
    /// The name of the Lease.
    pub lease: String,
    /// The nonce of this process.
    pub start: String,
}

/// A status path that this process alone uses, and that shows no leadership yet. A process holds its claim from before
/// its first candidacy until it ends.
#[derive(Debug)]
pub struct Claim {
    files: Files,
    left_behind: Option<Report>,
    lock: Lock,
}

/// The paths of the files at a status path.
#[derive(Debug)]
struct Files {
    folder: Folder,
    status: OsString,
    report: OsString,
}

impl Claim {
    /// Takes the lock for the process with the nonce `start`, then removes what an earlier process left behind.
    ///
    /// `path` is that of `leader_status`, or a directory that is to hold it.
    ///
    /// # Errors
    /// If the path cannot serve, with what to do about it.
    pub fn take(path: &Path, start: &str) -> Result<Claim, Error> {
        let files = Files::at(&status_path(path)?)?;
        let (lock, former) = match Lock::take(&files.folder, &files.with_suffix(".lock"), start) {
            Err(error @ Error::Locked { .. }) => {
                // Who holds the lock may be no agent.
                let _ = files.remove_what_is_over();
                return Err(error);
            }
            taken => taken?,
        };
        files.remove_stale(&files.status)?;
        // If somebody took the lock file away, who wrote the report may live.
        let left_behind = Report::read(&files.folder.at(&files.report)).ok().filter(|_| former == Former::Dead);
        files.remove_stale(&files.report)?;
        files.probe()?;
        Ok(Claim { files, left_behind, lock })
    }

    /// The nonce of the process that took this claim.
    #[must_use]
    pub fn start(&self) -> &str {
        self.lock.start()
    }

    /// A marker file beside the status files, for a program that must remember something across a crash.
    #[must_use]
    pub fn beside(&self, suffix: &str) -> Marker {
        Marker { folder: self.files.folder.clone(), name: self.files.with_suffix(suffix) }
    }

    /// The tenure that the earlier process at this path had in this election, if it was in this boot. Holding the lock
    /// proves that the earlier process is dead (rule L5).
    #[must_use]
    pub fn predecessor(&self, boot_id: &str, namespace: &str, lease: &str) -> Option<Predecessor> {
        let of_this = |report: &Report| report.namespace == namespace && report.lease == lease;
        self.left_behind.clone().filter(of_this)?.predecessor(boot_id)
    }

    /// The status files, written in the name of `author`, who must have the nonce of this claim. `boot_id` is that of
    /// the running kernel.
    #[must_use]
    pub fn sign(self, author: Author, boot_id: String) -> StatusFiles {
        let Claim { files, lock, .. } = self;
        StatusFiles { files, lock, author, boot_id, shown: None, pulse_at: None }
    }
}

/// A file that says something by existing.
#[derive(Debug)]
pub struct Marker {
    folder: Folder,
    name: OsString,
}

impl Marker {
    /// Whether the file exists.
    #[must_use]
    pub fn is_there(&self) -> bool {
        self.folder.has_any(&self.name)
    }

    /// Makes the file, in place of anything at its path.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn put(&self) -> io::Result<()> {
        self.folder.create(&self.name).map(drop)
    }

    /// Removes the file, or anything at its path.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn remove(&self) -> io::Result<()> {
        self.folder.remove(&self.name)
    }
}

/// Removes the `leader_status` that a dead electing process left, or anything in its place. The report stays: it ends
/// the wait of the next agent on this path (rule L5), and readers see that its time passes.
///
/// The lock is not looked at: any process that can read the lock file could lock it and so keep the file of the dead
/// process there. If another agent uses this path meanwhile, against the rules, that agent makes its file again at its
/// next renewal (rule P4).
///
/// # Errors
/// If the file exists and cannot be removed.
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
    match fs::remove_file(&status) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(not_removed(status, source)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// How long a pulse is valid: three turns of the loop may be late.
pub const PULSE: Duration = Duration::from_secs(3 * TURN.as_secs());
/// The shortest time between two pulses, so that a busy leader does not write one at each renewal.
const BETWEEN_PULSES: Duration = Duration::from_secs(1);

/// The status files of one agent.
#[derive(Debug)]
pub struct StatusFiles {
    files: Files,
    lock: Lock,
    author: Author,
    boot_id: String,
    /// The `leader_status` that this process has written, if it leads.
    shown: Option<File>,
    /// The time of the last pulse on `CLOCK_BOOTTIME`.
    pulse_at: Option<Duration>,
}

impl StatusFiles {
    fn write_report(&mut self, tenure: &Tenure, now: Now) -> io::Result<()> {
        self.lock.keep().map_err(io::Error::other)?;
        let report = Report::new(&self.author, &self.boot_id, tenure, now).to_json()?;
        self.files.folder.write_whole(&self.files.report, &report).map(|_| ())
    }

    fn write_status(&mut self) -> io::Result<()> {
        let line = format!("{}\n", self.author.hostname);
        self.shown = Some(self.files.folder.write_whole(&self.files.status, line.as_bytes())?);
        Ok(())
    }
}

impl Publication for StatusFiles {
    fn publish(&mut self, tenure: &Tenure, now: Now) -> io::Result<()> {
        self.write_report(tenure, now)?;
        self.write_status()
    }

    fn extend(&mut self, tenure: &Tenure, now: Now) -> io::Result<()> {
        self.write_report(tenure, now)?;
        // Somebody else may have removed or replaced it.
        let is_there = |file: &File| self.files.folder.has(&self.files.status, file);
        if self.shown.as_ref().is_some_and(is_there) { Ok(()) } else { self.write_status() }
    }

    fn retract(&mut self) -> io::Result<()> {
        self.files.folder.remove(&self.files.status)?;
        self.shown = None;
        self.files.folder.remove(&self.files.report)
    }

    fn turned(&mut self, now: Now) {
        let now = now.moment.boottime;
        if self.pulse_at.is_some_and(|last| now < last + BETWEEN_PULSES) {
            return;
        }
        // A volume that cannot be written to shows in what depends on it.
        let kept = self.lock.keep().is_ok();
        // Whatever is there, somebody else has made it.
        if kept && self.shown.is_none() {
            let _ = self.files.folder.remove(&self.files.status);
        }
        let pulse = Pulse { boot_id: self.boot_id.clone(), until: now + PULSE };
        if self.lock.write(&pulse).is_ok() {
            self.pulse_at = Some(now);
        }
    }
}

impl Files {
    fn at(status: &Path) -> Result<Files, Error> {
        let (parent, name) = (parent_of(status), status.file_name().unwrap_or_default().to_owned());
        let folder = Folder::open(parent).map_err(|source| Error::Io {
            doing: "open",
            path: parent.to_owned(),
            source,
            advice: ELSEWHERE,
        })?;
        Ok(Files { folder, report: folder::with_suffix(&name, ".json"), status: name })
    }

    fn with_suffix(&self, suffix: &str) -> OsString {
        folder::with_suffix(&self.status, suffix)
    }

    fn remove_stale(&self, name: &OsStr) -> Result<(), Error> {
        self.folder.remove(name).map_err(|source| not_removed(self.folder.named(name), source))
    }

    /// Removes the `leader_status` of an agent that leads no more. An agent that leads has a report whose time is not
    /// over.
    fn remove_what_is_over(&self) -> io::Result<()> {
        let is_over = match Report::read(&self.folder.at(&self.report)) {
            Ok(report) => report.is_over()?,
            Err(_) => true,
        };
        if is_over { self.folder.remove(&self.status) } else { Ok(()) }
    }

    /// Writes and removes a file, so that a full or read-only volume is noticed now and not at the first tenure.
    fn probe(&self) -> Result<(), Error> {
        let probe = self.with_suffix(".probe");
        let written = self.folder.write_whole(&probe, &[b' '; 4096]);
        written.and_then(|_| self.folder.remove(&probe)).map_err(|source| Error::Io {
            doing: "write beside",
            path: self.folder.named(&self.status),
            source,
            advice: ELSEWHERE,
        })
    }
}

fn status_path(path: &Path) -> Result<PathBuf, Error> {
    // An agent has used it: whatever stands there since has taken the place of the file.
    if path.file_name().is_some() && fs::symlink_metadata(with_suffix(path, ".lock")).is_ok() {
        return Ok(path.to_owned());
    }
    let unusable = |reason| Err(Error::Unusable { path: path.to_owned(), reason });
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => Ok(path.join("leader_status")),
        Ok(found) if found.is_symlink() => {
            unusable("is a symbolic link: name the file itself, which is replaced at each tenure")
        }
        Ok(found) if !found.is_file() => unusable("is no regular file: name another status file"),
        Ok(_) => Ok(path.to_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if path.file_name().is_none() {
                unusable("names no file: name a status file")
            } else if parent_of(path).is_dir() {
                Ok(path.to_owned())
            } else {
                unusable("lies in a directory that does not exist: create it, or mount a volume there")
            }
        }
        Err(source) => Err(Error::Io { doing: "look at", path: path.to_owned(), source, advice: ELSEWHERE }),
    }
}

fn parent_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn not_removed(path: PathBuf, source: io::Error) -> Error {
    Error::Io { doing: "remove the stale", path, source, advice: "remove it, or name another status file" }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    PathBuf::from(folder::with_suffix(path.as_os_str(), suffix))
}

#[cfg(test)]
mod tampered;
#[cfg(test)]
mod tests;
