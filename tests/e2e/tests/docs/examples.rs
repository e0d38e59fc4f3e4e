//! The examples of `docs`, each beside a real agent from which leadership is taken.

use std::env;
use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use elector_election::Timings;
use elector_harness::candidate::{AgentOptions, Candidate};
use elector_harness::controlplane::{ControlPlane, Namespace};
use elector_harness::leases::short_timings;
use elector_harness::packages::is_in_path;
use elector_harness::process::Process;
use elector_xtask::programs::Programs;
use elector_xtask::scratch::Scratch;
use rustix::process::{Signal, kill_process};
use serde_json::{Value, json};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};

use crate::page::{Page, assert_same, code, plain, root};

/// Until an agent leads.
pub(crate) const START: Duration = Duration::from_secs(5);
/// For an agent to do what it does at once.
pub(crate) const SOON: Duration = Duration::from_secs(1);
/// To take over from somebody else: a lease duration of 8 s at most, and some time for a machine that is busy.
pub(crate) const TAKEOVER: Duration = Duration::from_secs(12);
/// For programs of which some are compiled first, all at once.
pub(crate) const SAID: Duration = Duration::from_secs(40);
/// For one that runs, and looks twice a second.
const HEARD: Duration = Duration::from_secs(4);

/// A file of an example, and what runs it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Language {
    pub(crate) file: &'static str,
    program: &'static str,
    /// What has to be there, and the package of Debian that has it.
    needs: &'static [(&'static str, &'static str)],
}

pub(crate) const LANGUAGES: [Language; 5] = [
    Language { file: "app.sh", program: "bash", needs: &[("bash", "bash"), ("curl", "curl")] },
    Language { file: "app.py", program: "python3", needs: &[("python3", "python3")] },
    Language { file: "app.go", program: "go", needs: &[("go", "golang-go, 1.22 or newer")] },
    // Source is launched by a JDK only.
    Language { file: "App.java", program: "java", needs: &[("javac", "default-jdk-headless")] },
    Language { file: "app.mjs", program: "node", needs: &[("node", "nodejs")] },
];

pub(crate) fn example(way: &str, file: &str) -> PathBuf {
    root().join("docs/examples").join(way).join(file)
}

fn text(path: impl Into<PathBuf>) -> Result<String> {
    path.into().into_os_string().into_string().ok().context("a path that is no UTF-8")
}

impl Language {
    /// Program and arguments that run the example; what has to be compiled is, into `folder`.
    fn command(self, way: &str, folder: &Scratch) -> Result<Vec<String>> {
        for (program, package) in self.needs {
            ensure!(is_in_path(program), "there is no `{program}` in PATH: install Debian's package {package}");
        }
        let source = example(way, self.file).canonicalize()?;
        if self.program != "go" {
            return Ok(vec![self.program.to_owned(), text(source)?]);
        }
        let built = folder.path().join("app");
        let mut build = Command::new("go");
        build.args(["build", "-o"]).arg(&built).arg(&source).env("GOTOOLCHAIN", "local").current_dir(folder.path());
        let output = build.output()?;
        ensure!(output.status.success(), "go build: {}", String::from_utf8_lossy(&output.stderr));
        Ok(vec![text(built)?])
    }
}

/// What an example has said of leadership, in order.
fn said(log: &str) -> Vec<String> {
    log.lines().filter_map(|line| line.strip_prefix("leads: ")).map(str::to_owned).collect()
}

/// One that runs.
pub(crate) struct App {
    language: Language,
    process: Process,
    folder: Scratch,
}

