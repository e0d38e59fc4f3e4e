//! Checks of the chart's policies: those that add agents to pods, and those that check under which identity candidates
//! write.

use elector_crds::ownership::is_made_for;
use elector_crds::{CandidateIdentity, STRICT_IDENTITY_LABEL};
use kube::ResourceExt as _;

use super::{ADD_AGENTS, SEE_OPERATOR};
use crate::doctor::agent::Agent;
use crate::doctor::facts::{Facts, Policy};
use crate::doctor::finding::Finding;

/// The message about an API server before Kubernetes 1.36 without mutating policies. Another check reports pods that
/// lack an agent.
const NO_MUTATING_POLICIES: &str = "this API server has no MutatingAdmissionPolicy, by which the chart adds the agent \
                                    to pods: pods bring their own";

pub(super) fn injection(facts: &Facts) -> Finding {
    let check = "injection";
    let policies = match &facts.injection {
        Ok(Some(policies)) => policies,
        Ok(None) => return Finding::not_applicable(check, NO_MUTATING_POLICIES),
        Err(why) => return Finding::unseen(check, why),
    };
    if let Some(policy) = in_force(policies) {
        return Finding::ok(check, format!("policy {} adds the agent to new pods", policy.name));
    }
    let why = match policies.first() {
        Some(policy) => format!("no binding puts policy {} into force", policy.name),
        None => "no policy of the chart adds the agent to pods".to_owned(),
    };
    let candidates = facts.candidates().unwrap_or_default();
    if candidates.iter().all(|pod| Agent::of(pod).is_some()) {
        return Finding::not_applicable(check, format!("{why}; pods bring their own"));
    }
    Finding::warning(check, why, ADD_AGENTS)
}

pub(super) fn strict_identity(facts: &Facts) -> Finding {
    let check = "strict-identity";
    match facts.election.spec.candidates.identity {
        CandidateIdentity::Any => {
            return Finding::not_applicable(check, "spec.candidates.identity is Any: nobody is to be checked");
        }
        CandidateIdentity::Pod => {}
    }
    let policies = match &facts.strict_identity {
        Ok(policies) => policies.as_deref().unwrap_or_default(),
        Err(why) => return Finding::unseen(check, why),
    };
    let Some(policy) = in_force(policies) else {
        let message = "no policy of the chart checks that candidates write the Lease as their own pod only";
        return Finding::warning(check, message, "helm upgrade the chart with strictIdentity.enabled=true");
    };
    match facts.lease() {
        Ok(read) if !is_made_for(read.stored, &facts.election) => {
            Finding::not_applicable(check, format!("policy {} leaves a Lease that was adopted alone", policy.name))
        }
        Ok(read) if read.stored.labels().get(STRICT_IDENTITY_LABEL).is_none_or(|strict| strict == "false") => {
            let message =
                format!("the Lease has no label {STRICT_IDENTITY_LABEL}=true, without which nobody is checked");
            Finding::warning(check, message, SEE_OPERATOR)
        }
        Ok(_) | Err(_) => Finding::ok(check, format!("policy {} checks who writes the Lease", policy.name)),
    }
}

fn in_force(policies: &[Policy]) -> Option<&Policy> {
    policies.iter().find(|policy| policy.bound)
}
