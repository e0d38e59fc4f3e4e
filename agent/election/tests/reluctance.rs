//! A candidate that leaves the Lease to others (rule F4): it waits longer than it must, and steps down.

mod world;

use std::time::Duration;

use elector_election::{Action, Answer, Hints, Lease, Loss, State};

use self::world::{Versions, World, at, held_by, milliseconds, never_held, released_by, seconds, with_release_delay};

const GRACE: Duration = Duration::from_secs(60);

impl World {
    fn reluctant(&mut self) {
        self.election.handle_reluctance(Some(GRACE), self.now);
    }

    fn willing(&mut self) {
        self.election.handle_reluctance(None, self.now);
    }
}

/// A leader that stepped down and released; and the Lease by then.
fn stepped_down() -> (World, Lease) {
    let (mut world, lease) = World::leading();
    world.expect_quiet_for(seconds(1));
    world.reluctant();
    world.expect_loss(Loss::SteppedDown);
    let released = world.releases(&lease);
    world.expect_nothing_else();
    (world, released)
}

#[test]
fn a_leader_steps_down_and_stays_as_a_standby() {
    let (mut world, released) = stepped_down();
    assert_eq!(world.election.state(), State::Candidate);
    let mut next = World::showing(&released);
    next.update(&released);
    let mut taken = held_by("b").version(released.resource_version.0 + 1);
    taken.record.transitions = released.record.transitions + 1;
    world.show(&taken);
    world.expect_takeover_after(seconds(15) + GRACE, &taken);
}

#[test]
fn what_nobody_else_takes_is_taken_after_the_grace() {
    let (mut world, released) = stepped_down();
    world.acquires_after(GRACE, &released);
}

#[test]
fn whoever_is_willing_again_takes_a_free_lease_at_once() {
    let (mut world, released) = stepped_down();
    world.expect_quiet_for(seconds(10));
    world.willing();
    world.acquires(&released);
}

#[test]
fn whoever_has_just_released_it_may_take_it_again_at_once() {
    let (mut world, released) = stepped_down();
    world.freeze(milliseconds(1));
    world.willing();
    world.acquires(&released);
}

#[test]
fn a_lease_that_was_never_held_is_left_to_others_for_the_grace() {
    let mut world = World::new();
    world.reluctant();
    world.show(&never_held());
    world.acquires_after(GRACE, &never_held());
}

#[test]
fn a_silent_holder_is_waited_for_and_then_the_grace() {
    let (mut world, lease) = World::standby();
    world.reluctant();
    world.expect_takeover_after(seconds(15) + GRACE, &lease);
}

#[test]
fn a_sign_of_life_begins_both_waits_anew() {
    let mut world = World::showing(&held_by("b"));
    world.reluctant();
    world.expect_quiet_for(seconds(70));
    let renewed = held_by("b").renewed(at(1_700_000_020));
    world.show(&renewed);
    world.expect_takeover_after(seconds(15) + GRACE, &renewed);
}

#[test]
fn a_grace_without_end_never_ends() {
    let mut world = World::new();
    world.election.handle_reluctance(Some(Duration::MAX), world.now);
    world.show(&released_by("b"));
    world.expect_quiet_for(seconds(100_000_000));
    world.willing();
    world.expect_acquisition(&released_by("b"));
}

#[test]
fn a_tenure_taken_in_spite_of_reluctance_goes_on() {
    let (mut world, released) = stepped_down();
    let lease = world.acquires_after(GRACE, &released);
    // Told again, with another grace.
    world.election.handle_reluctance(Some(2 * GRACE), world.now);
    world.expect_quiet_for(seconds(2));
    let lease = world.renews(&lease);
    world.willing();
    world.expect_nothing_else();
    world.freeze(milliseconds(1));
    world.reluctant();
    world.expect_loss(Loss::SteppedDown);
    world.expect_release(&lease);
}

