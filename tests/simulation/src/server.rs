//! What the API server does for one Lease: compare and swap, and a history to watch.

use elector_election::{Answer, Lease, Record, Request, ResourceVersion, WatchEvent, Write};

/// The one Lease, and all that it has been.
#[derive(Debug)]
pub(crate) struct Server {
    revision: u64,
    uids: u64,
    lease: Option<Lease>,
    history: Vec<WatchEvent>,
}

impl Server {
    pub(crate) fn new() -> Server {
        Server { revision: 100, uids: 0, lease: None, history: Vec::new() }
    }

    pub(crate) fn lease(&self) -> Option<&Lease> {
        self.lease.as_ref()
    }

    /// How many changes there have been.
    pub(crate) fn position(&self) -> usize {
        self.history.len()
    }

    /// The changes from `position` on.
    pub(crate) fn since(&self, position: usize) -> &[WatchEvent] {
        &self.history[position.min(self.history.len())..]
    }

    /// What a watch shows first that begins at `position`.
    pub(crate) fn listed(&self, position: usize) -> WatchEvent {
        match position.checked_sub(1).and_then(|last| self.history.get(last)) {
            Some(WatchEvent::Present(lease)) => WatchEvent::Present(lease.clone()),
            Some(WatchEvent::Deleted { .. } | WatchEvent::Empty | WatchEvent::Refused) | None => WatchEvent::Empty,
        }
    }

    /// Makes a Lease as `fill` says. Whether there was none.
    pub(crate) fn create(&mut self, fill: impl FnOnce(&mut Lease)) -> bool {
        if self.lease.is_some() {
            return false;
        }
        self.uids += 1;
        let mut lease = blank();
        fill(&mut lease);
        lease.record.uid = format!("uid-{}", self.uids);
        self.store(lease);
        true
    }

    /// Changes the Lease, if there is one; nothing is stored if it stays the same.
    pub(crate) fn edit(&mut self, change: impl FnOnce(&mut Lease)) {
        let Some(lease) = &self.lease else { return };
        let mut changed = lease.clone();
        change(&mut changed);
        if changed != *lease {
            self.store(changed);
        }
    }

    /// A change that the election does not see: a label.
    pub(crate) fn touch(&mut self) {
        if let Some(lease) = self.lease.clone() {
            self.store(lease);
        }
    }

    pub(crate) fn delete(&mut self) {
        let Some(lease) = self.lease.take() else { return };
        self.revision += 1;
        self.history.push(WatchEvent::Deleted { uid: lease.record.uid });
    }

    pub(crate) fn handle(&mut self, request: &Request) -> Answer {
        match request {
            Request::Get => self.lease.clone().map_or(Answer::NotFound, Answer::Found),
            Request::Create(write) => {
                if !self.create(|lease| set(lease, write)) {
                    return Answer::Conflict;
                }
                self.stored()
            }
            Request::Update { uid, resource_version, write } => {
                // With the uid of a deleted Lease the answer is a conflict, and nothing is created.
                let Some(lease) = &self.lease else { return Answer::Conflict };
                if lease.record.uid != *uid || lease.resource_version != *resource_version {
                    return Answer::Conflict;
                }
                self.edit(|lease| set(lease, write));
                self.stored()
            }
        }
    }

    fn stored(&self) -> Answer {
        self.lease.clone().map_or(Answer::NotFound, Answer::Stored)
    }

    fn store(&mut self, mut lease: Lease) {
        self.revision += 1;
        lease.resource_version = ResourceVersion(self.revision);
        self.history.push(WatchEvent::Present(lease.clone()));
        self.lease = Some(lease);
    }
}

pub(crate) fn set(lease: &mut Lease, write: &Write) {
    lease.record.holder.clone_from(&write.holder);
    lease.record.acquire_time = Some(write.acquire_time);
    lease.record.renew_time = Some(write.renew_time);
    lease.record.transitions = write.transitions;
    lease.lease_duration_seconds = write.lease_duration_seconds;
    lease.agent = Some(write.agent.clone());
}

/// With nothing in it.
pub(crate) fn blank() -> Lease {
    Lease {
        resource_version: ResourceVersion(0),
        record: Record {
            uid: String::new(),
            holder: String::new(),
            acquire_time: None,
            renew_time: None,
            transitions: 0,
        },
        lease_duration_seconds: 0,
        timings: None,
        never_held: false,
        least_wait_seconds: 0,
        hints: elector_election::Hints::default(),
        agent: None,
    }
}
