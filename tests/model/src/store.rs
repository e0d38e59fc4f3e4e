//! What the API server does for one Lease: compare and swap.

use elector_election::{Answer, Lease, Record, Request, ResourceVersion, UNKNOWN_HOLDER, WatchEvent, Write};

use crate::bounds::Beginning;
use crate::fingerprint::{TRANSITIONS, VERSIONS};

/// The Lease, and what its next version and its successor are called.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    pub(crate) lease: Option<Lease>,
    /// Of the last record: the operator keeps them.
    pub(crate) transitions: u32,
    pub(crate) revision: u64,
    pub(crate) uids: u32,
}

impl Store {
    pub(crate) fn new(beginning: Beginning, duration: u32) -> Store {
        let mut store = Store { lease: None, transitions: 0, revision: VERSIONS, uids: 0 };
        match beginning {
            Beginning::Absent => {}
            Beginning::NeverHeld => {
                store.create(|lease| lease.never_held = true);
            }
            Beginning::Unknown => {
                store.transitions = TRANSITIONS;
                store.restore(duration);
            }
        }
        store
    }

    /// What the operator does about a missing Lease (rule O2).
    pub(crate) fn restore(&mut self, duration: u32) -> Option<WatchEvent> {
        let transitions = self.transitions;
        self.create(|lease| {
            lease.record.holder = UNKNOWN_HOLDER.to_owned();
            lease.record.transitions = transitions;
            lease.lease_duration_seconds = duration;
        })
    }

    fn create(&mut self, fill: impl FnOnce(&mut Lease)) -> Option<WatchEvent> {
        if self.lease.is_some() {
            return None;
        }
        self.uids += 1;
        let record = Record {
            uid: format!("#uid-{:06}", self.uids),
            holder: String::new(),
            acquire_time: None,
            renew_time: None,
            transitions: 0,
        };
        self.lease = Some(Lease {
            resource_version: ResourceVersion(0),
            record,
            lease_duration_seconds: 0,
            timings: None,
            never_held: false,
            least_wait_seconds: 0,
            hints: elector_election::Hints::default(),
            agent: None,
        });
        self.edit(fill)
    }

    /// Changes the Lease if there is one. An edit that changes nothing stores nothing.
    pub(crate) fn edit(&mut self, change: impl FnOnce(&mut Lease)) -> Option<WatchEvent> {
        let lease = self.lease.as_mut()?;
        change(lease);
        self.revision += 1;
        lease.resource_version = ResourceVersion(self.revision);
        self.transitions = lease.record.transitions;
        Some(WatchEvent::Present(lease.clone()))
    }

    pub(crate) fn delete(&mut self) -> Option<WatchEvent> {
        let lease = self.lease.take()?;
        self.revision += 1;
        Some(WatchEvent::Deleted { uid: lease.record.uid })
    }

    /// The answer, and what the watches have to show.
    pub(crate) fn apply(&mut self, request: &Request) -> (Answer, Option<WatchEvent>) {
        match request {
            Request::Get => (self.lease.clone().map_or(Answer::NotFound, Answer::Found), None),
            Request::Create(write) => {
                let event = self.create(|lease| set(lease, write));
                let stored = self.lease.clone().filter(|_| event.is_some());
                (stored.map_or(Answer::Conflict, Answer::Stored), event)
            }
            Request::Update { uid, resource_version, write } => {
                let Some(lease) = &mut self.lease else { return (Answer::NotFound, None) };
                if lease.record.uid != *uid || lease.resource_version != *resource_version {
                    return (Answer::Conflict, None);
                }
                let before = lease.clone();
                set(lease, write);
                if *lease == before {
                    return (Answer::Stored(before), None);
                }
                let event = self.edit(|_| {});
                (self.lease.clone().map_or(Answer::NotFound, Answer::Stored), event)
            }
        }
    }

    /// What a watch that begins now shows first.
    pub(crate) fn list(&self) -> WatchEvent {
        self.lease.clone().map_or(WatchEvent::Empty, WatchEvent::Present)
    }

    /// Whether `request` may still change something, whenever it arrives: versions never come back.
    pub(crate) fn may_take(&self, request: &Request) -> bool {
        match request {
            Request::Get => false,
            Request::Create(_) => true,
            Request::Update { uid, resource_version, .. } => self
                .lease
                .as_ref()
                .is_some_and(|lease| lease.record.uid == *uid && lease.resource_version == *resource_version),
        }
    }
}

fn set(lease: &mut Lease, write: &Write) {
    lease.record.holder.clone_from(&write.holder);
    lease.record.acquire_time = Some(write.acquire_time);
    lease.record.renew_time = Some(write.renew_time);
    lease.record.transitions = write.transitions;
    lease.lease_duration_seconds = write.lease_duration_seconds;
    lease.agent = Some(write.agent.clone());
}
