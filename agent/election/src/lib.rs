#![doc = include_str!("../README.md")]
//!
//! # How an election is driven
//!
//! The caller of an [`Election`], its *driver*, feeds it what happens, with the time at which that was seen, and carries out what
//! the election asks for:
//!
//! ```text
//!   handle_watch ──────►┌──────────┐──► poll_action    publish, extend, retract …: first, to the end
//!   handle_answer ─────►│ Election │──► poll_request   at most one under way
//!   handle_timeout ────►│          │──► poll_timeout   when to look again
//!   handle_reluctance ─►│          │
//!   handle_stop ───────►└──────────┘
//! ```
//!
//! A tenure begins only by an update of a version that was seen. An election creates a missing Lease, but as held by
//! [`UNKNOWN_HOLDER`]: a creation cannot say which absence it ends, and a Lease that came and went unseen may have had a holder.
//!
//! The letters in comments (L1, F3, R1 …) name the rules in SAFETY.md.

#![warn(clippy::wildcard_enum_match_arm)]

mod attempt;
mod election;
mod lease;
mod protocol;
mod recorder;
mod time;
mod timings;
mod view;

pub use attempt::Predecessor;
pub use election::Election;
pub use lease::{
    AgentMark, Hints, Lease, MAX_TRANSITIONS, Record, ReleaseMark, ResourceVersion, UNKNOWN_HOLDER, Write,
    effective_duration_seconds,
};
pub use protocol::{Action, Answer, Candidate, Loss, Request, State, Tenure, Vacancy, WatchEvent};
pub use recorder::{Call, Input, Recorder, Recording};
pub use time::{Moment, Now, Timestamp, Validity};
pub use timings::{Field, InvalidTimings, MAX_LEASE_DURATION_SECONDS, Timings};
