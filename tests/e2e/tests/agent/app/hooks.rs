//! Programs that are run at the beginning and the end of a tenure.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use elector_harness::candidate::Candidate;
use elector_harness::controlplane::Namespace;
use elector_xtask::scratch::Scratch;
use rustix::process::{Signal, kill_process};
use tokio::time::{Instant, sleep};

use super::{SOON, START, TAKEOVER, candidate, namespace};

/// Says that it begins, and that it ends, in a file of this name beside it.
const SAID: &str = "said";

struct Hooked {
    candidate: Candidate,
    folder: Scratch,
}

impl Hooked {
    /// Its hooks do this, with their first argument in `$1`.
    async fn start(namespace: &Namespace<'_>, pod: &str, work: &str, more: &[(&str, &str)]) -> Result<Hooked> {
        let folder = Scratch::new()?;
        let hook = folder.path().join("hook");
        let said = folder.path().join(SAID);
        let say = format!(r#"say() {{ echo "$*" >> {}; }}"#, said.display());
        let event = "$LEADER_ELECTION_EVENT ${LEADER_ELECTION_FENCING_TOKEN:-} $1";
        let script = format!("#!/bin/sh\n{say}\nsay begins {event}\n{work}\nsay ends {event}\n");
        fs::write(&hook, script)?;
        fs::set_permissions(&hook, fs::Permissions::from_mode(0o755))?;
        let (acquired, lost) = (format!("{} up", hook.display()), format!("{} down", hook.display()));
        let hooks = [("ON_ACQUIRED", &*acquired), ("ON_LOST", &*lost)];
        let candidate = candidate(namespace, pod, &[&hooks[..], more].concat()).await?;
        Ok(Hooked { candidate, folder })
    }

    fn said(&self) -> Vec<String> {
        let said = fs::read_to_string(self.folder.path().join(SAID)).unwrap_or_default();
        said.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
    }

    async fn until_said(&self, line: &str, patience: Duration) -> Result<()> {
        let begun = Instant::now();
        while !self.said().iter().any(|said| said == line) {
            ensure!(begun.elapsed() < patience, "{line}: {:?}\n{}", self.said(), self.candidate.log());
            sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    fn token(&self) -> Result<u64> {
        Ok(self.candidate.report()?.fencing_token)
    }
}

#[tokio::test]
async fn they_are_run_in_order_and_know_the_token() {
    let namespace = namespace("hooks").await.unwrap();
    let hooked = Hooked::start(&namespace, "a-0", "", &[]).await.unwrap();
    hooked.candidate.leads_within(START).await.unwrap();
    let token = hooked.token().unwrap();
    hooked.until_said(&format!("ends acquired {token} up"), SOON).await.unwrap();
    kill_process(hooked.candidate.supervisor().unwrap(), Signal::TERM).unwrap();
    hooked.candidate.ends_within(SOON).await.unwrap();
    let expected = [
        format!("begins acquired {token} up"),
        format!("ends acquired {token} up"),
        "begins lost down".to_owned(),
        "ends lost down".to_owned(),
    ];
    assert_eq!(hooked.said(), expected);
}

#[tokio::test]
async fn they_hold_nothing_up_and_none_outlives_its_tenure_or_its_timeout() {
    let namespace = namespace("hooks-slow").await.unwrap();
    let first = Hooked::start(&namespace, "a-0", "sleep 60", &[("HOOK_TIMEOUT_SECONDS", "2")]).await.unwrap();
    first.candidate.leads_within(START).await.unwrap();
    let token = first.token().unwrap();
    first.until_said(&format!("begins acquired {token} up"), SOON).await.unwrap();
    let second = candidate(&namespace, "a-1", &[]).await.unwrap();
    second.says_within("observed holder", START).await.unwrap();
    let begun = Instant::now();
    kill_process(first.candidate.supervisor().unwrap(), Signal::TERM).unwrap();
    second.leads_within(SOON).await.unwrap();
    println!("another led {:?} after the signal", begun.elapsed());
    first.until_said("begins lost down", SOON).await.unwrap();
    first.candidate.ends_within(Duration::from_secs(4)).await.unwrap();
    assert!(begun.elapsed() >= Duration::from_secs(2), "{:?}", begun.elapsed());
    assert_eq!(first.candidate.said("killed the hook: it ran when the tenure ended").len(), 1);
    assert_eq!(first.candidate.said("killed the hook: it ran for longer than it may").len(), 1);
    assert_eq!(first.said().len(), 2, "{:?}", first.said());
    // Nor does what they have started.
    assert_eq!(sleepers(first.folder.path().join("hook")), 0);
}

/// How many processes of a hook there are.
fn sleepers(hook: PathBuf) -> usize {
    let hook = hook.display().to_string();
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let lines = processes.filter_map(|process| fs::read_to_string(process.path().join("cmdline")).ok());
    lines.filter(|line| line.contains(&hook)).count()
}

#[tokio::test]
async fn the_end_of_a_tenure_is_told_after_a_crash_too() {
    let namespace = namespace("hooks-crash").await.unwrap();
    let hooked = Hooked::start(&namespace, "a-0", "", &[]).await.unwrap();
    hooked.candidate.leads_within(START).await.unwrap();
    let token = hooked.token().unwrap();
    hooked.until_said(&format!("ends acquired {token} up"), SOON).await.unwrap();
    kill_process(hooked.candidate.electing().unwrap(), Signal::KILL).unwrap();
    hooked.until_said("ends lost down", TAKEOVER).await.unwrap();
    hooked.candidate.leads_within(TAKEOVER).await.unwrap();
    let next = hooked.token().unwrap();
    assert!(next > token);
    hooked.until_said(&format!("ends acquired {next} up"), SOON).await.unwrap();
    assert_eq!(hooked.said()[2..4], ["begins lost down", "ends lost down"], "{:?}", hooked.said());
}

#[tokio::test]
async fn the_end_of_a_tenure_is_told_whatever_happens_while_it_is() {
    let namespace = namespace("hooks-twice").await.unwrap();
    // The first time on-lost is run it never ends. What it has said tells which time it is, also if it is killed right then.
    let hang = r#"[ "$(grep -c "begins lost" "$(dirname "$0")/said")" != 1 ] || sleep 60"#;
    let hooked = Hooked::start(&namespace, "a-0", hang, &[]).await.unwrap();
    hooked.candidate.leads_within(START).await.unwrap();
    hooked.until_said(&format!("ends acquired {} up", hooked.token().unwrap()), SOON).await.unwrap();
    kill_process(hooked.candidate.electing().unwrap(), Signal::KILL).unwrap();
    hooked.until_said("begins lost down", TAKEOVER).await.unwrap();
    kill_process(hooked.candidate.electing().unwrap(), Signal::KILL).unwrap();
    hooked.until_said("ends lost down", TAKEOVER).await.unwrap();
    let lost = hooked.said().iter().filter(|said| *said == "begins lost down").count();
    assert_eq!(lost, 2, "{:?}", hooked.said());
}

#[tokio::test]
async fn one_that_cannot_be_started_or_fails_costs_nothing_but_a_line() {
    let namespace = namespace("hooks-none").await.unwrap();
    let hooks = [("ON_ACQUIRED", "/nonexistent/program with arguments"), ("ON_LOST", "false")];
    let leader = candidate(&namespace, "a-0", &hooks).await.unwrap();
    leader.leads_within(START).await.unwrap();
    leader.says_within("failed to start the hook", SOON).await.unwrap();
    kill_process(leader.supervisor().unwrap(), Signal::TERM).unwrap();
    leader.ends_within(SOON).await.unwrap();
    assert!(leader.said("hook=\"on-lost\"").iter().any(|line| line.contains("exit status: 1")), "{}", leader.log());
}
