//! Many elections, and pods that nobody runs.

use anyhow::{Context as _, Result};
use elector_crds::conditions::{ConditionType, Reason, find};
use elector_crds::{AGENT_CONTAINER, ELECTION_LABEL, LeaderElection};
use elector_harness::controlplane::{ControlPlane, NODE, Namespace};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, PostParams};
use kube::{Api, ResourceExt as _};
use serde_json::{from_value, json};

use crate::results::PODS;

/// Requests at a time, for whatever is made here.
const AT_ONCE: usize = 16;

/// Elections of one namespace.
const OF_A_NAMESPACE: u32 = 100;

/// Renewed every 6.7 s, these leave a leader two tries.
pub(crate) const LEASE_DURATION_SECONDS: u32 = 20;

/// Elections with their candidates.
pub(crate) struct Crowd<'a> {
    namespaces: Vec<Namespace<'a>>,
    /// All of them, by namespace and name.
    pub(crate) members: Vec<Member<'a>>,
}

/// An election.
#[derive(Clone)]
pub(crate) struct Member<'a> {
    /// Where it is.
    pub(crate) namespace: Namespace<'a>,
    /// What it is called.
    pub(crate) name: String,
    /// The identity of its first pod, if it has any.
    pub(crate) holder: Option<String>,
}

impl<'a> Crowd<'a> {
    /// Makes `elections` in namespaces whose names begin with `prefix`; if `peopled`, each with [`PODS`] ready pods.
    pub(crate) async fn gather(
        plane: &'a ControlPlane,
        prefix: &str,
        elections: u32,
        peopled: bool,
    ) -> Result<Crowd<'a>> {
        let namespaces = namespaces(plane, prefix, elections.div_ceil(OF_A_NAMESPACE)).await?;
        let made = stream::iter(0..elections).map(|number| {
            let namespace = namespaces[number as usize % namespaces.len()].clone();
            member(namespace, format!("election-{number:05}"), peopled)
        });
        let mut members: Vec<Member<'a>> = made.buffer_unordered(AT_ONCE).try_collect().await?;
        members.sort_by(|one, other| (one.namespace.name(), &one.name).cmp(&(other.namespace.name(), &other.name)));
        Ok(Crowd { namespaces, members })
    }

    /// Whether `namespace` is one of its own.
    pub(crate) fn is_at_home_in(&self, namespace: &str) -> bool {
        self.namespaces.iter().any(|home| home.name() == namespace)
    }

    /// Where it is.
    pub(crate) fn namespaces(&self) -> &[Namespace<'a>] {
        &self.namespaces
    }

    /// How many elections are in place, and how many of them are led, by their status.
    pub(crate) async fn standing(&self) -> Result<(usize, usize)> {
        let client = self.namespaces.first().context("no namespace")?.client();
        let elections = Api::<LeaderElection>::all(client).list(&ListParams::default()).await?;
        let home = elections.iter().filter(|it| self.is_at_home_in(&it.namespace().unwrap_or_default()));
        let (mut in_place, mut led) = (0, 0);
        for election in home {
            in_place += usize::from(is_in_place(election));
            led += usize::from(is_so(election, ConditionType::LeaderElected, Reason::LeaseHeld));
        }
        Ok((in_place, led))
    }
}

impl Member<'_> {
    /// Whether its status says so.
    pub(crate) async fn is_in_place(&self) -> Result<bool> {
        Ok(is_in_place(&self.namespace.api::<LeaderElection>().get(&self.name).await?))
    }
}

/// Makes `count` pods that are candidates of nothing.
pub(crate) async fn strangers(plane: &ControlPlane, count: u32) -> Result<()> {
    let namespaces = namespaces(plane, "strangers", count.div_ceil(PODS * OF_A_NAMESPACE)).await?;
    let made = stream::iter(0..count).map(|number| {
        let namespace = namespaces[number as usize % namespaces.len()].clone();
        async move { ready_pod(&namespace, &format!("stranger-{number:05}"), "app", "stranger").await }
    });
    made.buffer_unordered(AT_ONCE).try_for_each(async |_| Ok(())).await
}

async fn namespaces<'a>(plane: &'a ControlPlane, prefix: &str, count: u32) -> Result<Vec<Namespace<'a>>> {
    let mut namespaces = Vec::new();
    for _ in 0..count {
        namespaces.push(plane.namespace(prefix).await?);
    }
    Ok(namespaces)
}

async fn member(namespace: Namespace<'_>, name: String, peopled: bool) -> Result<Member<'_>> {
    let election = json!({
        "apiVersion": "leader-elector.io/v1alpha1",
        "kind": "LeaderElection",
        "metadata": {"name": name},
        "spec": {"leaseDurationSeconds": LEASE_DURATION_SECONDS, "renewDeadlineSeconds": 15, "retryPeriodSeconds": 7},
    });
    namespace.api::<LeaderElection>().create(&PostParams::default(), &from_value(election)?).await?;
    let mut holder = None;
    for number in 0..if peopled { PODS } else { 0 } {
        let pod = ready_pod(&namespace, &format!("{name}-{number}"), ELECTION_LABEL, &name).await?;
        holder.get_or_insert_with(|| format!("{}_{}", pod.name_any(), pod.uid().unwrap_or_default()));
    }
    Ok(Member { namespace, name, holder })
}

/// As the chart's policy leaves it, with the agent beside the app.
async fn ready_pod(namespace: &Namespace<'_>, name: &str, label: &str, value: &str) -> Result<Pod> {
    let pod: Pod = from_value(json!({
        "metadata": {"name": name, "labels": {label: value}},
        "spec": {
            "nodeName": NODE,
            "serviceAccountName": "default",
            "initContainers": [{"name": AGENT_CONTAINER, "image": "none", "restartPolicy": "Always"}],
            "containers": [{"name": "app", "image": "none"}],
        },
    }))?;
    let pod = namespace.api().create(&PostParams::default(), &pod).await?;
    namespace.set_pod_ready(name, true).await?;
    Ok(pod)
}

fn is_in_place(election: &LeaderElection) -> bool {
    is_so(election, ConditionType::Ready, Reason::Reconciled)
}

fn is_so(election: &LeaderElection, type_: ConditionType, reason: Reason) -> bool {
    let Some(status) = &election.status else { return false };
    let found = find(&status.conditions, type_);
    found.is_some_and(|found| found.status == "True" && found.reason == reason.as_str())
}
