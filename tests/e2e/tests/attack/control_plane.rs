//! What becomes of the API server and its store.

use anyhow::Result;
use elector_harness::attack::{Arena, SHORT, Setup};
use elector_harness::controlplane::{ControlPlane, Options};
use elector_harness::process::Process;
use tokio::time::sleep;

#[tokio::test]
async fn the_api_server_is_stopped_killed_and_restarted() {
    let plane = ControlPlane::start(Options::default()).await.unwrap();
    attack(&plane, "api-server", plane.api_server()).await.unwrap();
}

#[tokio::test]
async fn the_store_is_stopped_killed_and_restarted() {
    let plane = ControlPlane::start(Options::default()).await.unwrap();
    attack(&plane, "store", plane.etcd()).await.unwrap();
}

async fn attack(plane: &ControlPlane, name: &str, server: &Process) -> Result<()> {
    let arena = Arena::start(plane, name, &Setup::ours(SHORT)).await?;
    let long = arena.lease_duration() + arena.renew_deadline();
    arena.settled_leader().await?;
    server.pause()?;
    sleep(long).await;
    server.resume()?;
    arena.settled_leader().await?;

    server.kill();
    sleep(long).await;
    server.start()?;
    plane.ready().await?;
    arena.settled_leader().await?;

    // It is back sooner than anybody's time is over.
    server.kill();
    server.start()?;
    plane.ready().await?;
    arena.settled_leader().await?;
    arena.judge(name, false)
}
