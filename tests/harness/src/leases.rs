//! Leases as a user or the operator has them.

use std::time::Instant;

use anyhow::{Context as _, Result};
use elector_crds::annotations::TimingsAnnotation;
use elector_crds::lease::FirstRecord;
use elector_crds::{ReleaseReason, StoredLease, TIMINGS_ANNOTATION};
use elector_election::{Lease, Timings};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::controlplane::Namespace;

/// 5 s, 3 s, 1 s: the shortest of the usual ones.
///
/// # Panics
/// Never: they satisfy the rule.
pub fn short_timings() -> Timings {
    Timings::new(5, 3, 1, 0).expect("these satisfy the rule")
}

impl Namespace<'_> {
    /// Makes a Lease as the operator does for a new LeaderElection: who comes first leads at once.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn create_lease(&self, election: &str, timings: Timings) -> Result<()> {
        let mut lease = StoredLease::new(ObjectMeta { name: Some(election.to_owned()), ..ObjectMeta::default() });
        FirstRecord::NeverHeld { lease_duration_seconds: timings.lease_duration_seconds() }.apply(&mut lease);
        let annotation = TimingsAnnotation { timings: Some(timings), never_held: true, ..TimingsAnnotation::default() };
        lease.set_annotation(TIMINGS_ANNOTATION, annotation.to_json());
        self.api().create(&PostParams::default(), &lease).await?;
        Ok(())
    }

    /// As it is stored.
    ///
    /// # Errors
    /// When there is none.
    pub async fn stored_lease(&self, election: &str) -> Result<StoredLease> {
        Ok(self.api().get(election).await?)
    }

    /// As an agent reads it.
    ///
    /// # Errors
    /// When there is none.
    pub async fn lease(&self, election: &str) -> Result<Lease> {
        Ok(elector_crds::lease::read(&self.stored_lease(election).await?)?.0)
    }

    /// Why its last holder gave it up, if that one says so.
    ///
    /// # Errors
    /// When it is not there, or cannot be used.
    pub async fn release_reason(&self, election: &str) -> Result<Option<ReleaseReason>> {
        let stored = self.stored_lease(election).await?;
        Ok(elector_crds::lease::release_reason(&stored, &elector_crds::lease::read(&stored)?.0))
    }

    /// Edits it by hand: a merge patch.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn edit_lease(&self, election: &str, patch: Value) -> Result<()> {
        let leases = self.api::<StoredLease>();
        leases.patch(election, &PatchParams::default(), &Patch::Merge(patch)).await?;
        Ok(())
    }

    /// Has a pod begin a tenure of `seconds`, as a candidate that is no agent of ours would; nobody renews it. Returns when
    /// the write left.
    ///
    /// # Errors
    /// When there is no such Lease or pod.
    pub async fn hold_lease(&self, election: &str, pod: &str, seconds: u32) -> Result<Instant> {
        let uid = self.api::<Pod>().get(pod).await?.uid().context("a pod without uid")?;
        let now = format!("{:.6}", jiff::Timestamp::now());
        let spec = json!({
            "holderIdentity": format!("{pod}_{uid}"), "acquireTime": now, "renewTime": now, "leaseDurationSeconds": seconds,
            "leaseTransitions": self.lease(election).await?.record.transitions + 1,
        });
        let sent = Instant::now();
        self.edit_lease(election, json!({"spec": spec})).await?;
        Ok(sent)
    }

    /// Asks for other timings, as the operator does.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn set_timings(&self, election: &str, timings: Timings) -> Result<()> {
        let annotation =
            TimingsAnnotation { timings: Some(timings), never_held: false, ..TimingsAnnotation::default() }.to_json();
        self.edit_lease(election, json!({"metadata": {"annotations": {TIMINGS_ANNOTATION: annotation}}})).await
    }
}
