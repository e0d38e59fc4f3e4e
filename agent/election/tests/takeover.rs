//! When a standby may begin a tenure, and when it must wait (rules F1, F2).

mod world;

use elector_election::{AgentMark, Answer, Lease, MAX_TRANSITIONS, State, Timestamp, WatchEvent};

use self::world::{Versions, World, at, empty, held_by, held_by_client_go, milliseconds, seconds, timings};

#[test]
fn nothing_is_sent_while_the_watch_may_still_speak_first() {
    let mut world = World::new();
    world.expect_get_after(seconds(4));
}

#[test]
fn a_lease_that_is_led_is_left_alone_as_long_as_it_is_renewed() {
    let mut lease = held_by("b");
    let mut world = World::showing(&lease);
    for renewal in 0..10 {
        world.expect_quiet_for(milliseconds(14_999));
        lease = lease.renewed(at(1_700_000_020 + renewal));
        world.show(&lease);
    }
    world.expect_nothing_else();
    assert_eq!(world.election.takeover_in(world.now), Some(seconds(15)));
}

#[test]
fn a_silent_holder_is_taken_over_once_the_own_lease_duration_has_passed() {
    let lease = Lease { lease_duration_seconds: 5, ..held_by("b") };
    let mut world = World::showing(&lease);
    let lease = world.acquires_after(seconds(15), &lease);
    assert_eq!(lease.record.transitions, 6);
}

#[test]
fn a_silent_holder_is_taken_over_once_its_own_lease_duration_has_passed() {
    let lease = Lease { lease_duration_seconds: 40, ..held_by("b") };
    World::showing(&lease).acquires_after(seconds(40), &lease);
}

#[test]
fn an_absurd_lease_duration_counts_as_an_hour() {
    let lease = Lease { lease_duration_seconds: u32::MAX, ..held_by("b") };
    World::showing(&lease).acquires_after(seconds(3600), &lease);
}

#[test]
fn a_lease_duration_once_seen_counts_until_the_tenure_ends() {
    let long = Lease { lease_duration_seconds: 40, ..held_by("b") };
    let mut world = World::showing(&long);
    let lowered = Lease { lease_duration_seconds: 15, ..long.renewed(at(1_700_000_020)) };
    world.show(&lowered);
    world.expect_takeover_after(seconds(40), &lowered);
}

#[test]
fn the_next_tenure_counts_by_its_own_lease_duration() {
    let long = Lease { lease_duration_seconds: 40, ..held_by("b") };
    let mut world = World::showing(&long);
    let mut next = held_by("c").version(11);
    next.record.transitions = 6;
    next.agent.as_mut().unwrap().transitions = 6;
    world.show(&next);
    world.expect_takeover_after(seconds(15), &next);
}

#[test]
fn a_tenure_that_nobody_but_an_editor_began_does_not_forget_the_longer_lease_duration() {
    let long = Lease { lease_duration_seconds: 40, ..held_by("b") };
    let mut world = World::showing(&long);
    let mut edited = long.renewed(at(1_700_000_020));
    edited.record.holder = "c".into();
    edited.record.transitions = 6;
    edited.lease_duration_seconds = 1;
    world.show(&edited);
    world.expect_takeover_after(seconds(40), &edited);
}

#[test]
fn a_label_edit_does_not_extend_a_dead_lease() {
    let mut lease = held_by("b");
    let mut world = World::showing(&lease);
    for _ in 0..3 {
        world.expect_quiet_for(seconds(4));
        lease = lease.labelled();
        world.show(&lease);
    }
    world.acquires_after(seconds(3), &lease);
}

#[test]
fn a_stale_watch_event_does_not_extend_a_dead_lease() {
    let (mut world, lease) = World::standby();
    world.expect_quiet_for(seconds(14));
    world.show(&lease.renewed(at(1_700_000_005)).version(9));
    world.show(&lease);
    world.expect_takeover_after(seconds(1), &lease);
}

#[test]
fn two_renewals_within_one_second_are_told_apart() {
    let (mut world, lease) = World::standby();
    world.expect_quiet_for(seconds(10));
    let renew_time = lease.record.renew_time.unwrap();
    let renewed = lease.renewed(Timestamp::from_microseconds(renew_time.as_microseconds() + 1));
    world.show(&renewed);
    world.expect_takeover_after(seconds(15), &renewed);
}

#[test]
fn a_renewal_by_a_wall_clock_that_went_backwards_is_a_sign_of_life() {
    let (mut world, lease) = World::standby();
    world.expect_quiet_for(seconds(10));
    let renewed = lease.renewed(at(-1_000_000_000));
    world.show(&renewed);
    world.expect_takeover_after(seconds(15), &renewed);
}

#[test]
fn a_standby_waits_by_its_slower_clock() {
    let (mut world, lease) = World::standby();
    world.pass(seconds(3600), seconds(14));
    world.expect_nothing_else();
    world.pass(seconds(0), seconds(1));
    world.expect_acquisition(&lease);

    let mut world = World::showing(&lease);
    world.pass(seconds(14), seconds(3600));
    world.expect_nothing_else();
    world.pass(seconds(1), seconds(0));
    world.expect_acquisition(&lease);
}

