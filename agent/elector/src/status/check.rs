//! Whether the process that wrote the report leads now, judged by its reader: the file alone cannot tell.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::lock::LockFile;
use super::report::boottime;
use super::{Error, Report, boot_id, status_path, with_suffix};

/// Whether this pod leads, as a look at its status files found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// This pod leads.
    Leads {
        /// The report of the tenure.
        report: Box<Report>,
        /// For how long the pod leads even if the tenure is never renewed again.
        remaining: Duration,
    },
    /// This pod does not lead.
    DoesNot(NotLeading),
}

/// Why this pod does not lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotLeading {
    /// There is no report, so nothing claims that this pod leads.
    #[error("there is no report of a tenure")]
    NoReport,
    /// The report was left behind before the machine was started again.
    #[error("the report is of an earlier boot")]
    EarlierBoot,
    /// The time of the report has passed: it was left behind, or its writer is stopped.
    #[error("the time of the report has passed")]
    Expired,
    /// The process that wrote the report is dead.
    #[error("the process that wrote the report is dead")]
    WriterDead,
}

/// Why it is not known whether this pod leads.
#[derive(Debug, thiserror::Error)]
pub enum Unknown {
    /// The path cannot be a status path.
    #[error(transparent)]
    Path(#[from] Error),
    /// There is no lock file: no agent has ever used this status path.
    #[error("there is no {}: no agent uses this status path, or this is another volume", .0.display())]
    NoAgent(PathBuf),
    /// A status file cannot be read, or is not what it should be.
    #[error("failed to read {}: {source}", path.display())]
    Unreadable {
        /// The path of the status file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// The kernel did not give its clock or its boot id.
    #[error("failed to ask the kernel: {0}")]
    Kernel(#[source] io::Error),
}

/// Checks whether the agent of this status path leads: its report is of this boot, within its time, and signed by a
/// process that lives. The result is right when it is made, and protects nothing afterwards.
///
/// # Errors
/// If it cannot be told whether the agent leads.
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

/// Whether an agent's electing process works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// The electing process works, whether it leads or not, and whether it reaches an API server or not.
    Works,
    /// The electing process lives, but has done nothing for so long that it must hang.
    Hangs,
    /// There is no electing process.
    Dead,
}

/// Checks whether the agent of this status path works: if not, a restart helps.
///
/// # Errors
/// If it cannot be told whether the agent works.
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
