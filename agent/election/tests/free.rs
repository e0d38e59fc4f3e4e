//! What may be taken at once, and what only looks like it (rule F3).

mod world;

use elector_election::{AgentMark, Answer, Lease, MAX_TRANSITIONS, ReleaseMark, WatchEvent};

use self::world::{
    Versions, World, at, empty, held_by, held_by_client_go, milliseconds, never_held, released_by, seconds,
};

#[test]
fn a_lease_released_by_an_agent_is_taken_at_once() {
    let (_, lease) = World::leading_after(&released_by("b"));
    assert_eq!(lease.record.transitions, 6);
}

#[test]
fn a_release_ends_the_wait_for_the_holder() {
    let mut world = World::showing(&held_by("b"));
    world.expect_quiet_for(seconds(3));
    let released = released_by("b").version(11);
    world.show(&released);
    world.acquires(&released);
}

#[test]
fn a_released_lease_with_another_label_is_taken_at_once() {
    World::leading_after(&released_by("b").labelled());
}

#[test]
fn a_release_mark_that_speaks_of_another_record_is_worth_nothing() {
    let released = released_by("b");
    for forged in [
        released.with_uid("uid-2"),
        released.edited(|lease| lease.record.transitions = 4),
        released.edited(|lease| lease.record.renew_time = Some(at(1_700_000_021))),
        released.edited(|lease| lease.record.renew_time = None),
        released.edited(|lease| lease.lease_duration_seconds = 2),
    ] {
        World::showing(&forged).expect_takeover_after(seconds(15), &forged);
    }
}

#[test]
fn a_release_older_than_a_tenure_that_was_seen_is_worth_nothing() {
    let held = held_by("c").edited(|lease| lease.record.transitions = 6);
    let mut world = World::showing(&held);
    world.expect_quiet_for(seconds(3));
    // Somebody applies an old manifest.
    let old = released_by("b").version(12);
    world.show(&old);
    world.show(&old.labelled());
    world.expect_takeover_after(seconds(15), &old.labelled());
}

#[test]
fn a_release_after_transitions_started_again_is_none_of_an_older_tenure() {
    let held = held_by("b").edited(|lease| lease.record.transitions = MAX_TRANSITIONS);
    let mut world = World::showing(&held);
    let mut released = released_by("c").version(12);
    released.record.transitions = 1;
    let mark = released.agent.as_mut().unwrap();
    mark.transitions = 1;
    mark.release.as_mut().unwrap().transitions = 1;
    world.show(&released);
    world.acquires(&released);
}

#[test]
fn a_lease_released_by_client_go_is_taken_at_once() {
    let held = held_by_client_go("b");
    let mut world = World::showing(&held);
    world.expect_quiet_for(seconds(3));
    let released = held.released_by_client_go();
    world.show(&released);
    world.acquires(&released);
}

#[test]
fn a_lease_that_client_go_took_from_an_agent_and_released_is_taken_at_once() {
    let taken = held_by("b").taken_by_client_go("c");
    let mut world = World::showing(&taken);
    let released = taken.released_by_client_go();
    world.show(&released);
    world.acquires(&released);
}

#[test]
fn the_form_of_a_release_is_not_enough_if_no_holder_was_seen() {
    let released = held_by_client_go("b").released_by_client_go();
    World::showing(&released).expect_takeover_after(seconds(15), &released);
}

#[test]
fn the_form_of_a_release_is_not_enough_if_the_holder_was_seen_under_another_uid() {
    let held = held_by_client_go("b");
    let mut world = World::showing(&held);
    let released = held.released_by_client_go().with_uid("uid-2");
    world.show(&released);
    world.expect_takeover_after(seconds(15), &released);
}

#[test]
fn the_form_of_a_release_is_not_enough_if_the_lease_was_deleted_since_the_holder_was_seen() {
    let held = held_by_client_go("b");
    let mut world = World::showing(&held);
    world.delete(&held);
    let released = held.released_by_client_go().with_uid("uid-2");
    world.show(&released);
    world.expect_takeover_after(seconds(15), &released);
}

#[test]
fn the_form_of_a_release_is_not_enough_if_an_agent_held_it() {
    let (mut world, held) = World::standby();
    let emptied = held.released_by_client_go();
    world.show(&emptied);
    world.expect_takeover_after(seconds(15), &emptied);
}

