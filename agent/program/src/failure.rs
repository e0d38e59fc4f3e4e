//! The end of a program that has not done what it was asked for: one line on standard error, and an exit code.

use std::error::Error;
use std::fmt::Display;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use elector_crds::display_text::{MAX_LINE, shown};

/// The exit code of a program that failed or was refused: trying again may help.
pub const FAILED: u8 = 1;
/// The exit code for invalid arguments, settings or kubeconfigs: trying again does not help.
pub const USAGE: u8 = 2;

/// How long the program waits for its last line to be read.
const LAST_LINE_TIMEOUT: Duration = Duration::from_secs(1);

/// A reason to end the process, with an exit code and a line that may be empty.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub code: u8,
    /// What is wrong, and what to do; empty to print nothing.
    pub message: String,
}

impl Failure {
    /// A failure with the exit code [`FAILED`].
    #[must_use]
    pub fn failed(error: impl Display) -> Failure {
        Failure::with_code(FAILED, error)
    }

    /// A failure with the exit code [`USAGE`].
    #[must_use]
    pub fn usage(error: impl Display) -> Failure {
        Failure::with_code(USAGE, error)
    }

    /// A failure with an exit code of its own.
    #[must_use]
    pub fn with_code(code: u8, error: impl Display) -> Failure {
        Failure { code, message: format!("error: {error}") }
    }

    /// A failure that ends the process with this code and prints nothing.
    #[must_use]
    pub fn silent(code: u8) -> Failure {
        Failure { code, message: String::new() }
    }

    /// The failure for an error of clap. Help is printed to standard output and is no failure; of other errors it says
    /// in one line what is wrong and what to do.
    #[must_use]
    pub fn of_arguments(error: &clap::Error) -> Failure {
        let text = error.to_string();
        if !error.use_stderr() {
            let mut out = io::stdout().lock();
            // A reader that has seen enough, as `head`, has no complaint.
            let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
            return Failure::silent(0);
        }
        let lines: Vec<&str> = text.lines().map(str::trim).take_while(|line| !line.is_empty()).collect();
        Failure { code: USAGE, message: format!("{}; see --help", lines.join(" ")) }
    }

    /// Prints the message on standard error, as one line, and returns the exit code. A reader that does not read delays
    /// the end only shortly.
    #[must_use]
    pub fn exit(self) -> ExitCode {
        let Failure { code, message } = self;
        if !message.is_empty() {
            let (written, is_written) = mpsc::channel();
            thread::spawn(move || {
                // It may repeat what stands in a file that others can write.
                let line = message.replace(['\r', '\n'], " ");
                let _ = writeln!(io::stderr(), "{}", shown(&line, MAX_LINE));
                written.send(())
            });
            let _ = is_written.recv_timeout(LAST_LINE_TIMEOUT);
        }
        ExitCode::from(code)
    }
}

/// An error with all its causes, as one line.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        // Many errors say what they came from themselves.
        if !message.contains(&more) {
            message = format!("{message}: {more}");
        }
        source = error.source();
    }
    message
}
