//! Who leads, as far as this process knows, for the services.

use std::time::Duration;

use elector_crds::{format_timestamp, identity};
use elector_election::{Now, Tenure, Timestamp, UNKNOWN_HOLDER};
use leader_elector::observer::LeaseView;
use leader_elector::status::Author;
use serde::Serialize;
use tokio::sync::watch;

/// Two times that are computed from different clocks may be the same if they differ by less.
const CLOCK_TOLERANCE: Duration = Duration::from_millis(1);

/// The state of the election that the driver last reported. Times without a date are on `CLOCK_BOOTTIME`, as in the
/// status files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Snapshot {
    author: Author,
    own: Option<OwnTenure>,
    holder: Option<NamedHolder>,
    /// The time at which the first record was seen, whose age is not known.
    first_seen_at: Option<Duration>,
    /// Whether the Lease was seen at least once.
    pub(crate) has_seen: bool,
    pub(crate) transitions: u32,
    /// The problem that keeps this candidate from contending, as one word.
    pub(crate) problem: Option<&'static str>,
    /// The time at which the election's loop last turned; before the first turn, the time of the start.
    pub(crate) turned_at: Duration,
    over: bool,
}

/// The tenure of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct OwnTenure {
    fencing_token: u64,
    renewed: Instants,
    valid_until: Duration,
}

/// The holder that the Lease names.
#[derive(Debug, Clone, PartialEq, Eq)]
struct NamedHolder {
    identity: String,
    seen: Instants,
    expires_at: Duration,
}

/// The same instant on the wall clock, for people, and on `CLOCK_BOOTTIME`, to compute with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Instants {
    wall: Timestamp,
    boottime: Duration,
}

impl Instants {
    fn before(age: Duration, now: Now) -> Instants {
        let microseconds = i64::try_from(age.as_micros()).unwrap_or(i64::MAX);
        Instants {
            wall: Timestamp::from_microseconds(now.wall.as_microseconds().saturating_sub(microseconds)),
            boottime: now.moment.boottime.saturating_sub(age),
        }
    }
}

/// Who leads, in the field names of other sidecars for leader election. No leader is named for longer than the renew
/// deadline after its last renewal.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct LeaderResponse {
    /// The name of the leader's pod, the same from every agent; empty if no leader is known. A pod's hostname may
    /// differ from its name: where its spec sets one, on its node's network, and beyond 63 characters.
    pub(crate) name: String,
    /// The time at which the leader was last heard of, RFC 3339. If no leader is known, the time of the answer, because
    /// clients expect a time.
    pub(crate) last_update: String,
    /// Whether this pod leads.
    pub(crate) is_leader: bool,
    /// The fencing token of this pod's tenure, if it leads.
    pub(crate) fencing_token: Option<u64>,
    /// The leader's identity (`holderIdentity` in the Lease), without characters that cannot be shown.
    pub(crate) identity: Option<String>,
    /// How many seconds ago the leader was last heard of, by a clock that is never set.
    pub(crate) age_seconds: Option<f64>,
    /// The seconds after which no leader will be known, if nothing more is heard.
    pub(crate) expires_in_seconds: Option<f64>,
}

impl LeaderResponse {
    /// Whether a client that was told `self` need not be told `other`.
    pub(crate) fn says(&self, other: &LeaderResponse) -> bool {
        (&self.name, self.is_leader, self.fencing_token) == (&other.name, other.is_leader, other.fencing_token)
    }
}

impl Snapshot {
    pub(crate) fn new(author: Author, now: Now) -> Snapshot {
        Snapshot {
            author,
            own: None,
            holder: None,
            first_seen_at: None,
            has_seen: false,
            transitions: 0,
            problem: None,
            turned_at: now.moment.boottime,
            over: false,
        }
    }

