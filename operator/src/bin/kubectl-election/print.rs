//! Standard output.

use std::io::{self, Write as _};

use serde::Serialize;

use crate::cli::Output;
use crate::failure::Failure;
use crate::paint::printable;

/// Prints `text` as it is. One that reads no further, as `head`, is no failure and ends the program.
///
/// # Errors
/// When nobody can read it.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    written.map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::silent(0),
        _ => Failure::failed(format!("failed to print: {error}")),
    })
}

/// A line for people on standard error, if anybody reads it.
pub(crate) fn note(line: &str) {
    let _ = writeln!(io::stderr(), "{}", printable(line));
}

/// Prints it for programs.
///
/// # Errors
/// As [`print`].
pub(crate) fn document(document: &impl Serialize, output: Output) -> Result<(), Failure> {
    let text = match output {
        Output::Json => serde_json::to_string_pretty(document).map(|text| text + "\n").map_err(Failure::failed)?,
        Output::Yaml => serde_yaml_ng::to_string(document).map_err(Failure::failed)?,
    };
    print(&text)
}

/// Prints one of many for programs: a line of JSON, or a document of YAML.
///
/// # Errors
/// As [`print`].
pub(crate) fn item(item: &impl Serialize, output: Output) -> Result<(), Failure> {
    let text = match output {
        Output::Json => serde_json::to_string(item).map(|text| text + "\n").map_err(Failure::failed)?,
        Output::Yaml => format!("---\n{}", serde_yaml_ng::to_string(item).map_err(Failure::failed)?),
    };
    print(&text)
}
