//! What the network does to one agent, or to all.

use elector_tests::attack::{Flow, SHORT};
use tokio::time::sleep;

use crate::attack;

#[tokio::test]
async fn a_leader_whose_connection_freezes() {
    attack("frozen", SHORT, async |arena| {
        let leader = arena.settled_leader().await?;
        arena.members[leader].relay.set_both(Flow::Freeze);
        arena.leader_beside(leader).await?;
        sleep(arena.lease_duration()).await;
        arena.members[leader].relay.heal();
        sleep(arena.renew_deadline()).await;
        arena.leader().await.map(drop)
    })
    .await
    .unwrap();
}
