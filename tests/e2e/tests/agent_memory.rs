//! What an agent takes of its pod's memory: the program as it is shipped.
//!
//! Alone in its binary: it builds that program first, which takes all processors for minutes.

use std::time::Duration;

use elector_harness::candidate::{AgentOptions, Candidate};
use elector_harness::controlplane::ControlPlane;
use elector_harness::http::get;
use elector_harness::leases::short_timings;
use elector_xtask::programs::Programs;
use elector_xtask::scratch::Scratch;
use tokio::time::sleep;

const START: Duration = Duration::from_secs(5);
/// What a standby may take with all that there is beside the election, in KiB.
const MOST: u64 = 9 * 1024;

/// As `cargo bench-peers` measures it with nothing beside.
#[tokio::test]
async fn a_standby_with_all_of_it_in_takes_no_more_than_nine_mebibytes() {
    let program = Some(Programs::static_agent().await.unwrap());
    let namespace = ControlPlane::shared().await.unwrap().namespace("memory").await.unwrap();
    namespace.allow_leases(&["get", "list", "watch", "update"]).await.unwrap();
    namespace.create_lease("a", short_timings()).await.unwrap();
    let folder = Scratch::new().unwrap();
    let well = folder.path().join("well");
    std::fs::write(&well, "").unwrap();
    let environment = [
        ("HTTP_ADDRESS", "127.0.0.1:0"),
        ("OBSERVE_ADDRESS", "127.0.0.1:0"),
        ("HEALTH_FILE", well.to_str().unwrap()),
        ("ON_ACQUIRED", "/bin/true"),
        ("ON_LOST", "/bin/true"),
    ];
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let options = AgentOptions { program, environment, ..AgentOptions::default() };
    let leader = Candidate::start(&namespace, "a", "a-0", &options).await.unwrap();
    leader.leads_within(START).await.unwrap();
    let standby = Candidate::start(&namespace, "a", "a-1", &options).await.unwrap();
    standby.says_within("observed holder", START).await.unwrap();
    standby.says_within("contending again", START).await.unwrap();

    let app = standby.address("HTTP_ADDRESS").await.unwrap();
    let observe = standby.address("OBSERVE_ADDRESS").await.unwrap();
    let before = standby.resident().unwrap();
    let mut seen = Vec::new();
    // Some renewals, each of which it sees, and some looks whether the app is well.
    for _ in 0..40 {
        for (address, path) in [(app, "/"), (app, "/isLeader"), (observe, "/metrics"), (observe, "/readyz")] {
            get(address, path).await.unwrap();
        }
        seen.push(standby.resident().unwrap());
        sleep(Duration::from_millis(250)).await;
    }
    let most = *seen.iter().max().unwrap();
    println!("a standby with all of it in: {before} KiB, and up to {most} KiB while it is asked");
    assert!(most <= MOST, "{seen:?}");
    assert!(leader.leads() && !standby.leads());
}
