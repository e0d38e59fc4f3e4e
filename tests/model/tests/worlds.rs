//! The smallest world, all of it, and what the search says of rules that are too weak. `cargo e2e` searches the larger ones.

use std::time::Duration;

use elector_model::{Bounds, Landmark, Report, Violation, explore, search, world};

#[test]
fn agents_that_create_the_lease() {
    explore("no-operator", 60_000, &[Landmark::Created, Landmark::TakeoverAfterExpiry, Landmark::Deleted]);
}

fn violation(report: &Report) -> Option<&Violation> {
    report.counterexample.as_ref().map(|counterexample| &counterexample.violation)
}

#[test]
fn readers_that_act_too_late_are_seen() {
    // 156·2 + 156·2 > 132·4
    let report = search(Bounds { reading: Duration::from_secs(2), ..world("two-agents") });
    assert!(matches!(violation(&report), Some(Violation::TwoLeaders(..))), "{report}");
}

#[test]
fn states_that_are_wrongly_taken_for_the_same_are_seen() {
    let report = search(Bounds { oldest: Some(Duration::from_secs(2)), ..world("two-agents") });
    assert_eq!(violation(&report), Some(&Violation::Confused), "{report}");
}
