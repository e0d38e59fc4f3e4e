//! What ends a tenure at once, and what proves nothing (rule L3).

mod world;

use elector_election::{Action, Answer, Loss, State, WatchEvent};

use self::world::{Versions, World, at, held_by, milliseconds, released_by, seconds};

#[test]
fn another_holder_is_a_loss_and_is_waited_for() {
    let (mut world, lease) = World::leading();
    world.expect_quiet_for(seconds(1));
    let taken = lease.taken_by_client_go("b");
    world.show(&taken);
    world.expect_loss(Loss::HeldByAnother { holder: "b".into() });
    world.expect_takeover_after(seconds(15), &taken);
}

#[test]
fn an_emptied_holder_is_a_loss_and_is_waited_for() {
    let (mut world, lease) = World::leading();
    let emptied = lease.emptied();
    world.show(&emptied);
    world.expect_loss(Loss::Emptied);
    world.expect_takeover_after(seconds(15), &emptied);
}

#[test]
fn deletion_while_leading_is_a_loss_and_is_waited_for() {
    let (mut world, lease) = World::leading();
    world.expect_quiet_for(seconds(1));
    world.delete(&lease);
    world.expect_deletion_loss();
}

#[test]
fn a_lease_deleted_and_created_again_is_a_loss_even_with_the_same_record() {
    let (mut world, lease) = World::leading();
    let again = lease.with_uid("uid-2");
    world.show(&again);
    world.expect_loss(Loss::Replaced);
    world.expect_takeover_after(seconds(15), &again);
}

#[test]
fn the_deletion_of_an_earlier_lease_is_no_loss() {
    let (mut world, lease) = World::leading();
    world.delete(&lease.with_uid("uid-0"));
    world.expect_renewal_after(seconds(2), &lease);
}

#[test]
fn a_watch_that_begins_empty_is_no_loss_but_looked_up() {
    let (mut world, lease) = World::leading();
    world.watch(WatchEvent::Empty);
    world.reads(&lease);
    world.expect_renewal_after(seconds(2), &lease);
}

#[test]
fn a_read_that_finds_no_lease_is_a_loss() {
    let (mut world, _) = World::leading();
    world.watch(WatchEvent::Empty);
    world.reads_absence();
    world.expect_deletion_loss();
}

#[test]
fn a_renewal_that_finds_no_lease_is_looked_up() {
    let (mut world, _, _) = World::renewing();
    world.answer(Answer::NotFound);
    world.reads_absence();
    world.expect_deletion_loss();
}

#[test]
fn a_stale_watch_event_is_no_loss() {
    let (mut world, lease) = World::leading_after(&released_by("b"));
    world.show(&released_by("b"));
    world.show(&held_by("b").version(9));
    world.show(&lease.taken_by_client_go("c").version(11));
    world.expect_renewal_after(seconds(2), &lease);
}

#[test]
fn a_read_older_than_what_was_written_is_a_loss_and_is_waited_for_even_if_it_was_released() {
    let (mut world, lease) = World::leading_after(&released_by("b"));
    world.expect_renewal_after(seconds(2), &lease);
    world.answer(Answer::Conflict);
    let restored = released_by("b");
    world.reads(&restored);
    world.expect_loss(Loss::RolledBack);
    world.expect_takeover_after(seconds(15), &restored);
}

#[test]
fn a_read_that_the_watch_has_overtaken_is_no_restored_store() {
    let (mut world, lease) = World::leading();
    world.watch(WatchEvent::Empty);
    world.expect_get();
    let labelled = lease.labelled();
    world.show(&labelled);
    world.find(&lease);
    world.expect_renewal_after(seconds(2), &labelled);
}

#[test]
fn a_standby_that_reads_a_restored_store_waits_again() {
    let lease = held_by("b").version(50);
    let mut world = World::showing(&lease);
    world.expect_takeover_after(seconds(15), &lease);
    world.answer(Answer::Conflict);
    let restored = released_by("b");
    world.reads(&restored);
    world.expect_action(Action::Rewatch);
    world.expect_takeover_after(seconds(15), &restored);
}