    pub(crate) fn see(&mut self, view: &LeaseView<'_>, now: Now) {
        // A record that bears the own name is told of by the tenure, or not at all.
        let is_somebody = |holder: &&str| !["", UNKNOWN_HOLDER, &self.author.identity].contains(holder);
        let seen = Instants::before(view.age, now);
        if view.holder.is_some() {
            self.first_seen_at.get_or_insert(seen.boottime);
        }
        // The holder may have died long before this process began: it is named once it was seen to do something.
        let lives = self.first_seen_at.is_some_and(|first| seen.boottime > first + CLOCK_TOLERANCE);
        self.holder = view.holder.filter(is_somebody).filter(|_| lives).map(|holder| NamedHolder {
            identity: holder.to_owned(),
            seen,
            expires_at: now.moment.boottime + view.expires_in,
        });
        self.has_seen |= view.holder.is_some();
        self.transitions = view.transitions;
        self.problem = view.problem;
        self.turned_at = now.moment.boottime;
    }

    pub(crate) fn lead(&mut self, tenure: &Tenure, now: Now) {
        self.own = Some(OwnTenure {
            fencing_token: tenure.fencing_token.0,
            renewed: Instants::before(now.moment.longest_since(tenure.validity.since), now),
            valid_until: tenure.validity.until_boottime(),
        });
    }

    pub(crate) fn retire(&mut self) {
        self.own = None;
    }

    pub(crate) fn end(&mut self) {
        (self.own, self.over) = (None, true);
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over
    }

    /// Completes when the election has ended.
    pub(crate) async fn until_over(mut snapshot: watch::Receiver<Snapshot>) {
        // As over is one that can say no more.
        let _ = snapshot.wait_for(Snapshot::is_over).await;
    }

    /// The fencing token of this process's tenure, if it leads.
    pub(crate) fn fencing_token(&self) -> Option<u64> {
        self.own.map(|own| own.fencing_token)
    }

    /// The identity under which this process contends.
    pub(crate) fn identity(&self) -> &str {
        &self.author.identity
    }

    /// For how much longer this process leads if its tenure is not renewed.
    pub(crate) fn remaining(&self, now: Now) -> Option<Duration> {
        self.own?.valid_until.checked_sub(now.moment.boottime).filter(|left| !left.is_zero())
    }

