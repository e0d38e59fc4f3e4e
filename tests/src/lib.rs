//! The harness: a real control plane, its pods and processes, and what every
//! test of the project needs around them.

pub mod acts;
pub mod attack;
pub mod calls;
pub mod candidate;
pub mod cluster;
mod command;
pub mod controlplane;
pub mod figures;
pub mod gobuild;
pub mod helm;
pub mod hostile;
pub mod http;
pub mod images;
pub mod kubectl;
pub mod leases;
pub mod machine;
pub mod node;
pub mod odd_objects;
pub mod operators;
pub mod packages;
pub mod page;
pub mod peer;
pub mod policies;
pub mod process;
pub mod programs;
pub mod prometheus;
mod rights;
pub mod scratch;
pub mod simulated;
pub mod supply_chain;
pub mod witness;
