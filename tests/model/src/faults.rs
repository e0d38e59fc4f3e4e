//! What goes wrong.

use std::time::Duration;

use elector_election::{Answer, Election, Lease, ReleaseMark, State, Timestamp, WatchEvent};

use crate::agent::{Flight, Pace, Watch};
use crate::oracle::Noticed;
use crate::step::{Fault, Forgery};
use crate::world::{SOMEBODY, World};

impl World {
    /// Whether it would make a difference.
    pub(crate) fn may_fail(&self, fault: Fault) -> bool {
        let lease = self.store.lease.as_ref();
        let holder = lease.map(|lease| lease.record.holder.as_str());
        let awake = |index: usize| self.agents[index].election.is_some() && self.agents[index].pace == Pace::Awake;
        let watches = |index: usize| matches!(self.agents[index].watch, Watch::Live(_));
        match fault {
            Fault::Cut(index) => !self.agents[index].cut,
            Fault::Freeze(index) | Fault::Suspend(index) | Fault::Stand(index) => awake(index),
            // What a leader's jump costs is its own tenure.
            Fault::Jump(index) => {
                let agent = &self.agents[index];
                awake(index) && agent.published.is_none() && agent.tenure.is_none()
            }
            Fault::Crash(index) => self.agents[index].election.is_some(),
            Fault::Stop(index) => {
                let state = self.agents[index].election.as_ref().map(Election::state);
                self.agents[index].runs() && matches!(state, Some(State::Candidate | State::Leading))
            }
            Fault::Yield(index) => self.agents[index].runs() && !self.agents[index].yields,
            Fault::Silence(index) => watches(index),
            Fault::RefuseWatch(index) => self.agents[index].runs() && watches(index),
            Fault::Refuse(index) => self.agents[index].flight.as_ref().is_some_and(|flight| flight.answer.is_none()),
            Fault::Delete | Fault::Label => lease.is_some(),
            Fault::Pause => lease.is_some_and(|lease| !lease.hints.paused),
            Fault::HandOver => lease.is_some_and(|lease| lease.hints.end_tenure != Some(lease.record.transitions)),
            Fault::Empty => holder.is_some_and(|holder| !holder.is_empty()),
            // Of a record without an agent's mark it would be one of client-go's, and that is not promised for.
            Fault::Forge(_) => lease.is_some_and(|lease| lease.agent.is_some() && !lease.record.holder.is_empty()),
            Fault::Other => holder.is_some_and(|holder| holder != SOMEBODY),
            Fault::Name(index) => holder.is_some_and(|holder| holder != self.agents[index].identity),
            Fault::Timings(index) => lease.is_some_and(|lease| lease.timings != Some(self.bounds.timings[index])),
        }
    }

    pub(crate) fn fail(&mut self, fault: Fault, noticed: &mut Noticed) {
        match fault {
            Fault::Cut(index) => self.agent(index).cut = true,
            Fault::Freeze(index) => self.agent(index).pace = Pace::Frozen,
            Fault::Suspend(index) => self.agent(index).pace = Pace::Suspended,
            Fault::Stand(index) => self.agent(index).pace = Pace::Slewed,
            Fault::Jump(index) => {
                let jump = self.bounds.longest_wait() + Duration::from_secs(1);
                self.agent(index).clock.boottime += jump;
            }
            Fault::Crash(index) => self.agent(index).crash(),
            Fault::Stop(index) => self.input(index, false, noticed, Election::handle_stop),
            Fault::Yield(index) => {
                self.agent(index).yields = true;
                let never = Some(Duration::MAX);
                self.input(index, false, noticed, |election, now| election.handle_reluctance(never, now));
            }
            Fault::Silence(index) => self.agent(index).watch = Watch::Silent,
            Fault::RefuseWatch(index) => {
                self.agent(index).watch = Watch::Silent;
                self.input(index, false, noticed, |election, now| election.handle_watch(WatchEvent::Refused, now));
            }
            Fault::Refuse(index) => {
                if let Some(Flight { answer, .. }) = &mut self.agent(index).flight {
                    *answer = Some(Answer::Refused { retry_after: None });
                }
            }
            Fault::Delete => {
                let event = self.store.delete();
                self.spread(event);
            }
            Fault::Empty => self.edit(|lease| lease.record.holder.clear()),
            Fault::Other => self.edit(|lease| lease.record.holder = SOMEBODY.to_owned()),
            Fault::Name(index) => {
                let identity = self.agents[index].identity.clone();
                self.edit(|lease| lease.record.holder = identity);
            }
            Fault::Label => self.edit(|_| {}),
            Fault::Pause => self.edit(|lease| lease.hints.paused = true),
            Fault::HandOver => self.edit(|lease| lease.hints.end_tenure = Some(lease.record.transitions)),
            Fault::Forge(forgery) => self.edit(|lease| forge(lease, forgery)),
            Fault::Timings(index) => {
                let timings = self.bounds.timings[index];
                self.edit(|lease| lease.timings = Some(timings));
            }
        }
    }

    pub(crate) fn edit(&mut self, change: impl FnOnce(&mut Lease)) {
        let event = self.store.edit(change);
        self.spread(event);
    }
}

/// All of it is right but one thing.
fn forge(lease: &mut Lease, forgery: Forgery) {
    lease.record.holder.clear();
    lease.lease_duration_seconds = 1;
    let (Some(mark), Some(renew_time)) = (&mut lease.agent, lease.record.renew_time) else { return };
    let mut release = ReleaseMark { uid: lease.record.uid.clone(), transitions: lease.record.transitions, renew_time };
    match forgery {
        Forgery::Uid => release.uid = "another".to_owned(),
        Forgery::Transitions => release.transitions = u32::from(release.transitions == 0),
        Forgery::RenewTime => release.renew_time = Timestamp::MIN,
    }
    mark.release = Some(release);
}
