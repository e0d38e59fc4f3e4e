//! The nets must catch known bugs: each patch in `tests/bugs` is applied to a copy of the core. The simulation of that copy must
//! find something within ten thousand histories, and for some of them so must the model of a small world.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// What a copy consists of.
const CRATES: [&str; 3] = ["agent/election", "tests/model", "tests/simulation"];
const HISTORIES: &str = "10000";
/// Of those that the model finds, too, one for each way in which it finds them.
const MODELLED: [&str; 6] = [
    "creation-leads",
    "half-the-wait",
    "leads-on-under-another-name",
    "release-before-retraction",
    "release-of-anothers",
    "unknown-is-nobody",
];
/// What this does with files and programs is expected to.
const WORKS: &str = "files can be copied, and programs run";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect(WORKS)
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect(WORKS);
    for entry in fs::read_dir(from).expect(WORKS) {
        let entry = entry.expect(WORKS);
        let target = to.join(entry.file_name());
        if entry.file_type().expect(WORKS).is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect(WORKS);
        }
    }
}

/// The workspace with nothing in it but what is simulated and what simulates it.
fn manifest() -> String {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).expect(WORKS);
    let (before, members) = manifest.split_once("members = [").expect(WORKS);
    let (_, after) = members.split_once("\n[workspace.package]").expect(WORKS);
    format!("{before}members = {CRATES:?}\n\n[workspace.package]{after}")
}

/// A copy into which the bug was put.
fn infested(bug: &Path) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(bug.file_stem().expect(WORKS));
    // What did not change keeps its time, so that nothing is built twice.
    let _ = fs::remove_dir_all(&folder);
    for part in CRATES {
        copy(&root().join(part).join("src"), &folder.join(part).join("src"));
        fs::copy(root().join(part).join("Cargo.toml"), folder.join(part).join("Cargo.toml")).expect(WORKS);
        let readme = root().join(part).join("README.md");
        if readme.exists() {
            fs::copy(readme, folder.join(part).join("README.md")).expect(WORKS);
        }
    }
    fs::write(folder.join("Cargo.toml"), manifest()).expect(WORKS);
    fs::copy(root().join("Cargo.lock"), folder.join("Cargo.lock")).expect(WORKS);
    let mut git = Command::new("git");
    // As if there were no repository around it.
    git.env("GIT_CEILING_DIRECTORIES", folder.parent().expect(WORKS)).current_dir(&folder).arg("apply").arg(bug);
    let output = git.output().expect(WORKS);
    assert!(output.status.success(), "{} no longer applies: {}", bug.display(), text(&output.stderr));
    folder
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs a program of the copy.
fn run(folder: &Path, arguments: &[&str]) -> Output {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["run", "--quiet", "--offline", "--bin"]).args(arguments);
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("target");
    cargo.current_dir(folder).env("CARGO_TARGET_DIR", target).output().expect(WORKS)
}

/// The line that begins like this, where something was found.
fn found(output: &Output, beginning: &str) -> Option<String> {
    let said = text(&output.stdout);
    let line =
        said.lines().find(|line| line.trim_start().starts_with(beginning)).map(|line| line.trim_start().to_owned());
    assert!(line.is_some() || output.status.success(), "{said}{}", text(&output.stderr));
    line
}

fn bugs() -> Vec<PathBuf> {
    let folder = fs::read_dir(root().join("tests/bugs")).expect(WORKS);
    let mut bugs: Vec<PathBuf> = folder.map(|entry| entry.expect(WORKS).path()).collect();
    bugs.retain(|path| path.extension() == Some(OsStr::new("patch")));
    bugs.sort();
    bugs
}

#[test]
fn safety_md_names_each() {
    let safety = fs::read_to_string(root().join("SAFETY.md")).unwrap();
    for bug in bugs() {
        let patch = fs::read_to_string(&bug).unwrap();
        let (head, _) = patch.split_once("\n\n").unwrap();
        let (what, seen) = head.split_once("\nSeen in public: ").unwrap_or((head, ""));
        let row = format!("| `{}` | {what} | {seen} |", bug.file_stem().unwrap().to_string_lossy());
        assert!(safety.contains(&row), "SAFETY.md lacks {row}");
    }
    let (_, section) = safety.split_once("\n### Known bugs\n").unwrap();
    let rows = section.split("\n## ").next().unwrap().lines().filter(|line| line.starts_with("| `")).count();
    assert_eq!(rows, bugs().len(), "SAFETY.md names one that is no more");
}

#[test]
fn every_known_bug_is_caught() {
    let bugs = bugs();
    let mut escaped = Vec::new();
    for bug in &bugs {
        let name = bug.file_stem().unwrap().to_string_lossy();
        let folder = infested(bug);
        let simulated = run(&folder, &["sim-core", "--", "--histories", HISTORIES]);
        let mut catches = vec![("simulation", found(&simulated, "history "))];
        if MODELLED.contains(&&*name) {
            let modelled = run(&folder, &["model", "--", "--world", "two-agents"]);
            catches.push(("model", found(&modelled, "BROKEN")));
        }
        for (net, catch) in catches {
            println!("{name:<32} {net}: {}", catch.as_deref().unwrap_or("ESCAPED"));
            if catch.is_none() {
                escaped.push(format!("{name} from the {net}"));
            }
        }
    }
    assert_eq!(escaped, [] as [String; 0]);
}
