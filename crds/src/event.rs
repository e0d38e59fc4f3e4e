//! What happens to an election, as events tell it.

use crate::conditions::names;

/// Something that happened to an election.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ElectionEvent {
    /// The event's own name: the same happening has the same.
    pub name: String,
    /// What happened.
    pub reason: EventReason,
    /// For people, as long as the API takes it.
    pub note: String,
    /// For whom was asked, where this answers a request for another leader: as [`TRANSFER_ANNOTATION`] had it, cut as it is shown.
    ///
    /// [`TRANSFER_ANNOTATION`]: crate::TRANSFER_ANNOTATION
    pub asked_for: Option<String>,
    /// The holder's pod, by name and uid, if there is one.
    pub related_pod: Option<(String, String)>,
}

names! {
    /// What happens to elections.
    EventReason {
        /// Somebody leads.
        LeaderElected,
        /// Somebody leads no more.
        LeaderLost,
        /// The leader has fallen silent.
        LeaseExpired,
        /// A Lease that others made is used.
        LeaseAdopted,
        /// A Lease was made of whose name none is known, and somebody may hold it all the same.
        LeaseCreated,
        /// A Lease that was gone was made again.
        LeaseRestored,
        /// An object of that name is somebody else's.
        ObjectConflict,
        /// The spec breaks a rule.
        InvalidSpec,
        /// The election is paused, and nobody leads.
        Paused,
        /// It is paused no more, and candidates know it.
        Resumed,
        /// Another leads, as was asked for.
        TransferCompleted,
        /// Another was asked for, and does not.
        TransferRefused,
    }
}

impl EventReason {
    /// Whether somebody should look.
    #[must_use]
    pub fn is_warning(self) -> bool {
        match self {
            EventReason::LeaderElected
            | EventReason::LeaderLost
            | EventReason::LeaseAdopted
            | EventReason::LeaseCreated
            | EventReason::Paused
            | EventReason::Resumed
            | EventReason::TransferCompleted => false,
            EventReason::LeaseExpired
            | EventReason::LeaseRestored
            | EventReason::ObjectConflict
            | EventReason::InvalidSpec
            | EventReason::TransferRefused => true,
        }
    }
}
