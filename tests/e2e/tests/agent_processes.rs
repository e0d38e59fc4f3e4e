//! What becomes of the file, and of the agent, when one of its two processes dies or stops: on a real API server.
//!
//! Alone in their binary: a tenth of a second is measured, which the other tests of agents would take from them.

use std::time::Duration;

use anyhow::Result;
use elector_harness::candidate::{AgentOptions, Candidate};
use elector_harness::controlplane::{ControlPlane, Namespace};
use elector_harness::leases::short_timings;
use elector_xtask::programs::Programs;
use leader_elector::clock;
use rustix::process::{Signal, kill_process, test_kill_process};
use tokio::time::{Instant, sleep};

const RIGHTS: &[&str] = &["get", "list", "watch", "update"];
const START: Duration = Duration::from_secs(5);
/// What `test -f` may be wrong for.
const AT_MOST: Duration = Duration::from_millis(100);

async fn namespace(name: &str) -> Result<Namespace<'static>> {
    let namespace = ControlPlane::shared().await?.namespace(name).await?;
    namespace.allow_leases(RIGHTS).await?;
    namespace.create_lease("a", short_timings()).await?;
    Ok(namespace)
}

async fn leader(namespace: &Namespace<'_>) -> Result<Candidate> {
    let leader = Candidate::start(namespace, "a", "a-0", &AgentOptions::default()).await?;
    leader.leads_within(START).await?;
    Ok(leader)
}

fn boottime() -> Duration {
    clock::now().expect("Linux has these clocks").moment.boottime
}

/// Rule P1.
#[tokio::test]
async fn the_file_of_a_killed_process_goes_and_the_agent_leads_again_at_once() {
    let namespace = namespace("killed").await.unwrap();
    let leader = leader(&namespace).await.unwrap();
    let mut report = leader.report().unwrap();
    for _ in 0..3 {
        kill_process(leader.electing().unwrap(), Signal::KILL).unwrap();
        let took = leader.yields_within(AT_MOST).await.unwrap();
        println!("the file was gone {took:?} after the kill");
        leader.leads_within(Duration::from_secs(3)).await.unwrap();
        let next = leader.report().unwrap();
        assert!(next.fencing_token > report.fencing_token && next.transitions == report.transitions + 1, "{next:?}");
        report = next;
    }
    assert_eq!(leader.said("the electing process was killed").len(), 3, "{}", leader.log());
    leader.process().stop().await.unwrap();
    assert_eq!(leader.process().exited().unwrap().and_then(|status| status.code()), Some(0), "{}", leader.log());
    assert_eq!(namespace.lease("a").await.unwrap().record.holder, "");
}

/// Rule P1.
#[tokio::test]
async fn the_file_of_a_stopped_process_goes_in_time() {
    let namespace = namespace("stopped").await.unwrap();
    let leader = leader(&namespace).await.unwrap();
    let electing = leader.electing().unwrap();
    // Some renewals on.
    sleep(Duration::from_millis(2500)).await;
    kill_process(electing, Signal::STOP).unwrap();
    let until = Duration::from_nanos(leader.report().unwrap().valid_until_boottime_ns);
    leader.yields_within(START).await.unwrap();
    let gone = boottime();
    println!("the file was gone {:?} after the end of the tenure", gone.saturating_sub(until));
    assert!(gone > until && gone < until + AT_MOST, "{gone:?}, not {until:?}\n{}", leader.log());
    assert!(test_kill_process(electing).is_err());
    leader.leads_within(Duration::from_secs(8)).await.unwrap();
    assert_ne!(leader.electing().unwrap(), electing);
}

#[tokio::test]
async fn a_standby_that_hangs_is_found_by_its_liveness_probe_and_one_that_has_no_lease_is_not() {
    let namespace = namespace("alive").await.unwrap();
    let leader = leader(&namespace).await.unwrap();
    // There is no such Lease, and it may make none.
    let standby = Candidate::start(&namespace, "b", "b-0", &AgentOptions::default()).await.unwrap();
    let alive = async |candidate: &Candidate| {
        let agent = &Programs::built().await.unwrap().agent;
        let mut check = std::process::Command::new(agent);
        check.args(["check", "--alive", "--status-file"]).arg(candidate.status_file());
        check.output().unwrap().status.code()
    };
    let turns = async |patience| {
        let begun = Instant::now();
        while alive(&standby).await != Some(0) {
            assert!(begun.elapsed() < patience, "{}", standby.log());
            sleep(Duration::from_millis(100)).await;
        }
    };
    turns(START).await;
    sleep(Duration::from_secs(12)).await;
    assert_eq!(alive(&standby).await, Some(0));
    kill_process(standby.electing().unwrap(), Signal::STOP).unwrap();
    let begun = Instant::now();
    while alive(&standby).await == Some(0) {
        assert!(begun.elapsed() < Duration::from_secs(45), "{}", standby.log());
        assert_eq!(alive(&leader).await, Some(0));
        sleep(Duration::from_millis(500)).await;
    }
    println!("found after {:?}", begun.elapsed());
    assert!(begun.elapsed() > Duration::from_secs(20), "{:?}", begun.elapsed());
    assert_eq!(alive(&standby).await, Some(1));
    kill_process(standby.electing().unwrap(), Signal::CONT).unwrap();
    turns(START).await;
    standby.process().kill();
    assert_eq!(alive(&standby).await, Some(1));
}

/// Rule P2.
#[tokio::test]
async fn without_its_supervisor_it_removes_the_file_and_ends() {
    let namespace = namespace("orphan").await.unwrap();
    let leader = leader(&namespace).await.unwrap();
    let electing = leader.electing().unwrap();
    kill_process(leader.supervisor().unwrap(), Signal::KILL).unwrap();
    let took = leader.yields_within(AT_MOST).await.unwrap();
    println!("the file was gone {took:?} after the supervisor's end");
    let begun = Instant::now();
    while !std::fs::read_to_string(format!("/proc/{}/stat", electing.as_raw_nonzero()))
        .map_or(true, |stat| stat.contains(") Z "))
    {
        assert!(begun.elapsed() < Duration::from_secs(2), "{}", leader.log());
        sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(namespace.lease("a").await.unwrap().record.holder, "");
}

#[tokio::test]
async fn a_signal_during_the_start_is_not_lost() {
    let namespace = namespace("early").await.unwrap();
    let pod = namespace.create_pod("a-0", "default", &[]).await.unwrap();
    let candidate = Candidate::of_pod(&namespace, "a", pod, &AgentOptions::default()).await.unwrap();
    for delay in [0, 2, 5, 10, 20, 30, 40, 60] {
        candidate.process().start().unwrap();
        // Until it is more than the shell that becomes it.
        let begun = Instant::now();
        while candidate.electing().is_err() {
            assert!(begun.elapsed() < START);
            sleep(Duration::from_micros(200)).await;
        }
        sleep(Duration::from_millis(delay)).await;
        candidate.process().terminate().unwrap();
        candidate.ends_within(Duration::from_secs(2)).await.unwrap();
        assert!(!candidate.leads());
    }
}
