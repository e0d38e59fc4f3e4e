//! Many candidates, many handovers, and candidates of one name.

use anyhow::Result;
use elector_harness::attack::{Arena, Fault, Flow, Part, SHORT, Setup, Span};
use elector_harness::candidate::AgentOptions;
use elector_harness::controlplane::ControlPlane;

use crate::play_one;

#[tokio::test]
async fn a_hundred_candidates_at_once() {
    hundred().await.unwrap();
}

async fn hundred() -> Result<()> {
    let setup = Setup { candidates: 100, ..Setup::ours(SHORT) };
    let arena = Arena::start(ControlPlane::shared().await?, "hundred", &setup).await?;
    for fault in [Fault::Terminate, Fault::Kill(Part::Supervisor), Fault::Network(Flow::Hold)] {
        fault.play(&arena).await?;
    }
    arena.judge("a hundred candidates", false)
}

#[tokio::test]
async fn two_hundred_handovers_in_a_row() {
    handovers().await.unwrap();
}

async fn handovers() -> Result<()> {
    let arena = Arena::start(ControlPlane::shared().await?, "handovers", &Setup::ours(SHORT)).await?;
    let mut leader = arena.leader().await?;
    for _ in 0..200 {
        let process = arena.members[leader].candidate.process();
        process.terminate()?;
        let next = arena.leader_beside(leader).await?;
        process.ended().await?;
        process.start()?;
        leader = next;
    }
    arena.judge("200 handovers", false)
}

/// Two pods of one name, as of hosts of one name under hostNetwork.
#[tokio::test]
async fn candidates_of_one_name() {
    let environment = vec![("IDENTITY".to_owned(), "one-name".to_owned())];
    let options = AgentOptions { environment, ..AgentOptions::default() };
    for fault in [Fault::Network(Flow::Hold), Fault::Stop(Part::Electing, Span::Lease)] {
        play_one(fault, Setup { options: options.clone(), ..Setup::ours(SHORT) }).await.unwrap();
    }
}
