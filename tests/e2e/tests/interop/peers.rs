//! One Lease shared by our agent and a candidate in Go: the one goes, the other leads, and never both.

use std::time::{Duration, Instant};

use anyhow::Result;
use elector_harness::candidate::{AgentOptions, Candidate};
use elector_harness::controlplane::{ControlPlane, Namespace};
use elector_harness::peer::Peer;
use elector_harness::witness::Witness;
use tokio::time::sleep;

const ELECTION: &str = "shared";
const TIMINGS: [u32; 3] = [5, 3, 1];

async fn namespace(prefix: &str) -> Result<Namespace<'static>> {
    let namespace = ControlPlane::shared().await?.namespace(prefix).await?;
    namespace.allow_leases(&["create", "get", "list", "watch", "update"]).await?;
    Ok(namespace)
}

async fn client_go(namespace: &Namespace<'_>, timings: [u32; 3]) -> Result<Candidate> {
    Peer::client_go().await?.start(namespace, ELECTION, "client-go", timings).await
}

async fn ours(namespace: &Namespace<'_>) -> Result<Candidate> {
    let options = AgentOptions::default().with_timings(TIMINGS);
    Candidate::start(namespace, ELECTION, "ours", &options).await
}

fn witness(candidates: [&Candidate; 2]) -> Witness {
    let files = candidates.map(|candidate| (candidate.name().to_owned(), candidate.status_file()));
    Witness::new(files.to_vec(), |_, _| {})
}

/// Waits until `candidate` leads, for `patience` at most. When that was, as a time since `since`.
async fn leads(candidate: &Candidate, since: Instant, patience: Duration) -> Duration {
    while !candidate.leads() {
        assert!(since.elapsed() < patience, "{} does not lead\n{}", candidate.name(), candidate.log());
        sleep(Duration::from_millis(1)).await;
    }
    since.elapsed()
}

/// Long enough for a standby to have seen who leads, which it must have to believe client-go's release.
async fn looked_around() {
    sleep(Duration::from_secs(3)).await;
}

#[tokio::test]
async fn ours_takes_at_once_what_client_go_releases() {
    taken_at_once_from(Peer::client_go().await.unwrap(), "from-client-go").await.unwrap();
}

#[tokio::test]
async fn ours_takes_at_once_what_controller_runtime_releases() {
    taken_at_once_from(Peer::controller_runtime().await.unwrap(), "from-manager").await.unwrap();
}

async fn taken_at_once_from(peer: Peer, prefix: &str) -> Result<()> {
    let namespace = namespace(prefix).await?;
    let peer = peer.start(&namespace, ELECTION, "theirs", TIMINGS).await?;
    leads(&peer, Instant::now(), Duration::from_secs(20)).await;
    let ours = ours(&namespace).await?;
    let witness = witness([&peer, &ours]);
    looked_around().await;
    assert!(peer.leads() && !ours.leads());

    let told = Instant::now();
    peer.process().stop().await?;
    leads(&ours, told, Duration::from_secs(1)).await;

    looked_around().await;
    assert!(ours.leads() && !peer.leads());
    assert_eq!(witness.overlaps(), []);
    Ok(())
}

#[tokio::test]
async fn client_go_takes_at_its_next_look_what_ours_releases() {
    takes_at_its_next_look(Peer::client_go().await.unwrap(), "to-client-go").await.unwrap();
}

#[tokio::test]
async fn controller_runtime_takes_at_its_next_look_what_ours_releases() {
    takes_at_its_next_look(Peer::controller_runtime().await.unwrap(), "to-manager").await.unwrap();
}

async fn takes_at_its_next_look(peer: Peer, prefix: &str) -> Result<()> {
    let namespace = namespace(prefix).await?;
    let ours = ours(&namespace).await?;
    // There is no Lease, so it waits out any that there may have been.
    leads(&ours, Instant::now(), Duration::from_secs(20)).await;
    let peer = peer.start(&namespace, ELECTION, "theirs", TIMINGS).await?;
    let witness = witness([&peer, &ours]);
    looked_around().await;
    assert!(ours.leads() && !peer.leads());

    let told = Instant::now();
    ours.process().stop().await?;
    // Without a release it would be the lease duration after the last renewal, at least 4 s.
    leads(&peer, told, Duration::from_millis(3500)).await;

    // Back again, ours is a standby as any other, and the next in turn.
    ours.process().start()?;
    looked_around().await;
    assert!(peer.leads() && !ours.leads());
    let told = Instant::now();
    peer.process().stop().await?;
    leads(&ours, told, Duration::from_secs(1)).await;
    assert_eq!(witness.overlaps(), []);
    Ok(())
}

#[tokio::test]
async fn ours_takes_from_a_dead_client_go_only_after_the_records_duration() {
    let namespace = namespace("dead-peer").await.unwrap();
    // Longer than our own 5 s: what the record says is what counts.
    let peer = client_go(&namespace, [8, 5, 1]).await.unwrap();
    leads(&peer, Instant::now(), Duration::from_secs(20)).await;
    let ours = ours(&namespace).await.unwrap();
    let witness = witness([&peer, &ours]);
    looked_around().await;
    assert!(peer.leads() && !ours.leads());

    peer.process().kill();
    let killed = Instant::now();
    witness.set_dead(0, true);
    let took = leads(&ours, killed, Duration::from_secs(9)).await;
    // The last renewal was at most a retry period ago, and what it cost to send.
    assert!(took > Duration::from_millis(6500), "{took:?}");
    assert!(took < Duration::from_millis(8500), "{took:?}");
    assert_eq!(witness.overlaps(), []);
}

#[tokio::test]
async fn client_go_takes_from_a_dead_agent_only_after_the_lease_duration() {
    let namespace = namespace("dead-agent").await.unwrap();
    let ours = ours(&namespace).await.unwrap();
    leads(&ours, Instant::now(), Duration::from_secs(20)).await;
    let peer = client_go(&namespace, TIMINGS).await.unwrap();
    let witness = witness([&peer, &ours]);
    looked_around().await;
    assert!(ours.leads() && !peer.leads());

    ours.process().kill();
    let killed = Instant::now();
    witness.set_dead(1, true);
    // Its last look at the record was up to 2.2 s ago, and so is its next.
    let took = leads(&peer, killed, Duration::from_secs(10)).await;
    assert!(took > Duration::from_millis(3500), "{took:?}");
    assert_eq!(witness.overlaps(), []);
}
