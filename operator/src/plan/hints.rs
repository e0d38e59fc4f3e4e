//! Hints: what people ask for while an election goes on, a pause or another leader. The candidates learn of both from
//! the Lease, where a hint only ends a tenure or delays the next one (rule F4).

use std::time::Duration;

use elector_crds::display_text::{MAX_NAME, shown};
use elector_crds::{LeaderElection, TRANSFER_ANNOTATION, identity};
use elector_election::Hints;
use kube::ResourceExt;

use super::preference::Better;
use super::{PlanInput, preference, unready};
use crate::index::{ElectionSnapshot, LeaseSeen, Part, Pod, TenurePhase};

/// How long a request is left to be followed, beyond the time of a release, before it is taken back.
const TRANSFER_TIMEOUT: Duration = Duration::from_secs(60);

/// The target of a request for any other candidate.
const ANYBODY: &str = "*";

/// The hints for the Lease, and the result of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Steering {
    pub(super) hints: Hints,
    pub(super) verdict: Option<Verdict>,
}

/// The result of a request for another leader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The request was followed, with a sentence that says which candidate leads.
    Completed(String),
    /// The request was not followed, with the reason.
    Refused(String),
}

/// The target of the request for another leader, if there is a request.
pub(super) fn request(election: &LeaderElection) -> Option<&str> {
    election.annotations().get(TRANSFER_ANNOTATION).map(String::as_str)
}

/// Whether the request has been waited for long enough.
fn is_late(input: &PlanInput<'_>) -> bool {
    let release_delay = input.election.spec.timings().unwrap_or_default().release_delay();
    let transfer = input.snapshot.transfer.as_ref();
    transfer.is_some_and(|transfer| input.is_due(transfer.since + TRANSFER_TIMEOUT + release_delay))
}

pub(super) fn steer(input: &PlanInput<'_>) -> Steering {
    let PlanInput { election, snapshot, .. } = *input;
    let nothing = Hints { paused: election.spec.paused, ..Hints::default() };
    let (seen, target) = match (input.ours(), request(election)) {
        (Some(seen), Some(target)) => (seen, target),
        (Some(seen), None) => {
            return Steering { hints: preference(input, seen).unwrap_or(nothing), verdict: None };
        }
        (None, None) => return Steering { hints: nothing, verdict: None },
        (None, Some(_)) => {
            return Steering { hints: nothing, verdict: Some(refused("there is no Lease of this LeaderElection")) };
        }
    };
    // As long as its end has not been told, what was passed on stays: it says which tenure was meant.
    let told = |verdict| Steering {
        hints: Hints { paused: election.spec.paused, ..seen.lease.hints.clone() },
        verdict: Some(verdict),
    };
    match (passed_on(snapshot, seen, target), is_late(input)) {
        (Some(tenure), _) if seen.lease.record.transitions != tenure && !seen.lease.record.holder.is_empty() => {
            told(outcome(election, seen, tenure))
        }
        (Some(_), true) => told(refused("nobody has taken over within 60 s")),
        (Some(_), false) => {
            Steering { hints: Hints { paused: election.spec.paused, ..seen.lease.hints.clone() }, verdict: None }
        }
        (None, true) => told(not_passed_on(snapshot)),
        (None, false) => match successor(input, seen, target) {
            Ok(successor) => {
                let end_tenure = Some(seen.lease.record.transitions);
                Steering { hints: Hints { paused: false, end_tenure, successor }, verdict: None }
            }
            Err(why) => told(Verdict::Refused(why)),
        },
    }
}

/// The candidate that should lead in place of the leader, by whichever rule applies first.
fn better<'a>(input: &PlanInput<'a>, seen: &LeaseSeen) -> Option<Better<'a>> {
    let preferred = preference::better(input, seen);
    let ready = unready::better(input, seen);
    preferred.into_iter().chain(ready).min_by_key(|better| better.due)
}

