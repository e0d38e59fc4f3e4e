//! What happened in one history or in many, in numbers.

use std::fmt;

use crate::clock::{SECOND, Time};
use crate::fault::Fault;

/// How a tenure came after another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Handover {
    /// It had been released.
    Released,
    /// It was waited out.
    Expired,
    /// A restarted agent knew the record for its predecessor's.
    Inherited,
    /// Nobody had ever held it.
    First,
}

/// Sums over histories.
#[derive(Debug, Clone)]
pub struct Tally {
    /// How many histories.
    pub histories: u64,
    /// Virtual time.
    pub time: Time,
    /// How often somebody began to lead.
    pub tenures: u64,
    /// How many of them followed upon a release.
    pub released: u64,
    /// … upon a wait.
    pub expired: u64,
    /// … upon a predecessor on the same pod.
    pub inherited: u64,
    /// Requests that were sent.
    pub requests: u64,
    /// How often each fault changed something while somebody led.
    hits: [u64; Fault::ALL.len()],
    /// The least time between the end of a validity and the next leader's file, where there was no release.
    pub margin: Option<Time>,
    /// How often the operator released the Lease for a holder that was dead.
    pub released_for_dead: u64,
    /// How often a candidate of client-go's led beside another, by its own fault.
    pub peers_overstayed: u64,
}

impl Tally {
    pub(crate) fn new() -> Tally {
        Tally {
            histories: 0,
            time: 0,
            tenures: 0,
            released: 0,
            expired: 0,
            inherited: 0,
            requests: 0,
            hits: [0; Fault::ALL.len()],
            margin: None,
            released_for_dead: 0,
            peers_overstayed: 0,
        }
    }

    pub(crate) fn hit(&mut self, fault: Fault) {
        self.hits[fault.index()] += 1;
    }

    pub(crate) fn tenure(&mut self, handover: Handover) {
        self.tenures += 1;
        match handover {
            Handover::Released => self.released += 1,
            Handover::Expired => self.expired += 1,
            Handover::Inherited => self.inherited += 1,
            Handover::First => {}
        }
    }

    pub(crate) fn margin(&mut self, margin: Time) {
        self.margin = Some(self.margin.map_or(margin, |least| least.min(margin)));
    }

    /// How often `fault` changed something while somebody led.
    pub fn hits(&self, fault: Fault) -> u64 {
        self.hits[fault.index()]
    }

    /// Adds another's.
    pub fn add(&mut self, other: &Tally) {
        self.histories += other.histories;
        self.time += other.time;
        self.tenures += other.tenures;
        self.released += other.released;
        self.expired += other.expired;
        self.inherited += other.inherited;
        self.requests += other.requests;
        self.released_for_dead += other.released_for_dead;
        self.peers_overstayed += other.peers_overstayed;
        for (hits, more) in self.hits.iter_mut().zip(other.hits) {
            *hits += more;
        }
        if let Some(margin) = other.margin {
            self.margin(margin);
        }
    }

    /// Why these histories cannot vouch for anything: nothing happened in them.
    pub fn is_idle(&self) -> Option<String> {
        if self.tenures < 3 * self.histories {
            return Some(format!("{} tenures in {} histories are fewer than 3 each", self.tenures, self.histories));
        }
        let missed = Fault::ALL.iter().find(|fault| self.hits(**fault) == 0)?;
        Some(format!("no hit of {missed:?} while somebody led"))
    }
}

impl Default for Tally {
    fn default() -> Tally {
        Tally::new()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally { histories, tenures, released, expired, inherited, requests, .. } = self;
        let hours = self.time / SECOND / 3_600;
        writeln!(f, "{histories} histories, {hours} virtual hours, {requests} requests")?;
        writeln!(
            f,
            "{tenures} tenures: {released} after a release, {expired} after a wait, {inherited} by a restarted leader"
        )?;
        if let Some(margin) = self.margin {
            writeln!(f, "smallest margin between two leaders: {:.3} s", margin as f64 / SECOND as f64)?;
        }
        writeln!(f, "{} releases for a holder that was dead", self.released_for_dead)?;
        writeln!(f, "client-go's candidates overstayed {} times", self.peers_overstayed)?;
        writeln!(f, "hits while somebody led:")?;
        for pair in Fault::ALL.chunks(2) {
            for fault in pair {
                write!(f, "  {fault:<22}{:>10}", self.hits(*fault))?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
