//! The child that becomes the command: it asks the kernel to kill it when the electing process dies.

use std::io::{self, ErrorKind};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use nix::sys::signal::Signal;

use crate::process_role::Given;
use elector_program::failure::Failure;

/// The exit code of a command that cannot be run, as a shell reports it.
const CANNOT_RUN: u8 = 126;
const NOT_FOUND: u8 = 127;

/// Runs the command in place of this program. Returns only if the command cannot be run.
pub(crate) fn become_command(Given { parent, rest }: Given) -> Failure {
    let mut rest = rest.into_iter();
    let program = rest.next().unwrap_or_default();
    let message = |error: io::Error| format!("failed to run {}: {error}", program.to_string_lossy());
    // It holds for the command too: exec keeps it, unless the program changes its user.
    if let Err(error) = parent.follow(Signal::SIGKILL) {
        return Failure::failed(message(error));
    }
    let error = Command::new(&program).args(rest).exec();
    let code = if error.kind() == ErrorKind::NotFound { NOT_FOUND } else { CANNOT_RUN };
    Failure::with_code(code, message(error))
}