#[test]
fn the_own_name_in_a_record_that_this_process_did_not_write_is_a_loss() {
    let (world, lease) = World::leading();
    for edited in [
        lease.edited(|lease| lease.record.acquire_time = Some(at(0))),
        lease.edited(|lease| lease.record.transitions += 1),
        lease.edited(|lease| lease.agent.as_mut().unwrap().start = "start-of-another".into()),
        lease.edited(|lease| lease.agent = None),
    ] {
        let mut world = World { election: world.election.clone(), now: world.now };
        world.show(&edited);
        world.expect_loss(Loss::HeldByAnother { holder: "a".into() });
        world.expect_takeover_after(seconds(15), &edited);
    }
}

#[test]
fn an_edited_renew_time_or_duration_is_no_loss_and_earns_nothing() {
    let (mut world, lease) = World::leading();
    let mut edited = lease.renewed(at(4_000_000_000));
    edited.lease_duration_seconds = 1;
    world.show(&edited);
    world.expect_renewal_after(seconds(2), &edited);
    world.refuse();
    world.expect_renewal_after(seconds(2), &edited);
    world.expect_deadline_after(seconds(6));
}

#[test]
fn a_write_that_was_under_way_when_the_tenure_was_lost_brings_it_back_by_no_answer() {
    let (mut world, lease, renewed) = World::renewing();
    world.delete(&lease);
    world.expect_action(Action::Retract(Loss::Deleted));
    world.store(&renewed);
    world.expect_nothing_else();
    world.retracted();
    world.expect_takeover_after(seconds(15), &renewed);
}

#[test]
fn lost_and_won_again_is_two_tenures_with_retraction_in_between() {
    let (mut world, lease) = World::leading();
    let first = lease.resource_version;
    let taken = lease.taken_by_client_go("b");
    world.show(&taken);
    world.expect_action(Action::Retract(Loss::HeldByAnother { holder: "b".into() }));
    let released = taken.released_by_client_go();
    world.show(&released);
    // Free, but what was published is not yet taken back.
    world.expect_quiet_for(seconds(60));
    assert_eq!(world.election.state(), State::Retracting);
    world.retracted();
    let lease = world.acquires(&released);
    assert_eq!(lease.record.transitions, 3);
    assert!(lease.resource_version > first);
}

#[test]
fn a_lease_deleted_while_leading_and_won_again_has_a_greater_fencing_token() {
    let (mut world, lease) = World::leading();
    world.delete(&lease);
    let write = world.expect_deletion_loss();
    let unknown = lease.after(&write).with_uid("uid-2");
    world.store(&unknown);
    let again = world.acquires_after(seconds(15), &unknown);
    assert_eq!(again.record.transitions, 2);
    assert!(again.resource_version > lease.resource_version);
}

#[test]
fn time_without_a_proof_of_loss_ends_the_tenure_only_at_its_deadline() {
    let (mut world, lease, _) = World::renewing();
    world.answer(Answer::Unknown);
    world.expect_get();
    world.answer(Answer::Unknown);
    world.expect_get_after(seconds(2));
    world.refuse();
    world.expect_renewal_after(seconds(2), &lease);
    world.answer(Answer::Refused { retry_after: Some(seconds(60)) });
    world.expect_quiet_for(milliseconds(3_999));
    assert_eq!(world.election.state(), State::Leading);
    world.expect_deadline_after(milliseconds(1));
}

#[test]
fn events_and_answers_that_nobody_waits_for_change_nothing() {
    let (mut world, lease) = World::leading();
    let before = world.election.clone();
    world.answer(Answer::NotFound);
    world.answer(Answer::Conflict);
    world.store(&lease.taken_by_client_go("b"));
    world.retracted();
    assert_eq!(world.election, before);
}
