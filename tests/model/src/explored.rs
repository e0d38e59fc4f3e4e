//! A world that is searched to its end, for tests.

use crate::{Bounds, Landmark, Report, search};

/// The small world called `name`.
///
/// # Panics
/// If there is none.
#[must_use]
pub fn world(name: &str) -> Bounds {
    Bounds::small().into_iter().find(|bounds| bounds.name == name).expect("the name of a world")
}

/// Searches the world called `name`, which has `states` at least, and comes by all of `landmarks`.
///
/// # Panics
/// If something that must not be is found, or less than that.
pub fn explore(name: &str, states: usize, landmarks: &[Landmark]) {
    let report: Report = search(world(name));
    println!("{report}");
    assert!(report.counterexample.is_none(), "{report}");
    assert!(report.unique() >= states, "{} states: something no longer happens", report.unique());
    assert!(report.compared > 50, "{} pairs", report.compared);
    let missed: Vec<_> = landmarks.iter().filter(|landmark| !report.landmarks.has(**landmark)).collect();
    assert!(missed.is_empty(), "never came by {missed:?}");
}
