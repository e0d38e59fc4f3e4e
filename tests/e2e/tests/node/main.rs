//! The agent in real pods, on a real node. Takes root.

mod billing;
mod chart;
mod deployment;
mod exec;
mod hung;
mod killed;
mod leftovers;
mod manifest;
mod memory;
mod outages;
mod probe;
mod processes;
mod rights;
mod stage;
mod traffic;
mod uninstall;
mod unready;
mod watched;
mod workloads;
