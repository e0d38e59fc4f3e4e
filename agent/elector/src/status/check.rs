//! Whether the process that wrote the report leads now, judged by its reader: the file alone cannot tell.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::lock::LockFile;
use super::report::boottime;
use super::{Error, Report, boot_id, status_path, with_suffix};

/// What a look found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// This pod leads.
    Leads {
        /// The tenure.
        report: Box<Report>,
        /// How long it does so even if it is never renewed again.
        remaining: Duration,
    },
    /// It does not.
    DoesNot(NotLeading),
}

/// Why this pod does not lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotLeading {
    /// Nobody claims that it does.
    #[error("there is no report of a tenure")]
    NoReport,
    /// Left behind.
    #[error("the report is of an earlier boot")]
    EarlierBoot,
    /// Left behind, or its writer is stopped.
    #[error("the time of the report has passed")]
    Expired,
    /// Left behind.
    #[error("the process that wrote the report is dead")]
    WriterDead,
}

/// Why it cannot be told whether this pod leads.
#[derive(Debug, thiserror::Error)]
pub enum Unknown {
    /// The path is none.
    #[error(transparent)]
    Path(#[from] Error),
    /// Nobody has ever looked after it.
    #[error("there is no {}: no agent uses this status path, or this is another volume", .0.display())]
    NoAgent(PathBuf),
    /// The system refused, or the report is none.
    #[error("failed to read {}: {source}", path.display())]
    Unreadable {
        /// What was looked at.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The kernel did not say when and where this is.
    #[error("failed to ask the kernel: {0}")]
    Kernel(#[source] io::Error),
}

/// Looks whether the agent of this status path leads: its report is of this boot, within its time, and signed by a
/// process that lives. Like any look, it is right when it is made, and protects nothing afterwards.
///
/// # Errors
/// If it cannot be told.
pub fn check(path: &Path) -> Result<Standing, Unknown> {
    let status = status_path(path)?;
    let report_path = with_suffix(&status, ".json");
    let (lock, lock_path) = lock_file(&status)?;
    let report = match Report::read(&report_path) {
        Ok(report) => Box::new(report),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Standing::DoesNot(NotLeading::NoReport)),
        Err(error) => return Err(unreadable(&report_path, error)),
    };
    if report.boot_id != boot_id().map_err(Unknown::Kernel)? {
        return Ok(Standing::DoesNot(NotLeading::EarlierBoot));
    }
    if !lock.is_signed(&report.start).map_err(|error| unreadable(&lock_path, error))? {
        return Ok(Standing::DoesNot(NotLeading::WriterDead));
    }
    // Last, so that all that was found above held at this time or before.
    let remaining = report.remaining().map_err(Unknown::Kernel)?;
    if remaining.is_zero() {
        return Ok(Standing::DoesNot(NotLeading::Expired));
    }
    Ok(Standing::Leads { report, remaining })
}

/// What a look for a process that works found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// The electing process works, whether it leads or not, and whether it is heard by an API server or not.
    Works,
    /// It lives, and its loop has not turned for long.
    Hangs,
    /// There is none.
    Dead,
}

/// Looks whether the agent of this status path works: if not, a restart helps.
///
/// # Errors
/// If it cannot be told.
pub fn check_health(path: &Path) -> Result<Health, Unknown> {
    let (lock, lock_path) = lock_file(&status_path(path)?)?;
    if !lock.is_taken().map_err(|error| unreadable(&lock_path, error))? {
        return Ok(Health::Dead);
    }
    let pulse = lock.pulse().map_err(|error| unreadable(&lock_path, error))?;
    let boot_id = boot_id().map_err(Unknown::Kernel)?;
    let now = boottime().map_err(Unknown::Kernel)?;
    let works = pulse.is_some_and(|pulse| pulse.boot_id == boot_id && now < pulse.until);
    Ok(if works { Health::Works } else { Health::Hangs })
}

fn lock_file(status: &Path) -> Result<(LockFile, PathBuf), Unknown> {
    let path = with_suffix(status, ".lock");
    match LockFile::open(&path) {
        Ok(lock) => Ok((lock, path)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Unknown::NoAgent(path)),
        Err(error) => Err(unreadable(&path, error)),
    }
}

fn unreadable(path: &Path, source: io::Error) -> Unknown {
    Unknown::Unreadable { path: path.to_owned(), source }
}
