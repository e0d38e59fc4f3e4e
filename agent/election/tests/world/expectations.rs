//! Expectations: each takes exactly what is asked for next.

use std::time::Duration;

use elector_election::{Action, AgentMark, Answer, Lease, Loss, ReleaseMark, Request, State, Tenure, Timestamp, Write};

use super::{IDENTITY, START, Versions, World, milliseconds, seconds};

impl World {
    // Requests that are answered at once.

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

    // Requests.

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

    // Actions.

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
