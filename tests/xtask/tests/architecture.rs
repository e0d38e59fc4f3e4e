//! The arrows between crates are those that DESIGN.md has, and no modules use each other in a circle.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use elector_xtask::root;
use serde_json::Value;

/// The packages of the workspace, as cargo knows them.
fn packages() -> Vec<Value> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version=1"])
        .current_dir(root())
        .output()
        .unwrap();
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    metadata["packages"].as_array().unwrap().clone()
}

fn name(value: &Value) -> String {
    value["name"].as_str().unwrap().to_owned()
}

#[test]
fn crates_use_what_design_md_says() {
    let packages = packages();
    let all: BTreeSet<String> = packages.iter().map(name).collect();
    let whole = root().canonicalize().unwrap();
    let mut rows = BTreeSet::new();
    for package in &packages {
        let dependencies: BTreeSet<String> = package["dependencies"].as_array().unwrap().iter().map(name).collect();
        let used: Vec<String> = dependencies.intersection(&all).map(|name| format!("`{name}`")).collect();
        let manifest = Path::new(package["manifest_path"].as_str().unwrap());
        let folder = manifest.parent().unwrap().strip_prefix(&whole).unwrap().display();
        let uses = if used.is_empty() { String::new() } else { format!("{} ", used.join(", ")) };
        rows.insert(format!("| `{}` | `{folder}` | {uses}|", name(package)));
    }
    let design = fs::read_to_string(root().join("DESIGN.md")).unwrap();
    let (_, section) = design.split_once("\n## Which crate uses which?\n").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let told: BTreeSet<String> = section.lines().filter(|line| line.starts_with("| `")).map(str::to_owned).collect();
    assert_eq!(told, rows);
}

#[test]
fn no_modules_use_each_other_in_a_circle() {
    let mut circles = Vec::new();
    let mut arrows = 0;
    for package in packages() {
        let manifest = PathBuf::from(package["manifest_path"].as_str().unwrap());
        let uses = uses_in(&manifest.with_file_name("src"));
        arrows += uses.values().map(BTreeSet::len).sum::<usize>();
        circles.extend(
            uses.keys()
                .filter(|module| reaches(&uses, module, module))
                .map(|module| format!("{}: {module} uses {:?}", name(&package), uses[module])),
        );
    }
    assert!(arrows > 100, "{arrows} uses were found");
    assert_eq!(circles, [] as [String; 0]);
}

/// Which modules of a crate use which: a file or a folder of its sources is one.
fn uses_in(sources: &Path) -> BTreeMap<String, BTreeSet<String>> {
    let mut files = Vec::new();
    list(sources, &mut files);
    let module = |file: &Path| {
        let first = file.strip_prefix(sources).unwrap().iter().next().unwrap();
        Path::new(first).file_stem().unwrap().to_string_lossy().into_owned()
    };
    let modules: BTreeSet<String> = files.iter().map(|file| module(file)).collect();
    let mut uses: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    // A crate's root declares the others; what a test needs is no part of what it tests.
    for file in files.iter().filter(|file| !["lib", "main"].contains(&&*module(file)) && !is_of_tests(file)) {
        let text = fs::read_to_string(file).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        let used = names_after_crate(code).into_iter().filter(|name| modules.contains(name) && *name != module(file));
        uses.entry(module(file)).or_default().extend(used);
    }
    uses
}

/// The modules after `crate::`, also in `use crate::{…}`, but for those that comments speak of.
fn names_after_crate(code: &str) -> BTreeSet<String> {
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    let code = lines.collect::<Vec<_>>().join("\n");
    let mut names = BTreeSet::new();
    for rest in code.split("crate::").skip(1) {
        let list = rest.strip_prefix('{').and_then(|list| list.split_once("};")).map_or(rest, |(list, _)| list);
        let is_list = rest.starts_with('{');
        let mut depth = 0;
        let mut word = String::new();
        for character in list.chars() {
            match character {
                '{' => depth += 1,
                '}' => depth -= 1,
                character if depth == 0 && (character.is_alphanumeric() || character == '_') => word.push(character),
                _ if depth == 0 && !word.is_empty() => {
                    names.insert(std::mem::take(&mut word));
                    if !is_list {
                        break;
                    }
                }
                _ => {}
            }
        }
        names.extend((!word.is_empty()).then_some(word));
    }
    names
}

fn is_of_tests(file: &Path) -> bool {
    file.iter().any(|part| part == "tests" || part == "tests.rs")
}

fn list(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            list(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

fn reaches(uses: &BTreeMap<String, BTreeSet<String>>, from: &str, to: &str) -> bool {
    let mut seen = BTreeSet::new();
    let mut open = vec![from];
    while let Some(module) = open.pop() {
        for next in uses.get(module).into_iter().flatten() {
            if next == to {
                return true;
            }
            if seen.insert(next) {
                open.push(next);
            }
        }
    }
    false
}