    /// The answer to a client that asks at `now` who leads.
    pub(crate) fn answer(&self, now: Now) -> LeaderResponse {
        let known = |name: &str, identity: &str, heard: Instants, expires_in: Duration| LeaderResponse {
            name: name.to_owned(),
            last_update: format_timestamp(heard.wall),
            is_leader: false,
            fencing_token: None,
            identity: Some(identity.to_owned()),
            age_seconds: Some(now.moment.boottime.saturating_sub(heard.boottime).as_secs_f64()),
            expires_in_seconds: Some(expires_in.as_secs_f64()),
        };
        if let (Some(own), Some(remaining)) = (self.own, self.remaining(now)) {
            let identity = &self.author.identity;
            let answer = known(&identity::shown_name(identity), identity, own.renewed, remaining);
            return LeaderResponse { is_leader: true, fencing_token: Some(own.fencing_token), ..answer };
        }
        let holder = self.holder.as_ref().filter(|holder| holder.expires_at > now.moment.boottime);
        match holder {
            Some(NamedHolder { identity, seen, expires_at }) => {
                // Who asks compares it with its own, which is shown as it is.
                let (name, identity) = (identity::shown_name(identity), identity::shown(identity));
                known(&name, &identity, *seen, *expires_at - now.moment.boottime)
            }
            None => LeaderResponse {
                name: String::new(),
                last_update: format_timestamp(now.wall),
                is_leader: false,
                fencing_token: None,
                identity: None,
                age_seconds: None,
                expires_in_seconds: None,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use elector_election::{Moment, ResourceVersion, Validity};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(seconds: u32) -> Now {
        let moment = Moment { boottime: 1_000 * SECOND + seconds * SECOND, monotonic_raw: seconds * SECOND };
        Now { moment, wall: Timestamp::from_microseconds(1_800_000_000_000_000 + i64::from(seconds) * 1_000_000) }
    }

    fn snapshot() -> Snapshot {
        let author = Author {
            hostname: "host".to_owned(),
            identity: "a-0_uid".to_owned(),
            namespace: "shop".to_owned(),
            lease: "billing".to_owned(),
            start: "nonce".to_owned(),
        };
        Snapshot::new(author, at(0))
    }

    fn view(holder: Option<&str>) -> LeaseView<'_> {
        LeaseView { holder, transitions: 3, age: SECOND, expires_in: 14 * SECOND, problem: None }
    }

    fn tenure(renewed: Now) -> Tenure {
        Tenure {
            uid: "uid".to_owned(),
            fencing_token: ResourceVersion(17),
            acquire_time: renewed.wall,
            transitions: 3,
            validity: Validity { since: renewed.moment, lasting: 10 * SECOND },
        }
    }

    #[test]
    fn another_is_named_for_as_long_as_it_may_lead() {
        let mut snapshot = snapshot();
        snapshot.see(&view(Some("a-1_uid")), at(8));
        assert_eq!(snapshot.answer(at(8)).name, "", "it may have died long ago");
        snapshot.see(&view(Some("a-1_uid")), at(10));
        let answer = snapshot.answer(at(12));
        assert_eq!((&*answer.name, answer.identity.as_deref()), ("a-1", Some("a-1_uid")));
        assert_eq!((answer.is_leader, answer.fencing_token), (false, None));
        assert_eq!((answer.age_seconds, answer.expires_in_seconds), (Some(3.0), Some(12.0)));
        assert_eq!(answer.last_update, "2027-01-15T08:00:09.000000Z");
        assert_eq!(snapshot.answer(at(23)).name, "a-1");
        assert_eq!(snapshot.answer(at(24)).name, "");
    }

    #[test]
    fn a_holder_may_call_itself_anything() {
        let mut snapshot = snapshot();
        for holder in ["a\u{202e}\n".to_owned(), "a".repeat(1_400_000)] {
            snapshot.see(&view(Some(&holder)), at(8));
            snapshot.see(&view(Some(&holder)), at(10));
            let answer = snapshot.answer(at(10));
            assert_eq!(answer.identity.as_deref(), Some(&*identity::shown(&holder)));
            assert!(answer.identity.is_some_and(|identity| identity.len() <= 512) && answer.name.len() <= 253);
        }
    }

    #[test]
    fn nobody_is_named_who_is_nobody_or_unknown_or_oneself_without_a_tenure() {
        for holder in [None, Some(""), Some("unknown"), Some("a-0_uid")] {
            let mut snapshot = snapshot();
            snapshot.see(&view(holder), at(8));
            snapshot.see(&view(holder), at(10));
            let answer = snapshot.answer(at(10));
            assert_eq!((&*answer.name, answer.identity), ("", None), "{holder:?}");
            assert_eq!(answer.last_update, "2027-01-15T08:00:10.000000Z");
            assert_eq!(snapshot.has_seen, holder.is_some());
        }
    }

    #[test]
    fn the_own_tenure_counts_to_its_end_whatever_the_lease_was_seen_to_say() {
        let mut snapshot = snapshot();
        snapshot.see(&view(Some("a-1_uid")), at(10));
        snapshot.lead(&tenure(at(11)), at(12));
        let answer = snapshot.answer(at(13));
        assert_eq!((&*answer.name, answer.is_leader, answer.fencing_token), ("a-0", true, Some(17)));
        assert_eq!((answer.age_seconds, answer.expires_in_seconds), (Some(2.0), Some(8.0)));
        assert_eq!(snapshot.remaining(at(20)), Some(SECOND));
        // Even if nobody has said that it is over.
        assert_eq!((snapshot.remaining(at(21)), snapshot.answer(at(21)).is_leader), (None, false));
        snapshot.lead(&tenure(at(14)), at(14));
        snapshot.retire();
        assert!(!snapshot.answer(at(14)).is_leader);
    }

    #[test]
    fn a_renewal_is_no_news_and_another_leader_or_tenure_is() {
        let mut snapshot = snapshot();
        snapshot.lead(&tenure(at(10)), at(10));
        let told = snapshot.answer(at(10));
        snapshot.lead(&tenure(at(12)), at(12));
        assert!(told.says(&snapshot.answer(at(12))));
        snapshot.lead(&Tenure { fencing_token: ResourceVersion(18), ..tenure(at(12)) }, at(12));
        assert!(!told.says(&snapshot.answer(at(12))));
        snapshot.retire();
        assert!(!told.says(&snapshot.answer(at(12))));
    }
}
