//! Each place that says the project's version says that of the workspace, and `cargo xtask bump` knows them all.

use std::fs;
use std::path::Path;

use anyhow::Result;
use elector_xtask::root;
use elector_xtask::version::{PLACES, VERSION, bump, mentions};
use semver::Version;
use tempfile::TempDir;

/// Where the version is an example, or what once was; and, by the files' names, where it can be another project's.
const KEPT: [&str; 11] = [
    "BENCHMARKS.md",
    "CHANGELOG.md",
    "Cargo.lock",
    "crds/tests/fuzz.rs",
    "docs/releasing.md",
    "go.mod",
    "go.sum",
    "operator/kubectl-election/src/doctor/tests",
    "package-lock.json",
    "tests/contract",
    "tests/harness/src/node/image.rs",
];

/// Files of the checkout that say the version.
fn say_it(folder: &Path, found: &mut Vec<String>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let place = path.strip_prefix(root())?;
        let is_kept = KEPT.iter().any(|kept| place.starts_with(kept) || place.ends_with(kept));
        if is_kept || ["target", "dist", ".git"].iter().any(|built| place == Path::new(built)) {
            continue;
        }
        if path.is_dir() {
            say_it(&path, found)?;
        } else if fs::read_to_string(&path).is_ok_and(|text| mentions(&text).next().is_some()) {
            found.push(place.display().to_string());
        }
    }
    Ok(())
}

#[test]
fn the_places_that_say_the_version_are_those_that_bump_sets() {
    let mut found = Vec::new();
    say_it(&root(), &mut found).unwrap();
    found.sort();
    assert_eq!(
        found, PLACES,
        "found, and in PLACES of tests/xtask/src/version.rs; a place that derives it needs neither"
    );
}

/// All that bump writes.
fn places() -> impl Iterator<Item = &'static str> {
    PLACES.into_iter().chain(["Cargo.lock"])
}

/// A copy of the places, in a folder of its own.
fn copy() -> Result<TempDir> {
    let folder = tempfile::tempdir()?;
    for place in places() {
        let path = folder.path().join(place);
        fs::create_dir_all(path.with_file_name(""))?;
        fs::copy(root().join(place), path)?;
    }
    Ok(folder)
}

fn texts(folder: &Path) -> Result<Vec<String>> {
    places().map(|place| Ok(fs::read_to_string(folder.join(place))?)).collect()
}

#[test]
fn bump_sets_the_version_in_all_places() {
    let copy = copy().unwrap();
    bump(copy.path(), &Version::new(999, 0, 0)).unwrap();
    for (before, after) in texts(&root()).unwrap().into_iter().zip(texts(copy.path()).unwrap()) {
        assert!(after.contains("999.0.0") && before.lines().count() == after.lines().count());
        assert_eq!(before, after.replace("999.0.0", VERSION));
    }
}

#[test]
fn bump_writes_nothing_if_a_place_does_not_say_the_version() {
    let copy = copy().unwrap();
    let last = copy.path().join("Cargo.lock");
    fs::write(&last, "version = 4\n").unwrap();
    let before = texts(copy.path()).unwrap();
    bump(copy.path(), &Version::new(999, 0, 0)).unwrap_err();
    assert_eq!(texts(copy.path()).unwrap(), before);
}

#[test]
fn bump_refuses_what_does_not_grow_or_is_no_tag() {
    for refused in [VERSION, "0.0.1", "999.0.0+build"] {
        bump(copy().unwrap().path(), &refused.parse().unwrap()).unwrap_err();
    }
}
