//! What keeps a tenure alive, and what does not (rules L1, L2, L4).

mod world;

use elector_election::{Answer, Loss, State, Timestamp};

use self::world::{Versions, World, milliseconds, never_held, released_by, seconds};

#[test]
fn a_tenure_begins_with_the_version_of_its_write_as_fencing_token_and_lasts_from_before_it() {
    let (mut world, stored) = World::acquiring(&released_by("b"));
    world.freeze(seconds(1));
    world.store(&stored);
    let tenure = world.expect_acquire();
    world.expect_valid_for(&tenure, seconds(9));
    assert_eq!(tenure.uid, "uid-1");
    assert_eq!(tenure.fencing_token, stored.resource_version);
    assert_eq!(tenure.acquire_time, stored.record.acquire_time.unwrap());
    assert_eq!(tenure.transitions, 6);
    world.expect_nothing_else();
}

#[test]
fn a_leader_renews_every_retry_period_and_keeps_its_tenure() {
    let (mut world, mut lease) = World::leading();
    let token = lease.resource_version;
    world.expect_quiet_for(seconds(2));
    for _ in 0..10 {
        lease = world.expect_renewal(&lease);
        world.freeze(milliseconds(5));
        world.show(&lease);
        world.expect_nothing_else();
        world.store(&lease);
        let tenure = world.expect_extend();
        assert_eq!((tenure.fencing_token, tenure.transitions), (token, 1));
        world.expect_valid_for(&tenure, milliseconds(9_995));
        world.expect_quiet_for(milliseconds(1_995));
    }
}

#[test]
fn an_unchanged_version_earns_nothing() {
    let (mut world, lease) = World::leading();
    for _ in 0..4 {
        world.expect_renewal_after(seconds(2), &lease);
        world.store(&lease);
    }
    world.expect_deadline_after(seconds(2));
}

#[test]
fn an_answer_that_shows_the_write_in_the_version_that_it_was_to_replace_earns_nothing() {
    let (mut world, lease, renewed) = World::renewing();
    world.store(&renewed.version(lease.resource_version.0));
    world.expect_renewal_after(seconds(2), &lease);
}

#[test]
fn the_tenure_ends_at_its_deadline_while_a_request_is_under_way() {
    let (mut world, _, _) = World::renewing();
    world.expect_quiet_for(milliseconds(7_999));
    assert_eq!(world.election.state(), State::Leading);
    world.expect_deadline_after(milliseconds(1));
}

#[test]
fn a_leader_ends_by_its_faster_clock() {
    let (mut world, _) = World::leading();
    world.pass(seconds(10), seconds(1));
    world.expect_loss(Loss::DeadlinePassed);

    let (mut world, _) = World::leading();
    world.pass(seconds(1), seconds(10));
    world.expect_loss(Loss::DeadlinePassed);
}

#[test]
fn a_leader_that_was_frozen_retracts_before_it_asks() {
    let (mut world, lease) = World::leading();
    world.freeze(seconds(3_600));
    assert_eq!(world.election.poll_request(world.now), None);
    world.expect_loss(Loss::DeadlinePassed);
    world.acquires(&lease);
}

#[test]
fn a_conflict_is_looked_up_and_a_label_edit_is_no_loss() {
    let (mut world, lease, _) = World::renewing();
    world.freeze(milliseconds(5));
    world.answer(Answer::Conflict);
    let labelled = lease.labelled();
    world.reads(&labelled);
    world.renews(&labelled);
    world.expect_nothing_else();
}

#[test]
fn a_leader_whose_lease_is_edited_all_the_time_tries_eight_times_a_retry_period() {
    let (mut world, lease) = World::leading();
    world.expect_quiet_for(seconds(2));
    world.expect_lost_races(lease, World::expect_renewal);
}

#[test]
fn a_renewal_that_is_refused_is_repeated_after_a_retry_period_until_the_deadline() {
    let (mut world, lease) = World::leading();
    for _ in 0..4 {
        world.expect_renewal_after(seconds(2), &lease);
        world.refuse();
    }
    world.expect_deadline_after(seconds(2));
}

#[test]
fn a_leader_waits_as_asked_but_leaves_time_for_another_attempt() {
    for (asked, waited) in [(1, 2), (3, 3), (3_600, 4)] {
        let (mut world, lease, _) = World::renewing();
        world.answer(Answer::Refused { retry_after: Some(seconds(asked)) });
        world.expect_renewal_after(seconds(waited), &lease);
    }
}

#[test]
fn a_candidate_waits_as_asked_but_a_lease_duration_at_most() {
    for (asked, waited) in [(1, 2), (7, 7), (3_600, 15)] {
        let (mut world, _) = World::acquiring(&never_held());
        world.answer(Answer::Refused { retry_after: Some(seconds(asked)) });
        world.expect_takeover_after(seconds(waited), &never_held());
    }
}

#[test]
fn each_renew_time_is_later_than_the_last_whatever_the_wall_clock_does() {
    let (mut world, lease) = World::leading();
    let last = lease.record.renew_time.unwrap();
    for (step, wall) in [-7_200, -315_360_000, i64::MIN / 1_000_000].into_iter().enumerate() {
        world.expect_quiet_for(seconds(2));
        world.now.wall = Timestamp::from_microseconds(wall * 1_000_000);
        let write = world.update(&lease);
        let later = i64::try_from(step).unwrap() + 1;
        assert_eq!(write.renew_time, Timestamp::from_microseconds(last.as_microseconds() + later));
        assert_eq!(Some(write.acquire_time), lease.record.acquire_time);
        world.refuse();
    }
}

#[test]
fn a_renew_time_differs_from_the_stored_one() {
    let mut lease = released_by("b");
    let mut world = World::new();
    let stored = world.now.wall;
    lease.record.renew_time = Some(stored);
    lease.agent.as_mut().unwrap().release.as_mut().unwrap().renew_time = stored;
    world.show(&lease);
    let write = world.update(&lease);
    assert_eq!(write.renew_time, Timestamp::from_microseconds(stored.as_microseconds() + 1));
    assert_eq!(write.acquire_time, write.renew_time);
}
