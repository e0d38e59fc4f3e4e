//! Candidates in Go, each in a pod of its own: what ours is measured against and shares Leases with.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use elector_xtask::root;

use crate::candidate::{AgentOptions, Candidate};
use crate::controlplane::Namespace;
use elector_xtask::gobuild::{GoProgram, Origin, fingerprint, required_version};

/// A program of a folder of `tests/peers`. It takes the environment and the timings of our agent, and needs `get`,
/// `create` and `update` on Leases.
#[derive(Debug, Clone)]
pub struct Peer {
    program: PathBuf,
    version: String,
}

impl Peer {
    /// A sidecar on client-go. Builds it when its source is new, which takes a minute the first time.
    ///
    /// # Errors
    /// As [`GoProgram::path`].
    pub async fn client_go() -> Result<Peer> {
        Self::built("client-go", "k8s.io/client-go").await
    }

    /// A manager of controller-runtime's, which ends when it loses the Lease. Built likewise.
    ///
    /// # Errors
    /// As [`GoProgram::path`].
    pub async fn controller_runtime() -> Result<Peer> {
        Self::built("controller-runtime", "sigs.k8s.io/controller-runtime").await
    }

    async fn built(folder: &'static str, library: &'static str) -> Result<Peer> {
        tokio::task::spawn_blocking(move || {
            let module = root().join("tests/peers").join(folder);
            let go_mod = fs::read_to_string(module.join("go.mod"))?;
            let version = required_version(&go_mod, library);
            let version = version.with_context(|| format!("go.mod does not require {library}"))?.to_owned();
            let files = fs::read_dir(&module)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
            let key = format!("peers/{folder}-{version}-{:016x}", fingerprint(&files, None)?);
            let program = GoProgram {
                name: format!("{folder}-peer"),
                module,
                package: ".".to_owned(),
                key,
                ldflags: "-s -w".to_owned(),
                tags: String::new(),
                origin: Origin::Pinned,
            };
            Ok(Peer { program: program.path()?, version })
        })
        .await?
    }

    /// Where the program is.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Of the library, without the `v`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Makes the pod and starts the program in it, as [`Candidate::start`] does with our agent. Timings: lease
    /// duration, renew deadline, retry period, in seconds.
    ///
    /// # Errors
    /// When the API server refuses the pod or no process can be made.
    pub async fn start(
        &self,
        namespace: &Namespace<'_>,
        election: &str,
        pod: &str,
        timings: [u32; 3],
    ) -> Result<Candidate> {
        let options = AgentOptions::default().with_timings(timings);
        let candidate = self.candidate(namespace, election, pod, options).await?;
        candidate.process().start()?;
        Ok(candidate)
    }

    /// Makes the pod, and the program in it in place of our agent; not started.
    ///
    /// # Errors
    /// When the API server refuses the pod.
    pub async fn candidate(
        &self,
        namespace: &Namespace<'_>,
        election: &str,
        pod: &str,
        mut options: AgentOptions,
    ) -> Result<Candidate> {
        let pod = namespace.create_pod(pod, "default", &[("leader-elector.io/election", election)]).await?;
        // They know nothing of the token's claims, so they are told who they are.
        let name = pod.metadata.name.clone().unwrap_or_default();
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        options.program = Some(self.program.clone());
        options.environment.push(("IDENTITY".to_owned(), format!("{name}_{uid}")));
        options.environment.push(("POD_NAME".to_owned(), name));
        Candidate::of_pod(namespace, election, pod, &options).await
    }
}
