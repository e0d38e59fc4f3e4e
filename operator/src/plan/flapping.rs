//! Whether an election flaps: tenures end all the time, for example because the app dies whenever it leads.
//!
//! The stored history alone decides, so that a restart of the operator forgets nothing. Flapping begins after many ends
//! in a short time and is over only after few ends, so that the status is written once for each: in between, the
//! message changes only with a tenure.

use std::time::Duration;

use elector_crds::conditions::{self, ConditionType, Reason, Status, condition};
use elector_crds::flapping::{MAX_ENDS, WINDOW, ended_at, ended_lately};
use elector_crds::{PastTenure, TenureEnd};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::PlanInput;

/// The most recent ends with which flapping is over.
const MAX_ENDS_AFTERWARDS: usize = 2;

/// The condition LeaderStable; `None` as long as the election has never flapped.
pub(super) fn leader_stable(view: &PlanInput<'_>, history: &[PastTenure], stored: &[Condition]) -> Option<Condition> {
    let ended = ended_lately(history, view.now.wall);
    let last = conditions::find(stored, ConditionType::LeaderStable);
    let most = if last.is_some_and(flaps) { MAX_ENDS_AFTERWARDS } else { MAX_ENDS };
    let minutes = WINDOW.as_mins();
    match ended.first().filter(|_| ended.len() > most) {
        Some(latest) => {
            let why = TenureEnd::ALL.iter().find(|end| latest.reason.as_deref() == Some(end.as_str()));
            let why = why.map(|why| format!(": {}", why.in_words())).unwrap_or_default();
            let message = format!(
                "more than {MAX_ENDS} tenures have ended within {minutes} minutes, and they go on ending; the last one was that of {}{why}; \
                 docs/runbooks/LeaderElectorFlapping.md says what to look at",
                latest.holder
            );
            Some(condition(ConditionType::LeaderStable, Status::False, Reason::Flapping, message))
        }
        None => {
            last?;
            let message = format!("no more than {MAX_ENDS} tenures have ended within {minutes} minutes");
            Some(condition(ConditionType::LeaderStable, Status::True, Reason::Settled, message))
        }
    }
}

/// When an election that flaps will have settled, if no further tenure ends.
pub(super) fn settles_at(view: &PlanInput<'_>) -> Option<Duration> {
    let status = view.election.status.as_ref()?;
    conditions::find(&status.conditions, ConditionType::LeaderStable).filter(|stable| flaps(stable))?;
    let ended = ended_lately(&status.history, view.now.wall);
    let last_to_count = ended_at(ended.get(MAX_ENDS_AFTERWARDS)?)?;
    let wait = (WINDOW - view.now.wall.duration_since(last_to_count)).min(WINDOW);
    Some(view.now.at + wait.unsigned_abs())
}

fn flaps(stable: &Condition) -> bool {
    stable.status == Status::False.as_str()
}
