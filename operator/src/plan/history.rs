//! The last tenures, as far as this operator and earlier ones have seen them.

use elector_crds::{Holder, LeaderElectionStatus, PastTenure, TenureEnd, format_timestamp, identity};
use elector_election::{Lease, Timestamp};

use super::hints::request;
use super::{PlanInput, preference};
use crate::index::{LeaseSeen, TenurePhase};

/// The most tenures that are kept.
const MAX_TENURES: usize = 10;

/// The last tenures: those of `stored`, continued by what is known now. `leader` is the present leader, if it is
/// certain.
pub(super) fn history(
    input: &PlanInput<'_>,
    stored: &LeaderElectionStatus,
    leader: Option<&Holder>,
) -> Vec<PastTenure> {
    let mut history = stored.history.clone();
    let seen = input.ours();
    if let Some(last) = history.first_mut().filter(|last| last.until.is_none())
        && let Some(end) = end_of(input, stored, last, seen)
    {
        last.until = Some(format_timestamp(Timestamp::from_microseconds(input.now.wall.as_microsecond())));
        last.reason = Some(end.as_str().to_owned());
    }
    if let (Some(leader), Some(seen)) = (leader, seen) {
        let transitions = seen.lease.record.transitions;
        match history.first_mut().filter(|last| is_same(last, &leader.identity, transitions)) {
            // It was silent for too long, and nobody took over.
            Some(last) => (last.until, last.reason) = (None, None),
            None => {
                let transitions = Some(transitions.into());
                let is_counted = history.iter().all(|earlier| earlier.lease_transitions != transitions);
                let tenure = PastTenure {
                    holder: leader.name.clone(),
                    identity: leader.identity.clone(),
                    lease_transitions: transitions.filter(|_| is_counted),
                    from: leader.acquire_time.clone(),
                    until: None,
                    reason: None,
                };
                history.insert(0, tenure);
            }
        }
    }
    history.truncate(MAX_TENURES);
    history
}

/// Whether `tenure` belongs to this holder and has this number, or no number of its own.
fn is_same(tenure: &PastTenure, identity: &str, transitions: u32) -> bool {
    let same_number = tenure.lease_transitions.is_none_or(|number| number == i64::from(transitions));
    identity::is_same(&tenure.identity, identity) && same_number
}

/// The end of a tenure that was under way, if it has ended.
fn end_of(
    input: &PlanInput<'_>,
    stored: &LeaderElectionStatus,
    last: &PastTenure,
    seen: Option<&LeaseSeen>,
) -> Option<TenureEnd> {
    let Some(seen) = seen.filter(|seen| stored.lease_uid.as_ref() == Some(&seen.lease.record.uid)) else {
        return Some(TenureEnd::LeaseDeleted);
    };
    let record = &seen.lease.record;
    let ended = seen.ended.as_ref().filter(|ended| is_same(last, &ended.identity, ended.transitions));
    match (is_same(last, &record.holder, record.transitions), input.phase(seen)) {
        (true, TenurePhase::Expired) => Some(TenureEnd::Expired),
        (true, _) => None,
        (false, _) => Some(match ended.map_or(TenureEnd::Replaced, |ended| ended.how) {
            // A request stays on the election until it has been answered.
            TenureEnd::Transferred if request(input.election).is_none() => without_request(input, last, &seen.lease),
            how => how,
        }),
    }
}

/// The end of a tenure whose holder was asked to hand over without a request by a person.
fn without_request(input: &PlanInput<'_>, last: &PastTenure, lease: &Lease) -> TenureEnd {
    let pods = || input.snapshot.pods.iter().chain(&input.snapshot.holder_pod);
    let rank = |identity: &str| {
        let pod = pods().find(|pod| identity::is_same(&identity::of_pod(&pod.name, &pod.uid), identity))?;
        Some(preference::rank(input.election, pod))
    };
    // Between the tenures nobody holds the Lease.
    let holder = Some(&lease.record.holder).filter(|holder| !holder.is_empty());
    let successor = holder.or(lease.hints.successor.as_ref()).and_then(|successor| rank(successor));
    let is_preferred = match (rank(&last.identity), successor) {
        (Some(last), Some(successor)) => successor < last,
        (None, _) | (_, None) => !input.election.spec.candidates.preferred.is_empty(),
    };
    if is_preferred { TenureEnd::Preferred } else { TenureEnd::Unready }
}
