//! The workflows in `.github`, by the real actionlint.

use std::fs;
use std::time::Duration;

use elector_xtask::command;
use elector_xtask::gobuild::GoProgram;
use tokio::process::Command;

use crate::page::root;

#[tokio::test]
async fn actionlint_finds_nothing_in_the_workflows() {
    let actionlint = GoProgram::pinned("actionlint", "github.com/rhysd/actionlint", "actionlint").unwrap();
    let program = tokio::task::spawn_blocking(move || actionlint.path()).await.unwrap().unwrap();
    let files = fs::read_dir(root().join(".github/workflows")).unwrap().map(|entry| entry.unwrap().path());
    let mut lint = Command::new(program);
    // What else a machine has must not change what is found.
    lint.current_dir(root()).args(["-no-color", "-shellcheck=", "-pyflakes="]).args(files);
    command::run(&mut lint, "", Duration::from_secs(60)).await.unwrap();
}