#[test]
fn the_form_of_a_release_is_not_enough_if_the_holder_was_an_unknown_one() {
    let mut unknown = held_by("unknown");
    for transitions in [0, 5] {
        unknown.record.transitions = transitions;
        unknown.agent = Some(AgentMark { start: "start-c".into(), transitions, release: None });
        let mut world = World::showing(&unknown);
        let emptied = unknown.released_by_client_go();
        world.show(&emptied);
        world.expect_takeover_after(seconds(15), &emptied);
    }
}

#[test]
fn the_form_of_a_release_is_not_enough_if_an_agent_held_it_unseen_in_between() {
    let held = held_by_client_go("b");
    let mut world = World::showing(&held);
    let mut emptied = held.released_by_client_go();
    emptied.record.transitions = 6;
    emptied.agent = Some(AgentMark { start: "start-c".into(), transitions: 6, release: None });
    world.show(&emptied);
    world.expect_takeover_after(seconds(15), &emptied);
}

#[test]
fn a_lease_never_held_is_taken_at_once_by_a_process_that_has_seen_nothing_else() {
    let mut world = World::showing(&never_held());
    let lease = world.acquires(&never_held());
    assert_eq!(lease.record.transitions, 1);

    let mut world = World::new();
    world.expect_quiet_for(seconds(4));
    world.reads(&never_held());
    world.acquires(&never_held());
}

#[test]
fn a_lease_never_held_is_waited_for_by_a_process_that_has_seen_another_uid() {
    let mut world = World::showing(&empty().with_uid("uid-0").version(1));
    let lease = never_held().version(2);
    world.show(&lease);
    world.expect_takeover_after(seconds(15), &lease);
}

#[test]
fn a_lease_never_held_is_waited_for_by_a_process_that_has_seen_a_holder() {
    let mut world = World::showing(&held_by_client_go("b").version(1));
    let lease = never_held().version(2);
    world.show(&lease);
    world.expect_takeover_after(seconds(15), &lease);
}

#[test]
fn a_lease_never_held_is_waited_for_by_a_process_that_has_seen_its_absence() {
    let mut world = World::new();
    world.watch(WatchEvent::Empty);
    world.reads_absence();
    world.expect_creation();
    world.show(&never_held());
    world.answer(Answer::Conflict);
    world.reads(&never_held());
    world.expect_takeover_after(seconds(15), &never_held());
}

#[test]
fn a_lease_never_held_is_waited_for_by_a_process_that_has_read_its_absence_before_the_watch_began() {
    let mut world = World::new();
    world.expect_quiet_for(seconds(4));
    world.reads_absence();
    world.show(&never_held());
    world.expect_takeover_after(seconds(15), &never_held());
}

#[test]
fn a_lease_never_held_is_waited_for_if_the_watch_began_without_it() {
    let mut world = World::new();
    world.watch(WatchEvent::Empty);
    world.reads(&never_held());
    world.expect_takeover_after(seconds(15), &never_held());
}

#[test]
fn a_lease_never_held_is_waited_for_if_a_stale_event_tells_of_another_uid_or_of_a_holder() {
    let lease = never_held().version(20);
    for stale in [empty().with_uid("uid-0").version(3), held_by("b")] {
        let mut world = World::showing(&lease);
        world.show(&stale);
        world.expect_takeover_after(seconds(15), &lease);
    }
}

#[test]
fn a_lease_never_held_is_waited_for_if_another_one_was_deleted() {
    let lease = never_held().version(20);
    let mut world = World::showing(&lease);
    world.delete(&held_by("b").with_uid("uid-0"));
    world.expect_takeover_after(seconds(15), &lease);
}

#[test]
fn a_lease_that_only_claims_never_to_have_been_held_is_waited_for() {
    let mark = AgentMark { start: "start-b".into(), transitions: 0, release: None };
    for lease in [
        never_held().edited(|lease| lease.record.transitions = 1),
        never_held().edited(|lease| lease.record.renew_time = Some(at(0))),
        never_held().edited(|lease| lease.record.acquire_time = Some(at(0))),
        never_held().edited(|lease| lease.agent = Some(mark)),
    ] {
        World::showing(&lease).expect_takeover_after(seconds(15), &lease);
    }
}

