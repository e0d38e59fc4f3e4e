//! Warnings about values on a Lease that could not be read as they stand.

use std::fmt;

use crate::display_text::{MAX_NAME, shown};

/// The longest part of an odd value that a log line repeats, in bytes.
const MAX_FOUND: usize = 80;

/// A value that could not be read as it stands. `Display` is for the log.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ParseWarning {
    /// The field, or the key of the annotation.
    pub field: &'static str,
    /// The value that was read, cut and made safe to print.
    pub found: String,
    /// The value that is used instead, cut and made safe to print.
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
