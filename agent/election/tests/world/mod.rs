//! A small world around one election: virtual clocks, a Lease in whatever state a test wants, and exact expectations.

#![allow(dead_code, reason = "each test file uses its own part of it")]

use std::time::Duration;

use elector_election::{
    Action, AgentMark, Answer, Candidate, Election, Lease, Loss, Moment, Now, Record, ReleaseMark, Request,
    ResourceVersion, State, Tenure, Timestamp, Timings, WatchEvent, Write,
};

/// As whom the election under test contends.
pub const IDENTITY: &str = "a";
/// The nonce of the process under test.
pub const START: &str = "start-a";

pub fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub fn milliseconds(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

pub fn timings(lease_duration: i64, renew_deadline: i64, retry_period: i64) -> Timings {
    Timings::new(lease_duration, renew_deadline, retry_period, 0).expect("the tests use valid timings")
}

/// A wall-clock time of somebody else's, in seconds.
pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_microseconds(seconds * 1_000_000)
}

pub fn candidate() -> Candidate {
    Candidate { identity: IDENTITY.into(), start: START.into(), timings: Timings::DEFAULT, predecessor: None }
}

/// One election, and the time.
pub struct World {
    pub election: Election,
    pub now: Now,
}

impl World {
    pub fn new() -> World {
        World::with(candidate())
    }

    pub fn with(candidate: Candidate) -> World {
        let moment = Moment { boottime: seconds(1_000), monotonic_raw: seconds(400) };
        let now = Now { moment, wall: at(1_800_000_000) };
        World { election: Election::new(candidate, now), now }
    }

    /// A world in which the watch has shown `lease`.
    pub fn showing(lease: &Lease) -> World {
        let mut world = World::new();
        world.show(lease);
        world
    }

    /// A world in which the election has just won a Lease that was never held; and that Lease, in version 2.
    pub fn leading() -> (World, Lease) {
        World::leading_after(&never_held())
    }

    /// A world in which the election has just won `free`.
    pub fn leading_after(free: &Lease) -> (World, Lease) {
        let mut world = World::showing(free);
        let lease = world.acquires(free);
        (world, lease)
    }

    /// The acquisition of `free`, which is answered at once. The Lease as it is stored.
    pub fn acquires(&mut self, free: &Lease) -> Lease {
        let write = self.expect_acquisition(free);
        let lease = free.after(&write);
        self.store(&lease);
        let tenure = self.expect_acquire();
        assert_eq!(tenure.fencing_token, lease.resource_version);
        self.expect_nothing_else();
        lease
    }

    // Inputs.

    pub fn watch(&mut self, event: WatchEvent) {
        self.election.handle_watch(event, self.now);
    }

    pub fn show(&mut self, lease: &Lease) {
        self.watch(WatchEvent::Present(lease.clone()));
    }

    pub fn delete(&mut self, lease: &Lease) {
        self.watch(WatchEvent::Deleted { uid: lease.record.uid.clone() });
    }

    pub fn answer(&mut self, answer: Answer) {
        self.election.handle_answer(answer, self.now);
    }

    pub fn find(&mut self, lease: &Lease) {
        self.answer(Answer::Found(lease.clone()));
    }

    pub fn store(&mut self, lease: &Lease) {
        self.answer(Answer::Stored(lease.clone()));
    }

    pub fn refuse(&mut self) {
        self.answer(Answer::Refused { retry_after: None });
    }

    pub fn stop(&mut self) {
        self.election.handle_stop(self.now);
    }

    pub fn retracted(&mut self) {
        self.election.handle_retracted(self.now);
    }

    // Time.

    /// Lets time pass without a look at the election: its process is stopped, or busy.
    pub fn freeze(&mut self, time: Duration) {
        self.pass(time, time);
    }

    /// Lets the clocks disagree about how much passes.
    pub fn pass(&mut self, boottime: Duration, monotonic_raw: Duration) {
        self.now.moment.boottime += boottime;
        self.now.moment.monotonic_raw += monotonic_raw;
        let microseconds = i64::try_from(boottime.as_micros()).expect("tests last less than 292,000 years");
        self.now.wall = Timestamp::from_microseconds(self.now.wall.as_microseconds() + microseconds);
    }

