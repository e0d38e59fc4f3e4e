//! Whether the leader does what the Lease asks of it: a candidate with client-go does not know of hints.

use std::time::Duration;

use elector_crds::conditions::{self, ConditionType, Reason, Status, condition};
use elector_crds::identity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::PlanInput;
use crate::index::TenurePhase;

/// When the leader will have been asked in vain for long enough. `None` if it is asked for nothing.
fn overdue_at(input: &PlanInput<'_>) -> Option<Duration> {
    let seen = input.ours()?;
    let release_delay = input.election.spec.timings().unwrap_or_default().release_delay();
    let asked = seen.asked_since.filter(|_| input.phase(seen) == TenurePhase::Held)?;
    // A leader that cannot hear of it is over by then.
    Some(asked + seen.effective_duration(input.own_duration()) + release_delay)
}

/// The condition AdviceFollowed; `None` as long as the leader was never asked for anything.
pub(super) fn advice_followed(input: &PlanInput<'_>, stored: &[Condition]) -> Option<Condition> {
    let overdue = overdue_at(input);
    let was_asked = conditions::find(stored, ConditionType::AdviceFollowed).is_some();
    if overdue.is_none() && !was_asked {
        return None;
    }
    if overdue.is_none_or(|at| !input.is_due(at)) {
        let message = "the leader has done what the Lease asks of it, or has had no time yet";
        return Some(condition(ConditionType::AdviceFollowed, Status::True, Reason::Followed, message));
    }
    let seen = input.snapshot.lease.as_ref()?;
    let holder = identity::shown_name(&seen.lease.record.holder);
    let what = if seen.lease.hints.paused { "is paused" } else { "is to have another leader" };
    let message = format!(
        "{holder} leads on, though the election {what}; candidates that are not agents of leader-elector know nothing of \
         that: end its pod"
    );
    Some(condition(ConditionType::AdviceFollowed, Status::False, Reason::AdviceIgnored, message))
}
