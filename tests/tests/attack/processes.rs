//! Processes that stop, and go on as if nothing had been.

use std::time::Duration;

use elector_tests::attack::{Part, SHORT};

use crate::attack;

#[tokio::test]
async fn the_electing_process_is_stopped_for_long() {
    attack("stopped", SHORT, async |arena| {
        let leader = arena.settled_leader().await?;
        arena.members[leader].stop_for(Part::Electing, arena.lease_duration() + Duration::from_secs(10)).await?;
        arena.settled_leader().await.map(drop)
    })
    .await
    .unwrap();
}
