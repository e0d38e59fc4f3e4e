//! A page of the documentation, as it is written.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// Markdown.
#[derive(Debug)]
pub(crate) struct Page {
    /// From the root of the repository.
    pub(crate) path: String,
    pub(crate) text: String,
}

/// The cells of a row, without the space around them.
pub(crate) type Row = Vec<String>;

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

impl Page {
    pub(crate) fn read(path: &str) -> Result<Page> {
        let text = fs::read_to_string(root().join(path)).with_context(|| path.to_owned())?;
        Ok(Page { path: path.to_owned(), text })
    }

    /// All that users read.
    pub(crate) fn all() -> Result<Vec<Page>> {
        let mut pages = vec![Page::read("charts/leader-elector/README.md")?];
        for folder in ["", "docs/", "docs/runbooks/"] {
            // Not every folder need be there.
            for entry in fs::read_dir(root().join(folder)).into_iter().flatten() {
                let name = entry?.file_name().into_string().ok().context("a name that is no UTF-8")?;
                if name.ends_with(".md") {
                    pages.push(Page::read(&format!("{folder}{name}"))?);
                }
            }
        }
        Ok(pages)
    }

    /// The first block of that language after `mark`.
    pub(crate) fn block(&self, mark: &str, language: &str) -> Result<&str> {
        let (_, rest) = self.text.split_once(mark).with_context(|| format!("{} has no {mark}", self.path))?;
        let (_, rest) = rest.split_once(&format!("```{language}\n")).context("no block of that language follows")?;
        Ok(rest.split_once("```").context("the block has no end")?.0)
    }

    /// The tables below a heading of the second level, each without its head. None: there is no such heading.
    pub(crate) fn tables(&self, heading: &str) -> Vec<Vec<Row>> {
        let Some((_, section)) = self.text.split_once(&format!("\n## {heading}\n")) else { return Vec::new() };
        let section = section.split("\n## ").next().expect("there is a first part");
        let mut tables: Vec<Vec<Row>> = Vec::new();
        let mut is_table = false;
        for line in section.lines() {
            if !line.starts_with('|') {
                is_table = false;
            } else if is_table {
                tables.last_mut().expect("it has begun").push(row(line));
            } else {
                is_table = true;
                tables.push(Vec::new());
            }
        }
        // The first row of each is the line below its head.
        tables.into_iter().map(|table| table.into_iter().skip(1).collect()).collect()
    }

    /// The first of [`Page::tables`].
    pub(crate) fn table(&self, heading: &str) -> Result<Vec<Row>> {
        let first = self.tables(heading).into_iter().next();
        first.with_context(|| format!("{} has no table below {heading}", self.path))
    }
}

fn row(line: &str) -> Row {
    // What is escaped is part of a cell.
    let cells = line.replace("\\|", "\0");
    let cells = cells.trim_matches('|').split('|').map(|cell| cell.trim().replace('\0', "|"));
    cells.collect()
}

/// What stands between backticks.
pub(crate) fn code(cell: &str) -> BTreeSet<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// A cell that is all code, or none.
pub(crate) fn plain(cell: &str) -> String {
    cell.trim_matches('`').to_owned()
}

/// Asserts that a table has what the programs have: no more and no less.
pub(crate) fn assert_same<T: Ord + Debug>(table: &str, documented: Vec<T>, real: Vec<T>) {
    let rows = documented.len();
    let (documented, real): (BTreeSet<T>, BTreeSet<T>) = (documented.into_iter().collect(), real.into_iter().collect());
    let missing: Vec<&T> = real.difference(&documented).collect();
    let surplus: Vec<&T> = documented.difference(&real).collect();
    assert!(missing.is_empty() && surplus.is_empty(), "{table}: add {missing:#?}\nremove {surplus:#?}");
    assert_eq!(rows, documented.len(), "{table}: a row is there twice");
    assert_ne!(rows, 0, "{table} is empty");
}

#[test]
fn a_table_that_lacks_a_row_or_has_one_too_many_is_refused() {
    let refused = |documented: &[&str], real: &[&str]| {
        let (documented, real) = (documented.to_vec(), real.to_vec());
        std::panic::catch_unwind(move || assert_same("a table", documented, real)).is_err()
    };
    assert!(!refused(&["a", "b"], &["b", "a"]));
    assert!(refused(&["a"], &["a", "b"]));
    assert!(refused(&["a", "b"], &["a"]));
    assert!(refused(&["a", "a"], &["a"]));
    assert!(refused(&[], &[]));
}

#[test]
fn a_page_is_read_as_markdown_has_it() {
    let text = "# A\n\n## B\n\ntext\n\n| a | b |\n|---|---|\n| `x\\|y` | |\n| c, `d` | e |\n\n| f |\n|---|\n\n## C\n\n| g |\n|---|\n| h |\n";
    let page = Page { path: "page".to_owned(), text: text.to_owned() };
    assert_eq!(page.tables("B"), [vec![vec!["`x|y`", ""], vec!["c, `d`", "e"]], vec![]]);
    assert_eq!(page.table("C").unwrap(), [["h"]]);
    assert_eq!(page.tables("D"), [] as [Vec<Row>; 0]);
    assert_eq!(code("c, `d`, `e f`"), ["d", "e f"].map(str::to_owned).into());
}