impl App {
    pub(crate) async fn start(way: &'static str, language: Language, environment: &[(String, String)]) -> Result<App> {
        let folder = Scratch::new()?;
        let (command, folder) = spawn_blocking(move || anyhow::Ok((language.command(way, &folder)?, folder))).await??;
        let (program, arguments) = command.split_first().context("a command has a program")?;
        let process = Process::new(program.into(), arguments.to_vec(), folder.path().join("log"));
        let process = process.with_environment(environment.to_vec());
        process.start()?;
        Ok(App { language, process, folder })
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

/// Waits until each app has said this and nothing else.
async fn until_said(apps: &[App], expected: &[&str], patience: Duration) -> Result<()> {
    until(apps, &format!("{expected:?}"), |log| said(log) == expected, patience).await
}

/// Waits until that holds of the log of each app.
pub(crate) async fn until(apps: &[App], what: &str, holds: impl Fn(&str) -> bool, patience: Duration) -> Result<()> {
    let begun = Instant::now();
    while let Some(app) = apps.iter().find(|app| !holds(&app.log())) {
        let state = || format!("{} {:?}\n{}", app.language.file, app.process.exited(), app.log());
        ensure!(begun.elapsed() < patience, "{what}: {}", state());
        ensure!(app.process.exited()?.is_none(), "it has ended: {}", state());
        sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

async fn namespace(way: &str) -> Result<Namespace<'static>> {
    let namespace = ControlPlane::shared().await?.namespace(&format!("example-{way}")).await?;
    namespace.allow_leases(&["get", "list", "watch", "update"]).await?;
    Ok(namespace)
}

/// What tells apps of one way where to look, beside this agent.
async fn environment(way: &str, agent: &Candidate) -> Result<Vec<(String, String)>> {
    let address = agent.address("HTTP_ADDRESS").await?.to_string();
    let folder = Programs::built().await?.agent.parent().context("a program is in a folder")?.to_owned();
    let path = format!("{}:{}", text(folder)?, env::var("PATH").unwrap_or_default());
    let status_file = ("STATUS_FILE".to_owned(), text(agent.status_file())?);
    Ok(match way {
        "file" => vec![status_file],
        "check" => vec![status_file, ("PATH".to_owned(), path)],
        _ => vec![("ELECTOR_ADDRESS".to_owned(), address)],
    })
}

/// Apps in all languages, which were told of a tenure, of its end, and of another.
async fn told(way: &'static str, timings: Timings) -> Result<(Candidate, Vec<App>)> {
    let namespace = namespace(way).await?;
    namespace.create_lease("a", timings).await?;
    // One that is free, and stays the agent's when it is started again.
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let http = ("HTTP_ADDRESS".to_owned(), address.to_string());
    let options = AgentOptions { environment: vec![http], ..AgentOptions::default() };
    let agent = Candidate::start(&namespace, "a", "a-0", &options).await?;
    let environment = environment(way, &agent).await?;
    let mut apps = Vec::new();
    for language in LANGUAGES {
        apps.push(App::start(way, language, &environment).await?);
    }
    agent.leads_within(START).await?;
    until_said(&apps, &["true"], SAID).await?;
    namespace.edit_lease("a", json!({"spec": {"holderIdentity": "somebody"}})).await?;
    agent.yields_within(SOON).await?;
    until_said(&apps, &["true", "false"], HEARD).await?;
    agent.leads_within(TAKEOVER).await?;
    until_said(&apps, &["true", "false", "true"], HEARD).await?;
    Ok((agent, apps))
}

/// A supervisor's word.
const KILLED: &str = "the electing process was killed";

const TO_THE_END: [&str; 4] = ["true", "false", "true", "false"];

/// An agent that hangs is killed at the end of its tenure, and started again: it leads on as a new tenure. Then it is killed whole.
/// How often it had been killed when all apps had noticed.
async fn hung_and_killed(way: &'static str, timings: Timings) -> Result<usize> {
    let (agent, apps) = told(way, timings).await?;
    kill_process(agent.electing()?, Signal::STOP)?;
    until_said(&apps, &TO_THE_END, HEARD).await?;
    let killed = agent.said(KILLED).len();
    agent.says_within(KILLED, TAKEOVER).await?;
    agent.leads_within(TAKEOVER).await?;
    let again = [&TO_THE_END[..], &["true"]].concat();
    until_said(&apps, &again, HEARD).await?;
    agent.process().kill();
    until_said(&apps, &[&again[..], &["false"]].concat(), HEARD).await?;
    Ok(killed)
}

#[tokio::test]
async fn who_looks_at_the_file_acts_only_while_it_is_there() {
    let (agent, apps) = told("file", short_timings()).await.unwrap();
    agent.process().stop().await.unwrap();
    until_said(&apps, &TO_THE_END, HEARD).await.unwrap();
}

#[tokio::test]
async fn who_asks_check_does_not_believe_a_file_that_was_left_behind() {
    let (agent, apps) = told("check", short_timings()).await.unwrap();
    agent.process().kill();
    assert!(agent.leads(), "the file is still there");
    until_said(&apps, &TO_THE_END, HEARD).await.unwrap();
}

#[tokio::test]
async fn who_asks_by_http_does_not_lead_without_an_answer_and_asks_again() {
    // While it still leads, if somebody could hear it.
    let timings = Timings::new(8, 5, 1, 0).unwrap();
    assert_eq!(hung_and_killed("http", timings).await.unwrap(), 0);
}

#[tokio::test]
async fn who_listens_does_not_lead_when_the_stream_ends_and_listens_again() {
    assert_eq!(hung_and_killed("sse", short_timings()).await.unwrap(), 1);
}

#[tokio::test]
async fn what_exec_runs_is_started_for_each_tenure_with_its_token_and_ends_when_it_is_told() {
    let namespace = namespace("exec").await.unwrap();
    let mut agents = Vec::new();
    for language in LANGUAGES {
        let folder = Scratch::new().unwrap();
        let command = language.command("exec", &folder).unwrap();
        let election = language.program;
        namespace.create_lease(election, short_timings()).await.unwrap();
        let arguments = [vec!["exec".to_owned(), "--".to_owned()], command].concat();
        let options = AgentOptions { arguments, ..AgentOptions::default() };
        let agent = Candidate::start(&namespace, election, &format!("{election}-0"), &options).await.unwrap();
        agents.push((election, agent, folder));
    }
    let mut expected = vec![Vec::new(); agents.len()];
    for tenure in 1..=2 {
        for ((election, agent, _), expected) in agents.iter().zip(&mut expected) {
            agent.leads_within(TAKEOVER).await.unwrap();
            expected.push(format!("true, token {}", agent.report().unwrap().fencing_token));
            until_logged(agent, expected, SAID).await.unwrap();
            if tenure == 1 {
                let lost = json!({"spec": {"holderIdentity": "somebody"}});
                namespace.edit_lease(election, lost).await.unwrap();
            } else {
                agent.process().terminate().unwrap();
            }
            expected.push("false".to_owned());
            until_logged(agent, expected, HEARD).await.unwrap();
        }
    }
}

#[tokio::test]
async fn hooks_are_run_at_the_beginning_and_at_the_end() {
    let namespace = namespace("hooks").await.unwrap();
    namespace.create_lease("a", short_timings()).await.unwrap();
    let folder = Scratch::new().unwrap();
    // No path of somebody's, which may have spaces.
    let hook = folder.path().join("app.sh");
    fs::copy(example("hooks", "app.sh"), &hook).unwrap();
    let hook = text(hook).unwrap();
    let environment = ["ON_ACQUIRED", "ON_LOST"].map(|name| (name.to_owned(), hook.clone())).to_vec();
    let options = AgentOptions { environment, ..AgentOptions::default() };
    let agent = Candidate::start(&namespace, "a", "a-0", &options).await.unwrap();
    agent.leads_within(START).await.unwrap();
    let acquired = format!("true, token {}", agent.report().unwrap().fencing_token);
    until_logged(&agent, std::slice::from_ref(&acquired), HEARD).await.unwrap();
    assert_files_are_those_of_the_reference(&agent).unwrap();
    agent.process().terminate().unwrap();
    until_logged(&agent, &[acquired, "false".to_owned()], HEARD).await.unwrap();
}

/// Of a leader with hooks: there are no others.
fn assert_files_are_those_of_the_reference(agent: &Candidate) -> Result<()> {
    let heading = "Files of the agent";
    let table = Page::read("docs/reference.md")?.table(heading)?;
    let status_file = agent.status_file();
    let folder = status_file.parent().context("a file is in a folder")?;
    let names = fs::read_dir(folder)?.map(|file| text(file?.file_name())).collect::<Result<Vec<String>>>()?;
    let real = names.into_iter().filter(|name| name.starts_with("leader_status")).collect();
    assert_same(heading, table.iter().map(|row| plain(&row[0])).collect(), real);
    let report: Value = serde_json::from_str(&fs::read_to_string(folder.join("leader_status.json"))?)?;
    let row = table.iter().find(|row| plain(&row[0]) == "leader_status.json").context("it has a row")?;
    let fields = code(&row[1]);
    ensure!(!fields.is_empty() && fields.iter().all(|field| report.get(field).is_some()), "{fields:?}: {report}");
    Ok(())
}

/// Waits until what an agent runs has said this, and nothing else, in the agent's log.
async fn until_logged(agent: &Candidate, expected: &[String], patience: Duration) -> Result<()> {
    let begun = Instant::now();
    while said(&agent.log()) != expected {
        ensure!(begun.elapsed() < patience, "{} {expected:?}:\n{}", agent.name(), agent.log());
        sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

#[test]
fn what_is_missing_is_named_with_its_package() {
    let language = Language { file: "app.py", program: "python9", needs: &[("python9", "python9-minimal")] };
    let said = language.command("file", &Scratch::new().unwrap()).unwrap_err().to_string();
    assert_eq!(said, "there is no `python9` in PATH: install Debian's package python9-minimal");
}

#[test]
fn there_is_an_example_in_each_language_for_each_way_but_hooks() {
    for way in ["file", "check", "exec", "http", "sse", "service"] {
        for Language { file, .. } in LANGUAGES {
            assert!(example(way, file).is_file(), "{way}/{file}");
        }
    }
}
