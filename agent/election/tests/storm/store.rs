//! What the API server does for one Lease: compare and swap, and a history to watch.

use elector_election::{Answer, Lease, Record, Request, ResourceVersion, WatchEvent, Write};

pub(crate) struct Store {
    revision: u64,
    uids: u64,
    pub(crate) lease: Option<Lease>,
    pub(crate) history: Vec<WatchEvent>,
}

impl Store {
    pub(crate) fn new() -> Store {
        let mut store = Store { revision: 100, uids: 0, lease: None, history: Vec::new() };
        store.create(|lease| lease.never_held = true);
        store
    }

    /// Makes a Lease if there is none, as `fill` says.
    pub(crate) fn create(&mut self, fill: impl FnOnce(&mut Lease)) -> bool {
        if self.lease.is_some() {
            return false;
        }
        self.uids += 1;
        let record = Record {
            uid: format!("uid-{}", self.uids),
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
            agent: None,
        });
        self.edit(fill);
        true
    }

    /// Changes the Lease if there is one.
    pub(crate) fn edit(&mut self, change: impl FnOnce(&mut Lease)) {
        let Some(lease) = &mut self.lease else { return };
        change(lease);
        self.revision += 1;
        lease.resource_version = ResourceVersion(self.revision);
        self.history.push(WatchEvent::Present(lease.clone()));
    }

    pub(crate) fn delete(&mut self) {
        let Some(lease) = self.lease.take() else { return };
        self.revision += 1;
        self.history.push(WatchEvent::Deleted { uid: lease.record.uid });
    }

    pub(crate) fn apply(&mut self, request: &Request) -> Answer {
        match request {
            Request::Get => self.lease.clone().map_or(Answer::NotFound, Answer::Found),
            Request::Create(write) => {
                if !self.create(|lease| set(lease, write)) {
                    return Answer::Conflict;
                }
                self.lease.clone().map_or(Answer::NotFound, Answer::Stored)
            }
            Request::Update { uid, resource_version, write } => {
                let Some(lease) = &self.lease else { return Answer::NotFound };
                if lease.record.uid != *uid || lease.resource_version != *resource_version {
                    return Answer::Conflict;
                }
                self.edit(|lease| set(lease, write));
                self.lease.clone().map_or(Answer::NotFound, Answer::Stored)
            }
        }
    }

    /// What a watch that begins at this point of the history shows first.
    pub(crate) fn list(&self, position: usize) -> WatchEvent {
        match position.checked_sub(1).and_then(|last| self.history.get(last)) {
            Some(WatchEvent::Present(lease)) => WatchEvent::Present(lease.clone()),
            Some(WatchEvent::Deleted { .. } | WatchEvent::Empty | WatchEvent::Refused) | None => WatchEvent::Empty,
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
