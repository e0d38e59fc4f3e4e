//! Several elections against one store, in bad weather: at no time may two of them lead.
//!
//! Small on purpose. Time is virtual and in microseconds; everything follows from the seed.

#![allow(clippy::panic, reason = "a test fails by it")]

mod random;
mod sky;
mod store;

use self::sky::{Sky, Weather};

/// `STORM_SEEDS=5000` looks longer.
fn seeds() -> u64 {
    std::env::var("STORM_SEEDS").map_or(300, |seeds| seeds.parse().expect("a number of seeds"))
}

fn run(weather: Weather) {
    let seeds = seeds();
    let tenures: u64 = (0..seeds).map(|seed| Sky::new(seed, weather).run()).sum();
    // Enough happened to be worth looking at.
    assert!(tenures > 5 * seeds, "only {tenures} tenures");
}

#[test]
fn two_never_lead_whatever_the_network_does() {
    run(Weather { watch_breaks: true, lease_is_deleted: false, timings_change: false });
}

#[test]
fn two_never_lead_when_the_timings_change() {
    run(Weather { watch_breaks: true, lease_is_deleted: false, timings_change: true });
}

#[test]
fn two_never_lead_when_the_lease_is_deleted() {
    run(Weather { watch_breaks: true, lease_is_deleted: true, timings_change: false });
}
