//! Whether an election flaps: tenures end all the time, for example because the app dies whenever it leads.
//!
//! The stored history alone decides, so that a restart of the operator forgets nothing. Flapping begins after many ends
//! in a short time and is over only after few ends, so that the status is written once for each: in between, the
//! message changes only with a tenure.

use elector_crds::conditions::{self, ConditionType, Reason, Status, condition};
use elector_crds::flapping::{MAX_ENDS, WINDOW, ended_at, ended_lately};
use elector_crds::{PastTenure, TenureEnd};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::PlanInput;

/// The most recent ends with which flapping is over.
const MAX_ENDS_AFTERWARDS: usize = 2;

/// The condition LeaderStable; `None` as long as the election has never flapped.
pub(super) fn leader_stable(input: &PlanInput<'_>, history: &[PastTenure], stored: &[Condition]) -> Option<Condition> {
    let ended = ended_lately(history, input.now.wall);
    let last = conditions::find(stored, ConditionType::LeaderStable);
    let most = if last.is_some_and(flaps) { MAX_ENDS_AFTERWARDS } else { MAX_ENDS };
    let minutes = WINDOW.as_mins();
    match ended.first().filter(|_| ended.len() > most) {
        Some(latest) => {
            // It is over then, if no tenure ends until then.
            if let Some(last_to_count) = ended.get(MAX_ENDS_AFTERWARDS).and_then(|tenure| ended_at(tenure)) {
                let wait = (WINDOW - input.now.wall.duration_since(last_to_count)).min(WINDOW);
                input.wake_at(input.now.at + wait.unsigned_abs());
            }
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

fn flaps(stable: &Condition) -> bool {
    stable.status == Status::False.as_str()
}
