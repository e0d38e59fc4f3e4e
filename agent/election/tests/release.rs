//! The end of a candidacy: retract, release what is ours, finish (rule R1).

mod world;

use elector_election::{Action, Answer, Lease, Loss, State, Timings, WatchEvent};

use self::world::{
    Versions, World, another_candidate, held_by, milliseconds, never_held, released_by, seconds, with_release_delay,
};

/// A leader that was told to stop and has retracted.
fn stopped() -> (World, Lease) {
    let (mut world, lease) = World::leading();
    world.expect_quiet_for(seconds(1));
    world.stop();
    world.expect_loss(Loss::Stopped);
    assert_eq!(world.election.state(), State::Releasing);
    (world, lease)
}

#[test]
fn a_standby_finishes_at_once() {
    let mut world = World::showing(&held_by("b"));
    world.stop();
    world.expect_finish();
}

#[test]
fn a_candidate_that_has_seen_nothing_finishes_at_once() {
    let mut world = World::new();
    world.stop();
    world.expect_finish();
}

#[test]
fn a_standby_that_wants_to_look_finishes_at_once() {
    let mut world = World::showing(&held_by("b"));
    world.watch(WatchEvent::Empty);
    world.stop();
    world.expect_finish();
}

#[test]
fn a_standby_whose_read_is_under_way_finishes_at_once() {
    let mut world = World::new();
    world.watch(WatchEvent::Refused);
    world.expect_get();
    world.stop();
    world.expect_finish();
}

#[test]
fn a_leader_retracts_then_releases_then_finishes() {
    let (mut world, lease) = stopped();
    let released = world.expect_release(&lease);
    world.freeze(milliseconds(5));
    world.store(&released);
    world.expect_finish();
}

#[test]
fn nothing_is_released_before_what_was_published_is_taken_back() {
    let (mut world, lease) = World::leading();
    world.stop();
    world.expect_action(Action::Retract(Loss::Stopped));
    world.expect_quiet_for(seconds(60));
    world.retracted();
    world.expect_release(&lease);
}

#[test]
fn the_release_waits_for_its_delay() {
    let (mut world, lease) = World::leading_by(with_release_delay());
    world.stop();
    world.expect_action(Action::Retract(Loss::Stopped));
    world.freeze(seconds(3));
    world.retracted();
    world.expect_quiet_for(seconds(1));
    world.releases(&lease);
    world.expect_finish();
}

#[test]
fn our_agents_take_at_once_what_was_released() {
    let (mut world, lease) = stopped();
    let released = world.expect_release(&lease);
    let write = World::showing_to(another_candidate(), &released).update(&released);
    assert_eq!((write.holder.as_str(), write.transitions), ("b", 2));
}

#[test]
fn a_lease_that_another_holds_is_not_released() {
    let (mut world, lease) = World::leading();
    world.stop();
    world.expect_action(Action::Retract(Loss::Stopped));
    world.show(&lease.taken_by_client_go("b"));
    world.retracted();
    world.expect_finish();
}

#[test]
fn a_deleted_lease_is_not_released() {
    let (mut world, lease) = World::leading();
    world.stop();
    world.expect_action(Action::Retract(Loss::Stopped));
    world.delete(&lease);
    world.retracted();
    world.expect_finish();
}

#[test]
fn a_release_that_meets_a_conflict_looks_and_leaves_another_holder_alone() {
    let (mut world, lease) = stopped();
    world.expect_release(&lease);
    world.answer(Answer::Conflict);
    world.reads(&lease.taken_by_client_go("b"));
    world.expect_finish();
}

#[test]
fn a_release_that_meets_a_label_edit_is_repeated() {
    let (mut world, lease) = stopped();
    world.expect_release(&lease);
    world.freeze(milliseconds(5));
    world.answer(Answer::Conflict);
    let labelled = lease.labelled();
    world.reads(&labelled);
    world.releases(&labelled);
    world.expect_finish();
}

#[test]
fn a_release_whose_lease_is_edited_all_the_time_tries_eight_times_a_retry_period() {
    let (mut world, lease) = stopped();
    let lease = world.expect_lost_races(lease, World::expect_release);
    world.releases(&lease);
    world.expect_finish();
}

#[test]
fn a_release_without_an_answer_is_looked_up_and_done() {
    let (mut world, lease) = stopped();
    let released = world.expect_release(&lease);
    world.freeze(seconds(4));
    world.answer(Answer::Unknown);
    world.reads(&released);
    world.expect_finish();
}

#[test]
fn a_release_without_an_answer_is_looked_up_and_repeated() {
    let (mut world, lease) = stopped();
    world.expect_release(&lease);
    world.freeze(seconds(4));
    world.answer(Answer::Unknown);
    world.reads(&lease);
    let released = world.expect_release(&lease);
    world.show(&released);
    world.expect_nothing_else();
    world.store(&released);
    world.expect_finish();
}

#[test]
fn a_release_is_given_up_after_a_renew_deadline() {
    let (mut world, lease) = stopped();
    world.expect_release(&lease);
    world.answer(Answer::Refused { retry_after: Some(seconds(60)) });
    world.expect_quiet_for(seconds(10));
    world.expect_finish();
}

#[test]
fn a_release_that_is_refused_is_repeated_until_it_is_given_up() {
    let (mut world, lease) = stopped();
    for _ in 0..5 {
        world.expect_release(&lease);
        world.refuse();
        world.expect_quiet_for(seconds(2));
    }
    world.expect_finish();
}

