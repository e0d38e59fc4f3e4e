//! A small world around one election: virtual clocks, a Lease in whatever state a test wants, and exact expectations.

#![allow(dead_code, reason = "each test file uses its own part of it")]
#![allow(unused_imports, reason = "each test file uses its own part of it")]
#![allow(clippy::panic, reason = "a test fails by it")]

mod expectations;
mod leases;

use std::time::Duration;

use elector_election::{Answer, Candidate, Election, Lease, Moment, Now, Timestamp, Timings, WatchEvent};

pub(crate) use self::leases::{Versions, empty, held_by, held_by_client_go, never_held, released_by};

/// As whom the election under test contends.
pub(crate) const IDENTITY: &str = "a";
/// The nonce of the process under test.
pub(crate) const START: &str = "start-a";

pub(crate) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(crate) fn milliseconds(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

pub(crate) fn timings(lease_duration: i64, renew_deadline: i64, retry_period: i64) -> Timings {
    Timings::new(lease_duration, renew_deadline, retry_period, 0).expect("the tests use valid timings")
}

/// Timings with a release delay of one second.
pub(crate) fn with_release_delay() -> Timings {
    Timings::new(16, 10, 2, 1).expect("the tests use valid timings")
}

/// A wall-clock time of somebody else's, in seconds.
pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_microseconds(seconds * 1_000_000)
}

pub(crate) fn candidate() -> Candidate {
    Candidate { identity: IDENTITY.into(), start: START.into(), timings: Timings::DEFAULT, predecessor: None }
}

/// Another agent than the one under test.
pub(crate) fn another_candidate() -> Candidate {
    Candidate { identity: "b".into(), start: "start-b".into(), ..candidate() }
}

/// One election, and the time.
pub(crate) struct World {
    pub(crate) election: Election,
    pub(crate) now: Now,
}

impl World {
    // Beginnings.

    pub(crate) fn new() -> World {
        World::with(candidate())
    }

    pub(crate) fn with(candidate: Candidate) -> World {
        let moment = Moment { boottime: seconds(1_000), monotonic_raw: seconds(400) };
        let now = Now { moment, wall: at(1_800_000_000) };
        World { election: Election::new(candidate, now), now }
    }

    /// A world in which the watch has shown `lease`.
    pub(crate) fn showing(lease: &Lease) -> World {
        World::showing_to(candidate(), lease)
    }

    pub(crate) fn showing_to(candidate: Candidate, lease: &Lease) -> World {
        let mut world = World::with(candidate);
        world.show(lease);
        world
    }

    /// A world in which another agent holds the Lease; and that Lease, in version 10.
    pub(crate) fn standby() -> (World, Lease) {
        let lease = held_by("b");
        (World::showing(&lease), lease)
    }

    /// A world in which the acquisition of `free` is under way; and the Lease as it would store it.
    pub(crate) fn acquiring(free: &Lease) -> (World, Lease) {
        let mut world = World::showing(free);
        let lease = world.expect_acquisition(free);
        (world, lease)
    }

    /// A world in which the election has just won a Lease that was never held; and that Lease, in version 2.
    pub(crate) fn leading() -> (World, Lease) {
        World::leading_after(&never_held())
    }

    /// A world in which the election has just won `free`.
    pub(crate) fn leading_after(free: &Lease) -> (World, Lease) {
        let mut world = World::showing(free);
        let lease = world.acquires(free);
        (world, lease)
    }

    /// A leader's world, by timings of the candidate's own.
    pub(crate) fn leading_by(timings: Timings) -> (World, Lease) {
        let mut world = World::showing_to(Candidate { timings, ..candidate() }, &never_held());
        let lease = world.acquires(&never_held());
        (world, lease)
    }

    /// A leader's world in which its first renewal is under way; the Lease, and the Lease as the renewal would store it.
    pub(crate) fn renewing() -> (World, Lease, Lease) {
        let (mut world, lease) = World::leading();
        let renewed = world.expect_renewal_after(seconds(2), &lease);
        (world, lease, renewed)
    }

    // Inputs.

    pub(crate) fn watch(&mut self, event: WatchEvent) {
        self.election.handle_watch(event, self.now);
    }

    pub(crate) fn show(&mut self, lease: &Lease) {
        self.watch(WatchEvent::Present(lease.clone()));
    }

    pub(crate) fn delete(&mut self, lease: &Lease) {
        self.watch(WatchEvent::Deleted { uid: lease.record.uid.clone() });
    }

    pub(crate) fn answer(&mut self, answer: Answer) {
        self.election.handle_answer(answer, self.now);
    }

    pub(crate) fn find(&mut self, lease: &Lease) {
        self.answer(Answer::Found(lease.clone()));
    }

    pub(crate) fn store(&mut self, lease: &Lease) {
        self.answer(Answer::Stored(lease.clone()));
    }

    pub(crate) fn refuse(&mut self) {
        self.answer(Answer::Refused { retry_after: None });
    }

    pub(crate) fn stop(&mut self) {
        self.election.handle_stop(self.now);
    }

    pub(crate) fn retracted(&mut self) {
        self.election.handle_retracted(self.now);
    }

    // Time.

    /// Lets time pass without a look at the election: its process is stopped, or busy.
    pub(crate) fn freeze(&mut self, time: Duration) {
        self.pass(time, time);
    }

    /// Lets the clocks disagree about how much passes.
    pub(crate) fn pass(&mut self, boottime: Duration, monotonic_raw: Duration) {
        self.now.moment.boottime += boottime;
        self.now.moment.monotonic_raw += monotonic_raw;
        let microseconds = i64::try_from(boottime.as_micros()).expect("tests last less than 292,000 years");
        self.now.wall = Timestamp::from_microseconds(self.now.wall.as_microseconds() + microseconds);
    }

    /// Lets time pass, waking whenever the election asks for it. Before the time is up nothing may be asked for.
    pub(crate) fn expect_quiet_for(&mut self, time: Duration) {
        let mut left = time;
        for _ in 0..100 {
            self.expect_nothing_else();
            let wake = self.election.poll_timeout(self.now);
            assert_ne!(wake, Some(Duration::ZERO), "wants to be woken at once, for nothing");
            let step = wake.unwrap_or(left).min(left);
            self.freeze(step);
            left -= step;
            if left.is_zero() {
                return;
            }
        }
        panic!("woken a hundred times for nothing");
    }
}
