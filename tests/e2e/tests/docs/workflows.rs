//! The workflows in `.github`, by the real actionlint.

use std::fs;
use std::process::Command;

use elector_xtask::gobuild::GoProgram;

use crate::page::root;

#[test]
fn actionlint_finds_nothing_in_the_workflows() {
    let actionlint = GoProgram::pinned("actionlint", "github.com/rhysd/actionlint", "actionlint").unwrap();
    let files = fs::read_dir(root().join(".github/workflows")).unwrap().map(|entry| entry.unwrap().path());
    let mut lint = Command::new(actionlint.path().unwrap());
    // What else a machine has must not change what is found.
    lint.current_dir(root()).args(["-no-color", "-shellcheck=", "-pyflakes="]).args(files);
    let output = lint.output().unwrap();
    assert!(output.status.success() && output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
}
