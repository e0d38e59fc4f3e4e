//! The label that says on a candidate's pod whether it leads.

/// The role label of a pod, as it is or as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleLabel {
    /// The pod's name.
    pub pod: String,
    /// The pod's uid.
    pub uid: String,
    /// The label's value; `None` if the pod has no label.
    pub role: Option<PodRole>,
}

/// The role of a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PodRole {
    /// The candidate leads.
    Leader,
    /// The candidate does not lead.
    Standby,
}

impl PodRole {
    /// Reads the value of a label; `None` for any other value than a role.
    #[must_use]
    pub fn parse(label: &str) -> Option<PodRole> {
        [PodRole::Leader, PodRole::Standby].into_iter().find(|role| role.as_str() == label)
    }

    /// The role as the label's value.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            PodRole::Leader => "leader",
            PodRole::Standby => "standby",
        }
    }
}
