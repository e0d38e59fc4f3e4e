//! The children of this process's first thread, adopted ones included: a process that asked for it
//! (`PR_SET_CHILD_SUBREAPER`) inherits all that its descendants leave behind.
//!
//! What another thread has started is waited for there, as the program that a kubeconfig names for a token.

use std::fs;
use std::io;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, getpid};

/// What became of a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// It exited, with this code.
    Code(i32),
    /// It was killed.
    Signal(Signal),
}

impl End {
    /// As a shell tells it.
    pub(crate) fn exit_code(self) -> u8 {
        match self {
            End::Code(code) => u8::try_from(code & 0xff).unwrap_or(u8::MAX),
            End::Signal(signal) => u8::try_from(128 + signal as i32).unwrap_or(u8::MAX),
        }
    }
}

/// What [`reap`] finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reaped {
    /// This one has ended.
    One(Pid, End),
    /// There are some, and they live.
    NoneNow,
    /// There are none.
    NoneLeft,
}

/// Takes in the end of one child, whichever it is.
///
/// # Errors
/// As `waitpid`.
pub(crate) fn reap() -> io::Result<Reaped> {
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG | WaitPidFlag::__WNOTHREAD)) {
            Ok(WaitStatus::Exited(id, code)) => return Ok(Reaped::One(id, End::Code(code))),
            Ok(WaitStatus::Signaled(id, signal, _)) => return Ok(Reaped::One(id, End::Signal(signal))),
            Ok(WaitStatus::StillAlive) => return Ok(Reaped::NoneNow),
            // Of traced processes and those that were stopped, neither of which is asked for.
            Ok(
                WaitStatus::Stopped(..)
                | WaitStatus::PtraceEvent(..)
                | WaitStatus::PtraceSyscall(_)
                | WaitStatus::Continued(_),
            )
            | Err(Errno::EINTR) => {}
            Err(Errno::ECHILD) => return Ok(Reaped::NoneLeft),
            Err(error) => return Err(error.into()),
        }
    }
}

/// SIGKILL to each. Their own children become ours when they die, so it takes one call for each generation.
///
/// # Errors
/// If they cannot be found.
pub(crate) fn kill_all() -> io::Result<()> {
    let first_thread = getpid();
    let children = fs::read_to_string(format!("/proc/self/task/{first_thread}/children"))?;
    for id in children.split_whitespace().filter_map(|id| id.parse().ok()) {
        // It is ours until it is waited for, so it cannot be another's id. Only one of another user can refuse.
        let _ = kill(Pid::from_raw(id), Signal::SIGKILL);
    }
    Ok(())
}
