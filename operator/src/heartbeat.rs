//! Whether a loop still turns, as another thread can see.

use std::time::Duration;

use leader_elector::{driver, status};
use tokio::sync::watch;
use tokio::time::Instant;

/// The longest that a loop rests: one that hangs can be told from one that has nothing to do.
pub const TURN: Duration = driver::TURN;

/// When a loop has last turned. A clone tells of the same loop.
#[derive(Debug, Clone)]
pub struct Heartbeat(watch::Sender<Instant>);

impl Heartbeat {
    /// Of a loop that begins now.
    #[must_use]
    pub fn new() -> Heartbeat {
        Heartbeat(watch::Sender::new(Instant::now()))
    }

    /// The loop has turned: said at least every [`TURN`].
    pub fn beat(&self) {
        self.0.send_replace(Instant::now());
    }

    /// Whether it hangs: three turns are overdue, as for an agent.
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
