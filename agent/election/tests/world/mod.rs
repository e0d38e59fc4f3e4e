//! A small world around one election: virtual clocks, a Lease in whatever state a test wants, and exact expectations.

#![allow(dead_code, reason = "each test file uses its own part of it")]
#![allow(unused_imports, reason = "each test file uses its own part of it")]
#![allow(clippy::panic, reason = "a test fails by it")]

mod leases;

use std::time::Duration;

use elector_election::{
    Action, AgentMark, Answer, Candidate, Election, Lease, Loss, Moment, Now, ReleaseMark, Request, State, Tenure,
    Timestamp, Timings, WatchEvent, Write,
};

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

    /// The acquisition of `free`, which is answered at once. The Lease as it is stored.
    pub(crate) fn acquires(&mut self, free: &Lease) -> Lease {
        let lease = self.expect_acquisition(free);
        self.store(&lease);
        let tenure = self.expect_acquire();
        assert_eq!(tenure.fencing_token, lease.resource_version);
        self.expect_nothing_else();
        lease
    }

    /// The wait, and an acquisition that is answered at once. The Lease as it is stored.
    pub(crate) fn acquires_after(&mut self, wait: Duration, lease: &Lease) -> Lease {
        self.expect_quiet_for(wait);
        self.acquires(lease)
    }

    /// A renewal, which is answered at once. The Lease as it is stored.
    pub(crate) fn renews(&mut self, lease: &Lease) -> Lease {
        let renewed = self.expect_renewal(lease);
        self.store(&renewed);
        self.expect_extend();
        renewed
    }

    /// A release, which is answered at once. The Lease as it is stored.
    pub(crate) fn releases(&mut self, lease: &Lease) -> Lease {
        let released = self.expect_release(lease);
        self.store(&released);
        released
    }

    /// A read, which is answered at once and finds `lease`.
    pub(crate) fn reads(&mut self, lease: &Lease) {
        self.expect_get();
        self.find(lease);
    }

    /// A read, which is answered at once and finds no Lease.
    pub(crate) fn reads_absence(&mut self) {
        self.expect_get();
        self.answer(Answer::NotFound);
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

    // Expectations: each takes exactly what is asked for next.

    /// The request that is asked for next, and nothing else beside it.
    pub(crate) fn request(&mut self) -> Request {
        assert_eq!(self.election.poll_action(), None, "an action where a request was expected");
        assert_eq!(self.election.poll_timeout(self.now), Some(Duration::ZERO), "a request that nobody is woken for");
        let request = self.election.poll_request(self.now).expect("a request was expected");
        self.expect_nothing_else();
        request
    }

    pub(crate) fn expect_get(&mut self) {
        assert_eq!(self.request(), Request::Get);
    }

    pub(crate) fn expect_get_after(&mut self, time: Duration) {
        self.expect_quiet_for(time);
        self.expect_get();
    }

    pub(crate) fn update(&mut self, lease: &Lease) -> Write {
        let Request::Update { uid, resource_version, write } = self.request() else {
            panic!("an update was expected");
        };
        assert_eq!((uid, resource_version), (lease.record.uid.clone(), lease.resource_version));
        write
    }

    /// Returns the Lease as it is once this is stored; so do the other words of writes.
    pub(crate) fn expect_acquisition(&mut self, lease: &Lease) -> Lease {
        let write = self.update(lease);
        assert_eq!(write, self.holding(self.now.wall, lease.record.transitions + 1));
        lease.after(&write)
    }

    /// The wait, and the acquisition that ends it.
    pub(crate) fn expect_takeover_after(&mut self, wait: Duration, lease: &Lease) -> Lease {
        self.expect_quiet_for(wait);
        self.expect_acquisition(lease)
    }

    /// Where no Lease was ever seen; held by nobody known.
    pub(crate) fn expect_creation(&mut self) -> Write {
        self.expect_creation_with(15, 0)
    }

    pub(crate) fn expect_creation_with(&mut self, lease_duration_seconds: u32, transitions: u32) -> Write {
        let Request::Create(write) = self.request() else {
            panic!("a create was expected");
        };
        let expected = Write {
            holder: "unknown".into(),
            lease_duration_seconds,
            acquire_time: self.now.wall,
            renew_time: self.now.wall,
            transitions,
            agent: AgentMark { start: START.into(), transitions, release: None },
        };
        assert_eq!(write, expected);
        write
    }

    pub(crate) fn expect_renewal(&mut self, lease: &Lease) -> Lease {
        let acquire_time = lease.record.acquire_time.expect("a renewal is of a tenure");
        let write = self.update(lease);
        assert_eq!(write, self.holding(acquire_time, lease.record.transitions));
        lease.after(&write)
    }

    pub(crate) fn expect_renewal_after(&mut self, time: Duration, lease: &Lease) -> Lease {
        self.expect_quiet_for(time);
        self.expect_renewal(lease)
    }

    /// Four writes in a row, each of which meets an edit of somebody else: the first is repeated at once, the others an eighth
    /// of a retry period later. Returns the Lease as it was edited last.
    pub(crate) fn expect_lost_races(&mut self, mut lease: Lease, expect: fn(&mut World, &Lease) -> Lease) -> Lease {
        expect(self, &lease);
        self.freeze(milliseconds(5));
        self.answer(Answer::Conflict);
        for _ in 0..3 {
            lease = lease.labelled();
            self.reads(&lease);
            expect(self, &lease);
            self.answer(Answer::Conflict);
            self.expect_quiet_for(milliseconds(250));
        }
        lease = lease.labelled();
        self.reads(&lease);
        lease
    }

    pub(crate) fn expect_release(&mut self, lease: &Lease) -> Lease {
        let transitions = lease.record.transitions;
        let renew_time = self.now.wall;
        let release = Some(ReleaseMark { uid: lease.record.uid.clone(), transitions, renew_time });
        let write = self.update(lease);
        let expected = Write {
            holder: String::new(),
            lease_duration_seconds: 1,
            acquire_time: renew_time,
            renew_time,
            transitions,
            agent: AgentMark { start: START.into(), transitions, release },
        };
        assert_eq!(write, expected);
        lease.after(&write)
    }

    fn holding(&self, acquire_time: Timestamp, transitions: u32) -> Write {
        Write {
            holder: IDENTITY.into(),
            lease_duration_seconds: self.election.timings().lease_duration_seconds(),
            acquire_time,
            renew_time: self.now.wall,
            transitions,
            agent: AgentMark { start: START.into(), transitions, release: None },
        }
    }

    pub(crate) fn expect_action(&mut self, action: Action) {
        assert!(self.election.has_actions());
        assert_eq!(self.election.poll_action(), Some(action));
    }

    pub(crate) fn expect_acquire(&mut self) -> Tenure {
        assert_eq!(self.election.state(), State::Leading);
        let Some(Action::Acquire(tenure)) = self.election.poll_action() else {
            panic!("a tenure was expected to begin");
        };
        tenure
    }

    pub(crate) fn expect_extend(&mut self) -> Tenure {
        let Some(Action::Extend(tenure)) = self.election.poll_action() else {
            panic!("a tenure was expected to be prolonged");
        };
        tenure
    }

    /// A tenure that is prolonged, to end `time` from now.
    pub(crate) fn expect_extend_to(&mut self, time: Duration) -> Tenure {
        let tenure = self.expect_extend();
        self.expect_valid_for(&tenure, time);
        tenure
    }

    /// A tenure that is cut to `time` from now, before any request leaves.
    pub(crate) fn expect_shortening_to(&mut self, time: Duration) {
        assert_eq!(self.election.poll_request(self.now), None);
        self.expect_extend_to(time);
    }

    /// What was published is to be taken back, and nothing else to be done meanwhile.
    pub(crate) fn expect_retraction(&mut self, loss: Loss) {
        self.election.handle_timeout(self.now);
        self.expect_action(Action::Retract(loss));
        self.expect_nothing_else();
    }

    /// The end of a tenure, up to the retraction.
    pub(crate) fn expect_loss(&mut self, loss: Loss) {
        self.expect_retraction(loss);
        assert_eq!(self.election.state(), State::Retracting);
        self.retracted();
    }

    /// The end of a tenure by time alone, up to the retraction.
    pub(crate) fn expect_deadline_after(&mut self, time: Duration) {
        self.expect_quiet_for(time);
        self.expect_loss(Loss::DeadlinePassed);
    }

    /// The end of the first tenure by deletion, up to the creation of an unknown holder's Lease.
    pub(crate) fn expect_deletion_loss(&mut self) -> Write {
        self.expect_retraction(Loss::Deleted);
        self.freeze(milliseconds(1));
        self.retracted();
        self.expect_creation_with(15, 1)
    }

    pub(crate) fn expect_finish(&mut self) {
        self.election.handle_timeout(self.now);
        self.expect_action(Action::Finish);
        assert_eq!(self.election.state(), State::Finished);
        self.expect_nothing_else();
        assert_eq!(self.election.poll_timeout(self.now), None);
    }

    pub(crate) fn expect_nothing_else(&mut self) {
        assert_eq!(self.election.poll_action(), None);
        assert_eq!(self.election.poll_request(self.now), None);
        assert!(!self.election.has_actions());
    }

    /// How much longer the leader may act.
    pub(crate) fn expect_valid_for(&self, tenure: &Tenure, time: Duration) {
        assert_eq!(tenure.validity.remaining(self.now.moment), time);
    }
}
