//! A page on which the last full run's numbers stand, between markers.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// Puts `section` between the markers of `name`, each on a line of its own: `<!-- NAME: begin -->` and `<!-- NAME: end -->`.
///
/// # Errors
/// When the page can't be read or written, or has no such markers.
pub fn update(page: &Path, name: &str, section: &str) -> Result<()> {
    let text = read(page)?;
    let [before, _, after] = parts(&text, name).with_context(|| no_markers(page, name))?;
    Ok(fs::write(page, format!("{before}{section}{after}"))?)
}

/// What stands between them.
///
/// # Errors
/// When the page can't be read, or has no such markers.
pub fn section(page: &Path, name: &str) -> Result<String> {
    let text = read(page)?;
    let [_, section, _] = parts(&text, name).with_context(|| no_markers(page, name))?;
    Ok(section.to_owned())
}

fn read(page: &Path) -> Result<String> {
    fs::read_to_string(page).with_context(|| format!("failed to read {}", page.display()))
}

fn no_markers(page: &Path, name: &str) -> String {
    format!("no markers of {name} in {}", page.display())
}

/// With the markers in the first and the last one.
fn parts<'a>(text: &'a str, name: &str) -> Option<[&'a str; 3]> {
    let begin = format!("<!-- {name}: begin -->\n");
    let from = text.find(&begin)? + begin.len();
    let to = from + text[from..].find(&format!("<!-- {name}: end -->\n"))?;
    Some([&text[..from], &text[from..to], &text[to..]])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_markers_changes() {
        let page = tempfile::NamedTempFile::new().unwrap();
        let text = |section: &str| format!("# Title\n<!-- a: begin -->\n{section}<!-- a: end -->\nend\n");
        fs::write(page.path(), text("old\nold\n")).unwrap();
        update(page.path(), "a", "new\n").unwrap();
        assert_eq!(fs::read_to_string(page.path()).unwrap(), text("new\n"));
        assert_eq!(section(page.path(), "a").unwrap(), "new\n");
        assert!(update(page.path(), "b", "new\n").is_err());
        assert_eq!(fs::read_to_string(page.path()).unwrap(), text("new\n"));
    }
}
