//! Optional features of the operator.

/// The optional features, for elections that ask for them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Features {
    /// Whether the operator makes Services that lead to the leader.
    pub leader_service: bool,
    /// Whether the operator labels the pods of candidates.
    pub pod_labels: bool,
}
