//! The real agents at a real API server under attack, with somebody who looks every millisecond who leads: never two.
//! What is done to the files of a single agent is in `volume`.
//!
//! They mostly wait, so as many run at once as there are test threads. `-- --nocapture` shows what was seen.

mod answers;
mod beside_client_go;
mod control_plane;
mod crowds;
mod default_timings;
mod edits;
mod files;
mod network;
mod processes;
mod recorded;
mod volume;

use anyhow::Result;
use elector_harness::attack::{Arena, Fault, Setup};
use elector_harness::controlplane::ControlPlane;
use futures::future::try_join_all;

/// Tests of a fault each, or of several faults at once, each of which has an election of its own.
macro_rules! faults {
    ($timings:expr; $($name:ident: [$($fault:expr),+ $(,)?];)*) => {
        $(#[tokio::test] async fn $name() { crate::play(&[$($fault),+], $timings).await.unwrap(); })*
    };
}
use faults;

/// Three agents for each fault, each behind a relay of its own.
async fn play(faults: &[Fault], timings: [u32; 3]) -> Result<()> {
    try_join_all(faults.iter().map(|fault| play_one(*fault, Setup::ours(timings)))).await.map(drop)
}

async fn play_one(fault: Fault, setup: Setup) -> Result<()> {
    let name = fault.to_string();
    let setup = Setup { front: fault.needs_front(), ..setup };
    let arena = Arena::start(ControlPlane::shared().await?, &name, &setup).await?;
    fault.play(&arena).await?;
    arena.judge(&name, fault.leaves_files())
}
