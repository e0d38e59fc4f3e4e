//! Checks of the operator: whether it runs, what the election asks of it, and what it says about the election.

use std::collections::BTreeSet;

use elector_crds::conditions::{ConditionType, Reason, Status};
use elector_crds::{LeaderElection, StoredLease, identity};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{CustomResourceExt as _, Resource as _, ResourceExt as _};
use serde_json::Value;

use super::{SEE_OPERATOR, kubectl};
use crate::doctor::facts::{Clock, Facts, LeaseRead, identity_of};
use crate::doctor::finding::Finding;

/// Checks the definition of LeaderElection. It exists, because the election was read; but it may be of an earlier
/// release, and drop fields that it does not know.
pub(super) fn definition(facts: &Facts) -> Finding {
    let check = "definition";
    let version = LeaderElection::version(&());
    let served = format!("{} {version} is served", LeaderElection::crd_name());
    let Ok(Some(definition)) = &facts.definition else { return Finding::ok(check, served) };
    let known = fields(definition, &version);
    let lacks: Vec<String> = fields(&LeaderElection::crd(), &version).difference(&known).cloned().collect();
    if lacks.is_empty() {
        return Finding::ok(check, served);
    }
    Finding::warning(
        check,
        format!("the CustomResourceDefinition is older than this plugin, and drops {}", lacks.join(", ")),
        "upgrade it with the chart, or: kubectl apply --server-side -f crds/leaderelections.yaml",
    )
}

/// The fields of spec and status in a version of the definition.
fn fields(definition: &CustomResourceDefinition, version: &str) -> BTreeSet<String> {
    let version = definition.spec.versions.iter().find(|known| known.name == version);
    let schema = version.and_then(|version| version.schema.as_ref()?.open_api_v3_schema.as_ref());
    let schema = schema.and_then(|schema| serde_json::to_value(schema).ok()).unwrap_or_default();
    let of = |part: &str| -> Vec<String> {
        let properties = schema.pointer(&format!("/properties/{part}/properties")).and_then(Value::as_object);
        properties.into_iter().flat_map(|it| it.keys()).map(|field| format!("{part}.{field}")).collect()
    };
    ["spec", "status"].into_iter().flat_map(of).collect()
}

/// Checks that an operator runs, by the Lease that its replicas renew.
pub(super) fn operator(facts: &Facts) -> Finding {
    let check = "operator";
    let (leases, clock) = match (&facts.operators, &facts.clock) {
        (Ok(leases), Ok(clock)) => (leases, clock),
        (Err(why), _) | (_, Err(why)) => return Finding::unseen(check, why),
    };
    if leases.is_empty() {
        let name = elector_crds::ownership::OPERATOR_NAME;
        return Finding::unknown(check, format!("no Lease {name} in any namespace: none, or one of another name"));
    }
    let silences: Vec<String> = leases.iter().filter_map(|lease| silence(lease, clock)).collect();
    match leases.iter().find(|lease| silence(lease, clock).is_none()) {
        Some(lease) => {
            let holder = lease.spec.get("holderIdentity").and_then(Value::as_str).unwrap_or_default();
            let namespace = lease.namespace().unwrap_or_default();
            let active = format!("{} is active, in namespace {namespace}", identity::shown_name(holder));
            // Anybody can make a Lease of that name, and renew it.
            match silences.is_empty() {
                true => Finding::ok(check, active),
                false => Finding::warning(
                    check,
                    format!("{active}; {}", silences.join("; ")),
                    "see which of these namespaces has the operator that looks after this one",
                ),
            }
        }
        None => Finding::error(check, silences.join("; "), SEE_OPERATOR),
    }
}

/// Why no replica is known to be active; `None` if one is.
fn silence(stored: &StoredLease, clock: &Clock) -> Option<String> {
    let place = format!("in namespace {}", stored.namespace().unwrap_or_default());
    let Ok((lease, warnings)) = elector_crds::lease::read(stored) else {
        return Some(format!("the operator's Lease {place} cannot be read"));
    };
    let read = LeaseRead { stored, lease, warnings };
    if !read.is_held() {
        return Some(format!("no replica of the operator {place} is active"));
    }
    match read.silent_for(clock) {
        Some(seconds) if seconds <= read.lasts() => None,
        Some(seconds) => Some(format!("no replica of the operator {place} has renewed its Lease for {seconds} s")),
        None => Some(format!("no replica of the operator {place} has ever renewed its Lease")),
    }
}

