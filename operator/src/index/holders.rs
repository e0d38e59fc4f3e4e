//! Which Leases name which pod as holder, so that a change of a pod need not look at all Leases of its namespace.

use std::collections::{BTreeSet, HashMap};

use elector_crds::identity;

use crate::key::Key;

/// The names of Leases, by the pod that their holder names.
#[derive(Debug, Default)]
pub(super) struct Holders(HashMap<Key, BTreeSet<String>>);

impl Holders {
    /// Notes that the Lease `lease` names `holder`.
    pub(super) fn insert(&mut self, lease: &Key, holder: &str) {
        if let Some(pod) = pod(lease, holder) {
            self.0.entry(pod).or_default().insert(lease.name.clone());
        }
    }

    /// Notes that the Lease `lease` no longer names `holder`.
    pub(super) fn remove(&mut self, lease: &Key, holder: &str) {
        let Some(pod) = pod(lease, holder) else { return };
        let Some(leases) = self.0.get_mut(&pod) else { return };
        leases.remove(&lease.name);
        if leases.is_empty() {
            self.0.remove(&pod);
        }
    }

    /// The Leases whose holder names `pod`.
    pub(super) fn of(&self, pod: &Key) -> impl Iterator<Item = Key> {
        let leases = self.0.get(pod).into_iter().flatten();
        leases.map(|lease| Key::new(&pod.namespace, lease))
    }
}

fn pod(lease: &Key, holder: &str) -> Option<Key> {
    let name = identity::display_name(holder);
    (!name.is_empty()).then(|| Key::new(&lease.namespace, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_is_found_by_the_leases_that_name_it() {
        let mut holders = Holders::default();
        let (one, other) = (Key::new("shop", "one"), Key::new("shop", "other"));
        holders.insert(&one, "billing-0_uid");
        holders.insert(&other, "billing-0");
        holders.insert(&Key::new("bank", "one"), "billing-0_uid");
        holders.insert(&Key::new("shop", "nobody"), "");
        let pod = Key::new("shop", "billing-0");
        assert_eq!(holders.of(&pod).collect::<Vec<_>>(), [one.clone(), other.clone()]);
        holders.remove(&one, "billing-0_uid");
        holders.remove(&other, "another");
        assert!(holders.of(&pod).eq([other.clone()]));
        holders.remove(&other, "billing-0");
        assert_eq!((holders.of(&pod).count(), holders.0.len()), (0, 1));
    }
}
