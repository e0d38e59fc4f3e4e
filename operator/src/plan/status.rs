//! The plan for the status: what is in place, which candidate leads, and which may.

use std::borrow::Cow;

use elector_crds::conditions::{self, ConditionType, Reason, Status, condition};
use elector_crds::display_text::{MAX_IDENTITY, MAX_MESSAGE, MAX_NAME, shown};
use elector_crds::{
    Holder, LeaderElectionStatus, PastTenure, PodLabels, format_timestamp, identity, lease, selector_text,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::history::history;
use super::lease::Ownership;
use super::{PlanInput, candidates, flapping, hints_followed, name, rbac, traffic};
use crate::index::{FailedWrite, LeaseSeen, Part, TenurePhase, Unreadable};
use elector_crds::ownership::is_adoptable_in;

/// The beginning of the message about a pause that the candidates do not know of.
const UNHEARD: &str = "; spec.paused is ";

/// The longest reason for the end of a tenure, in bytes; the operator's own reasons are shorter.
const MAX_REASON: usize = 64;

pub(super) fn status(input: &PlanInput<'_>) -> LeaderElectionStatus {
    let stored = input.election.status.clone().unwrap_or_default();
    let candidates = candidates::candidates(input);
    let (elected, holder) = leader_elected(input, &stored);
    let leads = elected.status == Status::True.as_str();
    let history = history(input, &stored, holder.as_ref().filter(|_| leads));
    let mut conditions = stored.conditions;
    let advice = hints_followed::advice_followed(input, &conditions);
    let stable = flapping::leader_stable(input, &history, &conditions);
    let all = [ready(input), elected, candidates::candidates_ready(input, &candidates)];
    let all = all.into_iter().chain(advice).chain(stable);
    for mut condition in all {
        condition.observed_generation = input.election.metadata.generation;
        conditions::set(&mut conditions, condition, input.now.wall);
    }
    let lease = input.ours().map(|seen| &seen.lease.record);
    as_shown(LeaderElectionStatus {
        observed_generation: input.election.metadata.generation,
        selector: Some(selector_text(&input.election.spec.selector(&name(input.election)))),
        lease_uid: lease.map(|record| record.uid.clone()),
        state: state(&conditions),
        holder,
        lease_transitions: lease.map(|record| record.transitions.into()).or(stored.lease_transitions),
        candidates: i64::try_from(candidates.len()).ok(),
        ready_candidates: i64::try_from(candidates::ready_count(&candidates)).ok(),
        history,
        conditions,
    })
}

/// The most important reason of the conditions, as one word. An election that flaps does so between two tenures as
/// well.
fn state(conditions: &[Condition]) -> Option<String> {
    let fails = |type_| conditions::find(conditions, type_).filter(|it| it.status == Status::False.as_str());
    let elected = conditions::find(conditions, ConditionType::LeaderElected)?;
    let is_led = elected.status == Status::True.as_str();
    let has_ended = [Reason::Released, Reason::LeaseExpired].iter().any(|reason| elected.reason == reason.as_str());
    let flaps = fails(ConditionType::LeaderStable).filter(|_| is_led || has_ended);
    let ignores = fails(ConditionType::AdviceFollowed).filter(|_| is_led);
    let is_unready = |candidates: &&Condition| is_led && candidates.reason == Reason::LeaderNotReady.as_str();
    let unready = fails(ConditionType::CandidatesReady).filter(is_unready);
    Some(flaps.or(ignores).or(unready).unwrap_or(elected).reason.clone())
}

/// Makes every text of the status fit to be stored. One text that is not would keep the whole status from being
/// written, so that it would go on naming the last leader. Texts of earlier versions or of others are in it too.
fn as_shown(mut status: LeaderElectionStatus) -> LeaderElectionStatus {
    let fit = |text: &mut String, most| {
        if let Cow::Owned(shown) = shown(text, most) {
            *text = shown;
        }
    };
    if let Some(Holder { name, identity, node_name, acquire_time: _ }) = &mut status.holder {
        fit(name, MAX_NAME);
        fit(identity, MAX_IDENTITY);
        node_name.iter_mut().for_each(|node| fit(node, MAX_NAME));
    }
    for PastTenure { holder, identity, reason, lease_transitions: _, from: _, until: _ } in &mut status.history {
        fit(holder, MAX_NAME);
        fit(identity, MAX_IDENTITY);
        reason.iter_mut().for_each(|reason| fit(reason, MAX_REASON));
    }
    for condition in &mut status.conditions {
        fit(&mut condition.message, MAX_MESSAGE);
    }
    status
}

/// The status of an election for which there is no room: it says that, and nothing else.
pub(super) fn unattended(input: &PlanInput<'_>) -> LeaderElectionStatus {
    let mut conditions = input.election.status.clone().unwrap_or_default().conditions;
    let unknown = |type_, reason| condition(type_, Status::Unknown, reason, "this LeaderElection is not looked after");
    let elected = unknown(ConditionType::LeaderElected, Reason::LeaseNotObserved);
    let candidates = unknown(ConditionType::CandidatesReady, Reason::PodsLeftOut);
    for mut condition in [ready(input), elected, candidates] {
        condition.observed_generation = input.election.metadata.generation;
        conditions::set(&mut conditions, condition, input.now.wall);
    }
    // What is known of the past stays: a Lease that is gone is made again from it.
    let stored = input.election.status.clone().unwrap_or_default();
    as_shown(LeaderElectionStatus {
        observed_generation: input.election.metadata.generation,
        state: state(&conditions),
        conditions,
        holder: stored.holder,
        lease_uid: stored.lease_uid,
        lease_transitions: stored.lease_transitions,
        ..LeaderElectionStatus::default()
    })
}

/// The condition Ready: whether what the spec asks for is in place.
fn ready(input: &PlanInput<'_>) -> Condition {
    let not = |reason, message: String| condition(ConditionType::Ready, Status::False, reason, message);
    match &input.snapshot.unreadable {
        Some(Unreadable::Spec(why)) => return not(Reason::InvalidSpec, format!("spec: {why}")),
        Some(Unreadable::NamespaceTooLarge { limit_bytes }) => {
            let mebibytes = limit_bytes / (1024 * 1024);
            let message = format!(
                "not looked after: the objects of this namespace take more than the {mebibytes} MiB of memory that the operator \
                 gives to one; delete some, or raise operator.namespaceMebibytes of its Helm chart"
            );
            return not(Reason::NamespaceTooLarge, message);
        }
        None => {}
    }
    if let Err(invalid) = input.election.spec.timings() {
        return not(Reason::InvalidSpec, format!("spec: {invalid}"));
    }
    if let Ownership::Foreign = input.ownership {
        return not(Reason::ObjectConflict, foreign_lease_message(input));
    }
    if let Some(message) = rbac::conflict(input.election, input.snapshot) {
        return not(Reason::ObjectConflict, message);
    }
    let failed_writes: Vec<&FailedWrite> = input.snapshot.failed_writes.all().collect();
    if let Some(first) = failed_writes.first() {
        let mut messages: Vec<&str> = failed_writes.iter().map(|failed| failed.message.as_str()).collect();
        messages.dedup();
        return not(first.reason, messages.join("; "));
    }
    let features = input.snapshot.features;
    let service = match &input.election.spec.leader_service {
        Some(_) if !features.leader_service => {
            let message =
                "spec.leaderService: the operator is not allowed Services; set leaderService.enabled of its Helm chart";
            return not(Reason::Forbidden, message.to_owned());
        }
        asked => asked.as_ref(),
    };
    if input.election.spec.pod_labels == PodLabels::Enabled && !features.pod_labels {
        let message =
            "spec.podLabels: the operator is not allowed to label pods; set podLabels.enabled of its Helm chart";
        return not(Reason::Forbidden, message.to_owned());
    }
    if let Some(other) = traffic::rival(input.election, input.snapshot) {
        let message = format!(
            "spec.podLabels: LeaderElection {other} labels pods of this one already; disable it in one of them"
        );
        return not(Reason::ObjectConflict, message);
    }
    let message = match service {
        Some(service) => format!("Lease, Role, RoleBinding and Service {} are in place", service.name),
        None => "Lease, Role and RoleBinding are in place".to_owned(),
    };
    condition(ConditionType::Ready, Status::True, Reason::Reconciled, message)
}

fn foreign_lease_message(input: &PlanInput<'_>) -> String {
    let name = name(input.election);
    if input.snapshot.is_operators_own {
        return format!(
            "Lease {name} is that of the operator's own election, which nobody else steers; use another name"
        );
    }
    if !is_adoptable_in(input.election.metadata.namespace.as_deref().unwrap_or_default()) {
        return format!(
            "Lease {name} is not this LeaderElection's, and in kube-* namespaces none is adopted; use another name"
        );
    }
    format!(
        "Lease {name} was made by somebody else; if its holders may be led by this LeaderElection, annotate it with \
         leader-elector.io/adopt=true, else use another name"
    )
}

/// The condition LeaderElected, and the leader.
fn leader_elected(input: &PlanInput<'_>, stored: &LeaderElectionStatus) -> (Condition, Option<Holder>) {
    let is = |status, reason, message: String| condition(ConditionType::LeaderElected, status, reason, message);
    let seen = match input.ownership {
        Ownership::Absent => {
            let message = format!("there is no Lease {}", name(input.election));
            return (is(Status::Unknown, Reason::LeaseNotObserved, message), None);
        }
        Ownership::Foreign => {
            let message = format!("Lease {} is not this LeaderElection's", name(input.election));
            return (is(Status::Unknown, Reason::LeaseNotObserved, message), None);
        }
        Ownership::Own(seen) | Ownership::Adopted(seen) => seen,
    };
    let who = display_name(seen);
    let seconds = seen.effective_duration(input.own_duration()).as_secs();
    let phase = input.phase(seen);
    // A candidate that leads in spite of it, or may, is told of.
    let may_lead = match phase {
        TenurePhase::Held => true,
        // After a restart: what was said of this very tenure stays.
        TenurePhase::NotObserved => {
            said_of_tenure(stored, seen).is_none_or(|said| said.reason != Reason::Paused.as_str())
        }
        TenurePhase::NeverHeld | TenurePhase::Released | TenurePhase::WaitingOut | TenurePhase::Expired => false,
    };
    if seen.lease.hints.paused && !may_lead {
        let message = match unheard(input, seen) {
            Some(unheard) => format!("paused: candidates are told so{unheard}"),
            None => "paused: nobody is to lead until spec.paused is false".to_owned(),
        };
        return (is(Status::False, Reason::Paused, message), None);
    }
    let (mut condition, holder) = match phase {
        TenurePhase::NeverHeld if stored.history.is_empty() => {
            (is(Status::False, Reason::NeverHeld, "no candidate has led yet".to_owned()), None)
        }
        // A candidate that is no agent may leave the Lease as it was made.
        TenurePhase::NeverHeld | TenurePhase::Released => {
            (is(Status::False, Reason::Released, lease::given_up(seen.release_reason)), None)
        }
        TenurePhase::Held => held(input, seen),
        TenurePhase::NotObserved => not_observed(input, seen, stored),
        TenurePhase::WaitingOut => {
            let message = format!("nobody is known to lead; candidates wait {seconds} s in case {who} still does");
            (is(Status::False, Reason::WaitingOutUnknownHolder, message), None)
        }
        TenurePhase::Expired => {
            let message = format!("{who} has not renewed the Lease for more than {seconds} s");
            (is(Status::False, Reason::LeaseExpired, message), None)
        }
    };
    if let Some(unheard) = unheard(input, seen) {
        condition.message = format!("{}{unheard}", condition.message);
    }
    (condition, holder)
}

/// The message that the Lease does not tell the candidates yet what `spec.paused` asks for.
fn unheard(input: &PlanInput<'_>, seen: &LeaseSeen) -> Option<String> {
    let asked = input.election.spec.paused;
    if asked == seen.lease.hints.paused {
        return None;
    }
    let why = match input.snapshot.failed_writes.of(Part::Hints) {
        Some(failed) => failed.message.clone(),
        None => "the operator has not written it yet".to_owned(),
    };
    Some(format!("{UNHEARD}{asked}, which candidates do not know: {why}"))
}

fn held(input: &PlanInput<'_>, seen: &LeaseSeen) -> (Condition, Option<Holder>) {
    let mut message = format!("{} holds the Lease", display_name(seen));
    if let Some(obstacle) = traffic::service::obstacle(input.election, input.snapshot) {
        message = format!("{message}; {obstacle}");
    }
    (condition(ConditionType::LeaderElected, Status::True, Reason::LeaseHeld, message), Some(holder(input, seen)))
}

/// The condition of a tenure that was not observed yet, after a restart. What the status said of this tenure stays
/// until the Lease is renewed or has been watched for its duration.
fn not_observed(input: &PlanInput<'_>, seen: &LeaseSeen, stored: &LeaderElectionStatus) -> (Condition, Option<Holder>) {
    let record = &seen.lease.record;
    if let Some(said) = said_of_tenure(stored, seen) {
        let same_holder =
            stored.holder.as_ref().is_some_and(|holder| identity::is_same(&holder.identity, &record.holder));
        if same_holder && said.reason == Reason::LeaseHeld.as_str() {
            return held(input, seen);
        }
        if said.reason == Reason::LeaseExpired.as_str() {
            // What is said of a pause is said anew.
            let message = said.message.split(UNHEARD).next().unwrap_or_default().to_owned();
            return (Condition { message, ..said.clone() }, None);
        }
    }
    let message = format!("the Lease names {}, who has not been seen to renew it yet", display_name(seen));
    (
        condition(ConditionType::LeaderElected, Status::Unknown, Reason::LeaseNotObserved, message),
        Some(holder(input, seen)),
    )
}

/// The stored condition LeaderElected, if it is about the tenure that the Lease shows.
fn said_of_tenure<'a>(stored: &'a LeaderElectionStatus, seen: &LeaseSeen) -> Option<&'a Condition> {
    let record = &seen.lease.record;
    let is_same =
        stored.lease_uid.as_ref() == Some(&record.uid) && stored.lease_transitions == Some(record.transitions.into());
    conditions::find(&stored.conditions, ConditionType::LeaderElected).filter(|_| is_same)
}

fn holder(input: &PlanInput<'_>, seen: &LeaseSeen) -> Holder {
    let record = &seen.lease.record;
    Holder {
        name: identity::shown_name(&record.holder).into_owned(),
        identity: identity::shown(&record.holder).into_owned(),
        node_name: input.snapshot.holder_pod.as_ref().and_then(|pod| pod.node.clone()),
        acquire_time: record.acquire_time.map(format_timestamp),
    }
}

/// The holder's name for messages.
fn display_name(seen: &LeaseSeen) -> Cow<'_, str> {
    match seen.lease.record.holder.as_str() {
        "" => "an unknown holder".into(),
        holder => identity::shown_name(holder),
    }
}
