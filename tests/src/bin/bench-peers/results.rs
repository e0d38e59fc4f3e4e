//! All that was measured, as it is kept.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::family::{Memory, kib};
use crate::requests::Requests;

/// One run.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Results {
    /// The day it began, UTC.
    pub(crate) date: String,
    /// How many minutes it took.
    pub(crate) minutes: f64,
    /// Where it ran.
    pub(crate) machine: Machine,
    /// Of the API server.
    pub(crate) kubernetes: String,
    /// The peer.
    pub(crate) client_go: Samples,
    /// Our agent.
    pub(crate) leader_elector: Samples,
}

/// What was measured of one contender.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Samples {
    /// Of the program, or of its library.
    pub(crate) version: String,
    /// From SIGTERM to the next status file, in seconds.
    pub(crate) sigterm_seconds: Vec<f64>,
    /// At how many of those the old leader's file was still there.
    pub(crate) overlaps: usize,
    /// From SIGKILL to the next status file, in seconds.
    pub(crate) sigkill_seconds: Vec<f64>,
    /// With three candidates and no faults.
    pub(crate) requests: Requests,
    /// Of each standby after a minute, in KiB.
    pub(crate) standby_memory: Vec<Memory>,
    /// Of the stripped program.
    pub(crate) binary_bytes: u64,
}

/// As little of it as says how fast it is.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Machine {
    /// Processors.
    pub(crate) cores: usize,
    /// Memory.
    pub(crate) gibibytes: f64,
    /// Processes that ran or wanted to, over a minute, each time something was measured: ours, and those of whoever
    /// else used the machine.
    pub(crate) load: Vec<f64>,
}

impl Machine {
    /// This one.
    pub(crate) fn this() -> Result<Machine> {
        let kibibytes = kib(&fs::read_to_string("/proc/meminfo")?, "MemTotal:").context("no MemTotal in meminfo")?;
        let mebibytes = u32::try_from(kibibytes / 1024)?;
        let cores = std::thread::available_parallelism()?.get();
        Ok(Machine { cores, gibibytes: f64::from(mebibytes) / 1024.0, load: Vec::new() })
    }

    /// Takes down how busy it is.
    pub(crate) fn note_load(&mut self) -> Result<()> {
        let load = fs::read_to_string("/proc/loadavg")?;
        self.load.push(load.split(' ').next().context("an empty loadavg")?.parse()?);
        Ok(())
    }
}

impl Results {
    /// Writes it down, with every sample.
    pub(crate) fn save(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)?;
        fs::write(path, text).with_context(|| format!("failed to write {}", path.display()))
    }
}

/// Smallest, median and largest of some samples.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spread {
    /// Smallest.
    pub(crate) min: f64,
    /// Half are below it, half above.
    pub(crate) median: f64,
    /// Largest.
    pub(crate) max: f64,
}

impl Spread {
    /// Of nothing there is none.
    pub(crate) fn of(samples: impl IntoIterator<Item = f64>) -> Option<Spread> {
        let mut sorted: Vec<f64> = samples.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let (low, high) = (sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]);
        Some(Spread { min, median: f64::midpoint(low, high), max })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_is_between_the_middle_two() {
        assert_eq!(Spread::of([3.0, 1.0, 2.0]), Some(Spread { min: 1.0, median: 2.0, max: 3.0 }));
        assert_eq!(Spread::of([4.0, 1.0, 2.0, 9.0]), Some(Spread { min: 1.0, median: 3.0, max: 9.0 }));
        assert_eq!(Spread::of([]), None);
    }
}
