//! Leases in the states that tests begin with, and what becomes of them.

use elector_election::{AgentMark, Hints, Lease, Record, ReleaseMark, ResourceVersion, Timestamp, Timings, Write};

use super::at;

/// Ways to make the next version of a Lease.
pub(crate) trait Versions {
    fn version(&self, resource_version: u64) -> Lease;
    /// With everything that `write` sets, in the next version.
    fn after(&self, write: &Write) -> Lease;
    /// The next version, where only a label was edited.
    fn labelled(&self) -> Lease;
    /// The next version, where somebody edited what `edit` does.
    fn edited(&self, edit: impl FnOnce(&mut Lease)) -> Lease;
    /// The next version, where somebody removed the holder.
    fn emptied(&self) -> Lease;
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

    fn edited(&self, edit: impl FnOnce(&mut Lease)) -> Lease {
        let mut lease = self.labelled();
        edit(&mut lease);
        lease
    }

    fn emptied(&self) -> Lease {
        self.edited(|lease| lease.record.holder = String::new())
    }

    fn renewed(&self, renew_time: Timestamp) -> Lease {
        self.edited(|lease| lease.record.renew_time = Some(renew_time))
    }

    fn with_timings(&self, timings: Timings) -> Lease {
        Lease { timings: Some(timings), ..self.labelled() }
    }

    fn with_uid(&self, uid: &str) -> Lease {
        self.edited(|lease| lease.record.uid = uid.into())
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
pub(crate) fn empty() -> Lease {
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
        least_wait_seconds: 0,
        hints: Hints::default(),
        agent: None,
    }
}

/// Version 1 of a Lease that the operator made for a new election.
pub(crate) fn never_held() -> Lease {
    Lease { never_held: true, ..empty() }
}

/// Version 10 of a Lease that another agent holds, in its fifth tenure, for 15 s.
pub(crate) fn held_by(holder: &str) -> Lease {
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
        least_wait_seconds: 0,
        hints: Hints::default(),
        agent: Some(mark),
    }
}

/// Version 10 of a Lease that client-go holds, in its fifth tenure; no agent of ours ever did.
pub(crate) fn held_by_client_go(holder: &str) -> Lease {
    Lease { agent: None, ..held_by(holder) }
}

/// Version 10 of a Lease that another agent released after its fifth tenure.
pub(crate) fn released_by(holder: &str) -> Lease {
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
