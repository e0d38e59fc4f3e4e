//! A pod of an election, played by an object and a process: the pod is real to the API server, and the agent runs with its token.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::Pod;
use leader_elector::status::Report;
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use tokio::time::{Instant, sleep};

use crate::controlplane::Namespace;
use crate::process::Process;
use elector_xtask::programs::Programs;
use elector_xtask::scratch::Scratch;

/// An agent, its pod, and the folder that its volume would be.
#[derive(Debug)]
pub struct Candidate {
    pod: Pod,
    process: Process,
    volume: Scratch,
}

/// How an agent is started, beside what every agent needs.
#[derive(Debug, Clone, Default)]
pub struct AgentOptions {
    /// More arguments.
    pub arguments: Vec<String>,
    /// Another program in its place.
    pub program: Option<PathBuf>,
    /// More variables.
    pub environment: Vec<(String, String)>,
    /// Where it finds the API server, if not where everybody does.
    pub server: Option<String>,
}

impl AgentOptions {
    /// With these timings: lease duration, renew deadline, retry period, in seconds.
    #[must_use]
    pub fn with_timings(mut self, [lease_duration, renew_deadline, retry_period]: [u32; 3]) -> Self {
        self.arguments.extend([
            format!("--lease-duration-seconds={lease_duration}"),
            format!("--renew-deadline-seconds={renew_deadline}"),
            format!("--retry-period-seconds={retry_period}"),
        ]);
        self
    }
}

impl AgentOptions {
    /// Run by sh: `script` has the agent in `$0` and its arguments in `$@`, and ends with exec.
    ///
    /// # Errors
    /// When the agent can't be built.
    pub async fn in_shell(script: &str) -> Result<Self> {
        let agent = path(&Programs::built().await?.agent)?.to_owned();
        let arguments = vec!["-c".to_owned(), script.to_owned(), agent];
        Ok(Self { arguments, program: Some("sh".into()), ..Self::default() })
    }
}

impl Candidate {
    /// Makes the pod, of service account `default` and labelled for the election, and starts its agent.
    ///
    /// # Errors
    /// When the API server refuses the pod or no process can be made.
    pub async fn start(
        namespace: &Namespace<'_>,
        election: &str,
        pod: &str,
        options: &AgentOptions,
    ) -> Result<Candidate> {
        let label = [("leader-elector.io/election", election)];
        let pod = namespace.create_pod(pod, "default", &label).await?;
        let candidate = Self::of_pod(namespace, election, pod, options).await?;
        candidate.process.start()?;
        Ok(candidate)
    }

    /// An agent for a pod that is there; not started.
    ///
    /// # Errors
    /// When the API server refuses a token.
    pub async fn of_pod(
        namespace: &Namespace<'_>,
        election: &str,
        pod: Pod,
        options: &AgentOptions,
    ) -> Result<Candidate> {
        let kubeconfig = namespace.pod_kubeconfig_at(&pod, options.server.as_deref()).await?;
        let volume = Scratch::in_memory()?;
        let program = match &options.program {
            Some(program) => program.clone(),
            None => Programs::built().await?.agent.clone(),
        };
        let status_file = volume.path().join("leader_status");
        let environment = [
            ("LEASE_NAME", election),
            ("NAMESPACE", namespace.name()),
            ("KUBECONFIG", path(&kubeconfig)?),
            ("STATUS_FILE", path(&status_file)?),
        ];
        let environment = environment.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let environment = environment.chain(options.environment.iter().cloned()).collect();
        let process = Process::new(program, options.arguments.clone(), volume.path().join("agent.log"))
            .with_environment(environment);
        Ok(Candidate { pod, process, volume })
    }

    /// The pod's name.
    pub fn name(&self) -> &str {
        self.pod.metadata.name.as_deref().unwrap_or_default()
    }

    /// `<pod>_<pod uid>`.
    pub fn identity(&self) -> String {
        format!("{}_{}", self.name(), self.pod.metadata.uid.as_deref().unwrap_or_default())
    }

    /// The process that contends: the only child of the one that was started.
    ///
    /// # Errors
    /// When there is none, as before a start and after a crash.
    pub fn electing(&self) -> Result<Pid> {
        let id = self.process.id().context("not started")?;
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children"))?;
        let child = children.split_whitespace().next().and_then(|child| Pid::from_raw(child.parse().ok()?));
        child.with_context(|| format!("{} has no electing process\n{}", self.name(), self.log()))
    }

    /// The process that was started, alone.
    ///
    /// # Errors
    /// When it was not.
    pub fn supervisor(&self) -> Result<Pid> {
        let id = self.process.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        id.context("not started")
    }

    /// The agent: the process that was started, with all that it has started in turn.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// What its log says.
    pub fn log(&self) -> String {
        fs::read_to_string(self.volume.path().join("agent.log")).unwrap_or_default()
    }

    /// `leader_status`, whether it exists or not.
    pub fn status_file(&self) -> PathBuf {
        self.volume.path().join("leader_status")
    }

    /// What an app sees: `[ -f leader_status ]`.
    pub fn leads(&self) -> bool {
        self.status_file().is_file()
    }

    /// Where it listens, of the address that it was given by this variable.
    ///
    /// # Errors
    /// When it does not say so in time.
    pub async fn address(&self, setting: &str) -> Result<SocketAddr> {
        let name = format!("setting=\"{setting}\"");
        self.says_within(&name, Duration::from_secs(5)).await?;
        let line = self.said(&name).pop().context("it was said")?;
        let address = line.split("address=").nth(1).and_then(|rest| rest.split_whitespace().next());
        Ok(address.with_context(|| line.clone())?.parse()?)
    }

