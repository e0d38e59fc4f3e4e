//! Attacks on real candidates at a real API server: an election whose network and processes fail on command, while
//! somebody looks all the time who leads.

mod beside;
mod fault;
mod front;
mod judge;
mod looks;
mod relay;

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{Instant, sleep};

pub use self::beside::Comparison;
pub use self::fault::{Edit, Fault, Span, Tampering};
pub use self::front::{Front, Manners};
pub use self::judge::{Belief, Overlap, Tenure, Verdict};
pub use self::looks::{Look, Looks};
pub use self::relay::{Cut, Direction, Flow, Relay};
use crate::candidate::{AgentOptions, Candidate};
use crate::controlplane::{ControlPlane, Namespace};
use crate::peer::Peer;
use elector_election::Timings;
use elector_xtask::programs::Programs;

/// The name of every attacked election.
pub const ELECTION: &str = "attacked";

/// To start, to take over what was released, and to notice what passes: all that waits for no clock.
const PATIENCE: Duration = Duration::from_secs(10);

/// Who contends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Our agents.
    Ours,
    /// Sidecars on client-go.
    ClientGo,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Kind::Ours => "ours",
            Kind::ClientGo => "client-go",
        })
    }
}

/// What an attacked election is like.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Who contends.
    pub kind: Kind,
    /// Of all: lease duration, renew deadline and retry period, in seconds.
    pub timings: [u32; 3],
    /// How many contend.
    pub candidates: usize,
    /// How agents are started, beside what every one needs.
    pub options: AgentOptions,
    /// Whether `elector-agent check` is run all the time, too.
    pub program: bool,
    /// Whether each has a [`Front`] behind its relay.
    pub front: bool,
}

impl Setup {
    /// Three agents.
    pub fn ours(timings: [u32; 3]) -> Setup {
        Setup::of(Kind::Ours, timings)
    }

    /// Three candidates.
    pub fn of(kind: Kind, timings: [u32; 3]) -> Setup {
        let options = AgentOptions::default();
        Setup { kind, timings, candidates: 3, options, program: false, front: false }
    }
}

/// Lease duration, renew deadline and retry period in seconds: the shortest of the usual ones.
pub const SHORT: [u32; 3] = [5, 3, 1];
/// The default.
pub const DEFAULT: [u32; 3] = [15, 10, 2];

/// An election, and all that can be done to it.
pub struct Arena<'a> {
    // Ends before the files go.
    looks: Looks,
    /// Where its Lease is.
    pub namespace: Namespace<'a>,
    /// Those who contend.
    pub members: Vec<Member>,
    kind: Kind,
    timings: Timings,
}

/// A candidate, and its way to the API server.
#[derive(Debug)]
pub struct Member {
    /// Its pod and processes.
    pub candidate: Candidate,
    /// Its network.
    pub relay: Relay,
    front: Option<Front>,
}

/// What is stopped or killed of a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The process that contends.
    Electing,
    /// Its parent.
    Supervisor,
    /// Both.
    Both,
}

