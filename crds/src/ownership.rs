//! The ownership of objects: made by an operator for an election, or by others.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::{Resource, ResourceExt};

use crate::{ELECTION_LABEL, GROUP, LeaderElection};

/// The operator's name: the field manager of its writes, the value of [`MANAGED_BY_LABEL`] and the reporter of its
/// events.
pub const OPERATOR_NAME: &str = "leader-elector-operator";

/// The label on every object that the operator makes.
pub const MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";

/// The prefix of the namespaces whose Leases belong to the control plane.
const CONTROL_PLANE_NAMESPACES: &str = "kube-";

/// The metadata of an object called `name` that is made for `election`.
#[must_use]
pub fn metadata(election: &LeaderElection, name: String) -> ObjectMeta {
    let labels = [(MANAGED_BY_LABEL, OPERATOR_NAME.to_owned()), (ELECTION_LABEL, election.name_any())];
    ObjectMeta {
        name: Some(name),
        namespace: election.namespace(),
        labels: Some(labels.map(|(label, value)| (label.to_owned(), value)).into()),
        owner_references: election.controller_owner_ref(&()).map(|owner| vec![owner]),
        ..ObjectMeta::default()
    }
}

/// Whether the labels of `object` say that an operator made it.
#[must_use]
pub fn is_managed(object: &impl ResourceExt) -> bool {
    object.labels().get(MANAGED_BY_LABEL).is_some_and(|by| by == OPERATOR_NAME)
}

/// Whether an operator made `object`, for `election` or an earlier one of its name.
#[must_use]
pub fn is_made_for(object: &impl ResourceExt, election: &LeaderElection) -> bool {
    is_ours(is_managed(object), object.owner_references(), &election.name_any())
}

/// Whether an operator made the object for an election called `name`. Its controller decides, or its label if it has no
/// controller.
#[must_use]
pub fn is_ours(managed: bool, owners: &[OwnerReference], name: &str) -> bool {
    let mut controllers = owners.iter().filter(|owner| owner.controller == Some(true));
    controllers.next().map_or(managed, |controller| is_election(controller, name))
}

/// The message about an object that was not made for this election.
#[must_use]
pub fn conflict_message(kind: &str, object: &impl ResourceExt) -> String {
    format!(
        "{kind} {} exists and was not made for this LeaderElection; delete it, or rename the LeaderElection",
        object.name_any()
    )
}

/// The name of the election that owns `object` as its controller.
#[must_use]
pub fn owner(object: &impl ResourceExt) -> Option<&str> {
    let owners = object.owner_references().iter();
    let mut controllers = owners.filter(|owner| owner.controller == Some(true));
    controllers.next().filter(|controller| is_election(controller, &controller.name)).map(|owner| &*owner.name)
}

/// Whether `owner` is the election called `name`.
#[must_use]
pub fn is_election(owner: &OwnerReference, name: &str) -> bool {
    let (group, _) = owner.api_version.split_once('/').unwrap_or_default();
    group == GROUP && owner.kind == LeaderElection::kind(&()) && owner.name == name
}

/// Whether a Lease in `namespace` can be adopted at all (rule O3).
#[must_use]
pub fn is_adoptable_in(namespace: &str) -> bool {
    !namespace.starts_with(CONTROL_PLANE_NAMESPACES)
}
