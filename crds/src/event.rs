//! Events: what happened to an election.

use crate::conditions::names;

/// Something that happened to an election.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ElectionEvent {
    /// The name of the event object; the same happening always has the same name.
    pub name: String,
    /// The kind of happening.
    pub reason: EventReason,
    /// The message for people, no longer than the API takes.
    pub note: String,
    /// The requested pod, if this event answers a request for another leader: the value of [`TRANSFER_ANNOTATION`], as
    /// it can be shown.
    ///
    /// [`TRANSFER_ANNOTATION`]: crate::TRANSFER_ANNOTATION
    pub asked_for: Option<String>,
    /// The holder's pod, by name and uid, if there is one.
    pub related_pod: Option<(String, String)>,
}

names! {
    /// The kinds of events.
    EventReason {
        /// A candidate has begun to lead.
        LeaderElected,
        /// The leader no longer leads.
        LeaderLost,
        /// The leader has fallen silent.
        LeaseExpired,
        /// The operator has adopted a Lease that others made.
        LeaseAdopted,
        /// The operator created a Lease for a name without a known past. A candidate may still believe that it holds
        /// such a Lease.
        LeaseCreated,
        /// The operator created a Lease again that was gone.
        LeaseRestored,
        /// An object with a name that the operator needs was not made for this election.
        ObjectConflict,
        /// The spec breaks a rule.
        InvalidSpec,
        /// The election is paused, and no candidate leads.
        Paused,
        /// The pause of the election has ended, and candidates know it.
        Resumed,
        /// Another candidate leads, as was requested.
        TransferCompleted,
        /// A request for another leader was refused.
        TransferRefused,
    }
}

impl EventReason {
    /// Whether the event is a warning, so that a person should look.
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
