//! What the README and `docs` say and show is what the programs do.

mod examples;
mod exit_codes;
mod faults;
mod manifests;
mod page;
mod service;
mod tables;
mod text;
mod workflows;
