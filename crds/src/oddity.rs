//! What was found on a Lease and could not be read as it stands.

use std::fmt;

/// How much of an odd value is repeated in a log line, in characters.
const SHOWN: usize = 80;

/// A value that was not read as it stands. `Display` is for the log.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Oddity {
    /// The field, or the annotation's key.
    pub field: &'static str,
    /// What is there, shortened.
    pub found: String,
    /// What it was taken for.
    pub taken_for: String,
}

impl Oddity {
    pub(crate) fn new(field: &'static str, found: &str, taken_for: impl Into<String>) -> Oddity {
        Oddity { field, found: found.chars().take(SHOWN).collect(), taken_for: taken_for.into() }
    }
}

impl fmt::Display for Oddity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {:?}; taken for {}", self.field, self.found, self.taken_for)
    }
}
