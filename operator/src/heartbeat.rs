//! Heartbeats: whether a loop still turns, as another thread can see.

use std::time::Duration;

use leader_elector::{driver, status};
use tokio::sync::watch;
use tokio::time::Instant;

/// The longest rest of a loop: a loop that hangs can be told from one that has nothing to do.
pub const TURN: Duration = driver::TURN;

/// The time at which a loop last turned. A clone belongs to the same loop.
#[derive(Debug, Clone)]
pub struct Heartbeat(watch::Sender<Instant>);

impl Heartbeat {
    /// The heartbeat of a loop that begins now.
    #[must_use]
    pub fn new() -> Heartbeat {
        Heartbeat(watch::Sender::new(Instant::now()))
    }

    /// Notes that the loop has turned, which it does at least every [`TURN`].
    pub fn beat(&self) {
        self.0.send_replace(Instant::now());
    }

    /// Whether the loop hangs: three turns are overdue, as for an agent.
    #[must_use]
    pub fn is_late(&self) -> bool {
        self.0.borrow().elapsed() > status::PULSE
    }
}

impl Default for Heartbeat {
    fn default() -> Heartbeat {
        Heartbeat::new()
    }
}
