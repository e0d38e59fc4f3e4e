//! What is generated, built and shipped, and the programs of others that tests need.

pub mod command;
pub mod gobuild;
pub mod helm;
pub mod images;
pub mod programs;
pub mod scratch;
pub mod supply_chain;
pub mod version;

use std::path::{Path, PathBuf};

/// The checkout.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
