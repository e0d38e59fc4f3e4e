//! What candidates ask of the API server by themselves: three of ours, and three sidecars on client-go.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use elector_harness::candidate::{AgentOptions, Candidate, leader};
use elector_harness::controlplane::{ControlPlane, Namespace};
use elector_harness::peer::Peer;
use jiff::Timestamp;
use tokio::time::sleep;

use crate::cold::counted;
use crate::results::{Asked, Sidecars};

/// Lease duration, renew deadline, retry period: the defaults of both.
const TIMINGS: [u32; 3] = [15, 10, 2];

/// Elections of each.
const ELECTIONS: u32 = 3;

/// Until somebody leads, with 15 s to be waited out.
const PATIENCE: Duration = Duration::from_secs(60);

/// Both at the same time, on one control plane, for `seconds`.
pub(crate) async fn measure(plane: &ControlPlane, agent: &Path, peer: &Peer, seconds: u32) -> Result<Sidecars> {
    let (peers, ours) = (place(plane, "client-go").await?, place(plane, "leader-elector").await?);
    let mut contests = Vec::new();
    for number in 0..ELECTIONS {
        let name = format!("election-{number}");
        let pods = [0, 1, 2].map(|pod| format!("{name}-{pod}"));
        let options = AgentOptions { program: Some(agent.to_owned()), ..AgentOptions::default() };
        let options = options.with_timings(TIMINGS);
        let (mut of_peer, mut of_ours) = (Vec::new(), Vec::new());
        for pod in pods {
            of_peer.push(peer.start(&peers, &name, &pod, TIMINGS).await?);
            of_ours.push(Candidate::start(&ours, &name, &pod, &options).await?);
        }
        contests.extend([of_peer, of_ours]);
    }
    for candidates in &contests {
        leader(candidates, PATIENCE).await?;
    }
    sleep(Duration::from_secs(TIMINGS[0].into())).await;
    let from = Timestamp::now();
    sleep(Duration::from_secs(seconds.into())).await;
    let to = Timestamp::now();
    let asked = |namespace: &Namespace<'_>| {
        let requests = plane
            .audit()
            .requests(|entry| entry.is_from(namespace.name(), "default") && (from..to).contains(&entry.received))?;
        let seconds = to.duration_since(from).as_secs_f64();
        anyhow::Ok(Asked { elections: ELECTIONS, seconds, requests: counted(&requests) })
    };
    Ok(Sidecars {
        client_go_version: peer.version().to_owned(),
        client_go: asked(&peers)?,
        leader_elector: asked(&ours)?,
    })
}

/// Without an operator both need to create the Lease, and each what it uses.
async fn place<'a>(plane: &'a ControlPlane, prefix: &str) -> Result<Namespace<'a>> {
    let namespace = plane.namespace(prefix).await?;
    namespace.allow_leases(&["create", "get", "list", "watch", "update"]).await?;
    Ok(namespace)
}
