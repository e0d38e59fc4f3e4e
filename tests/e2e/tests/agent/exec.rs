//! A command that runs only while its pod leads: `elector-agent exec`, on a real API server.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use elector_crds::ReleaseReason;
use elector_harness::candidate::{AgentOptions, Candidate};
use elector_harness::controlplane::{ControlPlane, Namespace};
use elector_harness::leases::short_timings;
use elector_xtask::scratch::Scratch;
use leader_elector::clock;
use rustix::process::{Signal, kill_process};
use serde_json::json;
use tokio::time::{Instant, sleep};

const RIGHTS: &[&str] = &["get", "list", "watch", "update"];
const START: Duration = Duration::from_secs(5);
const SOON: Duration = Duration::from_secs(1);
/// Of a renew deadline of 3 s.
const GRACE: Duration = Duration::from_millis(750);
/// To take over from somebody else: a lease duration of 5 s, and some time for a machine that is busy.
const TAKEOVER: Duration = Duration::from_secs(8);

async fn namespace(name: &str) -> Result<Namespace<'static>> {
    let namespace = ControlPlane::shared().await?.namespace(name).await?;
    namespace.allow_leases(RIGHTS).await?;
    namespace.create_lease("a", short_timings()).await?;
    Ok(namespace)
}

/// Run by the command's sh before anything else: says in `$OUT/runs` who it is, one line each time.
const SAY: &str = r#"echo "$$ $LEADER_ELECTION_FENCING_TOKEN $LEADER_ELECTION_HOLDER" >> "$OUT/runs"; "#;

struct App {
    candidate: Candidate,
    out: Scratch,
}

/// What the command said of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Run {
    id: u32,
    token: u64,
    holder: String,
}

impl App {
    async fn start(namespace: &Namespace<'_>, pod: &str, flags: &[&str], script: &str) -> Result<App> {
        let out = Scratch::new()?;
        let script = format!("{SAY}{script}");
        let arguments = [&["exec"], flags, &["--", "sh", "-c", &script]].concat();
        let options = AgentOptions {
            arguments: arguments.into_iter().map(str::to_owned).collect(),
            environment: vec![("OUT".to_owned(), out.path().display().to_string())],
            ..AgentOptions::default()
        };
        let candidate = Candidate::start(namespace, "a", pod, &options).await?;
        Ok(App { candidate, out })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.out.path().join(name)
    }

    fn runs(&self) -> Vec<Run> {
        let said = fs::read_to_string(self.path("runs")).unwrap_or_default();
        let run = |line: &str| {
            let mut words = line.split(' ');
            let (id, token) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
            Some(Run { id, token, holder: words.next()?.to_owned() })
        };
        // A line that is being written is none yet.
        said.split_inclusive('\n').filter_map(|line| run(line.strip_suffix('\n')?)).collect()
    }

    async fn until(&self, patience: Duration, what: &str, holds: impl Fn() -> bool) -> Result<Duration> {
        let begun = Instant::now();
        while !holds() {
            ensure!(begun.elapsed() < patience, "not in {patience:?}: {what}\n{}", self.candidate.log());
            sleep(Duration::from_millis(1)).await;
        }
        Ok(begun.elapsed())
    }

    /// The `number`th time that it runs, from 1.
    async fn runs_within(&self, number: usize, patience: Duration) -> Result<Run> {
        self.until(patience, "to run", || self.runs().len() >= number).await?;
        self.runs().pop().context("it runs")
    }

    /// The number that it wrote to a file.
    async fn id_in(&self, name: &str) -> Result<u32> {
        let read = || fs::read_to_string(self.path(name)).ok().filter(|text| text.ends_with('\n'));
        self.until(SOON, name, || read().is_some()).await?;
        Ok(read().context("it is there")?.trim().parse()?)
    }

    /// To the process that a user started.
    fn send(&self, signal: &str) -> Result<()> {
        let id = self.candidate.supervisor()?.as_raw_pid().to_string();
        ensure!(Command::new("kill").args(["-s", signal, &id]).status()?.success(), "no signal {signal}");
        Ok(())
    }

