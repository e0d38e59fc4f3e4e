//! The same faults played on our agents and on client-go's candidates.

use std::fmt;
use std::time::Duration;

use anyhow::Result;
use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::{Arena, Fault, Kind, Look, Setup};
use crate::controlplane::ControlPlane;

/// What one fault did to both.
#[derive(Debug, Clone)]
pub struct Comparison {
    fault: Fault,
    /// The longest overlap of each: `test -f` and `check` of ours, `test -f` of client-go's.
    largest: [Option<Duration>; 3],
}

impl Comparison {
    /// Plays each of `faults` on both, with these timings, so many elections at once. In the order of `faults`.
    ///
    /// # Errors
    /// When one cannot be played, or two of ours were believed in at once.
    pub async fn of(
        plane: &ControlPlane,
        faults: &[Fault],
        timings: [u32; 3],
        at_once: usize,
    ) -> Result<Vec<Comparison>> {
        let games = faults.iter().flat_map(|fault| [(*fault, Kind::Ours), (*fault, Kind::ClientGo)]);
        let played = stream::iter(games.map(|(fault, kind)| play(plane, fault, kind, timings))).buffered(at_once);
        let played: Vec<[Option<Duration>; 2]> = played.try_collect().await?;
        let both = faults.iter().zip(played.chunks(2));
        let compare = |(fault, both): (&Fault, &[[Option<Duration>; 2]])| {
            let [[file, check], [theirs, _]] = both else { return None };
            Some(Comparison { fault: *fault, largest: [*file, *check, *theirs] })
        };
        Ok(both.filter_map(compare).collect())
    }

    /// The heading of a table of these, in Markdown.
    pub const HEADING: &'static str =
        "| fault | ours, `test -f` | ours, `check` | client-go, `test -f` |\n|---|---|---|---|";
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told = |largest: Option<Duration>| match largest {
            Some(largest) => format!("{:.2} s", largest.as_secs_f64()),
            None => "0".to_owned(),
        };
        let [file, check, theirs] = self.largest.map(told);
        write!(f, "| {} | {file} | {check} | {theirs} |", self.fault)
    }
}

async fn play(plane: &ControlPlane, fault: Fault, kind: Kind, timings: [u32; 3]) -> Result<[Option<Duration>; 2]> {
    let setup = Setup { front: fault.needs_front(), ..Setup::of(kind, timings) };
    let arena = Arena::start(plane, "beside", &setup).await?;
    fault.play(&arena).await?;
    arena.judge(&fault.to_string(), fault.leaves_files())?;
    Ok([Look::File, Look::Check].map(|look| arena.verdict(look).largest()))
}
