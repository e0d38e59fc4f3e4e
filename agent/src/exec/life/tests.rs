//! A tenure of 10 s, of which the last 2.5 s are the command's to end in.

use elector_election::{Moment, Timestamp};

use super::*;

fn command() -> Pid {
    Pid::from_raw(7).unwrap()
}

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// On both clocks.
fn at(milliseconds: u64) -> Now {
    clocks(milliseconds, milliseconds)
}

fn clocks(boottime: u64, monotonic_raw: u64) -> Now {
    let moment = Moment { boottime: ms(boottime), monotonic_raw: ms(monotonic_raw) };
    Now { moment, wall: Timestamp::from_microseconds(0) }
}

/// What a write that left at that time has earned.
fn renewed(milliseconds: u64) -> Validity {
    Validity { since: at(milliseconds).moment, lasting: ms(10_000) }
}

/// A command that has begun with its tenure, at 0.
fn running() -> Life {
    let mut life = Life::default();
    assert!(life.lead(renewed(0), at(0)));
    life.begin(command());
    life
}

/// One that was told to end 1 s later, for its leader leads no more.
fn ending() -> Life {
    let mut life = running();
    assert_eq!(life.lose(at(1_000)), Some(command()));
    life
}

/// One that has ended, and has left processes behind.
fn ended(mut life: Life, end: End) -> Life {
    life.note_end(command(), end);
    life
}

#[test]
fn it_starts_in_a_tenure_that_leaves_it_time() {
    for (what, life, since, now, starts) in [
        ("a tenure begins", Life::default(), 0, at(0), true),
        ("more than a grace is left", Life::default(), 0, at(7_499), true),
        ("a grace is left", Life::default(), 0, at(7_500), false),
        ("by one of the clocks", Life::default(), 0, clocks(7_500, 1), false),
        ("none is left", Life::default(), 0, at(10_000), false),
        ("it runs", running(), 2_000, at(2_000), false),
        ("it is ending", ending(), 2_000, at(2_000), false),
        ("what it has left behind runs", ended(running(), End::Code(0)), 2_000, at(2_000), false),
    ] {
        let mut life = life;
        assert_eq!(life.lead(renewed(since), now), starts, "{what}");
    }
    let mut life = ended(running(), End::Code(0));
    life.rest(false);
    assert!(!life.lead(renewed(2_000), at(2_000)), "it has ended for good");
}

#[test]
fn it_lives_for_as_long_as_its_leader_is_renewed_in_time() {
    for (what, life, now, due) in [
        ("none runs", Life::default(), at(0), CommandDue::Nothing),
        ("its tenure has begun", running(), at(0), CommandDue::In(ms(7_500))),
        ("a renewal is due", running(), at(7_000), CommandDue::In(ms(500))),
        ("by one of the clocks", running(), clocks(1, 7_000), CommandDue::In(ms(500))),
        // With what is left of its tenure, from 1 s on, less a margin.
        ("it was told to end", ending(), at(1_000), CommandDue::In(ms(2_450))),
        ("it takes its time", ending(), at(3_449), CommandDue::In(ms(1))),
        ("it takes too long", ending(), at(3_450), CommandDue::Kill(Some(command()))),
        ("the machine was suspended", ending(), clocks(60_000, 1_001), CommandDue::Kill(Some(command()))),
        ("it has ended, and has left something behind", ended(running(), End::Code(0)), at(1), CommandDue::Kill(None)),
        ("so has one that was told to", ended(ending(), End::Signal(15)), at(1_001), CommandDue::Kill(None)),
    ] {
        assert_eq!(life.due(now), due, "{what}");
    }
}

#[test]
fn it_is_told_once_to_end_and_killed_before_its_tenure_is_over() {
    for (what, lost_at, grace_ends) in [
        ("with much left", 1_000, 3_450),
        ("with little left", 9_000, 9_950),
        ("with less than the margin left", 9_960, 9_960),
        ("when it is over", 10_000, 10_000),
        ("later", 11_000, 11_000),
    ] {
        let mut life = running();
        assert_eq!(life.lose(at(lost_at)), Some(command()), "{what}");
        assert_eq!(life.lose(at(lost_at)), None, "{what}");
        let due = if grace_ends > lost_at {
            CommandDue::In(ms(grace_ends - lost_at))
        } else {
            CommandDue::Kill(Some(command()))
        };
        assert_eq!(life.due(at(lost_at)), due, "{what}");
        assert_eq!(life.due(at(grace_ends)), CommandDue::Kill(Some(command())), "{what}");
    }
    assert_eq!(Life::default().lose(at(0)), None);
    assert_eq!(ended(running(), End::Code(0)).lose(at(0)), None, "nobody is there to be told");
}

