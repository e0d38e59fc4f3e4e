//! Links, quotations and commands.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::Result;

use crate::page::{Page, root};

/// In words, as wc(1) counts them.
const README_AT_MOST: usize = 1_800;

/// What stands in a page outside of blocks of code.
fn prose(page: &Page) -> String {
    page.text.split("```").step_by(2).collect()
}

/// Headings as links name them.
fn anchors(page: &Page) -> BTreeSet<String> {
    let text = prose(page);
    let headings = text.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    headings.map(|heading| heading.to_lowercase().chars().filter_map(anchor).collect()).collect()
}

fn anchor(letter: char) -> Option<char> {
    match letter {
        ' ' => Some('-'),
        '-' | '_' => Some(letter),
        letter => letter.is_alphanumeric().then_some(letter),
    }
}

/// What links of a page name, but for those to elsewhere.
fn targets(page: &Page) -> Vec<String> {
    let text = prose(page);
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    targets.map(|(target, _)| target.to_owned()).filter(|target| !target.contains("://")).collect()
}

#[test]
fn links_lead_to_files_and_headings_that_are_there() {
    let mut looked_at = 0;
    for page in Page::all().unwrap() {
        for target in targets(&page) {
            let (path, fragment) = target.split_once('#').unwrap_or((&target, ""));
            let folder = Path::new(&page.path).parent().unwrap();
            let linked = if path.is_empty() { Path::new(&page.path).to_owned() } else { folder.join(path) };
            assert!(root().join(&linked).exists(), "{}: {target} is not there", page.path);
            if !fragment.is_empty() {
                let anchors = anchors(&Page::read(linked.to_str().unwrap()).unwrap());
                assert!(anchors.contains(fragment), "{}: {target} is none of {anchors:?}", page.path);
            }
            looked_at += 1;
        }
    }
    assert!(looked_at > 50, "{looked_at}");
}

#[test]
fn each_page_of_docs_is_named_in_the_readme() {
    let readme = Page::read("README.md").unwrap().text;
    for page in Page::all().unwrap() {
        let is_page = Path::new(&page.path).parent() == Some(Path::new("docs"));
        assert!(!is_page || readme.contains(&format!("({})", page.path)), "{}", page.path);
    }
}

#[test]
fn the_readme_stays_short() {
    let words = Page::read("README.md").unwrap().text.split_whitespace().count();
    assert!(words <= README_AT_MOST, "{words} words: what only some need belongs into docs");
}

#[test]
fn examples_are_quoted_as_they_are() {
    let pages = ["docs/how-the-app-learns.md", "docs/working-with.md"].map(|path| Page::read(path).unwrap());
    let mut quoted = 0;
    for way in fs::read_dir(root().join("docs/examples")).unwrap() {
        let way = way.unwrap();
        let page = &pages[usize::from(way.file_name().display().to_string().starts_with("kustomize"))];
        for file in fs::read_dir(way.path()).unwrap() {
            let file = file.unwrap();
            let name = format!("examples/{}/{}", way.file_name().display(), file.file_name().display());
            let block = page.block(&format!("<!-- {name} -->"), language(Path::new(&file.file_name()))).unwrap();
            assert_eq!(block, fs::read_to_string(file.path()).unwrap(), "docs/{name} is not what the page shows");
            quoted += 1;
        }
    }
    let named: usize = pages.iter().map(|page| page.text.matches("<!-- examples/").count()).sum();
    assert_eq!(named, quoted, "a file is gone");
}

fn language(file: &Path) -> &'static str {
    match file.extension().and_then(|extension| extension.to_str()) {
        Some("sh") => "bash",
        Some("py") => "python",
        Some("go") => "go",
        Some("java") => "java",
        Some("mjs") => "javascript",
        Some("yaml") => "yaml",
        // No block is of it.
        _ => "none",
    }
}

/// The sources in a folder, together.
fn sources(folder: &Path) -> Result<String> {
    let mut all = String::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        all += &if path.is_dir() { sources(&path)? } else { fs::read_to_string(path)? };
    }
    Ok(all)
}

#[test]
fn what_runbooks_look_for_in_an_agents_log_is_said_there() {
    let agent = ["src", "elector/src"].map(|folder| sources(&root().join("agent").join(folder)).unwrap()).concat();
    let mut looked_for = 0;
    for page in Page::all().unwrap().into_iter().filter(|page| page.path.starts_with("docs/runbooks/")) {
        for line in page.text.lines().filter(|line| line.contains("logs POD -c leader-elector | grep")) {
            let pattern = line.split('\'').nth(1).unwrap();
            for words in pattern.split('|') {
                assert!(agent.contains(&format!("\"{words}\"")), "{}: no agent says {words:?}", page.path);
                looked_for += 1;
            }
        }
    }
    assert!(looked_for >= 2, "{looked_for}");
}

#[test]
fn every_cargo_command_is_an_alias_or_cargos_own() {
    let config = include_str!("../../../../.cargo/config.toml");
    let mut named = BTreeSet::new();
    for page in Page::all().unwrap() {
        let commands = page.text.split("`cargo ").skip(1).filter_map(|rest| rest.split(['`', ' ']).next());
        named.extend(commands.map(str::to_owned));
    }
    assert!(named.contains("demo"));
    for command in named.difference(
        &["test", "run", "build", "check", "clippy", "fmt", "update", "mutants", "package"].map(str::to_owned).into(),
    ) {
        assert!(config.contains(&format!("\n{command} = ")), "cargo {command} is no alias");
    }
}
