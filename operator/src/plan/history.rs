//! The last tenures, as far as this operator and those before it have seen them.

use elector_crds::conditions::{ConditionType, Reason, find};
use elector_crds::{Holder, LeaderElectionStatus, PastTenure, TenureEnd, format_timestamp, identity};
use elector_election::Timestamp;

use super::View;
use super::lease::Standing;
use super::steer::request;
use crate::observe::{LeaseSeen, Phase};

/// How many are kept.
const MOST: usize = 10;

/// Those of `stored`, and what has become of them; `leader` is who leads now for certain.
pub(super) fn history(view: &View<'_>, stored: &LeaderElectionStatus, leader: Option<&Holder>) -> Vec<PastTenure> {
    let mut history = stored.history.clone();
    let seen = match view.standing {
        Standing::Own(seen) | Standing::Adopted(seen) => Some(seen),
        Standing::Absent | Standing::Foreign => None,
    };
    if let Some(last) = history.first_mut().filter(|last| last.until.is_none())
        && let Some(end) = end_of(view, stored, last, seen)
    {
        last.until = Some(format_timestamp(Timestamp::from_microseconds(view.now.wall.as_microsecond())));
        last.reason = Some(end.as_str().to_owned());
    }
    if let (Some(leader), Some(seen)) = (leader, seen) {
        let transitions = i64::from(seen.lease.record.transitions);
        let same = |last: &&mut PastTenure| {
            identity::is_same(&last.identity, &leader.identity) && last.lease_transitions == transitions
        };
        match history.first_mut().filter(same) {
            // It was silent for too long, and nobody took over.
            Some(last) => (last.until, last.reason) = (None, None),
            None => history.insert(
                0,
                PastTenure {
                    holder: leader.name.clone(),
                    identity: leader.identity.clone(),
                    lease_transitions: transitions,
                    from: leader.acquire_time.clone(),
                    until: None,
                    reason: None,
                },
            ),
        }
    }
    history.truncate(MOST);
    history
}

/// How a tenure that was under way has ended, if it has.
fn end_of(
    view: &View<'_>,
    stored: &LeaderElectionStatus,
    last: &PastTenure,
    seen: Option<&LeaseSeen>,
) -> Option<TenureEnd> {
    let Some(seen) = seen.filter(|seen| stored.lease_uid.as_ref() == Some(&seen.lease.record.uid)) else {
        return Some(TenureEnd::LeaseDeleted);
    };
    let record = &seen.lease.record;
    let same = |identity: &str, transitions: u32| {
        identity::is_same(&last.identity, identity) && i64::from(transitions) == last.lease_transitions
    };
    let ended = seen.ended.as_ref().filter(|ended| same(&ended.identity, ended.transitions));
    match (same(&record.holder, record.transitions), view.phase(seen)) {
        (true, Phase::Expired) => Some(TenureEnd::Expired),
        (true, _) => None,
        (false, _) => Some(match ended.map_or(TenureEnd::Replaced, |ended| ended.how) {
            // A request stays on the election until it has been answered.
            TenureEnd::Transferred if request(view.election).is_none() => {
                let is_unready = find(&stored.conditions, ConditionType::CandidatesReady)
                    .is_some_and(|it| it.reason == Reason::LeaderNotReady.as_str());
                if is_unready { TenureEnd::Unready } else { TenureEnd::Preferred }
            }
            how => how,
        }),
    }
}
