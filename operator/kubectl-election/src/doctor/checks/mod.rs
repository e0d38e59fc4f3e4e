//! The checks: pure functions of what was gathered, in the order from cause to symptom.

mod lease;
mod operator;
mod pods;
mod policies;
mod rights;
mod volume;

use elector_crds::display_text::{MAX_NAME, shown};
use elector_crds::selector_text;

use super::facts::Facts;
use super::finding::Finding;

/// The findings of all checks: one for each check, or one for each thing that is wrong with some pods.
pub(super) fn findings(facts: &Facts) -> Vec<Finding> {
    let mut findings = vec![
        operator::definition(facts),
        operator::operator(facts),
        operator::reconciled(facts),
        operator::timings(facts),
        operator::paused(facts),
        policies::injection(facts),
        policies::strict_identity(facts),
        rights::role(facts),
        rights::role_binding(facts),
    ];
    findings.extend(rights::service_accounts(facts));
    findings.extend(rights::rights(facts));
    findings.extend(pods::findings(facts));
    findings.push(lease::lease(facts));
    findings.push(lease::told_timings(facts));
    findings.push(lease::transfer(facts));
    findings.push(lease::changes(facts));
    findings.push(lease::holder(facts));
    findings.push(lease::renewal(facts));
    findings.extend(lease::clocks(facts));
    findings.extend(operator::conditions(facts));
    findings
}

/// A kubectl command in the election's namespace.
fn kubectl(facts: &Facts, command: &str) -> String {
    format!("kubectl -n {} {command}", facts.namespace())
}

/// The label selector of the candidates, for people.
fn selector(facts: &Facts) -> String {
    shown(&selector_text(&facts.election.spec.selector(&facts.name())), MAX_NAME).into_owned()
}

/// The advice to look at the operator, when the operator should mend something.
const SEE_OPERATOR: &str = "see whether the operator runs: kubectl get pods -A -l app.kubernetes.io/component=operator";

/// The advice on how pods get agents if the API server has no policies that change pods.
const INJECT_AGENTS: &str = "add the agent to the workload's manifest: kubectl election inject -f FILE";

/// The advice on how pods get agents.
const ADD_AGENTS: &str = "helm upgrade the chart with injection.enabled=true, or add the agent to the workload's \
                          manifest: kubectl election inject -f FILE";