/// The hints that another candidate is to lead without a request: one that is preferred, or one that is ready while the
/// leader is not. `None` if there is no such candidate.
fn preference(input: &PlanInput<'_>, seen: &LeaseSeen) -> Option<Hints> {
    let PlanInput { election, snapshot, .. } = *input;
    if election.spec.paused {
        return None;
    }
    let hints = &seen.lease.hints;
    let tenure = seen.lease.record.transitions;
    if hints.end_tenure == Some(tenure)
        && let Some(successor) = &hints.successor
    {
        // What was begun goes on: between the tenures nobody holds the Lease.
        let goes_on = match input.phase(seen) {
            TenurePhase::Held => {
                preference::is_better(election, snapshot, successor)
                    || unready::is_better(election, snapshot, successor)
            }
            TenurePhase::Released => true,
            TenurePhase::NeverHeld | TenurePhase::NotObserved | TenurePhase::WaitingOut | TenurePhase::Expired => false,
        };
        return goes_on.then(|| Hints { paused: false, ..hints.clone() });
    }
    let better = better(input, seen).filter(|better| input.is_due(better.due))?;
    let successor = Some(identity::of_pod(&better.pod.name, &better.pod.uid));
    Some(Hints { paused: false, end_tenure: Some(tenure), successor })
}

/// The tenure that the hints ask to end in favour of this target, if the hints belong to this request.
fn passed_on(snapshot: &ElectionSnapshot, seen: &LeaseSeen, target: &str) -> Option<u32> {
    let Hints { end_tenure, successor, .. } = &seen.lease.hints;
    let same = match successor {
        None => target == ANYBODY,
        Some(successor) => identity::display_name(successor) == target,
    };
    let before = snapshot.transfer.as_ref().and_then(|transfer| transfer.hinted_before);
    // An earlier request's would be answered by what has come of that; but one for this very tenure asks for the same.
    end_tenure.filter(|tenure| same && (before != Some(*tenure) || *tenure == seen.lease.record.transitions))
}

/// The result of a request that was passed on, now that a later tenure has begun.
fn outcome(election: &LeaderElection, seen: &LeaseSeen, tenure: u32) -> Verdict {
    let holder = &seen.lease.record.holder;
    let name = identity::shown_name(holder);
    let history = election.status.iter().flat_map(|status| &status.history);
    let mut led = history.filter(|led| led.lease_transitions == Some(tenure.into()));
    match &seen.lease.hints.successor {
        // By their pods: what else they may call themselves is up to them.
        Some(successor) if identity::display_name(successor) != identity::display_name(holder) => {
            Verdict::Refused(format!("{name} was faster than {}", identity::shown_name(successor)))
        }
        None if led.any(|led| identity::is_same(&led.identity, holder)) => {
            Verdict::Refused(format!("nobody else has taken over, so that {name} leads again"))
        }
        Some(_) | None => Verdict::Completed(format!("{name} leads")),
    }
}

/// The identity that is to begin the next tenure; `None`: any but the holder. The error says why the request is
/// refused.
fn successor(input: &PlanInput<'_>, seen: &LeaseSeen, target: &str) -> Result<Option<String>, String> {
    let PlanInput { election, snapshot, .. } = *input;
    if election.spec.paused {
        return Err("the election is paused".to_owned());
    }
    if input.phase(seen) != TenurePhase::Held {
        return Err("nobody leads, so that the first candidate to take the Lease will".to_owned());
    }
    let holder = &seen.lease.record.holder;
    let identity = |pod: &Pod| identity::of_pod(&pod.name, &pod.uid);
    if target == ANYBODY {
        let is_other = |pod: &Pod| preference::is_able(pod) && pod.name != identity::display_name(holder);
        let others = snapshot.pods.iter().filter(|pod| is_other(pod)).count();
        // Whose pod is not known may be one of them.
        let most = usize::from(snapshot.holder_pod.is_none());
        return if others > most {
            Ok(None)
        } else {
            Err("no other candidate can lead: none has all its containers running".to_owned())
        };
    }
    let Some(pod) = snapshot.pods.iter().find(|pod| pod.name == target && pod.is_candidate()) else {
        let target = shown(target, MAX_NAME);
        return Err(format!("{target} is no pod that may lead; name one, or * for any other"));
    };
    if identity(pod) == *holder || pod.name == *holder {
        return Err(format!("{target} leads already"));
    }
    if pod.able_since.is_none() {
        return Err(format!("pod {target} cannot lead: not all its containers run; see kubectl describe pod"));
    }
    Ok(Some(identity(pod)))
}

fn not_passed_on(snapshot: &ElectionSnapshot) -> Verdict {
    let why = snapshot.failed_writes.of(Part::Hints).map(|failed| format!(": {}", failed.message)).unwrap_or_default();
    Verdict::Refused(format!("it could not be passed on within 60 s{why}"))
}

fn refused(why: &str) -> Verdict {
    Verdict::Refused(why.to_owned())
}
