//! The worlds that are searched, by name: each asks something of its own.

use elector_election::Timings;

use crate::bounds::{Beginning, Bounds};
use crate::step::FaultKind;

/// What breaks down, but nobody edits.
const WEATHER: [FaultKind; 11] = [
    FaultKind::Cut,
    FaultKind::Freeze,
    FaultKind::Suspend,
    FaultKind::Stand,
    FaultKind::Jump,
    FaultKind::Crash,
    FaultKind::Stop,
    FaultKind::Yield,
    FaultKind::Silence,
    FaultKind::RefuseWatch,
    FaultKind::Refuse,
];

/// What people do.
const PEOPLE: [FaultKind; 8] = [
    FaultKind::Pause,
    FaultKind::HandOver,
    FaultKind::Delete,
    FaultKind::Empty,
    FaultKind::Other,
    FaultKind::Name,
    FaultKind::Label,
    FaultKind::Forge,
];

fn everything() -> Vec<FaultKind> {
    [WEATHER.as_slice(), &PEOPLE].concat()
}

/// Seconds of which the rules leave just enough room.
fn timings(lease_duration: i64, renew_deadline: i64, release_delay: i64) -> Timings {
    Timings::new(lease_duration, renew_deadline, 1, release_delay).expect("timings that the rules allow")
}

const THREE: [u32; 3] = [11, 13, 12];

impl Bounds {
    /// The worlds that `cargo e2e` searches; `cargo test` searches the smallest of them.
    #[must_use]
    pub fn small() -> Vec<Bounds> {
        let three = || Bounds { rates: THREE.to_vec(), ..Bounds::new("three-agents") };
        vec![
            Bounds::new("two-agents").with(1, everything()),
            Bounds { beginning: Beginning::NeverHeld, ..Bounds::new("first-tenure") }.with(1, WEATHER),
            Bounds { beginning: Beginning::Absent, operator: false, ..Bounds::new("no-operator") }.with(1, PEOPLE),
            Bounds { twins: true, ..Bounds::new("one-name") }.with(1, WEATHER),
            three().with(1, [FaultKind::Crash, FaultKind::Empty, FaultKind::Silence]),
        ]
    }

    /// Those that only `cargo model` searches.
    #[must_use]
    pub fn large() -> Vec<Bounds> {
        let three = |name| Bounds { rates: THREE.to_vec(), ..Bounds::new(name) };
        let timings = vec![timings(4, 2, 0), timings(6, 3, 1)];
        let twice = [FaultKind::Cut, FaultKind::Crash, FaultKind::Stop, FaultKind::Delete, FaultKind::Suspend];
        vec![
            Bounds::new("two-faults").with(2, twice),
            Bounds { timings, ..Bounds::new("two-timings") }.with(2, [FaultKind::Timings, FaultKind::Stop]),
            Bounds { ticks_per_second: 2, ..Bounds::new("half-seconds") }.with(1, [FaultKind::Cut, FaultKind::Freeze]),
            three("three-agents-stopped").with(1, [FaultKind::Freeze, FaultKind::Stop]),
        ]
    }

    /// The same with other faults, so many in one history.
    fn with(self, faults: u32, kinds: impl IntoIterator<Item = FaultKind>) -> Bounds {
        Bounds { faults, kinds: kinds.into_iter().collect(), ..self }
    }
}
