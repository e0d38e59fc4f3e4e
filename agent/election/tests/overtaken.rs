//! Takeovers that come too late: somebody was faster, or the watch has fallen silent.

mod world;

use elector_election::{Action, Answer, Lease};

use self::world::{Versions, World, at, milliseconds, seconds};

/// A world in which the wait for the holder has passed and the takeover is under way.
fn taking_over() -> (World, Lease) {
    let (mut world, lease) = World::standby();
    world.expect_takeover_after(seconds(15), &lease);
    (world, lease)
}

#[test]
fn a_takeover_that_comes_too_late_looks_and_opens_a_new_watch() {
    let (mut world, lease) = taking_over();
    world.answer(Answer::Conflict);
    let renewed = lease.renewed(at(1_700_000_022));
    world.reads(&renewed);
    world.expect_action(Action::Rewatch);
    world.expect_takeover_after(seconds(15), &renewed);
}

#[test]
fn a_takeover_that_is_refused_as_too_late_for_no_reason_keeps_the_watch() {
    let (mut world, lease) = taking_over();
    world.freeze(milliseconds(5));
    world.answer(Answer::Conflict);
    world.reads(&lease);
    world.acquires(&lease);
}

#[test]
fn a_takeover_of_a_lease_that_was_deleted_unseen_looks_and_opens_a_new_watch() {
    let (mut world, _) = taking_over();
    world.freeze(milliseconds(5));
    world.answer(Answer::NotFound);
    world.reads_absence();
    world.expect_action(Action::Rewatch);
    world.expect_creation_with(15, 5);
}

#[test]
fn a_new_watch_is_not_opened_before_a_read_has_shown_that_something_is_missing() {
    let (mut world, lease) = taking_over();
    world.answer(Answer::Conflict);
    world.expect_get();
    world.answer(Answer::Unknown);
    world.expect_quiet_for(seconds(2));
    let renewed = lease.renewed(at(1_700_000_022));
    world.reads(&renewed);
    world.expect_action(Action::Rewatch);
    world.expect_takeover_after(seconds(15), &renewed);
}

#[test]
fn a_takeover_that_comes_too_late_keeps_a_watch_that_shows_the_new_holder_before_the_answer_or_the_read() {
    for before_the_answer in [true, false] {
        let (mut world, lease) = taking_over();
        let taken = lease.taken_by_client_go("c");
        if before_the_answer {
            world.show(&taken);
        }
        world.answer(Answer::Conflict);
        world.expect_get();
        if !before_the_answer {
            world.show(&taken);
        }
        world.find(&taken);
        world.expect_takeover_after(seconds(15), &taken);
    }
}

#[test]
fn a_takeover_that_only_a_label_edit_overtook_is_repeated_at_once() {
    let (mut world, lease) = taking_over();
    world.freeze(milliseconds(5));
    world.answer(Answer::Conflict);
    let labelled = lease.labelled();
    world.reads(&labelled);
    world.expect_action(Action::Rewatch);
    world.acquires(&labelled);
}