#[test]
fn a_renewal_under_way_is_waited_for_and_its_version_released() {
    let (mut world, _, renewed) = World::renewing();
    world.stop();
    world.expect_loss(Loss::Stopped);
    world.expect_quiet_for(milliseconds(5));
    world.store(&renewed);
    world.expect_release(&renewed);
}

#[test]
fn a_renewal_of_unknown_fate_is_looked_up_before_the_release() {
    let (mut world, _, renewed) = World::renewing();
    world.freeze(seconds(4));
    world.answer(Answer::Unknown);
    world.stop();
    world.expect_loss(Loss::Stopped);
    world.reads(&renewed);
    world.expect_release(&renewed);
}

#[test]
fn an_acquisition_under_way_begins_no_tenure_and_is_released() {
    let (mut world, stored) = World::acquiring(&never_held());
    world.stop();
    world.expect_quiet_for(milliseconds(5));
    world.store(&stored);
    world.releases(&stored);
    world.expect_finish();
}

#[test]
fn an_acquisition_under_way_that_fails_leaves_nothing_to_release() {
    for answer in [Answer::Conflict, Answer::NotFound, Answer::Unknown] {
        let lease = released_by("b");
        let (mut world, _) = World::acquiring(&lease);
        world.stop();
        world.freeze(seconds(2));
        world.answer(answer);
        world.reads(&lease);
        world.expect_finish();
    }
}

#[test]
fn an_acquisition_under_way_that_is_refused_leaves_nothing_to_release() {
    let (mut world, _) = World::acquiring(&released_by("b"));
    world.stop();
    world.refuse();
    world.expect_finish();
}

#[test]
fn an_acquisition_that_was_refused_needs_no_look() {
    let (mut world, _) = World::acquiring(&released_by("b"));
    world.refuse();
    world.stop();
    world.expect_finish();
}

#[test]
fn an_acquisition_whose_fate_stays_unknown_is_given_up_after_a_renew_deadline() {
    let (mut world, _) = World::acquiring(&released_by("b"));
    world.stop();
    world.answer(Answer::Unknown);
    world.expect_get_after(seconds(2));
    world.expect_quiet_for(seconds(8));
    world.expect_finish();
}

#[test]
fn told_to_stop_while_retracting_releases_afterwards() {
    let (mut world, lease) = World::leading();
    world.freeze(seconds(10));
    world.expect_retraction(Loss::DeadlinePassed);
    world.stop();
    world.expect_nothing_else();
    world.retracted();
    world.expect_release(&lease);
}

#[test]
fn told_to_stop_twice_is_told_to_stop() {
    let (mut world, lease) = stopped();
    world.stop();
    let released = world.expect_release(&lease);
    world.stop();
    world.store(&released);
    world.expect_finish();
    world.stop();
    world.expect_nothing_else();
}

#[test]
fn a_finished_election_asks_for_nothing_whatever_it_sees() {
    let mut world = World::showing(&held_by("b"));
    world.stop();
    world.expect_finish();
    world.show(&released_by("b").version(11));
    world.watch(WatchEvent::Empty);
    world.watch(WatchEvent::Refused);
    world.freeze(seconds(3_600));
    world.expect_nothing_else();
}

#[test]
fn a_release_after_a_loss_waits_for_its_delay_too() {
    let (mut world, lease) = World::leading_by(with_release_delay());
    world.freeze(seconds(10));
    world.expect_retraction(Loss::DeadlinePassed);
    world.retracted();
    world.stop();
    world.expect_quiet_for(seconds(1));
    world.expect_release(&lease);
}

/// The delay is no part of the time in which others may be told.
#[test]
fn a_release_with_a_delay_is_given_up_a_renew_deadline_after_it() {
    let timings = Timings::new(18, 10, 2, 2).expect("it is valid");
    let (mut world, lease) = World::leading_by(timings);
    world.stop();
    world.expect_action(Action::Retract(Loss::Stopped));
    world.retracted();
    world.expect_quiet_for(seconds(2));
    for _ in 0..5 {
        assert!(world.election.poll_timeout(world.now).is_some());
        world.expect_release(&lease);
        world.refuse();
        world.expect_quiet_for(seconds(2));
    }
    world.expect_finish();
}

/// Its driver answers it in time.
#[test]
fn a_release_under_way_needs_no_waking() {
    let (mut world, lease) = stopped();
    assert_eq!(world.election.poll_timeout(world.now), Some(seconds(0)));
    world.expect_release(&lease);
    assert_eq!(world.election.poll_timeout(world.now), None);
    world.freeze(seconds(11));
    world.election.handle_timeout(world.now);
    world.expect_nothing_else();
    assert_eq!(world.election.poll_timeout(world.now), None);
    world.answer(Answer::Unknown);
    world.expect_finish();
}

#[test]
fn a_release_that_was_refused_wakes_before_it_is_given_up() {
    let (mut world, lease) = stopped();
    world.expect_release(&lease);
    world.freeze(seconds(9));
    world.answer(Answer::Refused { retry_after: Some(seconds(15)) });
    assert_eq!(world.election.poll_timeout(world.now), Some(seconds(1)));
}

#[test]
fn where_reading_is_refused_a_release_waits_for_what_the_watch_shows() {
    let (mut world, _, renewed) = World::renewing();
    world.answer(Answer::Unknown);
    world.stop();
    world.expect_action(Action::Retract(Loss::Stopped));
    world.retracted();
    for _ in 0..2 {
        world.expect_get();
        world.refuse();
        world.expect_quiet_for(seconds(2));
    }
    world.show(&renewed);
    world.expect_get();
    world.refuse();
    world.expect_quiet_for(seconds(2));
    world.expect_release(&renewed);
}
