//! What kind of history a seed is: who takes part, and which faults there are.

use elector_election::Timings;

use crate::clock::{SECOND, Time, longest, micros};
use crate::fault::Fault;

/// Faults begin until then.
pub(crate) const STORM: Time = 600 * SECOND;
/// The longest that one lasts.
pub(crate) const LONGEST_FAULT: Time = 40 * SECOND;

/// Lease duration, renew deadline, retry period, release delay, in seconds.
const SETS: [[i64; 4]; 5] = [[15, 10, 2, 0], [5, 3, 1, 0], [8, 3, 1, 2], [20, 15, 3, 0], [30, 20, 5, 1]];

/// Who takes part, beside people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cast {
    /// An operator makes the Lease, and agents may not. Either it is restarted, or it is given other timings.
    Operated { restarts: bool },
    /// Agents with the same settings, some of which may create the Lease.
    Alone,
    /// Agents with settings of their own; nobody deletes the Lease.
    AloneAtOdds,
    /// Agents and candidates of client-go's.
    WithPeers,
}

/// The plan of one history.
#[derive(Debug, Clone)]
pub(crate) struct History {
    pub(crate) cast: Cast,
    pub(crate) agents: usize,
    pub(crate) peers: usize,
    /// Whether something labels the Lease all the time.
    pub(crate) is_labelled: bool,
    /// The mean time between two faults.
    pub(crate) gap: Time,
    faults: Vec<Fault>,
}

impl History {
    pub(crate) fn new(random: &mut fastrand::Rng) -> History {
        let cast = match random.u8(..8) {
            0 | 1 => Cast::Operated { restarts: false },
            2 => Cast::Operated { restarts: true },
            3..=5 => Cast::Alone,
            6 => Cast::AloneAtOdds,
            _ => Cast::WithPeers,
        };
        let (agents, peers) = if cast == Cast::WithPeers { (2, 1) } else { (3 + usize::from(random.u8(..4) == 0), 0) };
        let faults = Fault::ALL.iter().copied().filter(|fault| cast.knows(*fault)).collect();
        let is_labelled = random.u8(..8) == 0;
        History { cast, agents, peers, is_labelled, gap: random.u64(4 * SECOND..=30 * SECOND), faults }
    }

    pub(crate) fn pick(&self, random: &mut fastrand::Rng) -> Fault {
        self.faults[random.usize(..self.faults.len())]
    }

    pub(crate) fn timings(&self, random: &mut fastrand::Rng) -> Timings {
        let set = match self.cast {
            Cast::WithPeers => SETS[random.usize(..2)],
            Cast::Operated { .. } | Cast::Alone | Cast::AloneAtOdds => SETS[random.usize(..SETS.len())],
        };
        timings(set)
    }

    /// The shortest and the longest.
    pub(crate) fn extreme_timings(&self) -> [Timings; 2] {
        let mut sets = SETS.map(timings);
        sets.sort_by_key(|set| set.lease_duration_seconds());
        [sets[0], sets[sets.len() - 1]]
    }

    pub(crate) fn longest_duration_seconds(&self) -> u32 {
        SETS.map(timings).into_iter().map(|set| set.lease_duration_seconds()).max().unwrap_or_default()
    }

    /// By when somebody leads: two lease durations of the slowest clock, a retry period and two requests after the last fault.
    pub(crate) fn patience(&self) -> Time {
        let most = SETS.map(timings).into_iter().map(|set| {
            let duration = set.lease_duration() + std::time::Duration::from_secs(RAISED_BY);
            2 * longest(duration) + micros(set.retry_period()) + 2 * micros(set.request_timeout())
        });
        STORM + LONGEST_FAULT + most.max().unwrap_or_default()
    }
}

/// In seconds: what people add to a duration.
pub(crate) const RAISED_BY: u64 = 20;

impl Cast {
    fn knows(self, fault: Fault) -> bool {
        match (self, fault) {
            (Cast::Operated { restarts }, Fault::OperatorRestart) => restarts,
            (Cast::Operated { restarts }, Fault::Timings) => !restarts,
            (Cast::Alone | Cast::AloneAtOdds | Cast::WithPeers, Fault::OperatorRestart | Fault::Timings) => false,
            // Whoever never saw the longest timings cannot know how long to wait: SAFETY.md says so.
            (Cast::AloneAtOdds, Fault::Delete | Fault::Recreate | Fault::EditReleased) => false,
            (Cast::Operated { restarts: false }, Fault::Recreate | Fault::EditReleased) => false,
            _ => true,
        }
    }
}

fn timings([lease_duration, renew_deadline, retry_period, release_delay]: [i64; 4]) -> Timings {
    Timings::new(lease_duration, renew_deadline, retry_period, release_delay).unwrap_or_default()
}