impl<'a> Arena<'a> {
    /// A Lease that nobody has held, and candidates that run; one of them leads.
    ///
    /// # Errors
    /// When the API server refuses, no process can be made, or nobody leads.
    pub async fn start(plane: &'a ControlPlane, name: &str, setup: &Setup) -> Result<Arena<'a>> {
        let namespace = plane.namespace(name).await?;
        namespace.allow_leases(&["create", "get", "list", "watch", "update"]).await?;
        let [lease_duration, renew_deadline, retry_period] = setup.timings.map(i64::from);
        let timings = Timings::new(lease_duration, renew_deadline, retry_period, 0)?;
        namespace.create_lease(ELECTION, timings).await?;
        let mut members = Vec::new();
        for number in 0..setup.candidates {
            members.push(Member::make(&namespace, &format!("pod-{number}"), plane, setup).await?);
        }
        let paths = members.iter().map(|member| member.candidate.status_file()).collect();
        let program = if setup.program { Some(Programs::built().await?.agent.clone()) } else { None };
        let looks = Looks::at(paths, program);
        for member in &members {
            member.candidate.process().start()?;
        }
        let arena = Arena { looks, namespace, members, kind: setup.kind, timings };
        arena.leader().await?;
        Ok(arena)
    }

    /// D.
    pub fn lease_duration(&self) -> Duration {
        self.timings.lease_duration()
    }

    /// H.
    pub fn renew_deadline(&self) -> Duration {
        self.timings.renew_deadline()
    }

    /// How long a request may take.
    pub fn request_timeout(&self) -> Duration {
        ((self.renew_deadline() - self.timings.retry_period()) / 2).min(Duration::from_secs(10))
    }

    /// A part of it, another one each time.
    pub fn some_of(&self, time: Duration) -> Duration {
        time.mul_f64(f64::from(getrandom::u32().unwrap_or_default() % 1000) / 1000.0)
    }

    /// Everything arrives again, for all.
    pub fn heal(&self) {
        for member in &self.members {
            member.relay.heal();
        }
    }

    /// Starts those again that have given up, as kubelet does, and for as long as nobody cares to wait any more.
    ///
    /// # Errors
    /// When no process can be made.
    pub async fn restart_failed(&self) -> Result<()> {
        loop {
            for member in &self.members {
                let process = member.candidate.process();
                if process.exited()?.and_then(|status| status.code()).is_some_and(|code| code != 0) {
                    process.start()?;
                }
            }
            sleep(Duration::from_secs(1)).await;
        }
    }

    /// Who contends.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What is believed of them: client-go's candidates have no report to check.
    fn look(&self) -> Look {
        match self.kind {
            Kind::Ours => Look::Check,
            Kind::ClientGo => Look::File,
        }
    }

    /// Waits until one leads that `fits`; which.
    ///
    /// # Errors
    /// When nobody does after more than two lease durations; with all logs.
    pub async fn leader_of(&self, fits: impl Fn(usize) -> bool) -> Result<usize> {
        let begun = Instant::now();
        let since = looks::boottime();
        loop {
            if let Some(leader) = self.looks.leaders(self.look(), since).into_iter().find(|leader| fits(*leader)) {
                return Ok(leader);
            }
            if begun.elapsed() > 2 * self.lease_duration() + PATIENCE {
                bail!("nobody leads who should\n{}", self.logs());
            }
            sleep(Duration::from_millis(2)).await;
        }
    }

    /// Waits until one leads; which.
    ///
    /// # Errors
    /// As [`Arena::leader_of`].
    pub async fn leader(&self) -> Result<usize> {
        self.leader_of(|_| true).await
    }

    /// Waits until another one than `this` leads; which.
    ///
    /// # Errors
    /// As [`Arena::leader_of`].
    pub async fn leader_beside(&self, this: usize) -> Result<usize> {
        self.leader_of(|who| who != this).await
    }

    /// The leader, once all have seen it, in a random moment between its renewals.
    ///
    /// # Errors
    /// As [`Arena::leader_of`].
    pub async fn settled_leader(&self) -> Result<usize> {
        self.leader().await?;
        let retry_period = self.timings.retry_period();
        sleep(retry_period + self.some_of(retry_period)).await;
        self.leader().await
    }

    /// What was seen of them so far.
    pub fn verdict(&self, look: Look) -> Verdict {
        self.looks.verdict(look)
    }

    /// All logs.
    pub fn logs(&self) -> String {
        let log = |member: &Member| format!("--- {}\n{}", member.candidate.name(), member.candidate.log());
        self.members.iter().map(log).collect()
    }

    /// Says what was seen, and fails as [`Arena::ensure_safe`].
    ///
    /// # Errors
    /// As there.
    pub fn judge(&self, name: &str, but_file: bool) -> Result<()> {
        for (look, verdict) in self.verdicts() {
            println!("{name}, {}, {look}: {verdict}", self.kind);
        }
        self.ensure_safe(name, but_file)
    }

    /// Fails if ever two of our agents were believed in at once. With `but_file`, `test -f` is only measured, as all is
    /// of client-go's candidates.
    ///
    /// # Errors
    /// When there was an overlap; with all logs.
    pub fn ensure_safe(&self, name: &str, but_file: bool) -> Result<()> {
        for (look, verdict) in self.verdicts() {
            let counts = self.kind == Kind::Ours && !(but_file && look == Look::File);
            ensure!(verdict.is_safe() || !counts, "{name}, {look}: {verdict}: {:?}\n{}", verdict.overlaps, self.logs());
        }
        Ok(())
    }

    fn verdicts(&self) -> impl Iterator<Item = (Look, Verdict)> {
        let looks = [Look::File, Look::Check, Look::Program].into_iter();
        looks.map(|look| (look, self.verdict(look))).filter(|(_, verdict)| verdict.tenures > 0)
    }
}

impl Member {
    async fn make(namespace: &Namespace<'_>, pod: &str, plane: &ControlPlane, setup: &Setup) -> Result<Member> {
        let front = if setup.front { Some(Front::before(&plane.kubeconfig()).await?) } else { None };
        let (scheme, server) = match &front {
            Some(front) => ("http", front.address()),
            None => ("https", address_of(plane)?),
        };
        let relay = Relay::to(server).await?;
        let mut options = setup.options.clone().with_timings(setup.timings);
        options.server = Some(format!("{scheme}://{}", relay.address()));
        let candidate = match setup.kind {
            Kind::Ours => {
                let label = [("leader-elector.io/election", ELECTION)];
                let pod = namespace.create_pod(pod, "default", &label).await?;
                Candidate::of_pod(namespace, ELECTION, pod, &options).await?
            }
            Kind::ClientGo => Peer::client_go().await?.candidate(namespace, ELECTION, pod, options).await?,
        };
        Ok(Member { candidate, relay, front })
    }