    /// Lets time pass, waking whenever the election asks for it. Before the time is up nothing may be asked for.
    pub fn expect_quiet_for(&mut self, time: Duration) {
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

    pub fn request(&mut self) -> Request {
        assert_eq!(self.election.poll_action(), None, "an action where a request was expected");
        assert_eq!(self.election.poll_timeout(self.now), Some(Duration::ZERO), "a request that nobody is woken for");
        let request = self.election.poll_request(self.now).expect("a request was expected");
        assert_eq!(self.election.poll_request(self.now), None, "a second request while one is under way");
        assert_eq!(self.election.poll_action(), None);
        request
    }

    pub fn expect_get(&mut self) {
        assert_eq!(self.request(), Request::Get);
    }

    pub fn update(&mut self, lease: &Lease) -> Write {
        let Request::Update { uid, resource_version, write } = self.request() else {
            panic!("an update was expected");
        };
        assert_eq!((uid, resource_version), (lease.record.uid.clone(), lease.resource_version));
        write
    }

    pub fn expect_acquisition(&mut self, lease: &Lease) -> Write {
        let write = self.update(lease);
        assert_eq!(write, self.holding(self.now.wall, lease.record.transitions + 1));
        write
    }

    pub fn expect_creation(&mut self) -> Write {
        let Request::Create(write) = self.request() else {
            panic!("a create was expected");
        };
        assert_eq!(write, self.holding(self.now.wall, 1));
        write
    }

    pub fn expect_renewal(&mut self, lease: &Lease) -> Write {
        let acquire_time = lease.record.acquire_time.expect("a renewal is of a tenure");
        let write = self.update(lease);
        assert_eq!(write, self.holding(acquire_time, lease.record.transitions));
        write
    }

    pub fn expect_release(&mut self, lease: &Lease) -> Write {
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
        write
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

    pub fn expect_action(&mut self, action: Action) {
        assert_eq!(self.election.poll_action(), Some(action));
    }

    pub fn expect_acquire(&mut self) -> Tenure {
        assert_eq!(self.election.state(), State::Leading);
        let Some(Action::Acquire(tenure)) = self.election.poll_action() else {
            panic!("a tenure was expected to begin");
        };
        tenure
    }

    pub fn expect_extend(&mut self) -> Tenure {
        let Some(Action::Extend(tenure)) = self.election.poll_action() else {
            panic!("a tenure was expected to be prolonged");
        };
        tenure
    }

    /// The end of a tenure, up to the retraction.
    pub fn expect_loss(&mut self, loss: Loss) {
        self.expect_action(Action::Retract(loss));
        self.expect_nothing_else();
        assert_eq!(self.election.state(), State::Retracting);
        self.retracted();
    }

    pub fn expect_finish(&mut self) {
        self.expect_action(Action::Finish);
        assert_eq!(self.election.state(), State::Finished);
        self.expect_nothing_else();
        assert_eq!(self.election.poll_timeout(self.now), None);
    }

    pub fn expect_nothing_else(&mut self) {
        assert_eq!(self.election.poll_action(), None);
        assert_eq!(self.election.poll_request(self.now), None);
        assert_eq!(self.election.poll_action(), None);
    }

    /// How much longer the leader may act.
    pub fn expect_valid_for(&self, tenure: &Tenure, time: Duration) {
        assert_eq!(tenure.validity.remaining(self.now.moment), time);
    }
}

/// Ways to make the next version of a Lease.
pub trait Versions {
    fn version(&self, resource_version: u64) -> Lease;
    /// With everything that `write` sets, in the next version.
    fn after(&self, write: &Write) -> Lease;
    /// The next version, where only a label was edited.
    fn labelled(&self) -> Lease;
    fn renewed(&self, renew_time: Timestamp) -> Lease;
    fn with_timings(&self, timings: Timings) -> Lease;
    fn with_uid(&self, uid: &str) -> Lease;
    /// The next version, where `holder` began a tenure in client-go's way: the agents' annotation stays as it was.
    fn taken_by_client_go(&self, holder: &str) -> Lease;
    /// The next version, given up in client-go's way.
    fn released_by_client_go(&self) -> Lease;
}

impl Versions for Lease {
    fn version(&self, resource_version: u64) -> Lease {
        Lease { resource_version: ResourceVersion(resource_version), ..self.clone() }
    }

    fn after(&self, write: &Write) -> Lease {
        Lease {
            record: Record {
                uid: self.record.uid.clone(),
                holder: write.holder.clone(),
                acquire_time: Some(write.acquire_time),
                renew_time: Some(write.renew_time),
                transitions: write.transitions,
            },
            lease_duration_seconds: write.lease_duration_seconds,
            agent: Some(write.agent.clone()),
            ..self.labelled()
        }
    }

    fn labelled(&self) -> Lease {
        self.version(self.resource_version.0 + 1)
    }

    fn renewed(&self, renew_time: Timestamp) -> Lease {
        let mut lease = self.labelled();
        lease.record.renew_time = Some(renew_time);
        lease
    }

    fn with_timings(&self, timings: Timings) -> Lease {
        Lease { timings: Some(timings), ..self.labelled() }
    }

    fn with_uid(&self, uid: &str) -> Lease {
        let mut lease = self.labelled();
        lease.record.uid = uid.into();
        lease
    }

    fn taken_by_client_go(&self, holder: &str) -> Lease {
        let mut lease = self.renewed(at(1_700_000_100));
        lease.record.holder = holder.into();
        lease.record.acquire_time = lease.record.renew_time;
        lease.record.transitions += 1;
        lease.lease_duration_seconds = 15;
        lease
    }

    fn released_by_client_go(&self) -> Lease {
        let mut lease = self.renewed(at(1_700_000_200));
        lease.record.holder = String::new();
        lease.record.acquire_time = lease.record.renew_time;
        lease.lease_duration_seconds = 1;
        lease
    }
}

/// Version 1 of a Lease of which nothing but the name is set.
pub fn empty() -> Lease {
    Lease {
        resource_version: ResourceVersion(1),
        record: Record {
            uid: "uid-1".into(),
            holder: String::new(),
            acquire_time: None,
            renew_time: None,
            transitions: 0,
        },
        lease_duration_seconds: 0,
        timings: None,
        never_held: false,
        agent: None,
    }
}

/// Version 1 of a Lease that the operator made for a new election.
pub fn never_held() -> Lease {
    Lease { never_held: true, ..empty() }
}

/// Version 10 of a Lease that another agent holds, in its fifth tenure, for 15 s.
pub fn held_by(holder: &str) -> Lease {
    let mark = AgentMark { start: format!("start-{holder}"), transitions: 5, release: None };
    Lease {
        resource_version: ResourceVersion(10),
        record: Record {
            uid: "uid-1".into(),
            holder: holder.into(),
            acquire_time: Some(at(1_700_000_000)),
            renew_time: Some(at(1_700_000_010)),
            transitions: 5,
        },
        lease_duration_seconds: 15,
        timings: None,
        never_held: false,
        agent: Some(mark),
    }
}

/// Version 10 of a Lease that client-go holds, in its fifth tenure; no agent of ours ever did.
pub fn held_by_client_go(holder: &str) -> Lease {
    Lease { agent: None, ..held_by(holder) }
}

/// Version 10 of a Lease that another agent released after its fifth tenure.
pub fn released_by(holder: &str) -> Lease {
    let renew_time = at(1_700_000_020);
    let release = Some(ReleaseMark { uid: "uid-1".into(), transitions: 5, renew_time });
    let mut lease = held_by(holder);
    lease.record.holder = String::new();
    lease.record.acquire_time = Some(renew_time);
    lease.record.renew_time = Some(renew_time);
    lease.lease_duration_seconds = 1;
    lease.agent = Some(AgentMark { start: format!("start-{holder}"), transitions: 5, release });
    lease
}
