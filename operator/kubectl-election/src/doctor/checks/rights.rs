//! Checks of the candidates' service accounts: whether they exist, and may contend.

use elector_crds::ownership::{conflict_message, is_made_for};
use elector_crds::rbac;
use elector_crds::rbac::rbac_name;
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::ResourceExt;

use super::{SEE_OPERATOR, kubectl};
use crate::doctor::facts::{Facts, Look, Review};
use crate::doctor::finding::Finding;

pub(super) fn role(facts: &Facts) -> Finding {
    let wanted = rbac::role(&facts.election);
    object(facts, "role", "Role", &facts.role, |role: &Role| {
        (role.rules != wanted.rules)
            .then(|| format!("does not grant {} on Lease {}, and only that", rbac::VERBS.join(", "), facts.name()))
    })
}

pub(super) fn role_binding(facts: &Facts) -> Finding {
    let wanted = rbac::role_binding(&facts.election);
    object(facts, "role-binding", "RoleBinding", &facts.role_binding, |binding: &RoleBinding| {
        let (is_of_role, is_of_accounts) = (binding.role_ref == wanted.role_ref, binding.subjects == wanted.subjects);
        match (is_of_role, is_of_accounts) {
            (true, true) => None,
            (false, _) => Some(format!("does not refer to Role {}", wanted.role_ref.name)),
            (true, false) => Some("is not of the service accounts that spec.candidates lists".to_owned()),
        }
    })
}

/// Checks one of the objects by which the operator grants the right to contend.
fn object<K: ResourceExt>(
    facts: &Facts,
    check: &'static str,
    kind: &str,
    look: &Look<Option<K>>,
    flaw: impl Fn(&K) -> Option<String>,
) -> Finding {
    let name = rbac_name(&facts.name());
    match look {
        Err(why) => Finding::unseen(check, why),
        // As by hand, without an operator.
        Ok(None) if refused(facts).is_some_and(|refused| refused.is_empty()) => Finding::warning(
            check,
            format!("there is no {kind} {name}, though service accounts may contend: somebody else grants it"),
            format!("the operator makes it; {SEE_OPERATOR}"),
        ),
        Ok(None) => Finding::error(
            check,
            format!("there is no {kind} {name}"),
            format!("the operator makes it; {SEE_OPERATOR}"),
        ),
        Ok(Some(object)) if !is_made_for(object, &facts.election) => {
            let delete = kubectl(facts, &format!("delete {} {name}", kind.to_lowercase()));
            Finding::error(check, conflict_message(kind, object), delete)
        }
        Ok(Some(object)) => match flaw(object) {
            Some(flaw) => Finding::error(
                check,
                format!("{kind} {name} {flaw}"),
                format!("the operator puts it right; {SEE_OPERATOR}"),
            ),
            None => Finding::ok(check, format!("{kind} {name} is in place")),
        },
    }
}

pub(super) fn service_accounts(facts: &Facts) -> Vec<Finding> {
    let check = "service-accounts";
    let finding = |(account, look): &(String, Look<Option<ServiceAccount>>)| match look {
        Ok(Some(_)) => None,
        Ok(None) => Some(Finding::error(
            check,
            format!("there is no service account {account}, which spec.candidates lists"),
            kubectl(facts, &format!("create serviceaccount {account}")),
        )),
        Err(why) => Some(Finding::unseen(check, why)),
    };
    let mut findings: Vec<Finding> = facts.accounts.iter().filter_map(finding).collect();
    // The same right is missing for each.
    findings.dedup();
    if findings.is_empty() {
        let names: Vec<&str> = facts.accounts.iter().map(|(account, _)| account.as_str()).collect();
        findings.push(Finding::ok(check, format!("all listed service accounts exist: {}", names.join(", "))));
    }
    findings
}

/// Checks that the service accounts may contend: by the API server's judgement, which counts any Role; if that could
/// not be asked, by the Role and the RoleBinding.
pub(super) fn rights(facts: &Facts) -> Vec<Finding> {
    let check = "rights";
    let Some(refused) = refused(facts) else {
        let why = facts.reviews.as_ref().err().map(ToString::to_string).unwrap_or_default();
        let in_place = matches!((&facts.role, &facts.role_binding), (Ok(Some(_)), Ok(Some(_))));
        return vec![if in_place {
            Finding::ok(check, format!("service accounts may contend, as Role and RoleBinding say; {why}"))
        } else {
            Finding::unknown(check, why)
        }];
    };
    if refused.is_empty() {
        return vec![Finding::ok(check, format!("service accounts may {} the Lease", rbac::VERBS.join(", ")))];
    }
    let mut findings: Vec<Finding> = Vec::new();
    for (account, _) in &facts.accounts {
        let verbs: Vec<&str> = refused.iter().filter(|it| it.account == *account).map(|it| it.verb).collect();
        if !verbs.is_empty() {
            findings.push(Finding::error(
                check,
                format!("service account {account} may not {} Lease {}", verbs.join(", "), facts.name()),
                "Role and RoleBinding as above, or as the README's section on rights has them",
            ));
        }
    }
    findings
}

/// The rights that the service accounts lack. `None` if the API server could not be asked.
fn refused(facts: &Facts) -> Option<Vec<&Review>> {
    let reviews = facts.reviews.as_ref().ok()?;
    Some(reviews.iter().filter(|review| !review.allowed).collect())
}