/// Checks that the operator has looked at the latest spec.
pub(super) fn reconciled(facts: &Facts) -> Finding {
    let check = "reconciled";
    let Some(status) = facts.election.observed() else {
        let message =
            "the operator has not looked at this LeaderElection yet: it is not there, or looks after other namespaces";
        return Finding::error(check, message, SEE_OPERATOR);
    };
    let (seen, generation) = (status.observed_generation, facts.election.metadata.generation);
    if seen < generation {
        let (seen, generation) = (seen.unwrap_or_default(), generation.unwrap_or_default());
        let message = format!("the operator has seen generation {seen} of the spec, which is at {generation}");
        return Finding::error(check, message, SEE_OPERATOR);
    }
    if let Ok(read) = facts.lease()
        && status.lease_uid.as_ref() == Some(&read.lease.record.uid)
        && status.lease_transitions != Some(read.lease.record.transitions.into())
    {
        let seen = status.lease_transitions.unwrap_or_default();
        let message = format!("the Lease is at tenure {}, and the operator says {seen}", read.lease.record.transitions);
        return Finding::warning(check, message, format!("if that stays so, {SEE_OPERATOR}"));
    }
    Finding::ok(check, "the operator has seen the spec as it is")
}

/// Checks that the timings are valid, and says what they mean.
pub(super) fn timings(facts: &Facts) -> Finding {
    let check = "timings";
    match facts.election.spec.timings() {
        Err(invalid) => Finding::error(check, format!("spec: {invalid}"), "change that field of the spec"),
        Ok(timings) => {
            let (lease, delay) = (timings.lease_duration_seconds(), timings.release_delay_seconds());
            let stopped = if delay == 0 { "at once".to_owned() } else { format!("after {delay} s") };
            Finding::ok(
                check,
                format!("a leader that is stopped is followed {stopped}, one that is silent after {lease} s"),
            )
        }
    }
}

pub(super) fn paused(facts: &Facts) -> Finding {
    let check = "paused";
    if facts.election.spec.paused {
        let resume = format!("kubectl election resume {} -n {}", facts.name(), facts.namespace());
        return Finding::warning(check, "nobody is to lead: spec.paused is true", resume);
    }
    Finding::not_applicable(check, "no pause is asked for")
}

/// Reports the conditions that the operator has set: the symptoms.
pub(super) fn conditions(facts: &Facts) -> Vec<Finding> {
    [
        ("ready", ConditionType::Ready),
        ("leader-elected", ConditionType::LeaderElected),
        ("candidates-ready", ConditionType::CandidatesReady),
    ]
    .into_iter()
    .map(|(check, type_)| condition(facts, check, type_))
    .collect()
}

fn condition(facts: &Facts, check: &'static str, type_: ConditionType) -> Finding {
    let Some(condition) = facts.condition(type_) else {
        return Finding::unknown(check, format!("the operator has not said whether {type_}"));
    };
    let said = format!("{type_} is {} ({}): {}", condition.status, condition.reason, condition.message);
    let is_meant = facts.election.spec.paused && condition.reason == Reason::Paused.as_str();
    let describe = kubectl(facts, &format!("describe leaderelection {}", facts.name()));
    match condition.status.as_str() {
        _ if is_meant => Finding::ok(check, said),
        status if status == Status::True.as_str() => Finding::ok(check, condition.message.clone()),
        status if status == Status::False.as_str() => {
            let mend = if condition.reason == Reason::LeaderNotReady.as_str() {
                leader_not_ready(facts)
            } else {
                format!("mend what is wrong above; else see {describe}")
            };
            // As during a rollout.
            let is_harmless = condition.reason == Reason::SomeNotReady.as_str();
            if is_harmless { Finding::warning(check, said, mend) } else { Finding::error(check, said, mend) }
        }
        _ => Finding::warning(check, said, format!("wait; if that stays so, see {describe}")),
    }
}

/// What the containers of a leader's pod that is not ready lack: no other check looks at the app's containers.
fn leader_not_ready(facts: &Facts) -> String {
    let runbook = "docs/runbooks/LeaderElectorLeaderNotReady.md says what mends it";
    let holder = facts.lease().map(|read| read.holder().to_owned()).unwrap_or_default();
    let pods = facts.pods.as_deref().unwrap_or_default();
    // By what the API server calls the pod: a holder may call itself anything, and this is for a shell.
    match pods.iter().find(|pod| identity_of(pod) == holder) {
        Some(pod) => format!("see {}; {runbook}", kubectl(facts, &format!("describe pod {}", pod.name_any()))),
        None => runbook.to_owned(),
    }
}
