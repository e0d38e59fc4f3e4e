//! Several elections against one store, in bad weather: at no time may two of them lead.
//!
//! Small on purpose. Time is virtual and in microseconds; everything follows from the seed.

#![allow(clippy::panic, reason = "a test fails by it")]

mod random;
mod sky;
mod store;

use self::sky::{Sky, Weather};

const SEEDS: u64 = 300;

fn run(weather: Weather) {
    let mut tenures = 0;
    for seed in 0..SEEDS {
        tenures += Sky::new(seed, weather).run();
    }
    // Enough happened to be worth looking at.
    assert!(tenures > 5 * SEEDS, "only {tenures} tenures");
}

#[test]
fn two_never_lead_whatever_the_network_does() {
    run(Weather { watch_breaks: true, lease_is_deleted: false, timings_change: false });
}

#[test]
fn two_never_lead_when_the_timings_change() {
    run(Weather { watch_breaks: true, lease_is_deleted: false, timings_change: true });
}

/// The watches do not break here: a Lease that came and went unseen leaves no trace that a creation could be checked against.
#[test]
fn two_never_lead_when_the_lease_is_deleted() {
    run(Weather { watch_breaks: false, lease_is_deleted: true, timings_change: false });
}
