//! What the operator knows of one Lease: its latest version, and since when its record has been the same.

use std::time::Duration;

use elector_crds::annotations::TimingsAnnotation;
use elector_crds::lease::{self, UnusableLease};
use elector_crds::untrusted::shorten;
use elector_crds::{
    ADOPT_ANNOTATION, LeaderElection, ParseWarning, ReleaseReason, STRICT_IDENTITY_LABEL, StoredLease, TenureEnd,
};
use elector_election::{Lease, Record, UNKNOWN_HOLDER, effective_duration_seconds};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{Resource, ResourceExt};

use super::ClockReading;
use super::budget::Cost;
use elector_crds::ownership::{MANAGED_BY_LABEL, OPERATOR_NAME};

/// The memory of a Lease beside its texts, in bytes.
const LEASE_BYTES: usize = 768;

/// The memory of a reference to an owner beside its texts, in bytes.
pub(super) const OWNER_BYTES: usize = 160;

/// The most owners that are kept: one controls the Lease, and the others are elections of its name, the present and
/// earlier ones.
pub(super) const MAX_OWNERS: usize = 4;

/// A Lease as it was last seen.
#[derive(Debug, Clone, PartialEq)]
pub struct LeaseSeen {
    /// The latest version of the Lease.
    pub lease: Lease,
    /// The stored owners, without those that no plan looks at.
    pub owners: Vec<OwnerReference>,
    /// Whether an operator made the Lease.
    pub managed: bool,
    /// Whether a person allows the operator to adopt the Lease.
    pub adopt: bool,
    /// Whether only the pod that writes can be the holder, as the policy that checks it is told; `None` if the policy
    /// is told nothing.
    pub strict: Option<bool>,
    /// The time since which the record has been the same, on the operator's clock (rule F1).
    pub seen_at: Duration,
    /// The longest time that a holder of this tenure asked others to wait, or was told to ask for, in seconds.
    pub longest_duration_seconds: u32,
    /// The time at which this tenure was first seen, on the operator's clock.
    pub tenure_since: Duration,
    /// The time since which the holder has been asked for what it is asked for now, on the operator's clock; `None` if
    /// it is asked for nothing.
    pub asked_since: Option<Duration>,
    /// Whether the holder itself was seen to write, by beginning this tenure or by renewing it: then its name is no
    /// edit by others.
    pub seen_to_write: bool,
    /// Whether the record has changed under this uid since it was first seen: only then is the holder known to live.
    pub moved: bool,
    /// The operator's annotation on the Lease.
    pub annotation: TimingsAnnotation,
    /// Whether the watch has shown the Lease: then it has shown everything that was there before, too.
    pub watched: bool,
    /// The last tenure under this uid that was seen to end.
    pub ended: Option<Ended>,
    /// Why the last holder gave the Lease up, in its own words.
    pub release_reason: Option<ReleaseReason>,
    /// The time at which the Lease was last read from the store, beside the watch: a watch may be dead without a sign.
    pub read_at: Option<Duration>,
}

/// A tenure that is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// The identity of the holder.
    pub identity: String,
    /// The number of the tenure.
    pub transitions: u32,
    /// Why the tenure ended.
    pub how: TenureEnd,
}

/// What is remembered of a name, even if its Lease is gone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    /// The last known holder.
    pub holder: Option<String>,
    /// The longest known duration of the last tenure, in seconds.
    pub duration_seconds: u32,
    /// The highest known number of tenures.
    pub transitions: u32,
}

impl LeaseSeen {
    pub(super) fn first(stored: &StoredLease, now: ClockReading) -> Result<LeaseSeen, UnusableLease> {
        let (lease, warnings) = lease::read(stored)?;
        log(stored, &warnings);
        // Its holder may have renewed with these since, unseen.
        let asked_for = lease.timings.map_or(0, |timings| timings.lease_duration_seconds());
        Ok(LeaseSeen {
            longest_duration_seconds: lease.lease_duration_seconds.max(asked_for),
            release_reason: lease::release_reason(stored, &lease),
            lease,
            owners: owners(stored),
            managed: stored.labels().get(MANAGED_BY_LABEL).is_some_and(|by| by == OPERATOR_NAME),
            adopt: stored.annotation(ADOPT_ANNOTATION) == Some("true"),
            strict: stored.labels().get(STRICT_IDENTITY_LABEL).map(|strict| strict != "false"),
            annotation: stored.timings_annotation(),
            watched: false,
            seen_at: now.at,
            tenure_since: now.at,
            asked_since: None,
            seen_to_write: false,
            moved: false,
            ended: None,
            read_at: None,
        })
    }

