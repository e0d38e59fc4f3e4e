//! A candidate as client-go's: it polls, believes an empty holder, creates what is missing, counts its deadline from the
//! answer, goes on after it has read another's name, and releases before its work has ended.

use elector_election::{Lease, Record, Timestamp, Timings};

use crate::clock::{MILLISECOND, SECOND, Time, micros};
use crate::history::STORM;
use crate::trace;
use crate::world::{Event, World};

/// How long an answer takes.
const BACK: Time = 10 * MILLISECOND;

#[derive(Debug)]
pub(crate) struct Peer {
    identity: String,
    timings: Timings,
    /// The record that it saw last, and when.
    seen: Option<(Record, Time)>,
    /// When its last write was answered, as long as it leads.
    renewed_at: Option<Time>,
    cut_off_until: Time,
}

impl Peer {
    pub(crate) fn new(who: usize, timings: Timings) -> Peer {
        Peer { identity: format!("client-go-{who}"), timings, seen: None, renewed_at: None, cut_off_until: 0 }
    }

    /// Whether it may write over `lease`.
    fn may_take(&mut self, lease: &Lease, now: Time) -> bool {
        if self.seen.as_ref().is_none_or(|(seen, _)| *seen != lease.record) {
            self.seen = Some((lease.record.clone(), now));
        }
        let seen_at = self.seen.as_ref().map_or(now, |(_, at)| *at);
        let expires_at = seen_at + u64::from(lease.lease_duration_seconds) * SECOND;
        lease.record.holder.is_empty() || lease.record.holder == self.identity || now >= expires_at
    }

    fn fill(&self, lease: &mut Lease, now: Time) {
        let renew_time = Some(Timestamp::from_microseconds(i64::try_from(now).unwrap_or(i64::MAX)));
        let record = &mut lease.record;
        if record.holder != self.identity {
            record.transitions = record.transitions.saturating_add(1).min(i32::MAX.cast_unsigned());
            record.acquire_time = renew_time;
            record.holder.clone_from(&self.identity);
        }
        record.renew_time = renew_time;
        lease.lease_duration_seconds = self.timings.lease_duration_seconds();
    }
}

impl World {
    /// It looks, and writes what it may.
    pub(crate) fn peer(&mut self, who: usize) {
        let now = self.now;
        let retry_period = micros(self.peers[who - self.agents.len()].timings.retry_period());
        let next = retry_period + self.random.u64(..retry_period);
        let storms = now < STORM;
        if storms && self.random.u8(..40) == 0 {
            self.peers[who - self.agents.len()].cut_off_until = now + self.random.u64(..30 * SECOND);
        }
        let stops = storms && self.random.u8(..60) == 0;
        let Peer { timings, renewed_at, cut_off_until, .. } = self.peers[who - self.agents.len()];
        let reaches = now >= self.down_until.max(cut_off_until);
        let deadline = micros(timings.renew_deadline()) + retry_period;
        if reaches && stops && renewed_at.is_some() {
            self.peer_releases(who);
        } else if reaches && self.peer_writes(who) {
            self.peers[who - self.agents.len()].renewed_at = Some(now + BACK);
            if !self.judge.has_file(who) {
                self.judge.begins(who, now, now);
            }
        } else if renewed_at.is_some_and(|at| now > at + deadline) {
            self.peers[who - self.agents.len()].renewed_at = None;
            self.judge.removed(who, now, None);
        }
        let leads = self.peers[who - self.agents.len()].renewed_at.is_some();
        self.after(if leads { retry_period } else { next }, Event::Peer { who });
    }

    fn peer_writes(&mut self, who: usize) -> bool {
        let now = self.now;
        let peer = &mut self.peers[who - self.agents.len()];
        let before = self.server.lease().cloned();
        if before.as_ref().is_some_and(|lease| !peer.may_take(lease, now)) {
            return false;
        }
        let position = self.server.position();
        match before {
            Some(_) => self.server.edit(|lease| peer.fill(lease, now)),
            None => {
                self.server.create(|lease| peer.fill(lease, now));
            }
        }
        let identity = peer.identity.clone();
        peer.seen = self.server.lease().map(|lease| (lease.record.clone(), now));
        if let Some(after) = self.server.lease() {
            self.trace.note(now, || format!("{who}, a peer, writes {}", trace::of_lease(after)));
            self.judge.stored(who, &identity, before.as_ref(), after, now);
        }
        self.spread(position);
        true
    }

    fn peer_releases(&mut self, who: usize) {
        let now = self.now;
        let peer = &mut self.peers[who - self.agents.len()];
        peer.renewed_at = None;
        let position = self.server.position();
        let before = self.server.lease().cloned();
        let is_its_own = before.as_ref().is_some_and(|lease| lease.record.holder == peer.identity);
        if is_its_own {
            self.server.edit(|lease| {
                let at = Some(Timestamp::from_microseconds(i64::try_from(now).unwrap_or(i64::MAX)));
                lease.record.holder.clear();
                (lease.record.acquire_time, lease.record.renew_time) = (at, at);
                lease.lease_duration_seconds = 1;
            });
            self.trace.note(now, || format!("{who}, a peer, releases"));
            if let Some(after) = self.server.lease() {
                let identity = peer.identity.clone();
                self.judge.stored(who, &identity, before.as_ref(), after, now);
            }
        }
        self.spread(position);
        self.judge.removed(who, now, Some(0));
    }
}
