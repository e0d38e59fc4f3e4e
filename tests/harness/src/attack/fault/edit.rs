//! What somebody does to the Lease by hand, and what has to be done for the election to go on soon afterwards.

use anyhow::Result;
use elector_crds::StoredLease;
use kube::api::{DeleteParams, ObjectMeta, PostParams};
use serde_json::{Value, json};

use crate::attack::{Arena, ELECTION};

/// What somebody does to the Lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edit {
    /// Writes another holder.
    Holder,
    /// Removes the holder.
    Empty,
    /// Makes it look released as client-go does it.
    Released,
    /// Writes this duration.
    Duration(i32),
    /// Writes this time for both times.
    Times(&'static str),
    /// Takes the times away.
    NoTimes,
    /// Lowers the transitions.
    Transitions,
    /// Deletes it.
    Delete,
    /// Deletes it and makes an empty one.
    Recreate,
}

impl Edit {
    pub(super) async fn apply(self, arena: &Arena<'_>) -> Result<()> {
        match self {
            Edit::Delete => Self::delete(arena).await,
            Edit::Recreate => {
                Self::delete(arena).await?;
                let empty = StoredLease::new(ObjectMeta { name: Some(ELECTION.to_owned()), ..ObjectMeta::default() });
                // A candidate may have been faster.
                match arena.namespace.api().create(&PostParams::default(), &empty).await {
                    Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
                    Ok(_) => Ok(()),
                    Err(error) => Err(error.into()),
                }
            }
            Edit::Holder => Self::write(arena, json!({"holderIdentity": "somebody"})).await,
            Edit::Empty => Self::write(arena, json!({"holderIdentity": ""})).await,
            Edit::Released => Self::write(arena, json!({"holderIdentity": "", "leaseDurationSeconds": 1})).await,
            Edit::Duration(seconds) => Self::write(arena, json!({"leaseDurationSeconds": seconds})).await,
            Edit::Times(time) => Self::write(arena, json!({"acquireTime": time, "renewTime": time})).await,
            Edit::NoTimes => Self::write(arena, json!({"acquireTime": null, "renewTime": null})).await,
            Edit::Transitions => Self::write(arena, json!({"leaseTransitions": 0})).await,
        }
    }

    async fn delete(arena: &Arena<'_>) -> Result<()> {
        arena.namespace.api::<StoredLease>().delete(ELECTION, &DeleteParams::default()).await?;
        Ok(())
    }

    async fn write(arena: &Arena<'_>, spec: Value) -> Result<()> {
        arena.namespace.edit_lease(ELECTION, json!({"spec": spec})).await
    }

    /// A duration that was seen once is waited for by all who saw it: who leads has to end its tenure for the next to
    /// come soon.
    pub(super) async fn undo(self, arena: &Arena<'_>) -> Result<()> {
        if matches!(self, Edit::Duration(_)) {
            let leader = arena.leader().await?;
            arena.members[leader].candidate.process().stop().await?;
            arena.leader_beside(leader).await?;
            arena.members[leader].candidate.process().start()?;
        }
        Ok(())
    }
}
