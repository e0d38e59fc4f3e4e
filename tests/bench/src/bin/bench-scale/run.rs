//! The run itself: for each number of elections a control plane of its own.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Result;
use elector_crds::TIMINGS_ANNOTATION;
use elector_crds::annotations::TimingsAnnotation;
use elector_election::Timings;
use elector_harness::controlplane::{ControlPlane, Options};
use elector_harness::machine::Machine;
use elector_harness::operators::{OPERATOR, Operator, Operators};
use elector_harness::peer::Peer;
use elector_xtask::programs::Programs;
use jiff::Timestamp;
use serde_json::json;

use crate::crowd::Crowd;
use crate::holders::Holders;
use crate::results::{Results, Step, Strangers};
use crate::{cold, rest, sidecars};

/// How much is measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    /// One step each.
    pub(crate) elections: Vec<u32>,
    /// How long requests are counted.
    pub(crate) rest_seconds: u32,
    /// After which an operator is at rest: more than a round of renewals.
    pub(crate) settling: Duration,
}

/// What is measured.
#[derive(Debug)]
pub(crate) struct Subjects {
    operator: PathBuf,
    agent: PathBuf,
    /// Without one, sidecars are not measured.
    peer: Option<Peer>,
}

impl Plan {
    /// What the page is made from.
    pub(crate) fn full() -> Plan {
        Plan { elections: vec![100, 500, 1_000, 2_000], rest_seconds: 60, settling: Duration::from_secs(15) }
    }
}

impl Subjects {
    /// As they are shipped.
    pub(crate) async fn shipped() -> Result<Subjects> {
        let [agent, operator, _] = Programs::shipped().await?;
        Ok(Subjects { operator, agent, peer: Some(Peer::client_go().await?) })
    }
}

/// Measures everything.
pub(crate) async fn run(plan: &Plan, subjects: &Subjects) -> Result<Results> {
    let begun = Instant::now();
    let mut results = Results {
        date: Timestamp::now().strftime("%Y-%m-%d").to_string(),
        machine: Machine::this()?,
        ..Results::default()
    };
    if let Some(peer) = &subjects.peer {
        eprintln!("sidecars");
        let plane = ControlPlane::start(Options::default()).await?;
        results.sidecars = sidecars::measure(&plane, &subjects.agent, peer, plan.rest_seconds).await?;
        results.machine.note_load()?;
    }
    for &elections in &plan.elections {
        let plane = ControlPlane::start(Options::default()).await?;
        results.kubernetes = plane.client().await?.apiserver_version().await?.git_version;
        let (step, strangers) = step(&plane, subjects, elections, plan).await?;
        eprintln!("{step:#?}\n{strangers:?}");
        results.steps.push(step);
        results.strangers = strangers;
        results.machine.note_load()?;
    }
    results.minutes = begun.elapsed().as_secs_f64() / 60.0;
    Ok(results)
}

async fn step(plane: &ControlPlane, subjects: &Subjects, elections: u32, plan: &Plan) -> Result<(Step, Strangers)> {
    let operators = Operators::install(plane).await?;
    let operator = operator(&operators, subjects).await?;
    eprintln!("{elections} elections");
    let crowd = Crowd::gather(plane, "shop", elections, true).await?;
    let cold = cold::reconcile(&operators, &operator, &crowd).await?;
    let plain = cold::plain(plane, &operators, &crowd, cold::AS_THE_OPERATOR).await?;
    let plain_by_many = cold::plain(plane, &operators, &crowd, cold::MANY_WRITERS).await?;
    let holders = Holders::of(&crowd)?;
    let rest = rest::watch(plane, &operators, &operator, &crowd, &holders, plan);
    let rest = holders.meanwhile(rest).await?;
    let strangers = holders.meanwhile(rest::beside_strangers(plane, &operator, &crowd, plan)).await?;
    operator.process().stop().await?;
    Ok((Step { elections, cold, plain, plain_by_many, rest }, strangers))
}

/// With the arguments that the chart gives by default.
async fn operator(operators: &Operators<'_>, subjects: &Subjects) -> Result<Operator> {
    let namespace = operators.namespace();
    let timings = Timings::new(15, 10, 2, 0)?;
    let annotation = TimingsAnnotation { timings: Some(timings), never_held: true, ..TimingsAnnotation::default() };
    let annotations = json!({"annotations": {TIMINGS_ANNOTATION: annotation.to_json()}});
    namespace.edit_lease(OPERATOR, json!({"metadata": annotations})).await?;
    let arguments = vec!["--health-address=127.0.0.1:0".to_owned(), format!("--lease-namespace={}", namespace.name())];
    operators.replica_of("measured", subjects.operator.clone(), arguments)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::sum;

    #[tokio::test]
    async fn at_rest_an_operator_writes_nothing_of_elections() {
        let programs = Programs::built().await.unwrap();
        let subjects = Subjects { operator: programs.operator.clone(), agent: programs.agent.clone(), peer: None };
        let plan = Plan { elections: vec![5], rest_seconds: 7, settling: Duration::from_secs(1) };
        let results = run(&plan, &subjects).await.unwrap();
        let Step { cold, plain, plain_by_many, rest, .. } = &results.steps[0];
        assert_eq!((sum(&cold.writes), plain.writes, plain_by_many.writes), (30, 30, 30), "{cold:?}");
        assert!(cold.seconds > 0.0 && plain.seconds > 0.0 && rest.kibibytes > 1024, "{results:?}");
        assert!((4..=6).contains(&rest.renewals), "{rest:?}");
        assert_eq!(sum(&rest.writes), 0, "{rest:?}");
    }
}
