//! A Lease that is missing: somebody may still lead by it (rule F3).

mod world;

use elector_election::{Answer, WatchEvent};

use self::world::{Versions, World, empty, held_by, seconds};

/// A world in which the absence of the Lease has just been proven.
fn absent() -> World {
    let mut world = World::new();
    world.watch(WatchEvent::Empty);
    world.expect_get();
    world.answer(Answer::NotFound);
    world
}

#[test]
fn a_missing_lease_is_created_once_the_lease_duration_has_passed() {
    let mut world = absent();
    assert_eq!(world.election.takeover_in(world.now), Some(seconds(15)));
    world.expect_quiet_for(seconds(15));
    let write = world.expect_creation();
    let lease = empty().after(&write);
    world.store(&lease);
    let tenure = world.expect_acquire();
    assert_eq!((tenure.uid.as_str(), tenure.fencing_token, tenure.transitions), ("uid-1", lease.resource_version, 1));
    world.expect_valid_for(&tenure, seconds(10));
    world.expect_quiet_for(seconds(2));
    world.expect_renewal(&lease);
    world.expect_nothing_else();
}

#[test]
fn a_watch_that_begins_empty_is_only_a_hint() {
    let mut world = World::new();
    world.watch(WatchEvent::Empty);
    world.expect_get();
    let lease = held_by("b");
    world.find(&lease);
    world.expect_quiet_for(seconds(15));
    world.expect_acquisition(&lease);
    world.expect_nothing_else();
}

#[test]
fn a_deleted_lease_is_waited_for_as_long_as_its_holder_had_asked() {
    let mut lease = held_by("b");
    lease.lease_duration_seconds = 40;
    let mut world = World::showing(&lease);
    world.expect_quiet_for(seconds(10));
    world.delete(&lease);
    world.expect_quiet_for(seconds(40));
    world.expect_creation();
    world.expect_nothing_else();
}

#[test]
fn the_deletion_of_another_lease_of_that_name_means_nothing() {
    let lease = held_by("b");
    let mut world = World::showing(&lease);
    world.delete(&lease.with_uid("uid-0"));
    world.expect_quiet_for(seconds(15));
    world.expect_acquisition(&lease);
    world.expect_nothing_else();
}

#[test]
fn a_lease_that_comes_back_under_another_uid_starts_the_wait_again() {
    let lease = held_by("b");
    let mut world = World::showing(&lease);
    world.delete(&lease);
    world.expect_quiet_for(seconds(10));
    let again = lease.with_uid("uid-2");
    world.show(&again);
    world.expect_quiet_for(seconds(15));
    world.expect_acquisition(&again);
    world.expect_nothing_else();
}

#[test]
fn whoever_may_not_create_asks_again_after_a_lease_duration() {
    let mut world = absent();
    for _ in 0..3 {
        world.expect_quiet_for(seconds(15));
        world.expect_creation();
        world.refuse();
    }
}

#[test]
fn a_creation_that_somebody_else_was_faster_at_is_a_lease_to_wait_for() {
    let mut world = absent();
    world.expect_quiet_for(seconds(15));
    world.expect_creation();
    world.answer(Answer::Conflict);
    world.expect_get();
    let lease = held_by("b");
    world.find(&lease);
    world.expect_quiet_for(seconds(15));
    world.expect_acquisition(&lease);
    world.expect_nothing_else();
}

#[test]
fn a_lease_that_was_there_in_between_starts_the_wait_again() {
    let mut world = absent();
    world.expect_quiet_for(seconds(15));
    world.expect_creation();
    world.answer(Answer::Conflict);
    world.expect_get();
    world.answer(Answer::NotFound);
    world.expect_quiet_for(seconds(15));
    world.expect_creation();
    world.expect_nothing_else();
}

#[test]
fn a_watch_that_begins_anew_may_have_missed_a_lease_and_starts_the_wait_again() {
    let mut world = absent();
    world.expect_quiet_for(seconds(10));
    world.watch(WatchEvent::Empty);
    world.expect_get();
    world.answer(Answer::NotFound);
    world.expect_quiet_for(seconds(15));
    world.expect_creation();
    world.expect_nothing_else();
}

#[test]
fn a_creation_whose_answer_was_lost_is_looked_up() {
    let mut world = absent();
    world.expect_quiet_for(seconds(15));
    let write = world.expect_creation();
    world.freeze(seconds(4));
    world.answer(Answer::Unknown);
    world.expect_get();
    let lease = empty().after(&write);
    world.find(&lease);
    let tenure = world.expect_acquire();
    world.expect_valid_for(&tenure, seconds(6));
    world.expect_renewal(&lease);
    world.expect_nothing_else();
}

#[test]
fn a_creation_that_got_through_after_absence_was_seen_is_not_ours() {
    let mut world = absent();
    world.expect_quiet_for(seconds(15));
    let write = world.expect_creation();
    world.freeze(seconds(4));
    world.answer(Answer::Unknown);
    world.expect_get();
    world.answer(Answer::NotFound);
    world.expect_creation();
    world.answer(Answer::Conflict);
    world.expect_get();
    let lease = empty().after(&write);
    world.find(&lease);
    world.expect_quiet_for(seconds(15));
    world.expect_acquisition(&lease);
    world.expect_nothing_else();
}

#[test]
fn a_read_that_a_deletion_overtook_proves_no_more_than_a_wait() {
    let lease = held_by("b");
    let mut world = World::showing(&lease);
    world.watch(WatchEvent::Empty);
    world.expect_get();
    world.delete(&lease);
    world.find(&lease);
    world.expect_quiet_for(seconds(15));
    world.expect_acquisition(&lease);
    world.answer(Answer::NotFound);
    world.expect_get();
    world.answer(Answer::NotFound);
    world.expect_quiet_for(seconds(15));
    world.expect_creation();
    world.expect_nothing_else();
}
