//! Who may be believed to lead at which true time, and what must never be seen.
//!
//! Two readers look at every candidate at every moment, and each acts for up to [`ACT`] upon what it saw: one tests for the
//! file, the other does as `elector-agent check` and also looks at the validity in it and at whether its writer lives.

use std::fmt;
use std::time::Duration;

use elector_election::{Lease, ResourceVersion, Tenure, Timestamp};

use crate::clock::{MILLISECOND, SECOND, Time, shortest};
use crate::tally::{Handover, Tally};

/// `a`: how long a reader acts after it looked.
pub(crate) const ACT: Time = 800 * MILLISECOND;
/// `w`: how long a retraction takes, and how late the alarm may be.
pub(crate) const RETRACT: Time = SECOND - ACT;

/// Something that was promised never to happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Violation {
    /// Readers of two candidates act at once.
    TwoLeaders {
        /// Who begins to lead.
        next: usize,
        /// In whom somebody still believes.
        last: usize,
    },
    /// The file is there after the validity has passed, though it could have been removed.
    Overstayed {
        /// Whose.
        who: usize,
    },
    /// A Lease was taken before a holder that may act had been waited out.
    TookEarly {
        /// By whom.
        who: usize,
    },
    /// A fencing token is not greater than one before.
    TokenShrank {
        /// Whose.
        who: usize,
    },
    /// A tenure that was taken back is renewed.
    RenewedAfterEnd {
        /// By whom.
        who: usize,
    },
    /// A Lease is released while the file is there.
    ReleasedBeforeRetraction {
        /// By whom.
        who: usize,
    },
    /// A Lease is released before the release delay has passed since the file was there.
    ReleasedEarly {
        /// By whom.
        who: usize,
    },
    /// A Lease is released that was not the releaser's.
    ReleasedAnothers {
        /// By whom.
        who: usize,
    },
    /// The operator releases the Lease for a holder that lives.
    ReleasedForLiving {
        /// Whose it was.
        who: usize,
    },
    /// The weather is fine, and nobody leads.
    NobodyLeads,
    /// The election asks for more and more, at one moment.
    Spins {
        /// Whose.
        who: usize,
    },
    /// A candidate asks the API server more often than twice a second, on average.
    Floods,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Violation::TwoLeaders { next, last } => write!(f, "{next} leads while {last} may still be believed to"),
            Violation::Overstayed { who } => write!(f, "{who} has its file beyond its validity"),
            Violation::TookEarly { who } => write!(f, "{who} took the Lease before its holder was waited out"),
            Violation::TokenShrank { who } => write!(f, "the fencing token of {who} is not the greatest so far"),
            Violation::RenewedAfterEnd { who } => write!(f, "{who} renews a tenure that it has taken back"),
            Violation::ReleasedBeforeRetraction { who } => write!(f, "{who} releases while its file is there"),
            Violation::ReleasedEarly { who } => write!(f, "{who} releases before its release delay has passed"),
            Violation::ReleasedAnothers { who } => write!(f, "{who} releases a Lease that it does not hold"),
            Violation::ReleasedForLiving { who } => write!(f, "the operator released the Lease of {who}, who lives"),
            Violation::NobodyLeads => f.write_str("nobody leads, long after the last fault"),
            Violation::Spins { who } => write!(f, "{who} asks for more and more at one moment"),
            Violation::Floods => f.write_str("the API server is asked too often"),
        }
    }
}

/// What readers see of one candidate.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seat {
    is_peer: bool,
    file: bool,
    /// Until when the one who checks believes, before it acts.
    valid_until: Time,
    /// Until when somebody who looked in time acts.
    lingers_until: Time,
    /// The electing process lives.
    alive: bool,
    /// Nobody on this machine looks or acts.
    asleep: bool,
    /// All processes of the container are dead: who only tests for the file is wrong.
    pub(crate) abandoned: bool,
    /// It slept, so its alarm could not ring.
    excused: bool,
    /// A peer took the Lease from under it, without the wait that it would have needed.
    robbed: bool,
    retired: Option<Timestamp>,
    /// When the file was last removed.
    removed_at: Option<Time>,
}

impl Seat {
    /// Nobody could have removed the file: who only tests for it is not promised anything.
    fn is_beyond_reach(&self, now: Time) -> bool {
        self.abandoned || self.excused && now >= self.valid_until
    }

