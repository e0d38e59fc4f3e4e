//! Searches for two leaders that take a minute: ten thousand histories, and the worlds that are small enough for every day.

use elector_histories::Shipped;
use elector_model::{Landmark, explore};
use elector_simulation::search;

/// None of the histories may show what must not happen, and all of them together must show enough.
#[test]
fn in_ten_thousand_histories_two_never_lead() {
    let (tally, found) = search(0, 10_000, Shipped::boxed);
    println!("{tally}");
    assert_eq!(found, None);
    assert_eq!(tally.is_idle(), None);
    assert!(tally.released_for_dead > 0);
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
fn two_agents_of_one_name() {
    explore("one-name", 200_000, &[Landmark::HandOver, Landmark::Succession, Landmark::FoundByRead]);
}

#[test]
fn three_agents() {
    explore("three-agents", 500_000, &[Landmark::TakeoverAfterExpiry, Landmark::Displaced, Landmark::Succession]);
}
