//! The plan for the Role and the RoleBinding of an election.

use elector_crds::LeaderElection;
use elector_crds::ownership::{conflict_message, is_made_for};
use elector_crds::rbac::{role, role_binding};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::ResourceExt;

use crate::index::ElectionSnapshot;

/// Why the Role or the RoleBinding cannot be applied, as far as the index tells.
pub(super) fn conflict(election: &LeaderElection, snapshot: &ElectionSnapshot) -> Option<String> {
    let role = snapshot.role.as_ref().filter(|role| !is_made_for(*role, election));
    let role_binding = snapshot.role_binding.as_ref().filter(|binding| !is_made_for(*binding, election));
    role.map(|role| conflict_message("Role", role))
        .or_else(|| role_binding.map(|binding| conflict_message("RoleBinding", binding)))
}

pub(super) fn role_to_apply(election: &LeaderElection, known: Option<&Role>) -> Option<Role> {
    let desired = role(election);
    let in_place = known.is_some_and(|known| known.rules == desired.rules && has_metadata(known, &desired));
    (!in_place).then_some(desired)
}

/// The Role without rules, if the existing one grants rights. The operator may not delete it.
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

/// Whether `known` has the labels and owners of `desired`; further ones are left alone.
pub(super) fn has_metadata<K: ResourceExt>(known: &K, desired: &K) -> bool {
    desired.labels().iter().all(|(label, value)| known.labels().get(label) == Some(value))
        && desired.owner_references().iter().all(|owner| known.owner_references().contains(owner))
}
