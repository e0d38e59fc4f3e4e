//! The agent in real pods, on a real node. Takes root.

mod chart;
mod deployment;
mod exec;
mod killed;
mod leftovers;
mod manifest;
mod probe;
mod rights;
mod stage;
