//! What the agent, the operator and the plugin of kubectl share as programs.

pub mod failure;
pub mod logging;
pub mod server;
pub mod timings;
pub mod usage;
