//! The page on which the last full run's table stands.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::results::{Results, Spread};
use crate::table::table;

const BEGIN: &str = "<!-- bench-peers: begin -->\n";
const END: &str = "<!-- bench-peers: end -->\n";

/// Puts what was measured between the markers of `page`.
pub(crate) fn update(page: &Path, results: &Results) -> Result<()> {
    let text = fs::read_to_string(page).with_context(|| format!("failed to read {}", page.display()))?;
    let text = replaced(&text, &section(results)).with_context(|| format!("no markers in {}", page.display()))?;
    Ok(fs::write(page, text)?)
}

/// The table, and where it comes from.
pub(crate) fn section(results: &Results) -> String {
    let machine = &results.machine;
    let load = Spread::of(machine.load.clone()).map_or_else(String::new, |Spread { min, median, max }| {
        format!(", load average {median:.1} ({min:.1} – {max:.1}) meanwhile")
    });
    format!(
        "{}, Kubernetes {}; {} cores, {:.0} GiB{load}; {:.0} minutes.\n\n{}",
        results.date,
        results.kubernetes,
        machine.cores,
        machine.gibibytes,
        results.minutes,
        table(results)
    )
}

fn replaced(page: &str, section: &str) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}{section}{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_markers_changes() {
        let page = format!("# Title\n{BEGIN}old\nold\n{END}end\n");
        assert_eq!(replaced(&page, "new\n"), Some(format!("# Title\n{BEGIN}new\n{END}end\n")));
        assert_eq!(replaced("# Title\n", "new\n"), None);
    }

    #[test]
    fn the_page_has_the_markers() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../BENCHMARKS.md");
        assert!(replaced(&fs::read_to_string(page).unwrap(), "").is_some());
    }
}
