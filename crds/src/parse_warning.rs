//! What was found on a Lease and could not be read as it stands.

use std::fmt;

use crate::display_text::{MAX_NAME, shown};

/// How much of an odd value is repeated in a log line, in bytes.
const MAX_FOUND: usize = 80;

/// A value that was not read as it stands. `Display` is for the log.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ParseWarning {
    /// The field, or the annotation's key.
    pub field: &'static str,
    /// What is there, as it is shown.
    pub found: String,
    /// What it was taken for, likewise.
    pub taken_for: String,
}

impl ParseWarning {
    pub(crate) fn new(field: &'static str, found: &str, taken_for: impl Into<String>) -> ParseWarning {
        let taken_for = shown(&taken_for.into(), MAX_NAME).into_owned();
        ParseWarning { field, found: shown(found, MAX_FOUND).into_owned(), taken_for }
    }
}

impl fmt::Display for ParseWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is \"{}\"; taken for {}", self.field, self.found, self.taken_for)
    }
}