    fn is_believed(&self, now: Time) -> bool {
        if self.asleep {
            return false;
        }
        let tested = self.file && !self.is_beyond_reach(now);
        let checked = self.file && self.alive && now < self.valid_until + ACT;
        tested || checked || now < self.lingers_until
    }
}

/// The last tenure of which the store knows.
#[derive(Debug, Clone)]
struct Holding {
    who: usize,
    written_at: Time,
    duration_seconds: u32,
    released: bool,
}

/// Sees everything at once, which nobody in the history can.
#[derive(Debug)]
pub(crate) struct Judge {
    pub(crate) seats: Vec<Seat>,
    token: ResourceVersion,
    holding: Option<Holding>,
    verdict: Option<Violation>,
    pub(crate) tally: Tally,
}

impl Judge {
    pub(crate) fn new(agents: usize, peers: usize) -> Judge {
        let seat = |who| Seat { is_peer: who >= agents, ..Seat::default() };
        let seats = (0..agents + peers).map(seat).collect();
        Judge { seats, token: ResourceVersion(0), holding: None, verdict: None, tally: Tally::new() }
    }

    pub(crate) fn verdict(&self) -> Option<&Violation> {
        self.verdict.as_ref()
    }

    pub(crate) fn accuse(&mut self, violation: Violation) {
        self.verdict.get_or_insert(violation);
    }

    pub(crate) fn somebody_leads(&self) -> bool {
        self.seats.iter().any(|seat| seat.file)
    }

    pub(crate) fn leader(&self) -> Option<usize> {
        self.seats.iter().position(|seat| seat.file)
    }

    pub(crate) fn has_file(&self, who: usize) -> bool {
        self.seats[who].file
    }

    /// Until when the file of `who` counts for those who look into it, if it is there.
    pub(crate) fn valid_until(&self, who: usize) -> Option<Time> {
        let seat = &self.seats[who];
        seat.file.then_some(seat.valid_until)
    }

    /// The file of `who` appears; who checks believes until `valid_until`.
    pub(crate) fn published(&mut self, who: usize, token: ResourceVersion, valid_until: Time, now: Time) {
        if token <= self.token {
            self.accuse(Violation::TokenShrank { who });
        }
        self.token = token;
        self.begins(who, valid_until, now);
    }

    /// As [`Judge::published`], for who knows no token.
    pub(crate) fn begins(&mut self, who: usize, valid_until: Time, now: Time) {
        let seat = &mut self.seats[who];
        (seat.file, seat.valid_until, seat.alive) = (true, valid_until, true);
        (seat.excused, seat.robbed) = (false, false);
        self.expect_no_other(who, now);
    }

    /// Its validity moves.
    pub(crate) fn extended(&mut self, who: usize, valid_until: Time, now: Time) {
        let seat = &mut self.seats[who];
        (seat.valid_until, seat.excused) = (valid_until, false);
        self.expect_no_other(who, now);
    }

    fn expect_no_other(&mut self, who: usize, now: Time) {
        for other in 0..self.seats.len() {
            let last = &self.seats[other];
            if other == who || !last.is_believed(now) {
                continue;
            }
            // A tenure of ours that began as it must is not to blame for a peer that will not go, nor for one that came early.
            if last.is_peer || last.robbed {
                self.tally.peers_overstayed += 1;
            } else {
                self.accuse(Violation::TwoLeaders { next: who, last: other });
            }
        }
    }

    /// The file is removed. `voluntarily`: for a release, before which `delay` is left to readers.
    pub(crate) fn removed(&mut self, who: usize, now: Time, delay: Option<Time>) {
        let seat = &mut self.seats[who];
        if !std::mem::replace(&mut seat.file, false) {
            return;
        }
        seat.removed_at = Some(now);
        if !seat.is_beyond_reach(now) {
            seat.lingers_until = now + delay.unwrap_or(ACT).min(ACT);
        }
        let overstayed = now > seat.valid_until + RETRACT && !seat.is_beyond_reach(now) && !seat.is_peer;
        if overstayed {
            self.accuse(Violation::Overstayed { who });
        }
    }

    /// The electing process dies: who checked just before still acts.
    pub(crate) fn died(&mut self, who: usize, now: Time) {
        let seat = &mut self.seats[who];
        seat.alive = false;
        if seat.file {
            seat.lingers_until = seat.lingers_until.max(now.min(seat.valid_until) + ACT);
        }
    }

