//! The operator on a real API server, with the rights that it needs and no others.
//!
//! One program, so that all tests that can share one control plane and one operator; what takes longest is named to come
//! first.

mod a_quiet_minute;
mod absence;
mod adoption;
mod applied;
mod candidates;
mod dead;
mod expiry;
mod failures;
mod garbage;
mod hostile;
mod process;
mod prometheus;
mod ratcheting;
mod released;
mod restored;
mod steered;
mod texts;
mod traffic;
