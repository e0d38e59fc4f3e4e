//! How large a world is, and how bad.

use std::fmt;
use std::time::Duration;

use elector_election::Timings;

use crate::agent::{GIVEN_UP, LAG};
use crate::fingerprint::GAP;
use crate::step::FaultKind;

/// In which state the Lease is before anybody starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beginning {
    /// There is none.
    Absent,
    /// The operator made it, and nobody can have held it.
    NeverHeld,
    /// `unknown` holds it.
    Unknown,
}

/// What a search covers, all of it.
#[derive(Debug, Clone)]
pub struct Bounds {
    /// What it is called where it is printed.
    pub name: &'static str,
    /// How fast each agent's clocks run, in twelfths of true time: 11 to 13 is what is promised for.
    pub rates: Vec<u32>,
    /// How many ticks make a second.
    pub ticks_per_second: u32,
    /// Those that agents begin with are the first; an operator may ask for any.
    pub timings: Vec<Timings>,
    /// What a reader needs to act after its look, and retraction to be done: promised for is one second.
    pub reading: Duration,
    /// The state of the Lease.
    pub beginning: Beginning,
    /// Whether all agents contend as the same.
    pub twins: bool,
    /// Whether agents may create the Lease.
    pub may_create: bool,
    /// Whether an operator makes a missing Lease again, at any time.
    pub operator: bool,
    /// What can go wrong.
    pub kinds: Vec<FaultKind>,
    /// How often in one history, all kinds together.
    pub faults: u32,
    /// What is older is all the same. `None` for what is true: the longest wait.
    pub oldest: Option<Duration>,
    /// Transitions count from 0 where no Lease was before, and are followed so far. Elsewhere, without an end.
    pub transitions: u32,
}

/// 132·4 ≥ 156·2 + 143: the smallest renew deadline with the smallest lease duration for it.
pub(crate) const SMALLEST: (i64, i64, i64) = (4, 2, 1);

impl Bounds {
    /// A slow and a fast clock, the smallest timings, and nothing that goes wrong.
    ///
    /// # Panics
    /// Never: the smallest timings are valid.
    #[must_use]
    pub fn new(name: &'static str) -> Bounds {
        let (lease_duration, renew_deadline, retry_period) = SMALLEST;
        Bounds {
            name,
            rates: vec![11, 13],
            ticks_per_second: 1,
            timings: vec![Timings::new(lease_duration, renew_deadline, retry_period, 0).expect("132·4 ≥ 156·2 + 143")],
            reading: Duration::from_secs(1),
            beginning: Beginning::Unknown,
            twins: false,
            may_create: true,
            operator: true,
            kinds: Vec::new(),
            faults: 0,
            oldest: None,
            transitions: 3,
        }
    }

    /// The longest lease duration that anybody asks for, in seconds.
    pub(crate) fn longest_duration(&self) -> u32 {
        self.timings.iter().map(Timings::lease_duration_seconds).max().unwrap_or_default()
    }

    /// Nobody waits for longer, and nobody believes for longer: ages beyond it are all the same.
    pub(crate) fn longest_wait(&self) -> Duration {
        let fastest = self.rates.iter().copied().max().unwrap_or(12);
        let reading = self.on_clock(self.reading, fastest);
        // Whoever has handed over leaves others a retry period.
        let left =
            |t: &Timings| if self.kinds.contains(&FaultKind::HandOver) { t.retry_period() } else { Duration::ZERO };
        let wait = |t: &Timings| {
            let waits =
                [t.lease_duration() + left(t), t.release_delay(), t.renew_deadline() + reading, t.request_timeout()];
            waits.into_iter().max().unwrap_or_default()
        };
        self.timings.iter().map(wait).max().unwrap_or_default()
    }

    pub(crate) fn oldest(&self) -> Duration {
        self.oldest.unwrap_or_else(|| self.longest_wait())
    }

    /// What `time` of true time is on a clock of this rate. Rounded up by some nanoseconds, so that twelve twelfths are never
    /// less than one.
    pub(crate) fn on_clock(&self, time: Duration, rate: u32) -> Duration {
        let twelfth = time / 12 + Duration::from_nanos(u64::from(!time.is_zero()));
        twelfth * rate
    }

    pub(crate) fn tick(&self) -> Duration {
        Duration::from_secs(1) / self.ticks_per_second
    }
}

impl fmt::Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} agents", self.name, self.rates.len())?;
        if self.twins {
            f.write_str(" of one name")?;
        }
        write!(f, ", clocks at {:?}/12, {} ticks a second, ", self.rates, self.ticks_per_second)?;
        for timings in &self.timings {
            let (d, h, r) =
                (timings.lease_duration_seconds(), timings.renew_deadline_seconds(), timings.retry_period_seconds());
            write!(f, "D/H/R {d}/{h}/{r} delay {}, ", timings.release_delay_seconds())?;
        }
        write!(f, "Lease {:?}", self.beginning)?;
        let (create, operator) = (self.may_create, self.operator);
        write!(f, ", agents create: {create}, operator restores: {operator}")?;
        writeln!(f, ", at most {} faults of {:?}", self.faults, self.kinds)?;
        write!(
            f,
            "  followed no further: more than {GIVEN_UP} requests given up by one agent, watches that lag by more than {LAG} versions, \
             transitions beyond {} where they count from 0, and how far apart beyond {GAP} elsewhere",
            self.transitions
        )
    }
}