#[test]
fn of_two_that_take_a_released_lease_the_slower_looks_and_waits() {
    let lease = released_by("b");
    let (mut world, _) = World::acquiring(&lease);
    world.freeze(milliseconds(5));
    let taken = lease.taken_by_client_go("c");
    world.show(&taken);
    world.answer(Answer::Conflict);
    world.reads(&taken);
    world.expect_takeover_after(seconds(15), &taken);
}

/// Every write gets this answer, and every read finds the Lease as it was.
fn expect_writes_a_retry_period_apart(answer: &Answer) {
    let lease = released_by("b");
    let (mut world, _) = World::acquiring(&lease);
    world.freeze(milliseconds(5));
    world.answer(answer.clone());
    world.reads(&lease);
    for _ in 0..5 {
        world.expect_acquisition(&lease);
        world.answer(answer.clone());
        world.expect_quiet_for(seconds(2));
        world.reads(&lease);
    }
}

#[test]
fn conflicts_in_a_row_are_a_retry_period_apart() {
    expect_writes_a_retry_period_apart(&Answer::Conflict);
}

#[test]
fn updates_of_a_lease_that_is_and_is_not_there_are_a_retry_period_apart() {
    expect_writes_a_retry_period_apart(&Answer::NotFound);
}

#[test]
fn an_agents_tenure_whose_mark_or_transitions_were_edited_is_still_an_agents() {
    let held = held_by("b");
    for edited in [held.edited(|lease| lease.agent = None), held.edited(|lease| lease.record.transitions += 1)] {
        let mut world = World::showing(&held);
        world.show(&edited);
        let emptied = edited.released_by_client_go();
        world.show(&emptied);
        world.expect_takeover_after(seconds(15), &emptied);
    }
}

/// Of the same name, too: it acquired, and no agent did.
#[test]
fn a_lease_that_client_go_was_seen_to_take_from_an_agent_and_releases_is_taken_at_once() {
    for taker in ["c", "b"] {
        let (mut world, held) = World::standby();
        let taken = held.taken_by_client_go(taker);
        world.show(&taken);
        let renewed = taken.renewed(at(1_700_000_150));
        world.show(&renewed);
        let released = renewed.released_by_client_go();
        world.show(&released);
        world.acquires(&released);
    }
}

#[test]
fn a_release_of_the_first_tenure_is_worth_nothing_after_the_fifth() {
    let mut world = World::showing(&held_by("c"));
    let mut old = released_by("b").version(11);
    old.record.transitions = 1;
    let release = ReleaseMark { uid: "uid-1".into(), transitions: 1, renew_time: at(1_700_000_020) };
    old.agent = Some(AgentMark { start: "start-b".into(), transitions: 1, release: Some(release) });
    world.show(&old);
    world.expect_takeover_after(seconds(15), &old);
}

#[test]
fn a_lease_that_its_operator_has_not_confirmed_is_nobodys_until_it_has() {
    let made = held_by_client_go("b");
    let mut world = World::showing(&Lease { least_wait_seconds: 3600, ..made.clone() });
    world.expect_quiet_for(seconds(3000));
    let confirmed = made.clone().version(11);
    world.show(&confirmed);
    world.expect_acquisition(&confirmed);

    let mut world = World::showing(&Lease { least_wait_seconds: 3600, ..made.clone() });
    world.expect_quiet_for(seconds(20));
    let outdated = Lease { least_wait_seconds: 40, ..made }.version(11);
    world.show(&outdated);
    world.expect_takeover_after(seconds(20), &outdated);
}

#[test]
fn the_operators_word_ends_with_the_first_agent_that_writes_the_lease() {
    let lease = Lease { least_wait_seconds: 3600, ..held_by("b") };
    World::showing(&lease).expect_takeover_after(seconds(15), &lease);
}

#[test]
fn a_lease_never_held_that_is_not_confirmed_is_not_free() {
    let lease = Lease { least_wait_seconds: 3600, ..never_held() };
    let mut world = World::showing(&lease);
    world.expect_quiet_for(seconds(100));
    let confirmed = never_held().version(2);
    world.show(&confirmed);
    world.acquires(&confirmed);
}
