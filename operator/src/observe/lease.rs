//! What the operator knows of one Lease: its latest version, and since when its record has been what it is.

use std::time::Duration;

use elector_crds::annotations::TimingsAnnotation;
use elector_crds::lease::{self, UnusableLease};
use elector_crds::{ADOPT_ANNOTATION, Oddity, STRICT_IDENTITY_LABEL, StoredLease};
use elector_election::{Lease, MAX_LEASE_DURATION_SECONDS, UNKNOWN_HOLDER};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::ResourceExt;

use super::Now;
use crate::{MANAGED_BY_LABEL, NAME};

/// A Lease as it was last seen.
#[derive(Debug, Clone, PartialEq)]
pub struct LeaseSeen {
    /// Its latest version.
    pub lease: Lease,
    /// As stored.
    pub owners: Vec<OwnerReference>,
    /// An operator made it.
    pub managed: bool,
    /// A person allows the operator to adopt it.
    pub adopt: bool,
    /// Only the pod of whoever writes can be its holder.
    pub strict: bool,
    /// On the operator's clock: since when the record has been what it is (rule F1).
    pub seen_at: Duration,
    /// The longest that a holder of this tenure ever asked others to wait, or was asked to.
    pub longest_duration_seconds: u32,
    /// Whether the record has changed under this uid since it was first seen: only then is the holder known to live.
    pub moved: bool,
    /// What operators say on it.
    pub annotation: TimingsAnnotation,
    /// The watch has shown it: then it has shown all that was there before, too.
    pub watched: bool,
    /// When it was last read from the store itself: a watch may be dead without anybody noticing.
    pub read_at: Option<Duration>,
}

/// What is remembered of a name, whatever becomes of its Lease.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    /// The last holder known.
    pub holder: Option<String>,
    /// The longest duration of the last tenure known.
    pub duration_seconds: u32,
    /// The highest known.
    pub transitions: u32,
}

impl LeaseSeen {
    pub(super) fn first(stored: &StoredLease, now: Now) -> Result<LeaseSeen, UnusableLease> {
        let (lease, oddities) = lease::read(stored)?;
        log(stored, &oddities);
        // Whoever holds it may have renewed with these since, unseen.
        let asked_for = lease.timings.map_or(0, |timings| timings.lease_duration_seconds());
        Ok(LeaseSeen {
            longest_duration_seconds: lease.lease_duration_seconds.max(asked_for),
            lease,
            owners: stored.owner_references().to_vec(),
            managed: stored.labels().get(MANAGED_BY_LABEL).is_some_and(|by| by == NAME),
            adopt: stored.annotation(ADOPT_ANNOTATION) == Some("true"),
            strict: stored.labels().contains_key(STRICT_IDENTITY_LABEL),
            annotation: stored.timings_annotation(),
            watched: false,
            seen_at: now.at,
            moved: false,
            read_at: None,
        })
    }

    /// The same Lease, seen again or changed.
    pub(super) fn then(&self, stored: &StoredLease, now: Now) -> Result<LeaseSeen, UnusableLease> {
        let next = LeaseSeen::first(stored, now)?;
        let (last_record, record) = (&self.lease.record, &next.lease.record);
        if last_record.uid != record.uid {
            return Ok(next);
        }
        let longest_duration_seconds = if next.begins_after(self) {
            next.longest_duration_seconds
        } else {
            next.longest_duration_seconds.max(self.longest_duration_seconds)
        };
        if last_record == record {
            let LeaseSeen { seen_at, moved, read_at, watched, .. } = *self;
            return Ok(LeaseSeen { seen_at, moved, read_at, watched, longest_duration_seconds, ..next });
        }
        Ok(LeaseSeen { moved: true, watched: self.watched, longest_duration_seconds, ..next })
    }

    /// Whether an agent began a tenure since `last`.
    #[must_use]
    pub fn begins_after(&self, last: &LeaseSeen) -> bool {
        self.lease.begins_tenure_after(&last.lease)
    }

    /// An operator made it, and nobody has said yet whether that was up to date (rule O2).
    #[must_use]
    pub fn is_unconfirmed(&self) -> bool {
        self.annotation.unconfirmed && self.lease.agent.is_none()
    }

    /// The same, and this process knows what was before.
    #[must_use]
    pub fn is_to_be_confirmed(&self) -> bool {
        self.is_unconfirmed() && self.watched
    }

    /// How long a silent holder is waited for, where candidates wait at least `own`.
    #[must_use]
    pub fn effective_duration(&self, own: Duration) -> Duration {
        let longest = self.longest_duration_seconds.max(self.least_wait_seconds());
        Duration::from_secs(longest.into()).max(own).min(Duration::from_secs(MAX_LEASE_DURATION_SECONDS.into()))
    }

    /// For how long everybody waits by the operator's own word, as long as no agent has written it.
    #[must_use]
    pub fn least_wait_seconds(&self) -> u32 {
        self.lease.least_wait_seconds()
    }

    /// Whether anything but the renewal itself differs.
    pub(super) fn differs(&self, other: &LeaseSeen) -> bool {
        let without_renewal = |seen: &LeaseSeen| {
            let mut seen = seen.clone();
            seen.lease.resource_version = elector_election::ResourceVersion(0);
            // That there is one matters, for a Lease that was never held has none.
            seen.lease.record.renew_time = seen.lease.record.renew_time.map(|_| elector_election::Timestamp::MIN);
            seen.seen_at = Duration::ZERO;
            seen.read_at = None;
            seen
        };
        without_renewal(self) != without_renewal(other)
    }
}

impl History {
    /// Takes in what the Lease is now; `begun` says that an agent has begun a tenure since it was last looked at.
    pub(super) fn take_in(&mut self, seen: &LeaseSeen, begun: bool) {
        self.learn(seen);
        let record = &seen.lease.record;
        if begun {
            self.duration_seconds = seen.longest_duration_seconds;
        }
        if !record.holder.is_empty() && record.holder != UNKNOWN_HOLDER && self.holder.as_ref() != Some(&record.holder)
        {
            self.holder = Some(record.holder.clone());
        }
    }

    /// Takes in what some Lease of that name was once: whoever asked for longer may still rely on it.
    pub(super) fn learn(&mut self, seen: &LeaseSeen) {
        let asked_for = seen.longest_duration_seconds.max(seen.least_wait_seconds());
        self.duration_seconds = self.duration_seconds.max(asked_for);
        self.transitions = self.transitions.max(seen.lease.record.transitions);
    }
}

fn log(stored: &StoredLease, oddities: &[Oddity]) {
    for oddity in oddities {
        tracing::debug!(namespace = stored.namespace(), lease = stored.name_any(), %oddity, "odd lease");
    }
}
