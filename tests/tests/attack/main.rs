//! The real agents at a real API server under attack, with somebody who looks every millisecond who leads: never two.

mod network;
mod processes;

use anyhow::Result;
use elector_tests::attack::{Arena, Setup};
use elector_tests::controlplane::ControlPlane;

/// Plays an attack on three agents, each with an API server behind a relay of its own.
async fn attack(name: &str, timings: [u32; 3], attack: impl AsyncFn(&Arena<'_>) -> Result<()>) -> Result<()> {
    let arena = Arena::start(ControlPlane::shared().await?, name, &Setup::ours(timings)).await?;
    attack(&arena).await?;
    arena.judge(name, false)
}