    /// The knowledge after the same Lease was seen again, changed or not.
    pub(super) fn then(&self, stored: &StoredLease, now: ClockReading) -> Result<LeaseSeen, UnusableLease> {
        let mut next = LeaseSeen::first(stored, now)?;
        next.ended = end_of(&self.lease, &next.lease, next.release_reason).or_else(|| self.ended.clone());
        let (last_record, record) = (&self.lease.record, &next.lease.record);
        if last_record.uid != record.uid {
            return Ok(LeaseSeen { ended: None, ..next });
        }
        if last_record.transitions == record.transitions {
            next.tenure_since = self.tenure_since;
        }
        next.asked_since = next.is_asked().then(|| {
            let same = self.is_asked() && self.lease.hints == next.lease.hints;
            self.asked_since.filter(|_| same).unwrap_or(now.at)
        });
        next.seen_to_write = next.begins_after(self) || next.is_renewal_of(self) || {
            let same = last_record.holder == record.holder && self.lease.agent == next.lease.agent;
            same && self.seen_to_write
        };
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

    /// Corrects the end of the last tenure: its holder was dead, so that the operator released the Lease.
    pub(super) fn note_death(&mut self) {
        if let Some(ended) = self.ended.as_mut().filter(|ended| ended.how == TenureEnd::Released) {
            ended.how = TenureEnd::PodTerminated;
        }
    }

    /// Whether the holder is asked to end its tenure.
    fn is_asked(&self) -> bool {
        let Lease { hints, record, .. } = &self.lease;
        let ends = hints.paused || hints.end_tenure == Some(record.transitions);
        ends && !record.holder.is_empty() && hints.successor.as_ref() != Some(&record.holder)
    }

    /// Whether this is a later version of the same tenure of the same process as `last`.
    fn is_renewal_of(&self, last: &LeaseSeen) -> bool {
        let (record, last_record) = (&self.lease.record, &last.lease.record);
        record.holder == last_record.holder
            && record.acquire_time == last_record.acquire_time
            && record.transitions == last_record.transitions
            && self.lease.agent == last.lease.agent
            && record.renew_time > last_record.renew_time
    }

    /// Whether an operator has created the Lease and not confirmed yet that it is up to date (rule O2).
    #[must_use]
    pub fn is_unconfirmed(&self) -> bool {
        self.annotation.unconfirmed && self.lease.agent.is_none()
    }

    /// Whether the Lease is unconfirmed, and this process knows what was before, so that it can confirm it.
    #[must_use]
    pub fn is_to_be_confirmed(&self) -> bool {
        self.is_unconfirmed() && self.watched
    }

    /// How long a silent holder is waited for, if candidates wait at least `own`.
    #[must_use]
    pub fn effective_duration(&self, own: Duration) -> Duration {
        let own = u32::try_from(own.as_secs()).unwrap_or(u32::MAX);
        let seconds = effective_duration_seconds(self.longest_duration_seconds, own, self.least_wait_seconds());
        Duration::from_secs(seconds.into())
    }

    /// How long every candidate waits as the operator asks, in seconds, as long as no agent has written the Lease.
    #[must_use]
    pub fn least_wait_seconds(&self) -> u32 {
        self.lease.least_wait_seconds()
    }

    /// Whether anything differs but the renewal.
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

impl Cost for LeaseSeen {
    fn cost(&self) -> usize {
        let Lease { record, agent, hints, .. } = &self.lease;
        let agent = agent.as_ref();
        let agent = agent.map_or(0, |agent| agent.start.len() + agent.release.as_ref().map_or(0, |it| it.uid.len()));
        let owner = |owner: &OwnerReference| {
            let OwnerReference { api_version, kind, name, uid, .. } = owner;
            OWNER_BYTES + api_version.len() + kind.len() + name.len() + uid.len()
        };
        let owners = self.owners.iter().map(owner).sum::<usize>();
        let ended = self.ended.as_ref().map_or(0, |ended| ended.identity.len());
        let successor = hints.successor.as_ref().map_or(0, String::len);
        // The holder's name is kept in three places.
        LEASE_BYTES + 3 * record.holder.len() + record.uid.len() + agent + owners + ended + successor
    }
}

/// The owner that controls the Lease, and the owners that are LeaderElections.
fn owners(stored: &StoredLease) -> Vec<OwnerReference> {
    let is_of_interest =
        |owner: &&OwnerReference| owner.controller == Some(true) || owner.kind == LeaderElection::kind(&());
    let kept = stored.owner_references().iter().filter(is_of_interest).take(MAX_OWNERS);
    kept.map(|owner| shorten_owner(owner.clone())).collect()
}

/// Shortens the texts of an owner.
pub(super) fn shorten_owner(owner: OwnerReference) -> OwnerReference {
    let short = |text: String| shorten(&text).into_owned();
    let OwnerReference { api_version, block_owner_deletion, controller, kind, name, uid } = owner;
    OwnerReference {
        api_version: short(api_version),
        block_owner_deletion,
        controller,
        kind: short(kind),
        name: short(name),
        uid: short(uid),
    }
}

impl History {
    /// Takes in the current version of a Lease. `begun` says that an agent has begun a tenure since the last version.
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

    /// Takes in any version, even an outdated one, of a Lease of this name: a holder that asked for a longer wait may
    /// still rely on it.
    pub(super) fn learn(&mut self, seen: &LeaseSeen) {
        let asked_for = seen.longest_duration_seconds.max(seen.least_wait_seconds());
        self.duration_seconds = self.duration_seconds.max(asked_for);
        self.transitions = self.transitions.max(seen.lease.record.transitions);
    }
}

/// The end of the tenure that `last` shows, if `next` shows that it is over. `reason` is why the last tenure of `next`
/// was given up.
fn end_of(last: &Lease, next: &Lease, reason: Option<ReleaseReason>) -> Option<Ended> {
    let Record { holder: identity, transitions, acquire_time, .. } = &last.record;
    let goes_on = next.record.holder == *identity
        && next.record.transitions == *transitions
        && next.record.acquire_time == *acquire_time;
    if goes_on || identity.is_empty() || identity == UNKNOWN_HOLDER {
        return None;
    }
    let how = if next.tells_of_release() {
        match &next.hints {
            hints if hints.paused => TenureEnd::Paused,
            hints if hints.end_tenure == Some(*transitions) => TenureEnd::Transferred,
            // Of a tenure in between nothing was seen: what its holder says is of that one.
            _ => {
                reason.filter(|_| next.record.transitions == *transitions).map_or(TenureEnd::Released, TenureEnd::from)
            }
        }
    } else if next.begins_tenure_after(last) && next.record.holder != *identity {
        // An agent takes what was not given up only when it was silent for long enough.
        TenureEnd::Expired
    } else {
        TenureEnd::Replaced
    };
    Some(Ended { identity: identity.clone(), transitions: *transitions, how })
}

fn log(stored: &StoredLease, warnings: &[ParseWarning]) {
    for warning in warnings {
        tracing::debug!(namespace = stored.namespace(), lease = stored.name_any(), %warning, "odd lease");
    }
}

#[cfg(test)]
mod tests {
    use elector_election::{AgentMark, Hints, ReleaseMark, ResourceVersion, Timestamp};

    use super::*;

    fn held(holder: &str, transitions: u32) -> Lease {
        let time = Timestamp::from_microseconds(i64::from(transitions));
        let (uid, holder) = ("uid".to_owned(), holder.to_owned());
        Lease {
            resource_version: ResourceVersion(1),
            record: Record { uid, holder, acquire_time: Some(time), renew_time: Some(time), transitions },
            lease_duration_seconds: 15,
            timings: None,
            never_held: false,
            least_wait_seconds: 0,
            hints: Hints::default(),
            agent: Some(AgentMark { start: "n1".to_owned(), transitions, release: None }),
        }
    }

    fn released(transitions: u32, hints: Hints) -> Lease {
        let mut lease = Lease { hints, lease_duration_seconds: 1, ..held("", transitions) };
        let renew_time = Timestamp::from_microseconds(99);
        lease.record.renew_time = Some(renew_time);
        let release = Some(ReleaseMark { uid: "uid".to_owned(), transitions, renew_time });
        lease.agent = Some(AgentMark { start: "n1".to_owned(), transitions, release });
        lease
    }

    #[test]
    fn how_a_tenure_ended_is_told_by_what_comes_next() {
        let last = held("a", 4);
        let how = |next: &Lease| end_of(&last, next, None).map(|ended| ended.how);
        assert_eq!(how(&last), None);
        let mut renewed = held("a", 4);
        renewed.record.renew_time = Some(Timestamp::from_microseconds(50));
        assert_eq!(how(&renewed), None);
        assert_eq!(how(&released(4, Hints::default())), Some(TenureEnd::Released));
        assert_eq!(how(&released(4, Hints { paused: true, ..Hints::default() })), Some(TenureEnd::Paused));
        let asked = Hints { end_tenure: Some(4), ..Hints::default() };
        assert_eq!(how(&released(4, asked)), Some(TenureEnd::Transferred));
        let earlier = Hints { end_tenure: Some(3), ..Hints::default() };
        assert_eq!(how(&released(4, earlier)), Some(TenureEnd::Released));
        assert_eq!(how(&held("b", 5)), Some(TenureEnd::Expired));
        assert_eq!(how(&held("a", 5)), Some(TenureEnd::Replaced), "a restarted holder begins another tenure");
        assert_eq!(how(&Lease { agent: last.agent.clone(), ..held("", 4) }), Some(TenureEnd::Replaced));
    }

    #[test]
    fn why_a_holder_gave_it_up_is_what_it_says_unless_the_operator_asked_it_to() {
        let last = held("a", 4);
        let how = |next: &Lease, reason| end_of(&last, next, Some(reason)).map(|ended| ended.how);
        let plain = released(4, Hints::default());
        assert_eq!(how(&plain, ReleaseReason::Stopped), Some(TenureEnd::Stopped));
        assert_eq!(how(&plain, ReleaseReason::AppUnhealthy), Some(TenureEnd::AppUnhealthy));
        assert_eq!(how(&plain, ReleaseReason::CommandEnded), Some(TenureEnd::CommandEnded));
        assert_eq!(how(&plain, ReleaseReason::PublishFailed), Some(TenureEnd::PublishFailed));
        // The operator has taken back meanwhile what it had asked for.
        assert_eq!(how(&plain, ReleaseReason::Paused), Some(TenureEnd::Paused));
        assert_eq!(how(&plain, ReleaseReason::HandedOver), Some(TenureEnd::Transferred));
        let paused = released(4, Hints { paused: true, ..Hints::default() });
        assert_eq!(how(&paused, ReleaseReason::AppUnhealthy), Some(TenureEnd::Paused));
        let asked = released(4, Hints { end_tenure: Some(4), ..Hints::default() });
        assert_eq!(how(&asked, ReleaseReason::Stopped), Some(TenureEnd::Transferred));
        // Another tenure came and went unseen, and the reason is that one's.
        assert_eq!(how(&released(5, Hints::default()), ReleaseReason::AppUnhealthy), Some(TenureEnd::Released));
        assert_eq!(how(&held("b", 5), ReleaseReason::AppUnhealthy), Some(TenureEnd::Expired));
    }

    #[test]
    fn nobody_has_no_tenure_that_could_end() {
        for nobody in ["", UNKNOWN_HOLDER] {
            assert_eq!(end_of(&held(nobody, 4), &held("b", 5), None), None, "{nobody}");
        }
    }
}
