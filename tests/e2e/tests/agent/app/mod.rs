//! What an app asks its agent, and what it says to it, beside the files; on a real API server.

mod health;
mod hooks;
mod http;

use std::time::Duration;

use anyhow::Result;
use elector_harness::candidate::{AgentOptions, Candidate};
use elector_harness::controlplane::{ControlPlane, Namespace};
use elector_harness::leases::short_timings;

const START: Duration = Duration::from_secs(5);
const SOON: Duration = Duration::from_secs(1);
/// To take over from somebody else: a lease duration of 5 s, and some time for a machine that is busy.
const TAKEOVER: Duration = Duration::from_secs(8);

/// With a Lease `a` that was never held.
async fn namespace(name: &str) -> Result<Namespace<'static>> {
    let namespace = ControlPlane::shared().await?.namespace(name).await?;
    namespace.allow_leases(&["get", "list", "watch", "update"]).await?;
    namespace.create_lease("a", short_timings()).await?;
    Ok(namespace)
}

/// An agent with these variables.
async fn candidate(namespace: &Namespace<'_>, pod: &str, environment: &[(&str, &str)]) -> Result<Candidate> {
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Candidate::start(namespace, "a", pod, &AgentOptions { environment, ..AgentOptions::default() }).await
}
