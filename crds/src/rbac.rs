//! The Role and RoleBinding that let exactly the candidates contend for exactly their Lease.

use k8s_openapi::api::rbac::v1::{PolicyRule, Role, RoleBinding, RoleRef, Subject};
use kube::ResourceExt;

use crate::LeaderElection;
use crate::ownership::metadata;

/// The verbs that an agent needs on its Lease: no create, no patch, no delete.
pub const VERBS: [&str; 4] = ["get", "list", "watch", "update"];

const NAME_PREFIX: &str = "leader-elector-";

const API_GROUP: &str = "rbac.authorization.k8s.io";

/// The name of the Role and the RoleBinding of the election called `election`.
#[must_use]
pub fn rbac_name(election: &str) -> String {
    format!("{NAME_PREFIX}{election}")
}

/// The name of the election that a Role or RoleBinding called `name` belongs to.
#[must_use]
pub fn election_of_rbac(name: &str) -> Option<&str> {
    name.strip_prefix(NAME_PREFIX)
}

/// The Role that lets agents contend.
#[must_use]
pub fn role(election: &LeaderElection) -> Role {
    let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let rule = PolicyRule {
        api_groups: Some(owned(&["coordination.k8s.io"])),
        resources: Some(owned(&["leases"])),
        resource_names: Some(vec![election.name_any()]),
        verbs: owned(&VERBS),
        ..PolicyRule::default()
    };
    Role { metadata: metadata(election, rbac_name(&election.name_any())), rules: Some(vec![rule]) }
}

/// The RoleBinding that grants the Role to the service accounts of the candidates.
#[must_use]
pub fn role_binding(election: &LeaderElection) -> RoleBinding {
    let name = rbac_name(&election.name_any());
    let subject = |account: &String| Subject {
        api_group: None,
        kind: "ServiceAccount".to_owned(),
        name: account.clone(),
        namespace: election.namespace(),
    };
    RoleBinding {
        role_ref: RoleRef { api_group: API_GROUP.to_owned(), kind: "Role".to_owned(), name: name.clone() },
        subjects: Some(election.spec.candidates.service_account_names.iter().map(subject).collect()),
        metadata: metadata(election, name),
    }
}

/// Whether the API server says in `message`, the words of a refusal, that the account lacks a right: to do it, or that it would
/// grant. Its answer has no field for that, and says 403 for what a policy, a webhook or a quota denies, too.
#[must_use]
pub fn tells_of_missing_right(message: &str) -> bool {
    let says = |words| message.contains(words);
    says("cannot ") && says("in API group") || says("attempting to grant RBAC permissions not currently held")
}
