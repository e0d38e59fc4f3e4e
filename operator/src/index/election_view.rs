//! The elections in the index, one after the other, for metrics.

use std::ops::Bound;

use elector_crds::LeaderElection;

use super::{Index, LeaseSeen};
use crate::key::Key;

/// An election, and the Lease of its name.
#[derive(Debug, Clone, Copy)]
pub struct ElectionView<'a> {
    /// The namespace and name of the election.
    pub key: &'a Key,
    /// The election as it was last seen.
    pub election: &'a LeaderElection,
    /// The Lease, made by an operator or by others.
    pub lease: Option<&'a LeaseSeen>,
}

impl Index {
    /// How many elections there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.elections.len()
    }

    /// Whether there are no elections.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.elections.is_empty()
    }

    /// The elections that come after `last` in the order of their keys; all elections if `last` is `None`.
    pub fn after<'a>(&'a self, last: Option<&'a Key>) -> impl Iterator<Item = ElectionView<'a>> {
        let from = last.map_or(Bound::Unbounded, Bound::Excluded);
        let elections = self.elections.range((from, Bound::Unbounded));
        elections.map(|(key, known)| ElectionView { key, election: &known.object, lease: self.leases.get(key) })
    }
}
