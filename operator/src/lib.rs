//! Reconciles each `LeaderElection` into its Lease, its Role and RoleBinding, and a status that says which candidate
//! leads.
//!
//! ```text
//!   watches ──► index::Index   ──► plan::plan ──► apply ──► API server
//!   (IO)        (synchronous)      (pure)         (IO)          │
//!                    ▲                                          │
//!                    └────────── answers, as if watched ◄───────┘
//! ```
//!
//! [`controller::run`] is the one loop around it. The operator is never on the path of leadership: with it gone, elections
//! go on. All its replicas watch, so that a standby knows as much as the active one; only the active one writes.

pub mod apply;
pub mod controller;
pub mod events;
pub mod features;
pub mod health;
pub mod heartbeat;
pub mod index;
pub mod key;
pub mod leadership;
pub mod metrics;
pub mod places;
pub mod plan;
pub mod queue;
pub mod reconciler;
pub mod settings;
pub mod watches;
mod work;
