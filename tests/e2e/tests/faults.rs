//! What FAULTS.md names is there, and as much as SAFETY.md counts.

use std::fs;
use std::io;
use std::path::Path;

use elector_simulation::fault::Fault;

/// All test sources of a target, or of a module of unit tests.
fn sources(target: &str) -> io::Result<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let path = match target {
        "status" | "problem" => root.join("agent/elector/src").join(target),
        "server" => root.join("agent/program/src/server"),
        "doctor" => root.join("operator/kubectl-election/src/doctor/tests"),
        "plan" => root.join("operator/src/plan/tests"),
        "election_status" => root.join("operator/kubectl-election/src/status"),
        "demo" => root.join("tests/demo/tests/demo"),
        "bugs" => root.join("tests/bugs/tests/bugs"),
        "histories" => root.join("tests/histories/tests").join(target),
        "controlplane" => root.join("tests/harness/tests/controlplane"),
        _ => root.join("tests/e2e/tests").join(target),
    };
    if path.is_dir() { sources_in(&path) } else { fs::read_to_string(path.with_extension("rs")) }
}

fn sources_in(folder: &Path) -> io::Result<String> {
    let mut sources = String::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        sources.push_str(&if path.is_dir() { sources_in(&path)? } else { fs::read_to_string(path)? });
    }
    Ok(sources)
}

#[test]
fn each_test_that_is_named_exists_and_each_fault_has_a_line() {
    let text = include_str!("../../../FAULTS.md");
    let named: Vec<(&str, &str)> =
        text.split('`').skip(1).step_by(2).filter_map(|code| code.split_once("::")).collect();
    assert!(named.len() > 60);
    for (target, test) in named.into_iter().filter(|(_, test)| *test != "…") {
        let sources = sources(target).unwrap();
        let exists = [format!("fn {test}("), format!(" {test}: [")].iter().any(|form| sources.contains(form));
        assert!(exists, "{target}::{test}");
    }
    for number in 1..=45 {
        assert_eq!(text.matches(&format!("\n| {number} | ")).count(), 1, "{number}");
    }
}

/// How many tests are in the sources of a folder.
fn tests_in(folder: &Path) -> io::Result<usize> {
    let mut tests = 0;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        tests += if path.is_dir() {
            tests_in(&path)?
        } else {
            fs::read_to_string(path)?.lines().filter(|line| line.trim() == "#[test]").count()
        };
    }
    Ok(tests)
}

#[test]
fn safety_md_counts_kinds_of_faults_and_the_cores_tests() {
    let text = include_str!("../../../SAFETY.md");
    let core = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../agent/election");
    let tests: usize = ["src", "tests"].iter().map(|folder| tests_in(&core.join(folder)).unwrap()).sum();
    for counted in [format!("; {} kinds of faults ", Fault::ALL.len()), format!("rule by rule: {tests}, ")] {
        assert!(text.contains(&counted), "SAFETY.md does not say {counted:?}");
    }
}
