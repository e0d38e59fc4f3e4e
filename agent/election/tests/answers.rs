//! Answers that are slow, lost, overtaken or wrong: what they earn (rules L1, L2).

mod world;

use elector_election::{Answer, Candidate, Loss, State, WatchEvent};

use self::world::{Versions, World, at, candidate, milliseconds, never_held, released_by, seconds, timings};

#[test]
fn what_the_watch_shows_earns_nothing_before_the_answer() {
    let (mut world, _, renewed) = World::renewing();
    world.show(&renewed);
    world.expect_deadline_after(seconds(8));
}

#[test]
fn an_answer_that_the_watch_has_overtaken_with_a_label_edit_still_earns() {
    let (mut world, _, renewed) = World::renewing();
    world.show(&renewed);
    world.show(&renewed.labelled());
    world.store(&renewed);
    world.expect_extend_to(seconds(10));
    world.expect_renewal_after(seconds(2), &renewed.labelled());
}

#[test]
fn an_answer_that_shows_another_renew_time_earns_nothing() {
    let (mut world, _, mut rounded) = World::renewing();
    rounded.record.renew_time = Some(at(1_800_000_000));
    world.store(&rounded);
    world.expect_renewal_after(seconds(2), &rounded);
}

#[test]
fn an_answer_that_shows_somebody_else_is_a_loss() {
    let (mut world, lease, _) = World::renewing();
    world.store(&lease.taken_by_client_go("b"));
    world.expect_loss(Loss::HeldByAnother { holder: "b".into() });
    world.expect_nothing_else();
}

#[test]
fn an_acquisition_that_is_answered_after_its_deadline_begins_no_tenure() {
    let (mut world, stored) = World::acquiring(&never_held());
    world.freeze(seconds(10));
    world.store(&stored);
    assert_eq!(world.election.state(), State::Candidate);
    // It is ours all the same: the next tenure need not wait.
    let lease = world.acquires(&stored);
    assert_eq!(lease.record.transitions, 2);
}

#[test]
fn a_renewal_that_is_answered_after_the_deadline_begins_no_tenure() {
    let (mut world, _, renewed) = World::renewing();
    world.expect_quiet_for(seconds(8));
    world.expect_retraction(Loss::DeadlinePassed);
    world.freeze(seconds(1));
    world.store(&renewed);
    world.expect_nothing_else();
    assert_eq!(world.election.state(), State::Retracting);
    world.retracted();
    world.acquires(&renewed);
}

#[test]
fn an_answer_that_arrives_with_the_deadline_does_not_save_the_tenure() {
    let (mut world, _, renewed) = World::renewing();
    world.freeze(seconds(8));
    world.store(&renewed);
    world.expect_loss(Loss::DeadlinePassed);
    world.acquires(&renewed);
}

#[test]
fn a_renewal_without_an_answer_is_looked_up_and_earns_from_when_it_left() {
    let (mut world, _, renewed) = World::renewing();
    world.freeze(seconds(4));
    world.answer(Answer::Unknown);
    world.expect_get();
    world.freeze(milliseconds(5));
    world.find(&renewed);
    world.expect_extend_to(milliseconds(5_995));
    world.expect_renewal(&renewed);
}

#[test]
fn a_renewal_without_an_answer_that_was_not_stored_is_repeated() {
    let (mut world, lease, lost) = World::renewing();
    world.freeze(seconds(4));
    world.answer(Answer::Unknown);
    world.reads(&lease);
    let renewed = world.expect_renewal(&lease);
    assert!(renewed.record.renew_time > lost.record.renew_time);
    world.store(&renewed);
    world.expect_extend_to(seconds(10));
    world.expect_nothing_else();
}

#[test]
fn a_lost_renewal_that_lands_late_is_found_by_the_conflict_and_earns_from_when_it_left() {
    let (mut world, lease, lost) = World::renewing();
    world.freeze(seconds(4));
    world.answer(Answer::Unknown);
    world.reads(&lease);
    world.expect_renewal(&lease);
    world.answer(Answer::Conflict);
    world.reads(&lost);
    world.expect_extend_to(seconds(6));
    world.freeze(milliseconds(1));
    world.expect_renewal(&lost);
}

#[test]
fn a_look_without_an_answer_leaves_time_for_another() {
    let (mut world, _, _) = World::renewing();
    world.expect_quiet_for(seconds(4));
    world.answer(Answer::Unknown);
    world.expect_get();
    world.expect_quiet_for(milliseconds(3_900));
    world.answer(Answer::Unknown);
    world.expect_get();
}

#[test]
fn an_acquisition_without_an_answer_is_looked_up() {
    let (mut world, stored) = World::acquiring(&never_held());
    world.freeze(seconds(1));
    world.answer(Answer::Unknown);
    world.expect_get_after(seconds(1));
    // A label edit since: the first read that shows the tenure names its fencing token.
    let stored = stored.labelled();
    world.find(&stored);
    let tenure = world.expect_acquire();
    world.expect_valid_for(&tenure, seconds(8));
    assert_eq!(tenure.fencing_token, stored.resource_version);
    world.expect_renewal(&stored);
}

#[test]
fn one_lost_answer_costs_no_tenure_even_with_the_longest_retry_period() {
    let (mut world, lease) = World::leading_by(timings(6, 4, 2));
    let renewed = world.expect_renewal_after(seconds(2), &lease);
    world.pass(seconds(1), seconds(1));
    world.answer(Answer::Unknown);
    world.reads(&renewed);
    world.expect_extend_to(seconds(3));
    world.expect_renewal_after(seconds(1), &renewed);
}

#[test]
fn where_reading_is_refused_the_watch_will_do_for_a_look() {
    let (mut world, _, renewed) = World::renewing();
    world.answer(Answer::Unknown);
    world.show(&renewed);
    world.expect_get();
    world.refuse();
    let renewed = world.expect_renewal_after(seconds(2), &renewed);
    world.store(&renewed);
    world.expect_extend_to(seconds(10));
    world.expect_renewal_after(seconds(2), &renewed);
}

#[test]
fn a_request_is_given_up_after_ten_seconds_at_most() {
    let long = World::with(Candidate { timings: timings(3600, 3000, 2), ..candidate() });
    assert_eq!(long.election.request_timeout(), seconds(10));
}

#[test]
fn writes_that_fail_at_once_where_reading_works_are_not_sent_as_fast_as_they_can_be() {
    let (mut world, lease, _) = World::renewing();
    for _ in 0..3 {
        world.answer(Answer::Unknown);
        world.reads(&lease);
        world.expect_renewal_after(seconds(2), &lease);
    }
    world.answer(Answer::Unknown);
    world.reads(&lease);
    world.expect_deadline_after(seconds(2));
}

/// Their updates name the version that they replace: what they do not know costs a conflict.
#[test]
fn whoever_may_not_read_contends_for_a_lease_that_appears() {
    let mut world = World::new();
    world.watch(WatchEvent::Empty);
    world.expect_get();
    world.refuse();
    let free = released_by("b");
    world.show(&free);
    world.expect_get_after(seconds(2));
    world.refuse();
    world.expect_takeover_after(seconds(2), &free);
}

#[test]
fn whoever_may_not_read_renews_after_a_renewal_was_lost() {
    let (mut world, lease, _) = World::renewing();
    world.answer(Answer::Unknown);
    world.expect_get();
    world.refuse();
    world.expect_quiet_for(seconds(2));
    world.renews(&lease);
}
