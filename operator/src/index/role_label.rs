//! The label that says on the pod of a candidate whether it leads.

/// What the label of a pod says, or is to say, of its role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleLabel {
    /// The pod's name.
    pub pod: String,
    /// Its uid.
    pub uid: String,
    /// The label's value; `None`: no label.
    pub role: Option<PodRole>,
}

/// What a candidate is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PodRole {
    /// It leads.
    Leader,
    /// It does not.
    Standby,
}

impl PodRole {
    /// What a label says; one that says something else is as good as none.
    #[must_use]
    pub fn parse(label: &str) -> Option<PodRole> {
        [PodRole::Leader, PodRole::Standby].into_iter().find(|role| role.as_str() == label)
    }

    /// As the label has it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            PodRole::Leader => "leader",
            PodRole::Standby => "standby",
        }
    }
}
