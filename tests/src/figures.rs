//! Numbers for BENCHMARKS.md, which says how: `ROUNDS=10` repeats what is measured so often.

use std::env;
use std::time::Duration;

/// How often something is to be done that by default is done `usual` times.
pub fn rounds(usual: usize) -> usize {
    env::var("ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(usual)
}

/// Whether this is about numbers, on a machine that does nothing else.
pub fn is_measured() -> bool {
    env::var_os("ROUNDS").is_some()
}

/// Prints them, and fails if one is above `most`.
pub fn figure(what: &str, seen: &[Duration], most: Duration) {
    let mut sorted = seen.to_vec();
    sorted.sort_unstable();
    let (least, median, greatest) = (sorted[0], sorted[sorted.len() / 2], sorted[sorted.len() - 1]);
    println!("{what}: median {median:.1?} ({least:.1?} – {greatest:.1?}) of {}", sorted.len());
    assert!(greatest <= most, "{what}: {greatest:?}");
}
