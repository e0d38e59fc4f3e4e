//! Contends for one Lease and says, by files or in any other way, whether this process leads.
//!
//! [`driver::run`] drives the state machine of [`elector_election`] on a real API server; what leadership means is up to a
//! [`publication::Publication`], of which [`status::StatusFiles`] is the agent's.

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