#[test]
fn an_acquisition_under_way_is_released_where_it_was_stored() {
    let (mut world, lease) = World::acquiring(&never_held());
    world.reluctant();
    world.expect_nothing_else();
    assert_eq!(world.election.state(), State::Releasing);
    world.freeze(milliseconds(5));
    world.store(&lease);
    world.releases(&lease);
    world.expect_quiet_for(seconds(1));
    assert_eq!(world.election.state(), State::Candidate);
}

#[test]
fn an_acquisition_under_way_that_met_a_conflict_leaves_a_standby() {
    let (mut world, _) = World::acquiring(&never_held());
    world.reluctant();
    world.answer(Answer::Conflict);
    let taken = held_by("b");
    world.reads(&taken);
    assert_eq!(world.election.state(), State::Candidate);
    world.expect_takeover_after(seconds(15) + GRACE, &taken);
}

#[test]
fn the_release_waits_for_its_delay() {
    let (mut world, lease) = World::leading_by(with_release_delay());
    world.reluctant();
    world.expect_action(Action::Retract(Loss::SteppedDown));
    world.freeze(seconds(3));
    world.retracted();
    world.expect_quiet_for(seconds(1));
    world.expect_release(&lease);
}

#[test]
fn a_release_that_fails_for_long_is_given_up_and_not_taken_back() {
    let (mut world, lease) = World::leading();
    world.freeze(milliseconds(1));
    world.reluctant();
    world.expect_loss(Loss::SteppedDown);
    world.expect_release(&lease);
    world.freeze(seconds(11));
    world.refuse();
    assert_eq!(world.election.state(), State::Candidate);
    // 15 s since the acquisition was seen, and the grace.
    world.expect_takeover_after(milliseconds(3_999) + GRACE, &lease);
}

#[test]
fn a_leader_that_is_willing_before_it_has_retracted_begins_another_tenure() {
    let (mut world, lease) = World::leading();
    world.reluctant();
    world.expect_action(Action::Retract(Loss::SteppedDown));
    world.willing();
    world.freeze(milliseconds(5));
    world.retracted();
    world.acquires(&lease);
}

#[test]
fn a_tenure_that_ended_otherwise_is_released_too() {
    let (mut world, _, renewed) = World::renewing();
    world.expect_quiet_for(seconds(8));
    world.expect_retraction(Loss::DeadlinePassed);
    world.reluctant();
    world.retracted();
    world.answer(Answer::Unknown);
    world.reads(&renewed);
    world.releases(&renewed);
    world.expect_quiet_for(GRACE);
}

#[test]
fn whoever_is_told_to_stop_while_it_releases_finishes_with_the_release() {
    let (mut world, lease) = World::leading();
    world.freeze(milliseconds(1));
    world.reluctant();
    world.expect_loss(Loss::SteppedDown);
    let released = world.expect_release(&lease);
    world.stop();
    world.expect_nothing_else();
    world.store(&released);
    world.expect_finish();
}

#[test]
fn a_standby_that_becomes_reluctant_goes_on_watching() {
    let mut world = World::showing(&held_by("b"));
    world.reluctant();
    world.expect_nothing_else();
    assert_eq!(world.election.state(), State::Candidate);
    world.stop();
    world.expect_finish();
}

#[test]
fn a_grace_that_passed_while_nobody_could_take_the_lease_is_none() {
    let (mut world, lease) = World::standby();
    world.reluctant();
    world.expect_quiet_for(seconds(15) + GRACE);
    // The API server is away, for others too.
    world.expect_acquisition(&lease);
    world.freeze(seconds(2));
    world.answer(Answer::Unknown);
    world.reads(&lease);
    world.expect_takeover_after(GRACE, &lease);
}

#[test]
fn a_pause_is_no_grace() {
    let paused = Lease { hints: Hints { paused: true, ..Hints::default() }, ..released_by("b") };
    let mut world = World::new();
    world.reluctant();
    world.show(&paused);
    world.expect_quiet_for(10 * GRACE);
    let resumed = Lease { hints: Hints::default(), ..paused.labelled() };
    world.show(&resumed);
    world.expect_takeover_after(GRACE, &resumed);
}