    async fn ends_within(&self, patience: Duration) -> Result<Option<i32>> {
        let ended = || self.candidate.process().exited().is_ok_and(|status| status.is_some());
        self.until(patience, "to end", ended).await?;
        Ok(self.candidate.process().exited()?.and_then(|status| status.code()))
    }
}

fn alive(id: u32) -> bool {
    fs::read_to_string(format!("/proc/{id}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

fn boottime() -> Duration {
    clock::now().expect("Linux has these clocks").moment.boottime
}

/// The group's id follows state and parent.
fn group(id: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(2)?.parse().ok()
}

#[tokio::test]
async fn it_runs_while_it_leads_gets_signals_and_passes_its_exit_code_on_before_the_release() {
    let namespace = namespace("exec").await.unwrap();
    let script = r#"trap 'echo >> "$OUT/hup"' HUP; trap 'sleep 1; exit 7' TERM; while :; do sleep 0.05; done"#;
    let first = App::start(&namespace, "a-0", &[], script).await.unwrap();
    let run = first.runs_within(1, START).await.unwrap();
    let report = first.candidate.report().unwrap();
    assert_eq!((run.token, run.holder.as_str()), (report.fencing_token, first.candidate.identity().as_str()));
    assert_eq!(group(run.id), Some(run.id));
    assert!(first.candidate.leads());
    let second = App::start(&namespace, "a-1", &[], "exit 3").await.unwrap();
    second.candidate.says_within("observed holder", START).await.unwrap();

    kill_process(first.candidate.supervisor().unwrap(), Signal::HUP).unwrap();
    first.until(SOON, "a signal", || first.path("hup").exists()).await.unwrap();

    first.candidate.process().terminate().unwrap();
    sleep(Duration::from_millis(700)).await;
    // It still runs, and leads.
    assert!(alive(run.id) && first.candidate.leads());
    assert_eq!(namespace.lease("a").await.unwrap().record.holder, first.candidate.identity());
    assert_eq!(first.ends_within(SOON).await.unwrap(), Some(7));
    assert!(!first.candidate.leads());

    let next = second.runs_within(1, SOON).await.unwrap();
    assert!(next.token > run.token);
    assert_eq!(second.ends_within(SOON).await.unwrap(), Some(3));
    assert_eq!(namespace.lease("a").await.unwrap().record.holder, "");
    assert_eq!(namespace.release_reason("a").await.unwrap(), Some(ReleaseReason::CommandEnded));
}

/// What a command can be sent: all but what would end a shell that does not expect it, and what tells a process of itself.
fn signals() -> impl Iterator<Item = u32> {
    [1, 3, 6, 10, 12, 14, 16, 18, 23, 26, 27, 28, 29, 30].into_iter().chain(34..=64)
}

#[tokio::test]
async fn each_signal_reaches_the_command_and_one_that_kills_it_is_told() {
    let namespace = namespace("exec-signals").await.unwrap();
    let script = r#"for number in $(seq 64); do trap "echo > $OUT/$number" "$number"; done 2> /dev/null
        trap - 15 41; echo $$ > "$OUT/ready"; while :; do sleep 0.05; done"#;
    let app = App::start(&namespace, "a-0", &[], script).await.unwrap();
    app.runs_within(1, START).await.unwrap();
    app.id_in("ready").await.unwrap();
    for number in signals().filter(|number| *number != 41) {
        app.send(&number.to_string()).unwrap();
        app.until(SOON, &format!("signal {number}"), || app.path(&number.to_string()).exists()).await.unwrap();
    }
    assert_eq!(app.candidate.said("signal not passed on"), [] as [String; 0]);
    app.send("RTMIN+7").unwrap();
    assert_eq!(app.ends_within(SOON).await.unwrap(), Some(128 + 41));
    assert!(!app.candidate.leads());
}

#[tokio::test]
async fn a_standby_runs_nothing_and_ends_with_0() {
    let namespace = namespace("exec-standby").await.unwrap();
    namespace.edit_lease("a", json!({"spec": {"holderIdentity": "somebody"}})).await.unwrap();
    for (pod, flags, signal) in [
        ("a-0", &[][..], "TERM"),
        ("a-1", &[], "INT"),
        ("a-2", &[], "QUIT"),
        ("a-3", &["--stop-signal=SIGWINCH"], "WINCH"),
        ("a-4", &["--stop-signal=RTMIN+3"], "RTMIN+3"),
    ] {
        let standby = App::start(&namespace, pod, flags, "exec sleep 60").await.unwrap();
        standby.candidate.says_within("observed holder", START).await.unwrap();
        standby.send("USR1").unwrap();
        standby.candidate.says_within("signal not passed on: the command runs only on the leader", SOON).await.unwrap();
        standby.send(signal).unwrap();
        assert_eq!(standby.ends_within(SOON).await.unwrap(), Some(0), "{signal}");
        assert_eq!(standby.runs(), []);
    }
}

#[tokio::test]
async fn on_loss_all_of_it_is_ended_and_it_runs_again_in_the_next_tenure() {
    let namespace = namespace("exec-loss").await.unwrap();
    // It does not listen, and has a child that has left its group.
    let script = r#"trap "" TERM; setsid sh -c 'echo $$ > "$OUT/stray"; sleep 60' & while :; do sleep 1; done"#;
    let app = App::start(&namespace, "a-0", &[], script).await.unwrap();
    let first = app.runs_within(1, START).await.unwrap();
    let stray = app.id_in("stray").await.unwrap();
    namespace.edit_lease("a", json!({"spec": {"holderIdentity": "somebody"}})).await.unwrap();
    app.candidate.yields_within(SOON).await.unwrap();
    app.until(SOON, "no report", || app.candidate.report().is_err()).await.unwrap();
    let took = app.until(SOON, "to die", || !alive(first.id) && !alive(stray)).await.unwrap();
    println!("ended {took:?} after the file");
    assert!(took < GRACE + Duration::from_millis(100), "{took:?}");
    let second = app.runs_within(2, TAKEOVER).await.unwrap();
    assert!(second.token > first.token);
    assert_eq!(app.candidate.said("killed").len(), 0, "{}", app.candidate.log());
}

#[tokio::test]
async fn a_leader_that_is_not_renewed_ends_it_in_time() {
    let namespace = namespace("exec-late").await.unwrap();
    let script = r#"trap 'cat /proc/uptime > "$OUT/told"' TERM; while :; do sleep 0.02; done"#;
    let app = App::start(&namespace, "a-0", &[], script).await.unwrap();
    let run = app.runs_within(1, START).await.unwrap();
    namespace.allow_leases(&["get"]).await.unwrap();
    app.until(START, "SIGTERM", || app.path("told").exists()).await.unwrap();
    let told = boottime();
    let until = Duration::from_nanos(app.candidate.report().unwrap().valid_until_boottime_ns);
    app.until(SOON, "to die", || !alive(run.id)).await.unwrap();
    let dead = boottime();
    println!("told {:?} and dead {:?} before the end", until.saturating_sub(told), until.saturating_sub(dead));
    assert!(told + GRACE > until && told + GRACE < until + Duration::from_millis(150), "{told:?} {until:?}");
    assert!(dead < until, "{dead:?} {until:?}");
    app.candidate.says_within("renew deadline passed", SOON).await.unwrap();
    assert_eq!(app.candidate.said("was killed").len(), 0, "{}", app.candidate.log());
    namespace.allow_leases(RIGHTS).await.unwrap();
    app.runs_within(2, TAKEOVER).await.unwrap();
}

/// Rule P3.
#[tokio::test]
async fn it_dies_with_its_leader_whatever_that_died_of() {
    let namespace = namespace("exec-dead").await.unwrap();
    let script = r#"trap "" TERM; setsid sh -c 'echo $$ > "$OUT/stray"; sleep 60' & while :; do sleep 1; done"#;
    let app = App::start(&namespace, "a-0", &[], script).await.unwrap();
    let mut run = app.runs_within(1, START).await.unwrap();
    for (number, signal) in [(2, Signal::KILL), (3, Signal::STOP)] {
        let stray = app.id_in("stray").await.unwrap();
        kill_process(app.candidate.electing().unwrap(), signal).unwrap();
        let until = Duration::from_nanos(app.candidate.report().unwrap().valid_until_boottime_ns);
        app.until(START, "to die", || !alive(run.id) && !alive(stray)).await.unwrap();
        let dead = boottime();
        println!("{signal:?}: dead {:?} after the end of the tenure", dead.checked_sub(until));
        assert!(dead < until + Duration::from_millis(100), "{dead:?} {until:?}");
        fs::remove_file(app.path("stray")).unwrap();
        let next = app.runs_within(number, TAKEOVER).await.unwrap();
        assert!(next.token > run.token, "{next:?} {run:?}");
        run = next;
    }
    let stray = app.id_in("stray").await.unwrap();
    kill_process(app.candidate.supervisor().unwrap(), Signal::KILL).unwrap();
    let took = app.until(SOON, "to die", || !alive(run.id) && !alive(stray)).await.unwrap();
    println!("dead {took:?} after the supervisor's end");
    app.candidate.yields_within(SOON).await.unwrap();
    sleep(Duration::from_millis(200)).await;
    assert_eq!(namespace.lease("a").await.unwrap().record.holder, "");
}

#[tokio::test]
async fn once_means_once() {
    let namespace = namespace("exec-once").await.unwrap();
    let script = r"trap 'exit 5' TERM; while :; do sleep 0.05; done";
    let app = App::start(&namespace, "a-0", &["--once"], script).await.unwrap();
    app.runs_within(1, START).await.unwrap();
    namespace.edit_lease("a", json!({"spec": {"holderIdentity": "somebody"}})).await.unwrap();
    assert_eq!(app.ends_within(SOON).await.unwrap(), Some(5));
    assert_eq!(app.runs().len(), 1);
    let app = App::start(&namespace, "a-1", &["--once"], script).await.unwrap();
    app.runs_within(1, TAKEOVER).await.unwrap();
    kill_process(app.candidate.electing().unwrap(), Signal::KILL).unwrap();
    assert_eq!(app.ends_within(SOON).await.unwrap(), Some(128 + 9));
    assert!(!app.candidate.leads());
}

/// Rule P3.
#[tokio::test]
async fn what_it_leaves_behind_is_reaped_and_ends_with_it() {
    let namespace = namespace("exec-zombies").await.unwrap();
    let script = r#"for i in 1 2 3 4 5; do (sleep 0.1 &); done; (setsid sh -c 'echo $$ > "$OUT/stray"; sleep 60' &)
        sleep 0.5; echo > "$OUT/done"; sleep 0.5; kill -KILL $$"#;
    let app = App::start(&namespace, "a-0", &[], script).await.unwrap();
    app.until(START, "done", || app.path("done").exists()).await.unwrap();
    let stray = app.id_in("stray").await.unwrap();
    let electing = app.candidate.electing().unwrap().as_raw_nonzero();
    let children = fs::read_to_string(format!("/proc/{electing}/task/{electing}/children")).unwrap();
    // The command, and what it has left.
    assert_eq!(children.split_whitespace().count(), 2, "{children}");
    assert_eq!(app.ends_within(SOON).await.unwrap(), Some(128 + 9));
    assert!(!alive(stray));
}

#[tokio::test]
async fn a_command_that_cannot_be_run_hands_over() {
    let namespace = namespace("exec-none").await.unwrap();
    for (pod, command, code) in [("a-0", "/no/such/program", 127), ("a-1", "/etc/passwd", 126)] {
        let arguments = ["exec", "--", command].map(str::to_owned).to_vec();
        let options = AgentOptions { arguments, ..AgentOptions::default() };
        let candidate = Candidate::start(&namespace, "a", pod, &options).await.unwrap();
        let begun = Instant::now();
        while candidate.process().exited().unwrap().is_none() {
            assert!(begun.elapsed() < START, "{}", candidate.log());
            sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(candidate.process().exited().unwrap().unwrap().code(), Some(code), "{}", candidate.log());
        assert_eq!(candidate.said(&format!("failed to run {command}")).len(), 1, "{}", candidate.log());
        assert_eq!(namespace.lease("a").await.unwrap().record.holder, "");
        assert_eq!(namespace.release_reason("a").await.unwrap(), Some(ReleaseReason::CommandEnded));
    }
}