    /// What answers it.
    ///
    /// # Errors
    /// When nothing was set up.
    pub fn front(&self) -> Result<&Front> {
        self.front.as_ref().context("this arena has no fronts")
    }

    /// Its processes; of a candidate of client-go's there is but one.
    ///
    /// # Errors
    /// When it does not run.
    pub fn processes(&self, part: Part) -> Result<Vec<Pid>> {
        let supervisor = self.candidate.supervisor()?;
        Ok(match (self.candidate.electing(), part) {
            (Err(_), _) | (Ok(_), Part::Supervisor) => vec![supervisor],
            (Ok(electing), Part::Electing) => vec![electing],
            // First the one that might see the other's end.
            (Ok(electing), Part::Both) => vec![supervisor, electing],
        })
    }

    /// Sends a signal to some of its processes.
    ///
    /// # Errors
    /// When it does not run.
    pub fn signal(&self, part: Part, signal: Signal) -> Result<()> {
        for process in self.processes(part)? {
            kill_process(process, signal)?;
        }
        Ok(())
    }

    /// SIGSTOP for a while. What was killed meanwhile is not continued.
    ///
    /// # Errors
    /// When it does not run.
    pub async fn stop_for(&self, part: Part, time: Duration) -> Result<()> {
        let processes = self.processes(part)?;
        self.signal(part, Signal::STOP)?;
        sleep(time).await;
        for process in processes {
            // The kernel has killed it, if it was told to.
            let _ = kill_process(process, Signal::CONT);
        }
        Ok(())
    }
}

fn address_of(plane: &ControlPlane) -> Result<SocketAddr> {
    let url = plane.url();
    url.strip_prefix("https://").and_then(|address| address.parse().ok()).context("the API server has an odd address")
}