#[test]
fn one_whose_leader_is_renewed_late_ends_in_time_and_runs_again_in_the_same_tenure() {
    let mut life = running();
    assert_eq!(life.lose_if_late(at(7_499)), None);
    assert_eq!(life.lose_if_late(at(7_500)), Some(command()));
    assert_eq!(life.lose_if_late(at(7_501)), None, "it was told");
    assert_eq!(life.due(at(7_500)), CommandDue::In(ms(2_450)));
    // A renewal comes: too late for this one.
    assert!(!life.lead(renewed(8_000), at(8_000)));
    assert_eq!(life.due(at(8_000)), CommandDue::In(ms(1_950)));
    life.note_end(command(), End::Signal(15));
    assert_eq!(life.rest(false), Some((128 + 15, false)));
    assert!(life.is_resting() && life.lead(renewed(8_500), at(8_500)));
    // One that is renewed in time is not told.
    let mut life = running();
    life.lead(renewed(7_000), at(7_400));
    assert_eq!((life.lose_if_late(at(7_500)), life.due(at(7_500))), (None, CommandDue::In(ms(7_000))));
}

#[test]
fn a_long_tenure_leaves_no_more_than_three_seconds() {
    let mut life = Life::default();
    assert!(life.lead(Validity { lasting: ms(60_000), ..renewed(0) }, at(0)));
    life.begin(command());
    assert_eq!(life.due(at(0)), CommandDue::In(ms(57_000)));
    life.lose(at(1_000));
    assert_eq!(life.due(at(1_000)), CommandDue::In(ms(2_950)));
}

#[test]
fn each_signal_has_a_receiver() {
    let (ends, other) = (true, false);
    let (not_now, never) = ("the command was told to end, or has ended", "the command runs only on the leader");
    let left = || ended(running(), End::Code(0));
    for (what, life, signal, supervisor_lives, receiver) in [
        ("SIGHUP while it runs", running(), other, true, Receiver::Command(command())),
        ("SIGTERM while it runs", running(), ends, true, Receiver::Command(command())),
        ("SIGHUP while it is ending", ending(), other, true, Receiver::Nobody(not_now)),
        ("SIGTERM while it is ending", ending(), ends, true, Receiver::NotNeeded),
        ("SIGHUP once it has ended", left(), other, true, Receiver::Nobody(not_now)),
        ("SIGTERM once it has ended", left(), ends, true, Receiver::NotNeeded),
        ("SIGHUP on a standby", Life::default(), other, true, Receiver::Nobody(never)),
        ("SIGTERM on a standby", Life::default(), ends, true, Receiver::Campaign),
        // The kernel sends one when the supervisor dies.
        ("SIGTERM of an orphan that runs", running(), ends, false, Receiver::OrphanedCampaign),
        ("SIGTERM of an orphan on a standby", Life::default(), ends, false, Receiver::OrphanedCampaign),
        ("SIGHUP of an orphan that runs", running(), other, false, Receiver::Command(command())),
    ] {
        let mut life = life;
        assert_eq!(life.take(signal, supervisor_lives), receiver, "{what}");
    }
}

/// What becomes of the agent when nothing of the command is left, and why its Lease is given up if it ends.
#[test]
fn each_end_of_a_command_has_a_fate() {
    let signalled = |mut life: Life| {
        life.take(true, true);
        life
    };
    let (ended_by_itself, stopped) = (Some(ReleaseReason::CommandEnded), Some(ReleaseReason::Stopped));
    for (what, life, once, end, code, reason) in [
        ("it is done", running(), false, End::Code(0), 0, ended_by_itself),
        ("it fails", running(), false, End::Code(7), 7, ended_by_itself),
        ("it could not be run", running(), false, End::Code(127), 127, ended_by_itself),
        ("it crashes", running(), false, End::Signal(11), 128 + 11, ended_by_itself),
        ("it was sent SIGTERM", signalled(running()), false, End::Signal(15), 128 + 15, stopped),
        ("it was, and ends in order", signalled(running()), false, End::Code(0), 0, stopped),
        ("its tenure is over, and it runs in the next", ending(), false, End::Signal(15), 128 + 15, None),
        ("it has not even heard of it", ending(), false, End::Code(3), 3, None),
        ("its tenure is over, and it is to run once", ending(), true, End::Code(5), 5, ended_by_itself),
        ("its tenure is over, and SIGTERM came", signalled(ending()), false, End::Signal(9), 128 + 9, stopped),
    ] {
        let mut life = ended(life, end);
        assert_eq!(life.rest(once), Some((code, reason.is_some())), "{what}");
        assert!(life.is_resting(), "{what}");
        assert_eq!(life.exit_code(), reason.map(|_| code), "{what}");
        assert_eq!(life.exit_code().map(|_| life.release_reason()), reason, "{what}");
    }
}

#[test]
fn what_ends_beside_the_command_is_not_its_end() {
    let mut life = running();
    life.note_end(Pid::from_raw(8).unwrap(), End::Code(1));
    assert_eq!((life.due(at(0)), life.exit_code()), (CommandDue::In(ms(7_500)), None));
    let mut standby = Life::default();
    standby.note_end(command(), End::Code(1));
    assert_eq!(
        (standby.rest(false), standby.exit_code(), standby.release_reason()),
        (None, None, ReleaseReason::Stopped)
    );
}
