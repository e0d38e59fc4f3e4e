//! The arrows between crates are those that DESIGN.md has, and no modules use each other in a circle.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use elector_xtask::root;
use serde_json::Value;

/// The packages of the workspace, as cargo knows them.
fn packages() -> Result<Vec<Value>> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["metadata", "--no-deps", "--offline", "--format-version=1"]).current_dir(root());
    let metadata: Value = serde_json::from_slice(&cargo.output()?.stdout)?;
    Ok(metadata["packages"].as_array().context("no packages")?.clone())
}

fn name(value: &Value) -> &str {
    value["name"].as_str().unwrap_or_default()
}

/// The rows of DESIGN.md's table, as the manifests have them.
fn rows() -> Result<BTreeSet<String>> {
    let packages = packages()?;
    let all: BTreeSet<&str> = packages.iter().map(name).collect();
    let whole = root().canonicalize()?;
    let row = |package: &Value| {
        let dependencies: BTreeSet<&str> = package["dependencies"].as_array().into_iter().flatten().map(name).collect();
        let used: Vec<String> = dependencies.intersection(&all).map(|name| format!("`{name}`")).collect();
        let manifest = Path::new(package["manifest_path"].as_str().context("no manifest")?);
        let folder = manifest.parent().context("no folder")?.strip_prefix(&whole)?.display();
        let uses = if used.is_empty() { String::new() } else { format!("{} ", used.join(", ")) };
        Ok(format!("| `{}` | `{folder}` | {uses}|", name(package)))
    };
    packages.iter().map(row).collect()
}

#[test]
fn crates_use_what_design_md_says() {
    let design = fs::read_to_string(root().join("DESIGN.md")).unwrap();
    let (_, section) = design.split_once("\n## Which crate uses which?\n").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let told: BTreeSet<String> = section.lines().filter(|line| line.starts_with("| `")).map(str::to_owned).collect();
    assert_eq!(told, rows().unwrap());
}

#[test]
fn no_modules_use_each_other_in_a_circle() {
    let mut circles = Vec::new();
    let mut arrows = 0;
    for package in packages().unwrap() {
        let manifest = Path::new(package["manifest_path"].as_str().unwrap());
        let uses = uses_in(&manifest.with_file_name("src")).unwrap();
        arrows += uses.values().map(BTreeSet::len).sum::<usize>();
        let in_circle = uses.keys().filter(|module| reaches(&uses, module, module));
        circles.extend(in_circle.map(|module| format!("{}: {module} uses {:?}", name(&package), uses[module])));
    }
    assert!(arrows > 100, "{arrows} uses were found");
    assert_eq!(circles, [] as [String; 0]);
}

/// Which modules of a crate use which: a file or a folder of its sources is one.
fn uses_in(sources: &Path) -> Result<BTreeMap<String, BTreeSet<String>>> {
    let files = files_in(sources)?;
    let module = |file: &Path| -> Result<String> {
        let first = file.strip_prefix(sources)?.iter().next().context("no file")?;
        Ok(Path::new(first).file_stem().unwrap_or_default().to_string_lossy().into_owned())
    };
    let modules = files.iter().map(|file| module(file)).collect::<Result<BTreeSet<String>>>()?;
    let mut uses: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for file in &files {
        let this = module(file)?;
        // A crate's root declares the others; what a test needs is no part of what it tests.
        if ["lib", "main"].contains(&&*this) || file.iter().any(|part| part == "tests" || part == "tests.rs") {
            continue;
        }
        let text = fs::read_to_string(file)?;
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        let used = names_after_crate(code).into_iter().filter(|name| modules.contains(name) && *name != this);
        uses.entry(this.clone()).or_default().extend(used);
    }
    Ok(uses)
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

/// The sources in a folder, and in those in it; none if there is no such folder.
fn files_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(files_in(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(files)
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