    /// What `leader_status.json` says.
    ///
    /// # Errors
    /// When there is none.
    pub fn report(&self) -> Result<Report> {
        let path = self.volume.path().join("leader_status.json");
        let text = fs::read(&path).with_context(|| format!("failed to read {}\n{}", path.display(), self.log()))?;
        Ok(serde_json::from_slice(&text)?)
    }

    /// The lines of its log that hold `text`.
    pub fn said(&self, text: &str) -> Vec<String> {
        self.log().lines().filter(|line| line.contains(text)).map(str::to_owned).collect()
    }

    /// Waits until it leads, and returns how long that took.
    ///
    /// # Errors
    /// With its log, when that takes longer than `patience`.
    pub async fn leads_within(&self, patience: Duration) -> Result<Duration> {
        self.within(patience, "to lead", || self.leads()).await
    }

    /// Waits until its file is gone, and returns how long that took.
    ///
    /// # Errors
    /// With its log, when that takes longer than `patience`.
    pub async fn yields_within(&self, patience: Duration) -> Result<Duration> {
        self.within(patience, "not to lead", || !self.leads()).await
    }

    /// Waits until its log holds `text`, and returns how long that took.
    ///
    /// # Errors
    /// With its log, when that takes longer than `patience`.
    pub async fn says_within(&self, text: &str, patience: Duration) -> Result<Duration> {
        self.within(patience, text, || !self.said(text).is_empty()).await
    }

    /// Waits until the process has ended with exit code 0, and returns how long that took.
    ///
    /// # Errors
    /// With its log, when it ends otherwise, or not within `patience`.
    pub async fn ends_within(&self, patience: Duration) -> Result<Duration> {
        let ended = || self.process.exited().is_ok_and(|status| status.is_some());
        let took = self.within(patience, "to end", ended).await?;
        match self.process.exited()? {
            Some(status) if status.success() => Ok(took),
            status => bail!("{} ended with {status:?}\n{}", self.name(), self.log()),
        }
    }

    async fn within(&self, patience: Duration, what: &str, holds: impl Fn() -> bool) -> Result<Duration> {
        let begun = Instant::now();
        while !holds() {
            if begun.elapsed() > patience {
                bail!("{}: not in {patience:?}: {what}\n{}", self.name(), self.log());
            }
            sleep(Duration::from_millis(1)).await;
        }
        Ok(begun.elapsed())
    }

    /// From now on no file that it writes can be longer: a disk that is full. Its log is such a file too.
    ///
    /// # Errors
    /// When it does not run.
    pub fn limit_file_size(&self, bytes: u64) -> Result<()> {
        prlimit(Some(self.electing()?), Resource::Fsize, Rlimit { current: Some(bytes), maximum: Some(bytes) })?;
        Ok(())
    }

    /// From now on its electing process has no more descriptors than these, but those that it has already.
    ///
    /// # Errors
    /// When it does not run.
    pub fn limit_descriptors(&self, number: u64) -> Result<()> {
        let limit = Rlimit { current: Some(number), maximum: Some(number) };
        prlimit(Some(self.electing().or_else(|_| self.supervisor())?), Resource::Nofile, limit)?;
        Ok(())
    }

    /// How long its processes have been on a CPU.
    ///
    /// # Errors
    /// When it does not run.
    pub fn cpu_time(&self) -> Result<Duration> {
        Ok(cpu_time(self.supervisor()?)? + cpu_time(self.electing()?)?)
    }

    /// Resident memory of its processes, in KiB; what they share counts twice.
    ///
    /// # Errors
    /// When it does not run.
    pub fn resident(&self) -> Result<u64> {
        Ok(resident(self.supervisor()?)? + resident(self.electing()?)?)
    }

    /// When the status file that is there was made.
    ///
    /// # Errors
    /// When there is none.
    pub fn leads_since(&self) -> Result<SystemTime> {
        Ok(fs::metadata(self.status_file())?.modified()?)
    }
}

fn cpu_time(id: Pid) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", id.as_raw_nonzero()))?;
    let fields: Vec<&str> = stat.rsplit_once(')').context("no process")?.1.split_whitespace().collect();
    // In hundredths of a second on any Linux: in user mode, and in the kernel.
    let ticks = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
    Ok(Duration::from_millis(10 * ticks))
}

fn resident(id: Pid) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", id.as_raw_nonzero()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS in a process's status")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

fn path(path: &Path) -> Result<&str> {
    path.to_str().context("a temporary folder whose name is no UTF-8")
}

/// Waits until exactly one of `candidates` leads, and returns which.
///
/// # Errors
/// When two lead at once, or none within `patience`; with their logs.
pub async fn leader(candidates: &[Candidate], patience: Duration) -> Result<&Candidate> {
    let deadline = Instant::now() + patience;
    loop {
        let leading: Vec<&Candidate> = candidates.iter().filter(|candidate| candidate.leads()).collect();
        match leading[..] {
            [one] => return Ok(one),
            [] if Instant::now() < deadline => sleep(Duration::from_millis(1)).await,
            [] => bail!("nobody leads after {patience:?}\n{}", logs(candidates)),
            _ => bail!("{} lead at once\n{}", leading.len(), logs(candidates)),
        }
    }
}

fn logs(candidates: &[Candidate]) -> String {
    candidates.iter().map(|candidate| format!("--- {}\n{}", candidate.name(), candidate.log())).collect()
}
