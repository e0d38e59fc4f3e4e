//! How a program ends when it has not done what it was asked for: one line, and an exit code.

use std::error::Error;
use std::fmt::Display;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use elector_crds::display_text::{MAX_LINE, shown};

/// It failed, or was refused; trying again may help.
pub const FAILED: u8 = 1;
/// What was asked for cannot be done: arguments, settings, a kubeconfig. Trying again does not help.
pub const USAGE: u8 = 2;

/// How long the program waits for a reader of its last line.
const LAST_LINE_TIMEOUT: Duration = Duration::from_secs(1);

/// Ends the process with this code and, unless it is empty, this line.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub code: u8,
    /// What is wrong, and what would do.
    pub message: String,
}

impl Failure {
    /// Something went wrong.
    #[must_use]
    pub fn failed(error: impl Display) -> Failure {
        Failure::with_code(FAILED, error)
    }

    /// What was asked for cannot be done.
    #[must_use]
    pub fn usage(error: impl Display) -> Failure {
        Failure::with_code(USAGE, error)
    }

    /// Something that has an exit code of its own.
    #[must_use]
    pub fn with_code(code: u8, error: impl Display) -> Failure {
        Failure { code, message: format!("error: {error}") }
    }

    /// Ends with this code, and says nothing.
    #[must_use]
    pub fn silent(code: u8) -> Failure {
        Failure { code, message: String::new() }
    }

    /// What clap says: help goes to standard output and is no failure; of the rest, what is wrong and what would do.
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

    /// Says it on standard error, as one line, and has the exit code. The code comes through, whether anybody reads the line or not.
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

/// An error with all that it came from, as one line.
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
