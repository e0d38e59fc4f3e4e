//! Candidates that others wrote, on one Lease with our agent: who is told to stop is followed by the other, and never two lead.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use elector_harness::candidate::{AgentOptions, Candidate};
use elector_harness::controlplane::{ControlPlane, Namespace};
use elector_harness::witness::Witness;
use tokio::time::sleep;

use super::belief::{Believer, of_file, overlaps};

/// All have the same timings.
pub(crate) const TIMINGS: [u32; 3] = [5, 3, 1];
/// Until a program runs, and leads on a Lease that is free or runs out.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);
/// A lease duration after the last renewal, and some time for a machine that is busy.
pub(crate) const EXPIRED: Duration = Duration::from_millis(6500);
/// Two retry periods and what a library adds at random and looks at itself, 3.2 s at most; and a request of a JVM that waits for
/// a processor may have had its timeout of 3 s meanwhile, twice.
const NEXT_LOOK: Duration = Duration::from_secs(10);

/// One in a pod of its own, with that pod's token, and its name as its identity.
pub(crate) async fn start(library: &str, namespace: &Namespace<'_>, election: &str, pod: &str) -> Result<Believer> {
    let object = namespace.create_pod(pod, "default", &[("leader-elector.io/election", election)]).await?;
    let kubeconfig = namespace.pod_kubeconfig_at(&object, None).await?;
    let environment = [
        ("LEASE_NAME", election.to_owned()),
        ("NAMESPACE", namespace.name().to_owned()),
        ("KUBECONFIG", kubeconfig.display().to_string()),
        ("IDENTITY", pod.to_owned()),
    ];
    Believer::start(library, pod, &environment).await
}

/// It leads first, then ours, then it, then ours.
async fn takes_turns(library: &str) -> Result<()> {
    let namespace = ControlPlane::shared().await?.namespace(library).await?;
    namespace.allow_leases(&["create", "get", "list", "watch", "update", "patch"]).await?;
    let begun = Instant::now();
    let theirs = start(library, &namespace, "shared", "theirs").await?;
    theirs.until(true, PATIENCE).await?;
    let options = AgentOptions::default().with_timings(TIMINGS);
    let ours = Candidate::start(&namespace, "shared", "ours", &options).await?;
    let witness = Witness::new(vec![("ours".to_owned(), ours.status_file())], |_, _| {});
    for round in 0..2 {
        ours.says_within("observed holder", PATIENCE).await?;
        // It renews twice, and a standby has seen it do so.
        sleep(Duration::from_secs(2)).await;
        theirs.process().stop().await?;
        let took = ours.leads_within(EXPIRED).await.with_context(|| theirs.log())?;
        println!("{library}: ours leads {took:?} after it was told to stop");
        if round == 1 {
            break;
        }
        theirs.process().start()?;
        // It has looked at the Lease by then, and does so again.
        sleep(Duration::from_secs(5)).await;
        ensure!(ours.leads(), "{}\n{}", ours.log(), theirs.log());
        let told = Instant::now();
        ours.process().stop().await?;
        theirs.until(true, NEXT_LOOK).await?;
        println!("{library}: it leads {:?} after ours was told to stop", told.elapsed());
        ours.process().start()?;
    }
    let both = overlaps(&theirs.beliefs(), &of_file(0, &witness.sightings(begun)));
    ensure!(both.is_empty(), "{library}: {both:?}\n{}\n{}", theirs.log(), ours.log());
    Ok(())
}

/// It gives a Lease up by a patch from which the null is left out: the Lease still names it, for a second.
#[tokio::test]
async fn fabric8_and_ours_take_turns() {
    takes_turns("fabric8").await.unwrap();
}

/// A Lease that it gives up has no holder and no times, but its whole duration.
#[tokio::test]
async fn the_official_java_client_and_ours_take_turns() {
    takes_turns("client-java").await.unwrap();
}

/// It gives no Lease up.
#[tokio::test]
async fn the_official_python_client_and_ours_take_turns() {
    takes_turns("client-python").await.unwrap();
}
