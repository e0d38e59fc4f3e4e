//! Programs that others wrote for such electors, as their registries have them, beside real agents on a real API server.
//!
//! Each is a folder here: a small source, and the manifest that names its packages.

mod belief;
mod candidates;
mod listeners;
mod new_leases;
mod uncounted;
