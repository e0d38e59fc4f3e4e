//! The problems of an election, for its status.

use elector_crds::conditions::{ConditionType, Reason, Status};
use elector_crds::identity;

use super::StatusReport;
use crate::live::{LeaseSight, LiveView};

/// The largest normal difference between two clocks, in seconds: clocks that are set by the network differ by less.
const MAX_CLOCK_DIFFERENCE_SECONDS: f64 = 2.0;

/// The problems, one sentence each, the most important first.
pub(super) fn problems(live: &LiveView, report: &StatusReport) -> Vec<String> {
    let mut problems = Vec::new();
    problems.extend(silence(report));
    problems.extend(lag(live, report));
    problems.extend(
        // In the order in which they are declared.
        ConditionType::ALL.iter().filter_map(|type_| condition(live, *type_)),
    );
    match &live.lease {
        LeaseSight::There(..) => {}
        LeaseSight::Absent => problems.push(format!("there is no Lease {}", report.name)),
        LeaseSight::Unreadable(why) => problems.push(format!("who leads is what the operator says: {why}")),
    }
    problems.extend(stranger(report));
    problems
}

fn condition(live: &LiveView, type_: ConditionType) -> Option<String> {
    let found = live.condition(type_)?;
    let is_meant = live.election.spec.paused && found.reason == Reason::Paused.as_str();
    if found.status == Status::True.as_str() || is_meant {
        return None;
    }
    Some(format!("{type_} is {} ({}): {}", found.status, found.reason, found.message))
}

/// The problem that the leader does not renew.
fn silence(report: &StatusReport) -> Option<String> {
    let leader = report.leader.as_ref()?;
    let lease = report.lease.as_ref()?;
    let ago = lease.renewed_seconds_ago?;
    let lasts = f64::from(lease.lease_duration_seconds);
    if ago < -MAX_CLOCK_DIFFERENCE_SECONDS {
        return Some(format!("this machine's clock is {:.0} s behind that of {}, or more", -ago, leader.name));
    }
    (ago > lasts + MAX_CLOCK_DIFFERENCE_SECONDS).then(|| {
        format!(
            "{} has not renewed for {ago:.0} s by this machine's clock, though its lease lasts {lasts} s",
            leader.name
        )
    })
}

/// The problem that the operator does not look at the election.
fn lag(live: &LiveView, report: &StatusReport) -> Option<String> {
    let Some(status) = live.election.observed() else {
        return Some("the operator has not looked at this LeaderElection yet; see whether it runs".to_owned());
    };
    if !live.is_answer_to(live.election.metadata.generation) {
        return Some("the operator has not looked at the latest change of the spec; see whether it runs".to_owned());
    }
    let (told, leader) = (status.holder.as_ref(), report.leader.as_ref());
    let leader =
        leader.filter(|leader| told.is_none_or(|told| !identity::is_same(&told.identity, &leader.identity)))?;
    let told = told.map_or("nobody", |told| &told.name);
    Some(format!(
        "the Lease names {}, and the operator {told}; if that does not change, see whether it runs",
        leader.name
    ))
}

/// The problem that the leader is none of the candidates. Holders with client-go are called by their pod's name and a
/// nonce, so they are compared by that name.
fn stranger(report: &StatusReport) -> Option<String> {
    let leader = report.leader.as_ref()?;
    let is_known =
        report.candidates.is_empty() || report.candidates.iter().any(|candidate| candidate.pod == leader.name);
    (!is_known).then(|| format!("{} leads, which is no pod that matches the selector", leader.name))
}
