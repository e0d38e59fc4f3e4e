#![doc = include_str!("../README.md")]
//!
//! # Where to look
//!
//! - [`driver`] runs an election, and [`publication`] is how a program takes part in it.
//! - [`connect`] finds the API server and its credentials, and [`identity`] the name of this candidate.
//! - [`observer`] tells a program what happens, and lets it ask to leave the Lease to others.
//! - [`status`] has the files of `elector-agent`, and [`clock`] the clocks by which a tenure ends.

#[cfg(not(target_os = "linux"))]
compile_error!("leader-elector is for Linux: its clocks, timers and locks are that kernel's");

pub mod clock;
pub mod connect;
pub mod driver;
pub mod identity;
mod lease_api;
pub mod observer;
mod problem;
pub mod publication;
mod publisher;
pub mod rate_limit;
pub mod status;
pub mod url;
mod watch;

pub use identity::nonce;
