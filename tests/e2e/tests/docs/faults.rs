//! Each test that FAULTS.md and SAFETY.md name exists, each rule of SAFETY.md has one, and pages count what there is.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use elector_simulation::fault::Fault;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// All test sources of a target, or of a module of unit tests, file by file.
fn sources(target: &str) -> io::Result<Vec<String>> {
    let root = root();
    let path = match target {
        "core" => root.join("agent/election"),
        "status" | "problem" => root.join("agent/elector/src").join(target),
        "server" => root.join("agent/program/src/server"),
        "crds" => root.join("crds/src"),
        "doctor" => root.join("operator/kubectl-election/src/doctor/tests"),
        "plan" => root.join("operator/src/plan/tests"),
        "index" => root.join("operator/src/index"),
        "election_status" => root.join("operator/kubectl-election/src/status"),
        "demo" => root.join("tests/demo/tests/demo"),
        "bugs" => root.join("tests/bugs/tests/bugs"),
        "histories" => root.join("tests/histories/tests").join(target),
        "controlplane" => root.join("tests/harness/tests/controlplane"),
        _ => root.join("tests/e2e/tests").join(target),
    };
    if path.is_dir() { files_in(&path, &["rs"]) } else { Ok(vec![fs::read_to_string(path.with_extension("rs"))?]) }
}

/// The files with one of these extensions below a folder, but for what was built or is hidden.
fn files_in(folder: &Path, extensions: &[&str]) -> io::Result<Vec<String>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (path, name) = (entry.path(), entry.file_name());
        if entry.file_type()?.is_dir() {
            if name != "target" && !name.to_string_lossy().starts_with('.') {
                files.extend(files_in(&path, extensions)?);
            }
        } else if path.extension().is_some_and(|found| extensions.iter().any(|extension| found == *extension)) {
            files.push(fs::read_to_string(path)?);
        }
    }
    Ok(files)
}

/// The tests that a text names, each with its target.
fn named(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let code = text.split('`').skip(1).step_by(2);
    code.filter_map(|code| code.split_once("::")).filter(|(_, test)| *test != "…")
}

/// The files of a target that have the test: none, if it does not exist.
fn files_with(target: &str, test: &str) -> io::Result<Vec<String>> {
    let forms = [format!("fn {test}("), format!(" {test}: [")];
    let mut files = sources(target)?;
    files.retain(|file| forms.iter().any(|form| file.contains(form)));
    Ok(files)
}

#[test]
fn each_test_that_is_named_exists_and_each_fault_has_a_line() {
    let text = include_str!("../../../../FAULTS.md");
    assert!(named(text).count() > 60);
    for (target, test) in named(text) {
        assert!(!files_with(target, test).unwrap().is_empty(), "{target}::{test}");
    }
    for number in 1..=45 {
        assert_eq!(text.matches(&format!("\n| {number} | ")).count(), 1, "{number}");
    }
}

#[test]
fn what_was_run_counts_kinds_of_faults_and_the_cores_tests() {
    let text = include_str!("../../../../docs/what-was-run.md");
    let core = sources("core").unwrap();
    let tests = core.iter().flat_map(|file| file.lines()).filter(|line| line.trim() == "#[test]").count();
    for counted in [format!("\n- {} kinds of faults ", Fault::ALL.len()), format!("rule by rule: {tests}, ")] {
        assert!(text.contains(&counted), "docs/what-was-run.md does not say {counted:?}");
    }
}

const SAFETY: &str = include_str!("../../../../SAFETY.md");

/// The rules of SAFETY.md, each with the tests that hold it: `**L1. …**`, and a line of `Held by: …` before the next rule or heading.
fn rules() -> BTreeMap<&'static str, Vec<(&'static str, &'static str)>> {
    let mut rules = BTreeMap::new();
    let mut rule = None;
    for line in SAFETY.lines() {
        if let Some((name, _)) = line.strip_prefix("**").and_then(|line| line.split_once(". ")) {
            rule = Some(name).filter(|name| is_name(name));
            let first = rule.is_none_or(|name| rules.insert(name, Vec::new()).is_none());
            assert!(first, "{name} is there twice");
        } else if line.starts_with('#') {
            rule = None;
        } else if let (Some(tests), Some(rule)) = (line.strip_prefix("Held by: "), rule) {
            rules.entry(rule).or_default().extend(named(tests));
        }
    }
    rules
}

