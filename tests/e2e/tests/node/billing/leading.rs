//! Which of its pods leads, by what `elector-agent check` finds and by what the witness sees.

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use elector_harness::witness::Sighting;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use leader_elector::status::{Standing, Unknown, check};

use super::Billing;

impl Billing<'_> {
    /// Where the pod's status file is, or would be.
    pub(crate) fn status_file(&self, pod: &Pod) -> PathBuf {
        self.stage.node(pod).empty_dir(pod, "leader-election").join("leader_status")
    }

    /// What `elector-agent check` finds in the pod.
    pub(crate) fn leads(&self, pod: &Pod) -> Result<bool, Unknown> {
        check(&self.status_file(pod)).map(|standing| matches!(standing, Standing::Leads { .. }))
    }

    /// The number of the pod's file, for the witness.
    pub(crate) fn watch(&self, pod: &Pod) -> usize {
        let name = format!("{}_{}", pod.name_any(), pod.uid().unwrap_or_default());
        self.witness.add(&name, self.status_file(pod))
    }

    /// What the witness saw of the pod's file since.
    pub(crate) fn sightings(&self, pod: &Pod, since: std::time::Instant) -> Vec<Sighting> {
        let file = self.watch(pod);
        self.witness.sightings(since).into_iter().filter(|sighting| sighting.file == file).collect()
    }

    /// When the witness first saw the pod's file come, or go, since; it may be a moment behind.
    pub(crate) async fn sighting(&self, pod: &Pod, since: std::time::Instant, there: bool) -> Result<Sighting> {
        let mut sighting = None;
        self.until("the witness has seen it", async || {
            sighting = self.sightings(pod, since).into_iter().find(|sighting| sighting.there == there);
            Ok(sighting.is_some())
        })
        .await?;
        sighting.context("it was found")
    }

    /// The one pod that leads, once there is one.
    ///
    /// # Errors
    /// When there are two, or none in time.
    pub(crate) async fn leader(&self) -> Result<Pod> {
        let mut leader = None;
        self.until("a pod leads", async || {
            leader = self.leaders().await?.pop();
            Ok(leader.is_some())
        })
        .await?;
        leader.context("it was found")
    }

    /// The same, once it is another than `old`.
    pub(crate) async fn next_leader(&self, old: &Pod) -> Result<Pod> {
        let mut next = None;
        self.until("another pod leads", async || {
            next = self.leaders().await?.pop().filter(|pod| pod.uid() != old.uid());
            Ok(next.is_some())
        })
        .await?;
        next.context("it was found")
    }

    /// Those that lead now by what `elector-agent check` finds: one, or none.
    ///
    /// # Errors
    /// When there are two.
    pub(crate) async fn leaders(&self) -> Result<Vec<Pod>> {
        let look = |pods: Vec<Pod>| -> Vec<Pod> {
            pods.into_iter().filter(|pod| self.leads(pod).is_ok_and(|leads| leads)).collect()
        };
        let mut leaders = look(self.pods().await?);
        if leaders.len() > 1 {
            // They were looked at one after the other: who lost it meanwhile does not lead at a second look.
            leaders = look(leaders);
        }
        ensure!(leaders.len() < 2, "{} pods lead", leaders.len());
        Ok(leaders)
    }
}
