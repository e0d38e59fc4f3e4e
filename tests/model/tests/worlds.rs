//! The worlds that are small enough for every day, all of each.

use std::time::Duration;

use elector_model::{Bounds, Landmark, Report, Violation, search};

/// Searches the world of this name, which has at least so many states, and comes by these.
fn explore(name: &str, states: usize, landmarks: &[Landmark]) {
    let report = search(world(name));
    println!("{report}");
    assert!(report.counterexample.is_none(), "{report}");
    assert!(report.unique() >= states, "{} states: something no longer happens", report.unique());
    assert!(report.compared > 50, "{} pairs", report.compared);
    let missed: Vec<_> = landmarks.iter().filter(|landmark| !report.landmarks.has(**landmark)).collect();
    assert!(missed.is_empty(), "never came by {missed:?}");
}

fn world(name: &str) -> Bounds {
    Bounds::small().into_iter().find(|bounds| bounds.name == name).expect("the name of a world")
}

#[test]
fn two_agents_and_whatever_goes_wrong() {
    let landmarks = [
        Landmark::TakeoverAfterExpiry,
        Landmark::HandOver,
        Landmark::Succession,
        Landmark::DeadlinePassed,
        Landmark::SteppedDown,
        Landmark::Hinted,
        Landmark::Displaced,
        Landmark::Deleted,
        Landmark::StoredLate,
        Landmark::FoundByRead,
        Landmark::Renewed,
        Landmark::Rewatched,
    ];
    explore("two-agents", 300_000, &landmarks);
}

#[test]
fn a_lease_that_nobody_has_held() {
    explore("first-tenure", 200_000, &[Landmark::FirstTenure, Landmark::TakeoverAfterExpiry, Landmark::StoredLate]);
}

#[test]
fn agents_that_create_the_lease() {
    explore("no-operator", 60_000, &[Landmark::Created, Landmark::TakeoverAfterExpiry, Landmark::Deleted]);
}

#[test]
fn two_agents_of_one_name() {
    explore("one-name", 200_000, &[Landmark::HandOver, Landmark::Succession, Landmark::FoundByRead]);
}

#[test]
fn three_agents() {
    explore("three-agents", 500_000, &[Landmark::TakeoverAfterExpiry, Landmark::Displaced, Landmark::Succession]);
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
