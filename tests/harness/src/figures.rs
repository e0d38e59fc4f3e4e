//! Numbers for BENCHMARKS.md, which says how: `ROUNDS=10` repeats what is measured so often.

use std::env;
use std::time::Duration;

/// Smallest, median and largest of some samples.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// Smallest.
    pub min: f64,
    /// Half are below it, half above.
    pub median: f64,
    /// Largest.
    pub max: f64,
}

impl Spread {
    /// Of nothing there is none.
    pub fn of(samples: impl IntoIterator<Item = f64>) -> Option<Spread> {
        let mut sorted: Vec<f64> = samples.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let (low, high) = (sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]);
        Some(Spread { min, median: f64::midpoint(low, high), max })
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_is_between_the_middle_two() {
        assert_eq!(Spread::of([3.0, 1.0, 2.0]), Some(Spread { min: 1.0, median: 2.0, max: 3.0 }));
        assert_eq!(Spread::of([4.0, 1.0, 2.0, 9.0]), Some(Spread { min: 1.0, median: 3.0, max: 9.0 }));
        assert_eq!(Spread::of([]), None);
    }
}