#[test]
fn the_timings_that_the_lease_carries_replace_the_own_ones() {
    let lease = Lease { lease_duration_seconds: 5, ..held_by("b") }.with_timings(timings(5, 3, 1));
    let mut world = World::showing(&lease);
    let stored = world.expect_takeover_after(seconds(5), &lease);
    assert_eq!(stored.lease_duration_seconds, 5);
}

#[test]
fn transitions_start_again_at_one() {
    let lease = held_by("b").edited(|lease| lease.record.transitions = MAX_TRANSITIONS);
    let mut world = World::showing(&lease);
    world.expect_quiet_for(seconds(15));
    let write = world.update(&lease);
    assert_eq!((write.transitions, write.agent.transitions), (1, 1));
    world.store(&lease.after(&write));
    assert_eq!(world.expect_acquire().transitions, 1);
    world.expect_nothing_else();
}

#[test]
fn a_lease_that_is_held_by_nobody_for_no_known_reason_is_waited_for() {
    let lease = empty();
    World::showing(&lease).acquires_after(seconds(15), &lease);
}

#[test]
fn a_holder_that_was_removed_is_waited_for() {
    let lease = held_by_client_go("b");
    let mut world = World::showing(&lease);
    world.expect_quiet_for(seconds(10));
    let emptied = lease.emptied();
    world.show(&emptied);
    world.acquires_after(seconds(15), &emptied);
}

#[test]
fn another_holder_starts_the_wait_again() {
    let (mut world, lease) = World::standby();
    world.expect_quiet_for(seconds(14));
    let taken = lease.taken_by_client_go("c");
    world.show(&taken);
    world.expect_takeover_after(seconds(15), &taken);
}

#[test]
fn a_standby_whose_watch_is_refused_reads_every_retry_period() {
    let lease = held_by("b");
    let mut world = World::new();
    world.watch(WatchEvent::Refused);
    world.reads(&lease);
    for _ in 0..7 {
        world.expect_quiet_for(seconds(2));
        world.reads(&lease);
    }
    // The takeover does not wait for the next look.
    world.expect_takeover_after(seconds(1), &lease);
}

#[test]
fn a_watch_that_is_granted_after_all_ends_the_polling() {
    let lease = held_by("b");
    let mut world = World::new();
    world.watch(WatchEvent::Refused);
    world.reads(&lease);
    world.expect_quiet_for(seconds(2));
    world.reads(&lease);
    world.show(&lease);
    world.expect_takeover_after(seconds(13), &lease);
}

#[test]
fn a_read_that_is_refused_is_repeated_after_a_retry_period() {
    let mut world = World::new();
    world.watch(WatchEvent::Refused);
    for _ in 0..5 {
        world.expect_get();
        world.refuse();
        world.expect_quiet_for(seconds(2));
    }
    assert_eq!(world.election.state(), State::Candidate);
}

#[test]
fn a_read_without_an_answer_is_repeated_after_a_retry_period() {
    let mut world = World::new();
    world.expect_get_after(seconds(4));
    world.answer(Answer::Unknown);
    world.expect_get_after(seconds(2));
}

#[test]
fn a_lease_made_again_is_waited_for_as_long_as_the_last_one() {
    let long = Lease { lease_duration_seconds: 40, ..held_by("b") };
    let mut world = World::showing(&long);
    let again = held_by("b").with_uid("uid-2").version(12);
    world.show(&again);
    world.expect_takeover_after(seconds(40), &again);
}

/// It may have changed while the read was on its way.
#[test]
fn a_record_that_a_read_shows_is_waited_for_from_the_answer() {
    let mut world = World::new();
    world.watch(WatchEvent::Refused);
    world.expect_get();
    world.freeze(milliseconds(3_900));
    let lease = held_by("b");
    world.find(&lease);
    for _ in 0..7 {
        world.freeze(seconds(2));
        world.reads(&lease);
    }
    world.expect_takeover_after(seconds(1), &lease);
}

/// Whoever really began a tenure had waited, and says so by its mark of that very tenure.
#[test]
fn a_mark_that_somebody_edits_begins_no_tenure() {
    let long = Lease { lease_duration_seconds: 40, ..held_by("b") };
    let edited = |start: &str, transitions: u32| {
        let mut edited = long.renewed(at(1_700_000_020));
        edited.agent = Some(AgentMark { start: start.into(), transitions: 5, release: None });
        edited.record.transitions = transitions;
        edited.lease_duration_seconds = 5;
        edited
    };
    let same_tenure = edited("start-c", 5);
    let marked_for_another = edited("start-c", 6);
    for last in [same_tenure, marked_for_another] {
        let mut world = World::showing(&long);
        world.show(&last);
        world.expect_takeover_after(seconds(40), &last);
    }
    // Counted down and up again, under a mark that was there all the time.
    let lowered = edited("start-b", 2);
    let raised = edited("start-b", 5).version(lowered.resource_version.0 + 1);
    let mut world = World::showing(&long);
    world.show(&lowered);
    world.show(&raised);
    world.expect_takeover_after(seconds(40), &raised);
}

#[test]
fn what_counts_can_be_looked_at() {
    let mut world = World::new();
    assert_eq!(world.election.lease(), None);
    let lease = held_by("b");
    world.show(&lease);
    world.show(&held_by("c").version(9));
    assert_eq!(world.election.lease(), Some(&lease));
    world.delete(&lease);
    assert_eq!(world.election.lease(), None);
}
