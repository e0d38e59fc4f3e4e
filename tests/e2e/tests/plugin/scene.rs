//! The plugin as people on call run it, and an election for it.

use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use elector_harness::candidate::Candidate;
use elector_harness::controlplane::Namespace;
use elector_harness::operators::{Election, contended};
use elector_xtask::programs::Programs;
use serde_json::Value;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

pub(crate) const SOON: Duration = Duration::from_secs(5);

/// What the plugin ended with, and said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) error: String,
}

impl Said {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_default()
    }

    /// Ended with this code, and one line that has this in it.
    pub(crate) fn failed(&self, code: i32, why: &str) {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert!(self.error.starts_with("error: ") && self.error.contains(why), "{why:?}: {self:?}");
        assert_eq!((self.error.lines().count(), self.out.as_str()), (1, ""), "{self:?}");
    }

    pub(crate) fn done(self) -> Said {
        assert_eq!((self.code, self.error.as_str()), (Some(0), ""), "{self:?}");
        self
    }
}

pub(crate) async fn run(kubeconfig: &Path, arguments: &[&str]) -> Result<Said> {
    let mut command = Command::new(&Programs::built().await?.plugin);
    command.env_clear().env("KUBECONFIG", kubeconfig).args(arguments);
    let Output { status, stdout, stderr } = spawn_blocking(move || command.output()).await??;
    Ok(Said { code: status.code(), out: String::from_utf8(stdout)?, error: String::from_utf8(stderr)? })
}

/// In that namespace, as its administrator.
pub(crate) async fn election(namespace: &Namespace<'_>, arguments: &[&str]) -> Result<Said> {
    let arguments = [arguments, &["-n", namespace.name()]].concat();
    run(&namespace.cluster().kubeconfig(), &arguments).await
}

/// Three candidates, which are ready; billing-0 leads.
pub(crate) struct Scene {
    pub(crate) namespace: Namespace<'static>,
    pub(crate) election: Election<'static>,
    pub(crate) candidates: Vec<Candidate>,
}

impl Scene {
    pub(crate) async fn set(prefix: &str) -> Result<Scene> {
        let (namespace, election, candidates) = contended(prefix).await?;
        Ok(Scene { namespace, election, candidates })
    }

    pub(crate) async fn run(&self, arguments: &[&str]) -> Result<Said> {
        election(&self.namespace, arguments).await
    }

    pub(crate) fn leader(&self) -> Vec<&str> {
        self.candidates.iter().filter(|candidate| candidate.leads()).map(Candidate::name).collect()
    }
}

/// Waits until the log has as many lines, and returns them.
pub(crate) async fn until_lines(log: &Path, number: usize) -> Result<Vec<String>> {
    let begun = Instant::now();
    loop {
        let lines: Vec<String> = std::fs::read_to_string(log)?.lines().map(str::to_owned).collect();
        if lines.len() >= number {
            return Ok(lines);
        }
        ensure!(begun.elapsed() < SOON, "not {number}: {lines:?}");
        sleep(Duration::from_millis(20)).await;
    }
}
