//! The table of exit codes: each row is what a program that was run ended with, and no other was seen.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use elector_harness::candidate::{AgentOptions, Candidate};
use elector_harness::cluster::Namespace;
use elector_harness::leases::short_timings;
use elector_harness::operators::{Election, arguments, contended, shared};
use elector_harness::process::Process;
use elector_xtask::programs::Programs;
use elector_xtask::scratch::Scratch;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};

use crate::examples::START;
use crate::page::{Page, assert_same, plain};

const PATIENCE: Duration = Duration::from_secs(15);

/// Command and code, as the table has them.
type Seen = Vec<(String, String)>;

fn seen(all: &mut Seen, command: &str, code: Option<i32>) {
    all.push((command.to_owned(), code.map_or_else(|| "none".to_owned(), |code| code.to_string())));
}

async fn run(program: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Result<Option<i32>> {
    let mut command = Command::new(program);
    command.env_clear().envs(environment.iter().copied()).args(arguments);
    Ok(spawn_blocking(move || command.output()).await??.status.code())
}

async fn ended(process: &Process) -> Result<Option<i32>> {
    let begun = Instant::now();
    while process.exited()?.is_none() {
        ensure!(begun.elapsed() < PATIENCE, "{} runs\n{}", process.name(), process.log_tail());
        sleep(Duration::from_millis(5)).await;
    }
    Ok(process.exited()?.and_then(|status| status.code()))
}

async fn stopped(process: &Process) -> Result<Option<i32>> {
    process.terminate()?;
    ended(process).await
}

/// An agent beside its app, and what is asked of its program.
async fn agent(namespace: &Namespace<'_>, all: &mut Seen) -> Result<()> {
    let program = &Programs::built().await?.agent;
    namespace.create_lease("a", short_timings()).await?;
    let leader = Candidate::start(namespace, "a", "a-0", &AgentOptions::default()).await?;
    leader.leads_within(START).await?;
    // It can have no room for its file, and is told so rather than killed.
    let in_shell = AgentOptions::in_shell(r#"trap "" XFSZ; exec "$0" "$@""#).await?;
    let standby = Candidate::start(namespace, "a", "a-1", &in_shell).await?;
    standby.says_within("observed holder", START).await?;

    let status_file = |candidate: &Candidate| candidate.status_file().display().to_string();
    let (of_leader, of_standby) = (status_file(&leader), status_file(&standby));
    for (command, path) in [
        ("elector-agent check", &*of_leader),
        ("elector-agent check", &of_standby),
        ("elector-agent check", "/nonexistent/leader_status"),
        ("elector-agent check --alive", &of_leader),
        ("elector-agent check --alive", "/nonexistent/leader_status"),
        ("elector-agent wait", &of_leader),
        ("elector-agent wait --timeout=1", &of_standby),
    ] {
        let words: Vec<&str> = command.split(' ').skip(1).collect();
        let code = run(program, &words, &[("STATUS_FILE", path)]).await?;
        seen(all, command.trim_end_matches(" --timeout=1"), code);
    }
    seen(all, "elector-agent manifest", run(program, &["manifest"], &[]).await?);
    let folder = Scratch::new()?;
    let folder = folder.path().to_str().context("a path that is no UTF-8")?;
    seen(all, "elector-agent install", run(program, &["install", folder], &[]).await?);
    seen(all, "elector-agent install", run(program, &["install", "/nonexistent"], &[]).await?);

    standby.limit_file_size(0)?;
    seen(all, "elector-agent", stopped(leader.process()).await?);
    seen(
        all,
        "elector-agent check --alive",
        run(program, &["check", "--alive"], &[("STATUS_FILE", &of_leader)]).await?,
    );
    seen(all, "elector-agent", ended(standby.process()).await?);
    seen(all, "elector-agent", run(program, &[], &[("STATUS_FILE", &of_leader)]).await?);
    Ok(())
}

/// What runs a command, and ends with it.
async fn exec(namespace: &Namespace<'_>, all: &mut Seen) -> Result<()> {
    for (number, script, row) in [
        (0, "/nonexistent/program", None),
        (1, "/etc/passwd", None),
        (2, "exit 7", Some((7, "the command's"))),
        (3, "kill -KILL $$", Some((128 + 9, "128 + n"))),
    ] {
        let election = format!("exec-{number}");
        namespace.create_lease(&election, short_timings()).await?;
        let command: &[&str] = if script.starts_with('/') { &[script] } else { &["sh", "-c", script] };
        let arguments = [&["exec", "--"], command].concat().into_iter().map(str::to_owned).collect();
        let options = AgentOptions { arguments, ..AgentOptions::default() };
        let candidate = Candidate::start(namespace, &election, &format!("{election}-0"), &options).await?;
        let code = ended(candidate.process()).await?;
        match row {
            Some((expected, row)) => {
                ensure!(code == Some(expected), "{script}: {code:?}");
                all.push(("elector-agent exec".to_owned(), row.to_owned()));
            }
            None => seen(all, "elector-agent exec", code),
        }
    }
    let held = serde_json::json!({"spec": {"holderIdentity": "somebody"}});
    namespace.create_lease("held", short_timings()).await?;
    namespace.edit_lease("held", held).await?;
    let arguments = ["exec", "--", "sleep", "60"].map(str::to_owned).to_vec();
    let options = AgentOptions { arguments, ..AgentOptions::default() };
    let standby = Candidate::start(namespace, "held", "held-0", &options).await?;
    standby.says_within("observed holder", START).await?;
    seen(all, "elector-agent exec", stopped(standby.process()).await?);
    let program = &Programs::built().await?.agent;
    let nowhere = [("STATUS_FILE", "/nonexistent/leader_status")];
    seen(all, "elector-agent exec", run(program, &["exec", "--", "true"], &nowhere).await?);
    Ok(())
}

async fn operator(all: &mut Seen) -> Result<()> {
    let replica = shared().await?.replica("exit-codes").await?;
    replica.process().start()?;
    replica.until_ready().await?;
    seen(all, "elector-operator", stopped(replica.process()).await?);
    let program = &Programs::built().await?.operator;
    seen(all, "elector-operator", run(program, &[], &[("HOME", "/nonexistent")]).await?);
    // Without descriptors there is no event loop.
    let mut few = vec!["-c", r#"ulimit -n 4; exec "$0" "$@""#, program.to_str().context("a path that is no UTF-8")?];
    let arguments = arguments("default");
    few.extend(arguments.iter().map(String::as_str));
    seen(all, "elector-operator", run(Path::new("sh"), &few, &[("PATH", "/usr/bin:/bin")]).await?);
    Ok(())
}

async fn plugin(namespace: &Namespace<'_>, election: &Election<'_>, all: &mut Seen) -> Result<()> {
    let program = &Programs::built().await?.plugin;
    let kubeconfig = namespace.cluster().kubeconfig();
    let kubeconfig = [("KUBECONFIG", kubeconfig.to_str().context("a path that is no UTF-8")?)];
    for arguments in [&["status", election.name()][..], &["status", "nothing"], &["say", "nothing"]] {
        let arguments = [arguments, &["-n", namespace.name()]].concat();
        seen(all, "kubectl election", run(program, &arguments, &kubeconfig).await?);
    }
    // No policy is there that would have added an agent to the pods.
    let mut doctor = Command::new(program);
    doctor.env_clear().envs(kubeconfig).args(["doctor", election.name(), "-n", namespace.name()]);
    let output = spawn_blocking(move || doctor.output()).await??;
    let said = String::from_utf8(output.stdout)?;
    ensure!(said.contains("no container leader-elector") && output.stderr.is_empty(), "doctor: {said}");
    seen(all, "kubectl election", output.status.code());
    ensure!(output.status.code() == Some(1), "doctor: {:?}", output.status);
    Ok(())
}

#[tokio::test]
async fn programs_end_with_the_codes_of_the_table() {
    let (namespace, election, candidates) = contended("docs-codes").await.unwrap();
    namespace.allow_leases(&["get", "list", "watch", "update"]).await.unwrap();
    let mut all = Seen::new();
    plugin(&namespace, &election, &mut all).await.unwrap();
    drop(candidates);
    agent(&namespace, &mut all).await.unwrap();
    exec(&namespace, &mut all).await.unwrap();
    operator(&mut all).await.unwrap();
    let table = Page::read("docs/reference.md").unwrap().table("Exit codes").unwrap();
    let documented = table.into_iter().map(|row| (plain(&row[0]), plain(&row[1])));
    assert_same("Exit codes", documented.collect(), all);
}
