//! What FAULTS.md names is there.

use std::fs;
use std::io;
use std::path::Path;

/// All test sources of a target, or of a module of unit tests.
fn sources(target: &str) -> io::Result<String> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    if target == "status" {
        return fs::read_to_string(tests.join("../../agent/src/status/tests.rs"));
    }
    let folder = tests.join(target);
    if !folder.is_dir() {
        return fs::read_to_string(folder.with_extension("rs"));
    }
    fs::read_dir(folder)?.map(|file| fs::read_to_string(file?.path())).collect()
}

#[test]
fn each_test_that_is_named_exists_and_each_fault_has_a_line() {
    let text = include_str!("../../FAULTS.md");
    let named: Vec<(&str, &str)> =
        text.split('`').skip(1).step_by(2).filter_map(|code| code.split_once("::")).collect();
    assert!(named.len() > 60);
    for (target, test) in named.into_iter().filter(|(_, test)| *test != "…") {
        let sources = sources(target).unwrap();
        let exists = [format!("fn {test}("), format!(" {test}: [")].iter().any(|form| sources.contains(form));
        assert!(exists, "{target}::{test}");
    }
    for number in 1..=40 {
        assert_eq!(text.matches(&format!("\n| {number} | ")).count(), 1, "{number}");
    }
}