    /// Its readers are dead as well: nobody acts upon a look any more.
    pub(crate) fn readers_died(&mut self, who: usize, now: Time) {
        let seat = &mut self.seats[who];
        seat.lingers_until = seat.lingers_until.min(now);
    }

    /// Its machine sleeps or wakes.
    pub(crate) fn sleeps(&mut self, who: usize, asleep: bool) {
        let seat = &mut self.seats[who];
        seat.asleep = asleep;
        seat.excused |= asleep;
    }

    /// A tenure is over for the election of `who`: it must not be renewed.
    pub(crate) fn retired(&mut self, who: usize, tenure: &Tenure) {
        self.seats[who].retired = Some(tenure.acquire_time);
    }

    /// A write leaves `who`, which leaves readers `delay` before a release, by its clocks.
    pub(crate) fn sends(&mut self, who: usize, holder: &str, acquire_time: Timestamp, delay: Duration, now: Time) {
        if holder.is_empty() {
            let seat = &self.seats[who];
            if seat.file {
                self.accuse(Violation::ReleasedBeforeRetraction { who });
            } else if seat.removed_at.is_some_and(|at| now < at + shortest(delay)) {
                self.accuse(Violation::ReleasedEarly { who });
            }
        } else if self.seats[who].retired == Some(acquire_time) {
            self.accuse(Violation::RenewedAfterEnd { who });
        }
    }

    /// `who` wrote `after` in place of `before`. `dead`: whether the process that wrote the last tenure of this pod is.
    pub(crate) fn stored(&mut self, who: usize, identity: &str, before: Option<&Lease>, after: &Lease, now: Time) {
        if after.record.holder.is_empty() {
            let holds = before.is_some_and(|lease| lease.record.holder == identity);
            if !holds && !self.seats[who].is_peer {
                self.accuse(Violation::ReleasedAnothers { who });
            }
            if let Some(holding) = self.holding.as_mut().filter(|holding| holding.who == who) {
                holding.released = true;
            }
            // The release delay has passed, whatever the file was removed for: readers were left no more than that.
            let seat = &mut self.seats[who];
            seat.lingers_until = seat.lingers_until.min(now);
            return;
        }
        if after.record.holder != identity {
            return;
        }
        let last = |lease: &Lease| (lease.record.uid.clone(), lease.record.holder.clone(), lease.record.acquire_time);
        let acquires = before.map(last) != Some(last(after));
        if acquires {
            self.takes(who, now);
        }
        let duration_seconds = after.lease_duration_seconds;
        self.holding = Some(Holding { who, written_at: now, duration_seconds, released: false });
    }

    /// The operator releases the Lease for a holder, of whom a seat may still be the one that lives.
    pub(crate) fn released_for_dead(&mut self, lives: Option<usize>) {
        if let Some(who) = lives {
            self.accuse(Violation::ReleasedForLiving { who });
        }
        if let Some(holding) = &mut self.holding {
            holding.released = true;
        }
        self.tally.released_for_dead += 1;
    }

    fn takes(&mut self, who: usize, now: Time) {
        let handover = match &self.holding {
            None => Handover::First,
            Some(holding) if holding.released => Handover::Released,
            // What its own pod wrote it may take back: there are no two of a name.
            Some(holding) if holding.who == who => Handover::Inherited,
            Some(_) => Handover::Expired,
        };
        let waited = match (&self.holding, handover) {
            (Some(holding), Handover::Expired) => {
                let duration = Duration::from_secs(holding.duration_seconds.into());
                now - holding.written_at >= shortest(duration)
            }
            (Some(_) | None, _) => true,
        };
        if !waited && self.seats[who].is_peer {
            // Of those who sleep, too: they believe again when they wake.
            self.seats.iter_mut().for_each(|seat| seat.robbed |= seat.file || seat.is_believed(now));
        } else if !waited {
            self.accuse(Violation::TookEarly { who });
        }
        if let (Some(holding), Handover::Expired) = (&self.holding, handover) {
            let last = &self.seats[holding.who];
            // What was taken back early, because somebody edited the Lease, did not last until its end.
            let lasted = last.valid_until > 0 && last.valid_until <= now;
            if lasted && !last.is_peer && !self.seats[who].is_peer {
                self.tally.margin(now - last.valid_until);
            }
        }
        self.tally.tenure(handover);
    }
}
