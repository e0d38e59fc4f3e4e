//! Kubeconfigs of every form, with kubectl as the judge: where it works, agent, operator and plugin do, and where it does not
//! they say why in one line.

mod forms;
mod proxies;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use elector_harness::controlplane::{Binary, ControlPlane, Namespace};
use elector_harness::operators::shared;
use elector_xtask::programs::Programs;
use elector_xtask::scratch::Scratch;
use tokio::process::Command;
use tokio::time::{Instant, sleep, timeout};

/// How long a program may take to reach the API server, or to say that it cannot.
const PATIENCE: Duration = Duration::from_secs(30);

/// What an elector says once the API server has told it of its Lease.
const IN_CONTACT: [&str; 3] = ["observed holder", "there is no lease", "acquired leadership"];

/// A folder with kubeconfigs and what they name, and the variables that programs are started with.
struct Setting {
    folder: Scratch,
    variables: Vec<(String, String)>,
}

/// What became of a program.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// It has reached the API server.
    Works,
    /// It has ended: with which code, and what it said.
    Refused(Option<i32>, String),
}

impl Setting {
    fn new() -> Result<Setting> {
        let folder = Scratch::new()?;
        let home = folder.path().display().to_string();
        Ok(Setting { folder, variables: vec![("HOME".to_owned(), home)] })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> Result<()> {
        let path = self.path(name);
        fs::create_dir_all(path.parent().context("no folder")?)?;
        Ok(fs::write(path, content)?)
    }

    fn set(&mut self, name: &str, value: &str) {
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    fn command(&self, program: &Path, arguments: &[String]) -> Command {
        let mut command = Command::new(program);
        let variables = self.variables.iter().map(|(name, value)| (name, value));
        command.env_clear().env("PATH", "/usr/bin:/bin").envs(variables).args(arguments);
        command.current_dir(self.folder.path()).stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    /// kubectl's own judgement, and why.
    async fn kubectl(&self, arguments: &[&str]) -> Result<Outcome> {
        let kubectl = Binary::Kubectl.ready().await?;
        let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        self.to_its_end(&kubectl, &[&["get".to_owned(), "--raw=/version".to_owned()], &arguments[..]].concat()).await
    }

    async fn plugin(&self, arguments: &[&str]) -> Result<Outcome> {
        let arguments = ["list", "-A"].iter().chain(arguments).map(|argument| (*argument).to_owned());
        self.to_its_end(&Programs::built().await?.plugin, &arguments.collect::<Vec<_>>()).await
    }

    async fn to_its_end(&self, program: &Path, arguments: &[String]) -> Result<Outcome> {
        let output = timeout(PATIENCE, self.command(program, arguments).output()).await;
        let output = output.with_context(|| format!("{} takes its time", program.display()))??;
        if output.status.success() {
            return Ok(Outcome::Works);
        }
        Ok(Outcome::Refused(output.status.code(), String::from_utf8_lossy(&output.stderr).trim_end().to_owned()))
    }

    async fn agent(&self, namespace: &str, lease: &str) -> Result<Outcome> {
        let options = [
            format!("--namespace={namespace}"),
            format!("--lease-name={lease}-agent"),
            format!("--status-file={}", self.path("leader_status").display()),
        ];
        self.contender(&Programs::built().await?.agent, &options).await
    }

    async fn operator(&self, namespace: &str, lease: &str) -> Result<Outcome> {
        let options = [
            format!("--lease-namespace={namespace}"),
            format!("--lease-name={lease}-operator"),
            // Nobody's elections: there are others' operators.
            format!("--watch-namespaces={namespace}"),
            "--health-address=127.0.0.1:0".to_owned(),
        ];
        self.contender(&Programs::built().await?.operator, &options).await
    }

    /// Until it is in contact or has ended.
    async fn contender(&self, program: &Path, options: &[String]) -> Result<Outcome> {
        // One that is ended writes on for a while: each has a file of its own.
        let log = self.path(&format!("{}.log", program.file_name().unwrap_or_default().display()));
        let file = fs::File::create(&log)?;
        let mut child = self.command(program, options).stdout(Stdio::null()).stderr(file.try_clone()?).spawn()?;
        let begun = Instant::now();
        loop {
            let said = fs::read_to_string(&log).unwrap_or_default();
            if IN_CONTACT.iter().any(|words| said.contains(words)) {
                child.kill().await?;
                return Ok(Outcome::Works);
            }
            if let Some(status) = child.try_wait()? {
                let said = fs::read_to_string(&log)?;
                return Ok(Outcome::Refused(status.code(), said.trim_end().to_owned()));
            }
            ensure!(begun.elapsed() < PATIENCE, "neither contact nor refusal: {said}");
            sleep(Duration::from_millis(20)).await;
        }
    }
}

/// A control plane with the definition.
async fn plane() -> Result<&'static ControlPlane> {
    shared().await?;
    ControlPlane::shared().await
}

async fn namespace(prefix: &str) -> Result<Namespace<'static>> {
    plane().await?.namespace(prefix).await
}

/// All three do as kubectl does.
async fn agree(setting: &Setting, namespace: &str, name: &str, arguments: &[&str]) -> Result<Outcome> {
    let judged = setting.kubectl(arguments).await?;
    let mut outcomes = vec![("kubectl election", setting.plugin(arguments).await?)];
    // The others have no such flags.
    if arguments.is_empty() {
        outcomes.push(("elector-agent", setting.agent(namespace, name).await?));
        outcomes.push(("elector-operator", setting.operator(namespace, name).await?));
    }
    for (program, outcome) in outcomes {
        match (&judged, &outcome) {
            (Outcome::Works, Outcome::Works) => {}
            (Outcome::Refused(..), Outcome::Refused(Some(2), said)) => {
                let errors: Vec<&str> = said.lines().filter(|line| line.starts_with("error: ")).collect();
                ensure!(errors.len() == 1, "{name}: {program} said in more than one line, or none: {said}");
            }
            _ => anyhow::bail!("{name}: kubectl {judged:?}, {program} {outcome:?}"),
        }
    }
    Ok(judged)
}
