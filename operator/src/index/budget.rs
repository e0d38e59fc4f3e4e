//! A limit for the memory that the objects of each namespace take.

use std::collections::HashMap;

/// The default limit of one namespace, in bytes: some 4,000 elections with three pods each.
pub const NAMESPACE_BYTES: usize = 48 * 1024 * 1024;

/// The memory that each namespace takes, in bytes as [`Cost`] counts them.
#[derive(Debug)]
pub(super) struct Budget {
    limit: usize,
    used: HashMap<String, usize>,
}

/// The approximate memory that is kept for an object, in bytes.
pub(super) trait Cost {
    fn cost(&self) -> usize;
}

impl Budget {
    /// An empty budget. `limit` is the memory that each namespace may take, in bytes.
    pub(super) fn new(limit: usize) -> Budget {
        Budget { limit, used: HashMap::new() }
    }

    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// Whether `namespace` has room for `cost` more bytes.
    pub(super) fn has_room(&self, namespace: &str, cost: usize) -> bool {
        self.used(namespace) + cost <= self.limit
    }

    /// Whether `namespace` has room for `cost` more bytes of an object that an election in the index cannot do without,
    /// such as its Lease. The limit for these is half as much again.
    pub(super) fn has_room_for_needed(&self, namespace: &str, cost: usize) -> bool {
        self.used(namespace) + cost <= self.limit + self.limit / 2
    }

    pub(super) fn used(&self, namespace: &str) -> usize {
        self.used.get(namespace).copied().unwrap_or_default()
    }

    /// Counts an object that is kept, whether there is room for it or not.
    pub(super) fn charge(&mut self, namespace: &str, cost: usize) {
        match self.used.get_mut(namespace) {
            Some(used) => *used += cost,
            None => {
                self.used.insert(namespace.to_owned(), cost);
            }
        }
    }

    /// Counts an object that is no longer kept.
    pub(super) fn refund(&mut self, namespace: &str, cost: usize) {
        let Some(used) = self.used.get_mut(namespace) else { return };
        *used = used.saturating_sub(cost);
        if *used == 0 {
            self.used.remove(namespace);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_namespace_has_room_of_its_own_until_it_is_used() {
        let mut budget = Budget::new(100);
        budget.charge("shop", 60);
        assert!(budget.has_room("shop", 40) && !budget.has_room("shop", 41) && budget.has_room("bank", 100));
        budget.charge("shop", 60);
        assert!(!budget.has_room("shop", 0), "what must be kept is, and counts");
        assert!(budget.has_room_for_needed("shop", 30) && !budget.has_room_for_needed("shop", 31));
        budget.refund("shop", 110);
        assert!(budget.has_room("shop", 90));
        budget.refund("shop", 10);
        assert_eq!((budget.used("shop"), budget.used.len()), (0, 0));
    }
}
