//! The election itself: a state machine that contends for one Lease, without any IO.
//!
//! [`Election`] is both standby and leader. Its caller (the *driver*) feeds it what happens, with the time at which it was
//! seen, and carries out what it asks for:
//!
//! ```text
//!   handle_watch ──────►┌──────────┐──► poll_action    publish, extend, retract …: first, to the end
//!   handle_answer ─────►│ Election │──► poll_request   at most one under way
//!   handle_timeout ────►│          │──► poll_timeout   when to look again
//!   handle_reluctance ─►│          │
//!   handle_stop ───────►└──────────┘
//! ```
//!
//! # What is guaranteed
//! If the driver reads the clocks right before each call, retracts when asked, and clocks run at rates within 1 ± 1/12,
//! then between the [`Validity`] of one tenure and the next tenure of any candidate that obeys the same rules there is
//! always at least the time that [`Timings`] reserves for readers and for retraction.
//! A tenure begins only by an update of a version that was seen. A missing Lease is created in the name of an unknown
//! holder: a creation cannot say which absence it ends, and a Lease that came and went unseen may have had a holder.
//!
//! The letters in comments (L1, F3, R1 …) name the rules in SAFETY.md.
//!
//! # What is not guaranteed
//! Candidates that follow other rules, as client-go's do, are only as safe as those rules make them.

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
