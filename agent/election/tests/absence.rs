//! A Lease that is missing: somebody may still lead by it, so whoever creates it does not hold it (rule F3).

mod world;

use elector_election::{Answer, Candidate, Lease, State, UNKNOWN_HOLDER, WatchEvent, Write};

use self::world::{Versions, World, another_candidate, candidate, empty, held_by, milliseconds, seconds, timings};

/// A world in which the absence of the Lease has just been proven.
fn absent() -> World {
    absent_to(candidate())
}

fn absent_to(candidate: Candidate) -> World {
    let mut world = World::with(candidate);
    world.watch(WatchEvent::Empty);
    world.reads_absence();
    world
}

/// The Lease with this uid, as it is once `write` has created it.
fn created(write: &Write, uid: &str) -> Lease {
    empty().with_uid(uid).version(20).after(write)
}

impl World {
    fn expect_creation_of(&mut self, uid: &str) -> Lease {
        created(&self.expect_creation(), uid)
    }

    /// A creation, which is answered at once. The Lease as it is stored.
    fn creates(&mut self, uid: &str) -> Lease {
        let lease = self.expect_creation_of(uid);
        self.store(&lease);
        lease
    }
}

#[test]
fn a_missing_lease_is_created_at_once_and_waited_out_before_it_is_taken() {
    let mut world = absent();
    assert_eq!(world.election.takeover_in(world.now), None);
    let lease = world.expect_creation_of("uid-1");
    world.freeze(milliseconds(5));
    world.store(&lease);
    assert_eq!(world.election.state(), State::Candidate);
    assert_eq!(world.election.takeover_in(world.now), Some(seconds(15)));
    let lease = world.acquires_after(seconds(15), &lease);
    assert_eq!(lease.record.transitions, 1);
    world.expect_renewal_after(seconds(2), &lease);
}

#[test]
fn a_creator_that_is_called_unknown_waits_all_the_same() {
    let mut world = absent_to(Candidate { identity: UNKNOWN_HOLDER.into(), ..candidate() });
    let lease = world.creates("uid-1");
    world.show(&lease.labelled());
    world.expect_quiet_for(seconds(15));
    let next = world.update(&lease.labelled());
    assert_eq!((next.holder.as_str(), next.transitions), (UNKNOWN_HOLDER, 1));
    assert!(Some(next.renew_time) > lease.record.renew_time);
    // Its own creation, seen again, is no proof that this was stored.
    world.answer(Answer::Unknown);
    world.expect_quiet_for(seconds(2));
    world.reads(&lease.labelled());
    assert_eq!(world.election.state(), State::Candidate);
    world.update(&lease.labelled());
}

#[test]
fn a_watch_that_begins_empty_is_only_a_hint() {
    let mut world = World::new();
    world.watch(WatchEvent::Empty);
    let lease = held_by("b");
    world.reads(&lease);
    world.expect_takeover_after(seconds(15), &lease);
}

#[test]
fn absence_is_not_proven_by_a_read_that_the_watch_has_overtaken() {
    let mut world = World::new();
    world.watch(WatchEvent::Empty);
    world.expect_get();
    let lease = held_by("b");
    world.show(&lease);
    world.answer(Answer::NotFound);
    world.reads(&lease);
    world.expect_takeover_after(seconds(15), &lease);
}

#[test]
fn a_deleted_lease_is_waited_for_as_long_as_its_holder_had_asked() {
    let lease = Lease { lease_duration_seconds: 40, ..held_by("b") };
    let mut world = World::showing(&lease);
    world.expect_quiet_for(seconds(10));
    world.delete(&lease);
    let write = world.expect_creation_with(40, 5);
    let unknown = created(&write, "uid-2");
    world.store(&unknown);
    let lease = world.acquires_after(seconds(40), &unknown);
    assert_eq!(lease.record.transitions, 6);
}

#[test]
fn an_absurd_lease_duration_is_kept_as_an_hour() {
    let lease = Lease { lease_duration_seconds: u32::MAX, ..held_by("b") };
    let mut world = World::showing(&lease);
    world.delete(&lease);
    world.expect_creation_with(3_600, 5);
}

#[test]
fn a_missing_lease_is_created_with_the_own_lease_duration_if_it_is_the_longest() {
    let mut world = absent_to(Candidate { timings: timings(40, 30, 3), ..candidate() });
    let write = world.expect_creation_with(40, 0);
    // Whoever has seen less waits for as long.
    let lease = created(&write, "uid-1");
    let mut other = World::showing_to(another_candidate(), &lease);
    other.expect_quiet_for(seconds(40));
    assert_eq!(other.update(&lease).lease_duration_seconds, 15);
}

#[test]
fn transitions_are_kept_across_absences() {
    let (mut world, lease) = World::standby();
    for uid in ["uid-1", "uid-2", "uid-3"] {
        world.delete(&lease.with_uid(uid));
        let write = world.expect_creation_with(15, 5);
        let next = if uid == "uid-1" { "uid-2" } else { "uid-3" };
        world.store(&created(&write, next));
        world.expect_quiet_for(seconds(2));
    }
}

#[test]
fn the_deletion_of_another_lease_of_that_name_means_nothing() {
    let (mut world, lease) = World::standby();
    world.delete(&lease.with_uid("uid-0"));
    world.expect_takeover_after(seconds(15), &lease);
}

#[test]
fn a_lease_that_comes_back_under_another_uid_starts_the_wait_again() {
    let (mut world, lease) = World::standby();
    world.expect_quiet_for(seconds(10));
    world.delete(&lease);
    world.expect_creation_with(15, 5);
    let again = lease.with_uid("uid-2");
    world.show(&again);
    world.answer(Answer::Conflict);
    world.reads(&again);
    world.expect_takeover_after(seconds(15), &again);
}

