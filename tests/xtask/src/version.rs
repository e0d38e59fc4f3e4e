//! The project's version: which files say it, and how it is set in all of them at once.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use semver::Version;

/// The version of the workspace.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Where the versions of our own crates are locked, among those of others.
const LOCK: &str = "Cargo.lock";

/// The other files that say the version. Each mention in them is of this project's.
pub const PLACES: [&str; 11] = [
    "Cargo.toml",
    "Dockerfile",
    "README.md",
    "agent/src/sidecar.yaml",
    "charts/install.yaml",
    "charts/leader-elector/Chart.yaml",
    "charts/leader-elector/files/sidecar.yaml",
    "docs/comparison.md",
    "docs/how-the-app-learns.md",
    "docs/installing.md",
    "docs/working-with.md",
];

/// Sets the version in all places of the checkout in `root`, or in none.
///
/// # Errors
/// When `next` is not greater, or can be no tag of an image; when a place does not say the version of today.
pub fn bump(root: &Path, next: &Version) -> Result<()> {
    ensure!(*next > VERSION.parse()?, "{next} is not greater than {VERSION}");
    ensure!(next.build.is_empty(), "{next} has a +, which no tag of an image can have");
    let next = next.to_string();
    let changed = |place: &str, change: fn(&str, &str) -> String| -> Result<_> {
        let path = root.join(place);
        let text = fs::read_to_string(&path).with_context(|| format!("failed to read {place}"))?;
        let new = change(&text, &next);
        ensure!(new != text, "{place} does not say {VERSION}: nothing was written");
        Ok((path, new))
    };
    let mut files = PLACES.iter().map(|place| changed(place, replaced)).collect::<Result<Vec<_>>>()?;
    files.push(changed(LOCK, replaced_in_lock)?);
    for (path, text) in files {
        fs::write(&path, text).with_context(|| format!("failed to write {}", path.display()))?;
    }
    Ok(())
}

/// Where a text says the version, and not a longer one: with more digits, more numbers, or a suffix such as `-rc.1`.
pub fn mentions(text: &str) -> impl Iterator<Item = usize> {
    text.match_indices(VERSION).map(|(at, _)| at).filter(|&at| {
        let (before, after) = (&text[..at], &text[at + VERSION.len()..]);
        let goes_on = after.trim_start_matches(['.', '-', '+']);
        let is_longer = if goes_on.len() == after.len() {
            after.starts_with(|next: char| next.is_ascii_digit())
        } else {
            goes_on.starts_with(|next: char| next.is_ascii_alphanumeric())
        };
        !before.ends_with(|last: char| last.is_ascii_digit() || last == '.') && !is_longer
    })
}

fn replaced(text: &str, next: &str) -> String {
    let mut new = String::new();
    let mut end = 0;
    for at in mentions(text) {
        new += &text[end..at];
        new += next;
        end = at + VERSION.len();
    }
    new + &text[end..]
}

/// A package of this workspace has no source.
fn replaced_in_lock(text: &str, next: &str) -> String {
    let [now, next] = [VERSION, next].map(|version| format!("\nversion = \"{version}\"\n"));
    let package = |package: &str| {
        if package.contains("\nsource = ") { package.to_owned() } else { package.replacen(&now, &next, 1) }
    };
    text.split_inclusive("\n\n").map(package).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_longer_version_is_another_one() {
        let text = |version: &str| {
            format!(
                "agent:{version} v{version}. {version}, 1{version} 1.{version} {version}1 {version}.1 {version}-rc.1"
            )
        };
        let next = replaced(&text(VERSION), "NEXT");
        assert_eq!(next.matches("NEXT").count(), 3, "{next}");
        assert!(next.starts_with("agent:NEXT vNEXT. NEXT, 1"), "{next}");
    }

    #[test]
    fn others_crates_keep_their_version() {
        let lock = |ours: &str| {
            format!(
                "version = 4\n\n[[package]]\nname = \"a\"\nversion = \"{VERSION}\"\nsource = \"registry\"\n\n\
                 [[package]]\nname = \"ours\"\nversion = \"{ours}\"\ndependencies = [\n \"a\",\n]\n"
            )
        };
        assert_eq!(replaced_in_lock(&lock(VERSION), "9.9.9"), lock("9.9.9"));
    }
}
