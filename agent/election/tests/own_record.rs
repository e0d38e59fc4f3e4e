//! Which record is this process's own, and may be followed by a new tenure at once (rule L5).

mod world;

use elector_election::{AgentMark, Answer, Candidate, Lease, Loss, Predecessor, WatchEvent};

use self::world::{
    IDENTITY, Versions, World, at, candidate, held_by, milliseconds, never_held, seconds, with_release_delay,
};

#[test]
fn the_own_lapsed_tenure_is_followed_by_a_new_one_at_once() {
    let (mut world, lease, _) = World::renewing();
    world.expect_deadline_after(seconds(8));
    world.answer(Answer::Unknown);
    world.reads(&lease);
    let again = world.acquires(&lease);
    assert_eq!(again.record.transitions, 2);
    assert_ne!(again.record.acquire_time, lease.record.acquire_time);
}

#[test]
fn a_renewal_of_the_lapsed_tenure_that_lands_late_brings_it_not_back() {
    let (mut world, lease, late) = World::renewing();
    world.expect_deadline_after(seconds(8));
    world.answer(Answer::Unknown);
    world.reads(&lease);
    world.expect_acquisition(&lease);
    world.answer(Answer::Conflict);
    world.reads(&late);
    world.freeze(milliseconds(1));
    world.acquires(&late);
}

#[test]
fn the_own_tenure_is_not_ours_any_more_once_another_record_was_seen() {
    let (mut world, lease) = World::leading();
    world.show(&lease.taken_by_client_go("b"));
    world.expect_loss(Loss::HeldByAnother { holder: "b".into() });
    // Somebody writes the old record back.
    let back = lease.version(9);
    world.show(&back);
    world.expect_takeover_after(seconds(15), &back);
}

#[test]
fn the_own_name_in_a_record_of_another_process_is_waited_for() {
    let lease = held_by(IDENTITY);
    let mut world = World::showing(&lease);
    let lease = world.acquires_after(seconds(15), &lease);
    assert_eq!(lease.record.transitions, 6);
}

#[test]
fn an_acquisition_that_was_stored_unanswered_and_lapsed_is_ours() {
    let (mut world, stored) = World::acquiring(&never_held());
    world.show(&stored);
    world.freeze(seconds(20));
    world.answer(Answer::Unknown);
    world.reads(&stored);
    world.acquires(&stored);
}

#[test]
fn an_acquisition_that_shows_under_another_uid_is_not_ours() {
    let (mut world, stored) = World::acquiring(&never_held());
    // Somebody restores the Lease from a copy.
    let copy = stored.with_uid("uid-2");
    world.answer(Answer::Unknown);
    world.expect_quiet_for(seconds(2));
    world.reads(&copy);
    world.expect_takeover_after(seconds(15), &copy);
}

fn successor() -> Candidate {
    let predecessor = Predecessor {
        uid: "uid-1".into(),
        identity: IDENTITY.into(),
        start: format!("start-{IDENTITY}-earlier"),
        acquire_time: at(1_700_000_000),
        transitions: 5,
    };
    Candidate { predecessor: Some(predecessor), ..candidate() }
}

/// The record that the predecessor left.
fn left() -> Lease {
    let mut lease = held_by(IDENTITY);
    lease.agent = lease.agent.map(|mark| AgentMark { start: format!("start-{IDENTITY}-earlier"), ..mark });
    lease
}

#[test]
fn a_dead_predecessor_is_followed_at_once_by_a_new_tenure() {
    let mut world = World::showing_to(successor(), &left());
    let lease = world.acquires(&left());
    assert_eq!(lease.record.transitions, 6);
    world.expect_renewal_after(seconds(2), &lease);
}

#[test]
fn a_predecessor_may_have_renewed_after_it_wrote_its_file() {
    let renewed = left().renewed(at(1_700_000_099));
    let mut world = World::showing_to(successor(), &renewed);
    world.acquires(&renewed);
}

#[test]
fn a_predecessor_that_led_by_another_record_is_waited_for() {
    for lease in [
        left().with_uid("uid-2"),
        left().edited(|lease| lease.record.holder = "b".into()),
        left().edited(|lease| lease.record.acquire_time = Some(at(1_700_000_001))),
        left().edited(|lease| lease.record.transitions = 6),
        left().edited(|lease| lease.agent.as_mut().unwrap().start = "start-of-another".into()),
        left().edited(|lease| lease.agent = None),
    ] {
        let mut world = World::showing_to(successor(), &lease);
        world.expect_takeover_after(seconds(15), &lease);
    }
}

#[test]
fn a_predecessor_counts_no_more_once_another_record_was_seen() {
    let mut world = World::showing_to(successor(), &left().taken_by_client_go("b"));
    let back = left().version(12);
    world.show(&back);
    world.expect_takeover_after(seconds(15), &back);
}

#[test]
fn a_predecessor_counts_no_more_once_absence_was_proven() {
    let mut world = World::with(successor());
    world.watch(WatchEvent::Empty);
    world.reads_absence();
    world.show(&left());
    world.expect_takeover_after(seconds(15), &left());
}

#[test]
fn a_predecessor_that_was_overtaken_unseen_is_found_out_by_the_conflict() {
    let mut world = World::showing_to(successor(), &left());
    world.expect_acquisition(&left());
    world.answer(Answer::Conflict);
    let taken = left().taken_by_client_go("b");
    world.reads(&taken);
    world.expect_takeover_after(seconds(15), &taken);
}

/// What it showed was there until this process began.
#[test]
fn the_release_of_a_predecessors_tenure_waits_for_its_delay() {
    let mut world = World::showing_to(Candidate { timings: with_release_delay(), ..successor() }, &left());
    world.stop();
    world.expect_quiet_for(seconds(1));
    world.expect_release(&left());
}

#[test]
fn the_release_of_a_tenure_that_follows_a_predecessors_waits_for_its_delay() {
    let mut world = World::showing_to(Candidate { timings: with_release_delay(), ..successor() }, &left());
    let stored = world.expect_acquisition(&left());
    world.stop();
    world.freeze(milliseconds(5));
    world.store(&stored);
    world.expect_quiet_for(milliseconds(995));
    world.expect_release(&stored);
}

/// A volume that was copied tells of a process that may live.
#[test]
fn a_predecessor_of_another_identity_is_waited_for() {
    let predecessor = Predecessor {
        uid: "uid-1".into(),
        identity: "b".into(),
        start: "start-b".into(),
        acquire_time: at(1_700_000_000),
        transitions: 5,
    };
    let lease = held_by("b");
    let mut world = World::showing_to(Candidate { predecessor: Some(predecessor), ..candidate() }, &lease);
    world.expect_takeover_after(seconds(15), &lease);
}
