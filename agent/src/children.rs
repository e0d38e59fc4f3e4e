//! The children of this process's first thread. A process that asks for it (`PR_SET_CHILD_SUBREAPER`) adopts all that
//! its descendants leave behind.
//!
//! Children of another thread are left to that thread, such as the program that a kubeconfig names for a token.

use std::fs;
use std::io;

use nix::libc::__WNOTHREAD;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, getpid, kill_process, wait};

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The child exited with this code.
    Code(i32),
    /// The child was killed by the signal of this number.
    Signal(i32),
}

impl End {
    /// The exit code as a shell reports it.
    pub(crate) fn exit_code(self) -> u8 {
        match self {
            End::Code(code) => u8::try_from(code & 0xff).unwrap_or(u8::MAX),
            End::Signal(signal) => u8::try_from(128 + signal).unwrap_or(u8::MAX),
        }
    }
}

/// The result of [`reap`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reaped {
    /// This child has ended.
    One(Pid, End),
    /// There are children, and all live.
    NoneNow,
    /// There are no children.
    NoneLeft,
}

/// Collects one child that has ended, if there is one.
///
/// # Errors
/// The errors of `waitpid`.
pub(crate) fn reap() -> io::Result<Reaped> {
    let options = WaitOptions::NOHANG | WaitOptions::from_bits_retain(__WNOTHREAD.cast_unsigned());
    loop {
        match wait(options) {
            Ok(Some((id, status))) => {
                let signal = status.terminating_signal().map(End::Signal);
                // Neither of one that was stopped or is traced, which is not asked for.
                if let Some(end) = status.exit_status().map(End::Code).or(signal) {
                    return Ok(Reaped::One(id, end));
                }
            }
            Ok(None) => return Ok(Reaped::NoneNow),
            Err(Errno::INTR) => {}
            Err(Errno::CHILD) => return Ok(Reaped::NoneLeft),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Sends SIGKILL to each child. Their own children become children of this process when they die, so each generation
/// takes one call.
///
/// # Errors
/// If the children cannot be found.
pub(crate) fn kill_all() -> io::Result<()> {
    let first_thread = getpid().as_raw_pid();
    let children = fs::read_to_string(format!("/proc/self/task/{first_thread}/children"))?;
    for id in children.split_whitespace().filter_map(|id| Pid::from_raw(id.parse().ok()?)) {
        // It is ours until it is waited for, so it cannot be another's id. Only one of another user can refuse.
        let _ = kill_process(id, Signal::KILL);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt as _;
    use std::process::Command;
    use std::thread;

    use super::*;

    #[test]
    #[expect(clippy::zombie_processes, reason = "the function that is tried waits for them")]
    fn the_end_of_a_child_is_told() {
        for (script, end) in
            [("exit 7", End::Code(7)), ("kill $$", End::Signal(15)), ("kill -s RTMIN+7 $$", End::Signal(41))]
        {
            // In a group of its own, as a command is.
            let child = Command::new("bash").args(["-c", script]).process_group(0).spawn().unwrap();
            let child = Pid::from_child(&child);
            let reaped = loop {
                match reap().unwrap() {
                    Reaped::NoneNow => thread::yield_now(),
                    reaped => break reaped,
                }
            };
            assert_eq!(reaped, Reaped::One(child, end), "{script}");
        }
        assert_eq!(reap().unwrap(), Reaped::NoneLeft);
    }
}
