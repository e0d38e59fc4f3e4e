//! The conditions of a `LeaderElection`, and their reasons. A reason is part of the API.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// Defines an enumeration whose variants are written like their names, with a list of all of them: `names! { Type {
/// Variant, } }`, with a comment on each.
macro_rules! names {
    ($(#[$doc:meta])* $type:ident { $($(#[$variant_doc:meta])* $variant:ident,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $type {
            $($(#[$variant_doc])* $variant,)*
        }

        impl $type {
            /// All variants, in the order in which they are declared.
            pub const ALL: &[$type] = &[$($type::$variant),*];

            /// The variant's name, as the API writes it.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $($type::$variant => stringify!($variant),)*
                }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

pub(crate) use names;

names! {
    /// The type of a condition.
    ConditionType {
        /// What the spec asks for is in place; who leads does not matter.
        Ready,
        /// A candidate leads.
        LeaderElected,
        /// The pods that may lead are able to.
        CandidatesReady,
        /// The leader does what the Lease asks of it. The condition is absent until something has been asked.
        AdviceFollowed,
        /// Tenures do not end all the time. The condition is absent until they have.
        LeaderStable,
    }
}

names! {
    /// The status of a condition.
    Status {
        /// The condition holds.
        True,
        /// The condition does not hold.
        False,
        /// It is not known yet whether the condition holds.
        Unknown,
    }
}

names! {
    /// The reason for a condition's status.
    Reason {
        /// Ready: everything is in place.
        Reconciled,
        /// Not ready: the spec breaks a rule.
        InvalidSpec,
        /// Not ready: an object with a name that the operator needs was not made for this election.
        ObjectConflict,
        /// Not ready: the operator lacks a right.
        Forbidden,
        /// Not ready: a write failed, and is tried again.
        ReconcileFailed,
        /// Not ready: the namespace has more objects than the operator has room for.
        NamespaceTooLarge,

        /// Elected: the Lease is held and renewed.
        LeaseHeld,
        /// Not elected: no candidate has ever led.
        NeverHeld,
        /// Not elected: the last leader gave it up.
        Released,
        /// Not elected: spec.paused asks that no candidate leads.
        Paused,
        /// Not elected: the last leader has been silent for longer than its lease duration.
        LeaseExpired,
        /// Not elected: the history of the Lease is unknown, and candidates wait in case a holder still leads.
        WaitingOutUnknownHolder,
        /// Unknown: the operator has not watched the Lease for long enough.
        LeaseNotObserved,

        /// All candidates are ready.
        AllReady,
        /// No pod matches the selector.
        NoPodsMatch,
        /// A pod matches, but its service account may not contend.
        ServiceAccountNotListed,
        /// The leader's pod is not ready.
        LeaderNotReady,
        /// A candidate is not ready.
        SomeNotReady,
        /// Candidates are ready, the Lease is free, and no candidate takes it.
        NoneContends,
        /// Unknown: the namespace has more objects than the operator has room for, and it does not know all pods.
        PodsLeftOut,

        /// The leader has done what the Lease asks of it.
        Followed,
        /// The leader was asked to hand over, or to step down, and leads on.
        AdviceIgnored,

        /// Few tenures have ended lately.
        Settled,
        /// Tenures end all the time.
        Flapping,
    }
}

/// A condition without the time of its last transition, which [`set`] adds.
#[must_use]
pub fn condition(type_: ConditionType, status: Status, reason: Reason, message: impl Into<String>) -> Condition {
    Condition {
        type_: type_.as_str().to_owned(),
        status: status.as_str().to_owned(),
        reason: reason.as_str().to_owned(),
        message: message.into(),
        observed_generation: None,
        last_transition_time: Time(Timestamp::UNIX_EPOCH),
    }
}

/// The condition of this type, if there is one.
#[must_use]
pub fn find(conditions: &[Condition], type_: ConditionType) -> Option<&Condition> {
    conditions.iter().find(|condition| condition.type_ == type_.as_str())
}

/// Puts `condition` in the place of the condition of its type. Its `lastTransitionTime` is `now` if the status has
/// changed; otherwise the last one is kept.
pub fn set(conditions: &mut Vec<Condition>, mut condition: Condition, now: Timestamp) {
    let Some(last) = conditions.iter_mut().find(|last| last.type_ == condition.type_) else {
        condition.last_transition_time = Time(now);
        conditions.push(condition);
        return;
    };
    condition.last_transition_time =
        if last.status == condition.status { last.last_transition_time.clone() } else { Time(now) };
    *last = condition;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn elected(status: Status, reason: Reason) -> Condition {
        condition(ConditionType::LeaderElected, status, reason, "")
    }

    #[test]
    fn a_change_of_status_is_a_transition_and_a_change_of_reason_is_not() {
        let mut conditions = Vec::new();
        set(&mut conditions, elected(Status::False, Reason::NeverHeld), second(1));
        assert_eq!(conditions[0].last_transition_time, Time(second(1)));

        set(&mut conditions, elected(Status::False, Reason::LeaseExpired), second(2));
        assert_eq!(conditions[0].reason, "LeaseExpired");
        assert_eq!(conditions[0].last_transition_time, Time(second(1)));

        set(&mut conditions, elected(Status::True, Reason::LeaseHeld), second(3));
        assert_eq!(conditions[0].status, "True");
        assert_eq!(conditions[0].last_transition_time, Time(second(3)));
        assert_eq!(conditions.len(), 1);
    }

    #[test]
    fn other_types_are_left_alone() {
        let mut conditions = Vec::new();
        set(&mut conditions, elected(Status::True, Reason::LeaseHeld), second(1));
        set(&mut conditions, condition(ConditionType::Ready, Status::True, Reason::Reconciled, ""), second(2));
        assert_eq!(find(&conditions, ConditionType::LeaderElected).unwrap().last_transition_time, Time(second(1)));
        assert_eq!(find(&conditions, ConditionType::Ready).unwrap().last_transition_time, Time(second(2)));
        assert_eq!(find(&conditions, ConditionType::CandidatesReady), None);
    }
}
