//! What the real driver says to the election and hears from it, under attack, is what the simulation would: see
//! `elector_simulation::replay`.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use elector_harness::attack::{Arena, Direction, Edit, Fault, Flow, Manners, SHORT, Setup};
use elector_harness::candidate::AgentOptions;
use elector_harness::controlplane::ControlPlane;
use futures::future::try_join_all;

const FAULTS: [Fault; 7] = [
    Fault::Network(Flow::Freeze),
    Fault::OneWay(Direction::ToAgent, Flow::Drop),
    Fault::OneWay(Direction::ToServer, Flow::Hold),
    Fault::Flapping,
    Fault::Answers(Manners::DoesAndSays(504)),
    Fault::Answers(Manners::SilencesWatches),
    Fault::Edit(Edit::Recreate),
];

/// Plays again all that its three agents did. How many tenures they had.
async fn play(fault: Fault) -> Result<usize> {
    let program = env!("CARGO_BIN_EXE_recorded-agent").into();
    let options = AgentOptions { program: Some(program), ..AgentOptions::default() };
    let setup = Setup { options, front: fault.needs_front(), ..Setup::ours(SHORT) };
    let name = format!("recorded-{fault}");
    let arena = Arena::start(ControlPlane::shared().await?, &name, &setup).await?;
    fault.play(&arena).await?;
    let (mut requests, mut tenures) = (0, 0);
    for member in &arena.members {
        member.candidate.process().terminate()?;
        member.candidate.ends_within(Duration::from_secs(10)).await?;
        let said = member.candidate.said("replayed ").pop().context("nothing was replayed")?;
        println!("{fault}, {}: {said}", member.candidate.name());
        requests += number_before(&said, " requests")?;
        tenures += number_before(&said, " tenures")?;
    }
    ensure!(requests > 10 && tenures > 0, "{fault}: {requests} requests, {tenures} tenures");
    arena.judge(&name, false)?;
    Ok(tenures)
}

fn number_before(line: &str, word: &str) -> Result<usize> {
    let before = line.split_once(word).and_then(|(before, _)| before.rsplit(' ').next());
    Ok(before.context("a count")?.parse()?)
}

#[tokio::test]
async fn the_real_driver_does_what_is_simulated() {
    let tenures: usize = try_join_all(FAULTS.map(play)).await.unwrap().into_iter().sum();
    assert!(tenures > 10, "{tenures} tenures");
}
