//! Timings that change while somebody leads by the old ones (rule L6).

mod world;

use elector_election::{Answer, Lease, Loss, Timings};

use self::world::{Versions, World, empty, held_by, milliseconds, never_held, released_by, seconds, timings};

fn short() -> Timings {
    timings(5, 3, 1)
}

fn long() -> Timings {
    timings(137, 107, 26)
}

#[test]
fn the_timings_of_the_lease_are_used_from_the_first_write() {
    let (mut world, lease) = World::leading_after(&never_held().with_timings(short()));
    assert_eq!(lease.lease_duration_seconds, 5);
    world.expect_renewal_after(seconds(1), &lease);
    world.expect_deadline_after(seconds(2));
}

#[test]
fn a_lease_without_a_valid_set_leaves_the_last_good_one() {
    let (mut world, lease) = World::leading_after(&never_held().with_timings(short()));
    let broken = Lease { timings: None, ..lease.labelled() };
    world.show(&broken);
    assert_eq!(world.election.timings(), short());
    let renewed = world.expect_renewal_after(seconds(1), &broken);
    assert_eq!(renewed.lease_duration_seconds, 5);
}

#[test]
fn raised_timings_lengthen_the_tenure_only_once_a_write_by_them_is_stored() {
    let (mut world, lease) = World::leading();
    let raised = lease.with_timings(timings(40, 30, 3));
    world.show(&raised);
    let renewed = world.expect_renewal_after(seconds(3), &raised);
    assert_eq!(renewed.lease_duration_seconds, 40);
    world.expect_quiet_for(seconds(6));
    world.store(&renewed);
    world.expect_extend_to(seconds(24));
    world.expect_renewal(&renewed);
}

#[test]
fn raised_timings_do_not_put_off_the_renewal_beyond_the_deadline() {
    let (mut world, lease) = World::leading();
    let raised = lease.with_timings(long());
    world.show(&raised);
    let renewed = world.expect_renewal_after(seconds(5), &raised);
    assert_eq!(renewed.lease_duration_seconds, 137);
    world.store(&renewed);
    world.expect_extend_to(seconds(107));
    world.expect_renewal_after(seconds(26), &renewed);
}

#[test]
fn a_write_that_left_before_the_raise_earns_by_its_own_timings() {
    let (mut world, _, renewed) = World::renewing();
    assert_eq!(renewed.lease_duration_seconds, 15);
    world.show(&renewed);
    world.show(&renewed.with_timings(long()));
    world.store(&renewed);
    world.expect_extend_to(seconds(10));
    world.expect_nothing_else();
}

#[test]
fn lowered_timings_shorten_the_tenure_before_the_write_by_them_leaves() {
    let (mut world, lease) = World::leading();
    world.expect_quiet_for(milliseconds(500));
    let lowered = lease.with_timings(short());
    world.show(&lowered);
    world.expect_quiet_for(milliseconds(500));
    world.expect_shortening_to(seconds(3));
    world.freeze(milliseconds(10));
    let renewed = world.expect_renewal(&lowered);
    assert_eq!(renewed.lease_duration_seconds, 5);
    // Without an answer it ends by what was announced, whatever the last stored write had earned.
    world.expect_deadline_after(milliseconds(2_990));
}

#[test]
fn a_renewal_by_lowered_timings_prolongs_by_them() {
    let (mut world, lease) = World::leading();
    let lowered = lease.with_timings(short());
    world.show(&lowered);
    world.expect_quiet_for(seconds(1));
    world.expect_shortening_to(seconds(3));
    let renewed = world.expect_renewal(&lowered);
    world.freeze(seconds(1));
    world.store(&renewed);
    world.expect_extend_to(seconds(2));
    world.expect_renewal(&renewed);
}

