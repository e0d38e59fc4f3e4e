//! The Role and RoleBinding that let exactly the candidates contend for exactly their Lease.

use elector_crds::LeaderElection;
use k8s_openapi::api::rbac::v1::{PolicyRule, Role, RoleBinding, RoleRef, Subject};
use kube::ResourceExt;

use super::lease::{is_ours, metadata};
use crate::key::rbac_name;
use crate::observe::Observed;
use crate::{MANAGED_BY_LABEL, NAME};

/// All that an agent needs: no create, no patch, no delete, and no other Lease.
pub const VERBS: [&str; 4] = ["get", "list", "watch", "update"];

const RBAC_GROUP: &str = "rbac.authorization.k8s.io";

/// Whether an operator made `object`, for `election` or an earlier one of its name.
#[must_use]
pub fn is_made_for(object: &impl ResourceExt, election: &LeaderElection) -> bool {
    let managed = object.labels().get(MANAGED_BY_LABEL).is_some_and(|by| by == NAME);
    is_ours(managed, object.owner_references(), &election.name_any())
}

/// What to say of an object that is somebody else's.
#[must_use]
pub fn conflict_message(kind: &str, object: &impl ResourceExt) -> String {
    format!(
        "{kind} {} exists and was not made for this LeaderElection; delete it, or rename the LeaderElection",
        object.name_any()
    )
}

/// What keeps Role or RoleBinding from being applied, as far as is known without asking.
pub(super) fn conflict(election: &LeaderElection, observed: &Observed) -> Option<String> {
    let role = observed.role.as_ref().filter(|role| !is_made_for(*role, election));
    let role_binding = observed.role_binding.as_ref().filter(|binding| !is_made_for(*binding, election));
    role.map(|role| conflict_message("Role", role))
        .or_else(|| role_binding.map(|binding| conflict_message("RoleBinding", binding)))
}

pub(super) fn role_to_apply(election: &LeaderElection, known: Option<&Role>) -> Option<Role> {
    let desired = role(election);
    let in_place = known.is_some_and(|known| known.rules == desired.rules && has_metadata(known, &desired));
    (!in_place).then_some(desired)
}

/// The Role without any rule, if it grants something: the operator may delete none.
pub(super) fn role_to_empty(election: &LeaderElection, known: Option<&Role>) -> Option<Role> {
    let known = known.filter(|role| is_made_for(*role, election))?;
    let grants = known.rules.as_ref().is_some_and(|rules| !rules.is_empty());
    grants.then(|| Role { rules: Some(vec![]), ..role(election) })
}

pub(super) fn role_binding_to_apply(election: &LeaderElection, known: Option<&RoleBinding>) -> Option<RoleBinding> {
    let desired = role_binding(election);
    let in_place = known.is_some_and(|known| {
        known.role_ref == desired.role_ref && known.subjects == desired.subjects && has_metadata(known, &desired)
    });
    (!in_place).then_some(desired)
}

/// What lets agents contend.
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

/// Whom it lets.
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
        role_ref: RoleRef { api_group: RBAC_GROUP.to_owned(), kind: "Role".to_owned(), name: name.clone() },
        subjects: Some(election.spec.candidates.service_account_names.iter().map(subject).collect()),
        metadata: metadata(election, name),
    }
}

/// Whether `known` has the labels and owners that it should have; others are nobody's business.
pub(super) fn has_metadata<K: ResourceExt>(known: &K, desired: &K) -> bool {
    desired.labels().iter().all(|(label, value)| known.labels().get(label) == Some(value))
        && desired.owner_references().iter().all(|owner| known.owner_references().contains(owner))
}
