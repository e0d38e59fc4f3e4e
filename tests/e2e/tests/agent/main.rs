//! The agent on a real API server, without an operator.

mod api;
mod app;
mod exec;
mod input;
mod lease;
mod rights;
mod takeover;
