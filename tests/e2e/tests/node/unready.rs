//! An app that crashes beside a healthy agent, whenever it acts.

use std::time::Instant;

use elector_harness::operators::short_timings;
use kube::ResourceExt as _;
use serde_json::json;

use crate::billing::{Billing, Setup};
use crate::manifest::App;

#[tokio::test]
async fn a_leader_whose_app_crashes_hands_over_to_a_pod_that_is_ready() {
    let mut timings = short_timings();
    timings["unreadyLeaderSeconds"] = json!(5);
    let billing = Billing::deployed_with("crashing", Setup { timings, ..Setup::of(App::Injected) }).await.unwrap();
    let leader = billing.leader().await.unwrap();
    billing.until_acting(&leader).await.unwrap();
    let begun = Instant::now();
    billing.crash_app(&leader).unwrap();
    let next = billing.next_leader(&leader).await.unwrap();
    println!("handed over {:?} after the first crash", begun.elapsed());
    billing.until_acting(&next).await.unwrap();
    // Its agent has never crashed, and its app runs again once it does not lead.
    assert_eq!(billing.restarts(&leader).await.unwrap(), 0);
    billing.until("it is ready again", async || Ok(billing.ready().await?.contains(&leader.name_any()))).await.unwrap();
    billing.until_there().await.unwrap();
    billing.end().await.unwrap();
}
