//! The agent in real pods, on a real node. Takes root.

mod deployment;
mod leftovers;
mod stage;