#[test]
fn a_tenure_that_ends_sooner_anyway_is_not_announced_to_be_shortened() {
    let (mut world, lease, _) = World::renewing();
    world.expect_quiet_for(seconds(4));
    world.answer(Answer::Unknown);
    world.expect_get();
    world.expect_quiet_for(seconds(2));
    let lowered = lease.with_timings(short());
    world.find(&lowered);
    world.expect_renewal(&lowered);
    world.expect_deadline_after(seconds(2));
}

#[test]
fn an_earlier_write_that_is_looked_up_does_not_undo_the_shortening() {
    let (mut world, _, earlier) = World::renewing();
    world.answer(Answer::Unknown);
    world.show(&earlier);
    let lowered = earlier.with_timings(short());
    world.show(&lowered);
    world.reads(&lowered);
    world.expect_extend_to(seconds(10));
    world.expect_quiet_for(seconds(1));
    // The earlier write has earned its ten seconds; the write that is due now may not leave before they are cut to three.
    world.expect_shortening_to(seconds(3));
    world.expect_renewal(&lowered);
    world.freeze(seconds(1));
    world.answer(Answer::Unknown);
    world.reads(&lowered);
    world.expect_renewal(&lowered);
    world.expect_deadline_after(seconds(2));
}

#[test]
fn an_earlier_write_that_is_credited_beside_a_shorter_one_does_not_undo_the_shortening() {
    let (mut world, lease, earlier) = World::renewing();
    world.freeze(seconds(4));
    world.answer(Answer::Unknown);
    world.reads(&lease);
    // It was stored late, and is seen before anything else is sent.
    let lowered = earlier.with_timings(short());
    world.show(&lowered);
    world.expect_shortening_to(seconds(3));
    world.expect_renewal(&lowered);
    world.freeze(seconds(1));
    world.answer(Answer::Unknown);
    world.reads(&lowered);
    // The earlier one alone would have earned five; the shorter one may be stored yet.
    world.expect_extend_to(seconds(2));
    world.expect_renewal(&lowered);
}

#[test]
fn a_lost_write_by_lowered_timings_earns_by_them_even_if_they_are_raised_since() {
    let (mut world, lease) = World::leading();
    let lowered = lease.with_timings(short());
    world.show(&lowered);
    world.expect_quiet_for(seconds(1));
    world.expect_shortening_to(seconds(3));
    let renewed = world.expect_renewal(&lowered);
    world.freeze(seconds(1));
    world.answer(Answer::Unknown);
    let raised = renewed.with_timings(Timings::DEFAULT);
    world.reads(&raised);
    world.expect_extend_to(seconds(2));
    // In time for the deadline that holds, not for the one that is hoped for.
    world.expect_renewal_after(milliseconds(500), &raised);
}

#[test]
fn a_standby_waits_for_the_duration_that_the_holder_wrote_even_if_the_timings_are_lowered() {
    let (mut world, lease) = World::standby();
    let lowered = lease.with_timings(short());
    world.show(&lowered);
    let stored = world.expect_takeover_after(seconds(15), &lowered);
    assert_eq!(stored.lease_duration_seconds, 5);
}

#[test]
fn a_standby_waits_for_the_timings_of_the_lease_even_if_the_record_says_less() {
    let lease = held_by("b").with_timings(timings(40, 30, 3));
    World::showing(&lease).expect_takeover_after(seconds(40), &lease);
}

#[test]
fn a_released_lease_is_taken_by_the_timings_that_it_carries() {
    let lease = released_by("b").with_timings(short());
    let (_, stored) = World::acquiring(&lease);
    assert_eq!(stored.lease_duration_seconds, 5);
}

#[test]
fn a_restored_lease_is_updated_by_the_timings_that_it_carries() {
    let (mut world, lease) = World::leading_after(&released_by("b").with_timings(long()));
    world.expect_renewal_after(seconds(26), &lease);
    world.answer(Answer::Conflict);
    let restored = empty().with_timings(short());
    world.reads(&restored);
    world.expect_loss(Loss::RolledBack);
    let stored = world.expect_takeover_after(seconds(137), &restored);
    assert_eq!(stored.lease_duration_seconds, 5);
}