#[test]
fn whoever_may_not_create_looks_and_asks_again_after_a_lease_duration() {
    let mut world = absent();
    for _ in 0..3 {
        world.expect_creation();
        world.refuse();
        world.expect_quiet_for(seconds(15));
        world.reads_absence();
    }
}

#[test]
fn whoever_may_neither_create_nor_watch_reads_every_retry_period_and_asks_again_after_a_lease_duration() {
    let mut world = World::new();
    world.watch(WatchEvent::Refused);
    world.reads_absence();
    world.expect_creation();
    world.refuse();
    for _ in 0..7 {
        world.expect_quiet_for(seconds(2));
        world.reads_absence();
    }
    world.expect_quiet_for(seconds(1));
    world.reads_absence();
    world.expect_creation();
    world.refuse();
    world.expect_quiet_for(seconds(2));
    let lease = held_by("b");
    world.reads(&lease);
    world.expect_get_after(seconds(2));
}

#[test]
fn a_lease_that_another_makes_where_this_one_may_not_is_waited_out() {
    let mut world = absent();
    world.expect_creation();
    world.refuse();
    world.expect_quiet_for(seconds(3));
    let lease = held_by(UNKNOWN_HOLDER);
    world.show(&lease);
    world.acquires_after(seconds(15), &lease);
}

#[test]
fn a_lease_that_is_deleted_as_often_as_it_is_made_is_made_once_a_retry_period() {
    let mut world = absent();
    for uid in ["uid-1", "uid-2", "uid-3", "uid-4"] {
        let lease = world.creates(uid);
        world.delete(&lease);
        world.expect_quiet_for(seconds(2));
    }
}

#[test]
fn of_several_that_create_all_but_one_look_and_wait() {
    let mut world = absent();
    world.expect_creation();
    world.answer(Answer::Conflict);
    let lease = held_by(UNKNOWN_HOLDER);
    world.reads(&lease);
    world.acquires_after(seconds(15), &lease);
}

#[test]
fn a_lease_that_is_and_is_not_there_is_asked_for_once_a_retry_period() {
    let mut world = absent();
    world.expect_creation();
    world.freeze(milliseconds(5));
    world.answer(Answer::Conflict);
    world.reads_absence();
    for _ in 0..5 {
        world.expect_creation();
        world.answer(Answer::Conflict);
        world.expect_quiet_for(seconds(2));
        world.reads_absence();
    }
}

#[test]
fn a_watch_that_begins_anew_has_absence_looked_up_before_the_lease_is_made() {
    let mut world = absent();
    world.watch(WatchEvent::Empty);
    world.reads_absence();
    world.expect_creation();
}

#[test]
fn an_api_that_comes_and_goes_does_not_start_the_wait_again() {
    let mut world = absent();
    let lease = world.creates("uid-1");
    for _ in 0..4 {
        // The watch breaks, and the next one begins from a cache that is behind.
        world.expect_quiet_for(seconds(3));
        world.watch(WatchEvent::Empty);
        world.reads(&lease);
        world.show(&lease);
    }
    world.acquires_after(seconds(3), &lease);
}

#[test]
fn a_creation_whose_answer_was_lost_is_looked_up_and_earns_nothing() {
    let mut world = absent();
    let lease = world.expect_creation_of("uid-1");
    world.freeze(seconds(4));
    world.answer(Answer::Unknown);
    world.reads(&lease);
    assert_eq!(world.election.state(), State::Candidate);
    world.acquires_after(seconds(15), &lease);
}

#[test]
fn a_creation_that_was_lost_is_repeated() {
    let mut world = absent();
    let first = world.expect_creation();
    world.answer(Answer::Unknown);
    world.expect_quiet_for(seconds(2));
    world.reads_absence();
    let second = world.expect_creation();
    assert!(second.renew_time > first.renew_time);
}

/// Rule F3's reason: another Lease may have been created, led by and deleted while the create was on its way.
#[test]
fn a_creation_that_gets_through_after_another_lease_came_and_went_unseen_is_waited_out() {
    let mut world = absent();
    let late = world.expect_creation_of("uid-3").version(70);
    world.expect_quiet_for(milliseconds(3_999));
    world.store(&late);
    world.acquires_after(seconds(15), &late);
}

#[test]
fn a_creation_that_the_watch_has_overtaken_is_old_news() {
    let mut world = absent();
    let lease = world.expect_creation_of("uid-1");
    let taken = lease.taken_by_client_go("c");
    world.show(&lease);
    world.show(&taken);
    world.store(&lease);
    world.expect_takeover_after(seconds(15), &taken);
}

#[test]
fn a_candidate_that_is_told_to_stop_does_not_wait_for_its_creation() {
    let mut world = absent();
    let lease = world.expect_creation_of("uid-1");
    world.stop();
    world.expect_finish();
    world.store(&lease);
    world.expect_nothing_else();
}

#[test]
fn a_read_that_a_deletion_overtook_does_not_bring_the_lease_back() {
    let (mut world, lease) = World::standby();
    world.watch(WatchEvent::Empty);
    world.expect_get();
    world.delete(&lease);
    world.find(&lease);
    world.expect_creation_with(15, 5);
}

#[test]
fn a_watch_that_lags_does_not_bring_a_deleted_lease_back() {
    let lease = held_by("b");
    let mut world = World::showing(&lease.labelled());
    world.watch(WatchEvent::Empty);
    world.reads_absence();
    world.expect_creation_with(15, 5);
    world.show(&lease);
    world.refuse();
    world.expect_get_after(seconds(15));
}
