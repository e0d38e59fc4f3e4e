//! What may be turned on, beyond what every operator does.

/// What the operator does for elections that ask for it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Features {
    /// Services that lead to the leader.
    pub leader_service: bool,
    /// Labels on pods.
    pub pod_labels: bool,
}
