//! What of a full run stands in BENCHMARKS.md.

use std::path::Path;

use anyhow::Result;
use elector_harness::page;

use crate::results::Results;
use crate::table::table;

const NAME: &str = "bench-peers";

/// Puts what was measured between the markers of `page`.
pub(crate) fn update(page: &Path, results: &Results) -> Result<()> {
    page::update(page, NAME, &section(results))
}

/// The table, and where it comes from.
pub(crate) fn section(results: &Results) -> String {
    format!(
        "{}, Kubernetes {}; {}; {:.0} minutes.\n\n{}",
        results.date,
        results.kubernetes,
        results.machine.describe(),
        results.minutes,
        table(results)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_the_markers() {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../BENCHMARKS.md");
        assert!(page::section(&page, NAME).unwrap().contains("| requests/min"));
    }
}
