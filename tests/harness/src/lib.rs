//! The harness: a real control plane, its pods and processes, and what every
//! test of the project needs around them.

pub mod acts;
pub mod attack;
pub mod calls;
pub mod candidate;
pub mod cluster;
pub mod controlplane;
pub mod figures;
pub mod hostile;
pub mod http;
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
pub mod prometheus;
pub mod release;
mod rights;
pub mod witness;
