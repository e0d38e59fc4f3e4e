//! What the operator would like to happen (rule F4): a pause, the end of one tenure, somebody to begin the next.

mod world;

use elector_election::{Action, Hints, Lease, Loss, State};

use self::world::{Versions, World, at, held_by, milliseconds, never_held, released_by, seconds};

/// The next version, with these hints.
fn with(lease: &Lease, hints: Hints) -> Lease {
    Lease { hints, ..lease.labelled() }
}

fn paused() -> Hints {
    Hints { paused: true, ..Hints::default() }
}

fn end_of(lease: &Lease) -> Hints {
    Hints { end_tenure: Some(lease.record.transitions), ..Hints::default() }
}

fn for_successor(name: &str) -> Hints {
    Hints { successor: Some(name.into()), ..Hints::default() }
}

/// What follows upon the end of a tenure, up to the release.
fn gives_up(world: &mut World, lease: &Lease, loss: Loss) -> Lease {
    world.expect_loss(loss);
    let released = world.releases(lease);
    world.expect_nothing_else();
    assert_eq!(world.election.state(), State::Candidate);
    released
}

#[test]
fn a_pause_ends_the_tenure_and_keeps_everybody_from_another() {
    let (mut world, lease) = World::leading();
    world.expect_quiet_for(seconds(1));
    let lease = with(&lease, paused());
    world.show(&lease);
    let released = gives_up(&mut world, &lease, Loss::Paused);
    world.expect_quiet_for(seconds(10_000));
    let resumed = with(&released, Hints::default());
    world.show(&resumed);
    world.acquires(&resumed);
}

#[test]
fn whoever_comes_to_a_pause_waits_for_its_end() {
    for lease in [never_held(), released_by("b"), held_by("b")] {
        let lease = with(&lease, paused());
        let mut world = World::showing(&lease);
        world.expect_quiet_for(seconds(10_000));
        let resumed = with(&lease, Hints::default());
        world.show(&resumed);
        // Whoever held it has been silent for long.
        world.expect_acquisition(&resumed);
    }
}

#[test]
fn a_pause_shortens_no_wait() {
    let lease = with(&held_by("b"), paused());
    let mut world = World::showing(&lease);
    world.expect_quiet_for(seconds(5));
    let resumed = with(&lease, Hints::default());
    world.show(&resumed);
    world.expect_takeover_after(seconds(10), &resumed);
}

#[test]
fn a_tenure_that_is_to_end_ends_once_and_another_has_time_to_begin_the_next() {
    let (mut world, lease) = World::leading();
    world.expect_quiet_for(seconds(1));
    let lease = with(&lease, end_of(&lease));
    world.show(&lease);
    let released = gives_up(&mut world, &lease, Loss::HandedOver);
    // Everybody else takes it at once.
    World::showing(&released).expect_acquisition(&released);
    // A retry period, for whoever there is; then it leads again, in another tenure, which the hint does not speak of.
    let lease = world.acquires_after(seconds(2), &released);
    world.expect_quiet_for(seconds(2));
    world.renews(&lease);
}

#[test]
fn the_end_of_another_tenure_is_none_of_its_business() {
    let (mut world, lease) = World::leading();
    world.expect_quiet_for(seconds(1));
    for transitions in [0, 2, 17] {
        world.show(&with(
            &lease.version(transitions + 10),
            Hints { end_tenure: Some(u32::try_from(transitions).unwrap()), ..Hints::default() },
        ));
        world.expect_nothing_else();
    }
    assert_eq!(world.election.state(), State::Leading);
}

#[test]
fn a_tenure_that_was_to_end_before_its_holder_knew_of_it_ends_at_once() {
    let (mut world, stored) = World::acquiring(&never_held());
    let lease = with(&stored, paused());
    world.show(&lease);
    world.freeze(milliseconds(5));
    world.store(&stored);
    assert!(matches!(world.election.poll_action(), Some(Action::Acquire(_))));
    gives_up(&mut world, &lease, Loss::Paused);
}

#[test]
fn a_successor_begins_at_once_and_the_others_leave_it_a_retry_period() {
    for (lease, wait) in [(released_by("b"), 0), (held_by("b"), 15)] {
        let hinted = with(&lease, for_successor("a"));
        let mut world = World::showing(&hinted);
        if wait > 0 {
            world.expect_quiet_for(seconds(wait));
        }
        world.expect_acquisition(&hinted);

        let hinted = with(&lease, for_successor("c"));
        World::showing(&hinted).expect_takeover_after(seconds(wait + 2), &hinted);
    }
}

#[test]
fn a_leader_that_is_no_successor_leads_on_until_it_is_told_to_end() {
    let (mut world, lease) = World::leading();
    world.expect_quiet_for(seconds(1));
    let lease = with(&lease, for_successor("b"));
    world.show(&lease);
    world.expect_nothing_else();
    let lease = with(&lease, Hints { end_tenure: Some(1), ..for_successor("b") });
    world.show(&lease);
    let released = gives_up(&mut world, &lease, Loss::HandedOver);
    world.expect_takeover_after(seconds(2), &released);
}

#[test]
fn nobody_hands_over_to_itself() {
    let (mut world, lease) = World::leading();
    world.expect_quiet_for(seconds(1));
    world.show(&with(&lease, Hints { end_tenure: Some(1), ..for_successor("a") }));
    world.expect_nothing_else();
    assert_eq!(world.election.state(), State::Leading);
}

#[test]
fn a_hint_is_no_sign_of_life() {
    let lease = held_by("b").renewed(at(1_700_000_020));
    let mut world = World::showing(&lease);
    world.expect_quiet_for(seconds(14));
    let hinted = with(&lease, Hints { end_tenure: Some(5), ..Hints::default() });
    world.show(&hinted);
    world.expect_takeover_after(seconds(1), &hinted);
}

#[test]
fn whoever_is_reluctant_and_hinted_at_waits_for_the_longer_of_both() {
    let lease = with(&released_by("b"), for_successor("c"));
    let mut world = World::new();
    world.election.handle_reluctance(Some(seconds(1)), world.now);
    world.show(&lease);
    world.expect_takeover_after(seconds(2), &lease);
    let mut world = World::new();
    world.election.handle_reluctance(Some(seconds(60)), world.now);
    world.show(&lease);
    world.expect_takeover_after(seconds(60), &lease);
}
