//! All that was measured, as it is kept.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use elector_harness::machine::Machine;
use serde::Serialize;

use crate::family::Memory;
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

impl Results {
    /// Writes it down, with every sample.
    pub(crate) fn save(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)?;
        fs::write(path, text).with_context(|| format!("failed to write {}", path.display()))
    }
}
