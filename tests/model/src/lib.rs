//! Every state that a small world of elections can reach: two or three agents, one Lease, time in ticks.
//!
//! The agents are the [`Election`](elector_election::Election) that ships. What surrounds it (store, network, clocks, people) is
//! as bad as its [`Bounds`] allow: one history may hold so many [`Fault`]s, and each fault lasts as long as it suits the worst.
//!
//! ```text
//!   Bounds ──► World ──► steps ──► World …      what can happen next, and what a step breaks
//!                │
//!                ▼
//!           fingerprint                         times relative to now, versions and names by rank
//!                │
//!                ▼
//!             search ──► Report                 every state once, by the least number of faults that leads to it
//! ```
//!
//! Histories have no end: an age beyond the longest wait is like any other, so the states are finitely many without a horizon.

mod agent;
mod bounds;
mod explored;
mod faults;
mod fingerprint;
mod landmarks;
mod oracle;
mod search;
mod step;
mod store;
mod world;
mod worlds;

pub use bounds::{Beginning, Bounds};
pub use explored::{explore, world};
pub use landmarks::{Landmark, Landmarks};
pub use oracle::Violation;
pub use search::{Counterexample, Report, search};
pub use step::{Fault, FaultKind, Forgery, Step};
pub use world::World;