/// A capital letter and a number.
fn is_name(word: &str) -> bool {
    let number = word.strip_prefix(|letter: char| letter.is_ascii_uppercase());
    number.is_some_and(|number| number.parse::<u32>().is_ok())
}

/// The rules that a text mentions, in forms such as (rule F4), "Rules L3, L4 and R1" and (rules O1–O3).
fn mentioned(text: &str) -> BTreeSet<String> {
    // A mention may go on in the next line of a comment.
    let words: Vec<&str> = text.split_whitespace().filter(|word| !["//", "///", "//!"].contains(word)).collect();
    let is_rule = |word: &str| {
        let word = word.trim_start_matches(|letter: char| !letter.is_alphabetic());
        ["rule", "rules", "Rule", "Rules"].contains(&word)
    };
    let mut mentioned = BTreeSet::new();
    for (at, _) in words.iter().enumerate().filter(|(_, word)| is_rule(word)) {
        let names = words[at + 1..].iter().filter(|word| !["and", "or"].contains(word)).map(|word| names(word));
        mentioned.extend(names.take_while(|names| !names.is_empty()).flatten());
    }
    mentioned
}

/// The names of rules in a word, and those between two of them.
fn names(word: &str) -> Vec<String> {
    let names: Vec<&str> = word.split(|letter: char| !letter.is_alphanumeric()).filter(|part| is_name(part)).collect();
    let number = |name: &str| name.get(1..).and_then(|number| number.parse::<u32>().ok()).unwrap_or_default();
    match names[..] {
        [first, last] if word.contains('–') => {
            (number(first)..=number(last)).map(|number| format!("{}{number}", first.get(..1).unwrap_or(""))).collect()
        }
        _ => names.into_iter().map(str::to_owned).collect(),
    }
}

#[test]
fn each_rule_of_safety_md_names_tests_that_exist_and_one_of_them_names_it() {
    let rules = rules();
    assert!(rules.len() >= 19, "{:?}", rules.keys());
    for (rule, tests) in rules {
        assert!(!tests.is_empty(), "{rule} is held by nothing");
        let files: Vec<String> =
            tests.into_iter().flat_map(|(target, test)| files_with(target, test).unwrap()).collect();
        let names_it = files.iter().any(|file| mentioned(file).contains(rule));
        assert!(names_it, "none of the files with the tests of {rule} says \"rule {rule}\"");
    }
    // Of what has no letter, too.
    for (target, test) in named(SAFETY) {
        assert!(!files_with(target, test).unwrap().is_empty(), "{target}::{test}");
    }
}

#[test]
fn each_rule_that_is_mentioned_anywhere_is_in_safety_md() {
    let rules = rules();
    let files = files_in(&root(), &["rs", "md", "patch"]).unwrap();
    let mentioned: BTreeSet<String> = files.iter().flat_map(|file| mentioned(file)).collect();
    let unknown: Vec<&String> = mentioned.iter().filter(|rule| !rules.contains_key(rule.as_str())).collect();
    assert!(unknown.is_empty(), "SAFETY.md has no rule {unknown:?}");
    assert!(mentioned.len() >= rules.len(), "{mentioned:?}");
}

#[test]
fn rules_are_found_however_they_are_mentioned() {
    for (text, expected) in [
        ("a hint (rule F4): it", vec!["F4"]),
        ("//! Rules L3, L4 and R1, at the moment", vec!["L3", "L4", "R1"]),
        ("who leads (rules\n    /// O1–O3).", vec!["O1", "O2", "O3"]),
        ("/// Rule P1.\n#[test]", vec!["P1"]),
        ("the rule that K8s has", vec![]),
    ] {
        assert_eq!(mentioned(text), expected.into_iter().map(str::to_owned).collect(), "{text}");
    }
}
