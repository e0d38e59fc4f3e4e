//! Alerts and dashboard: by Prometheus' own judge, on what the programs really expose.

mod alerts;
mod exposed;

use std::fs;

use anyhow::Result;
use elector_xtask::helm::chart;
use serde_json::Value;

/// A file of the chart, as it is.
fn file(name: &str) -> Result<String> {
    Ok(fs::read_to_string(chart().join("files").join(name))?)
}

/// Nothing, if it is no list.
fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}
