//! What the objects of each namespace may take of the operator's memory.

use std::collections::HashMap;

/// The default limit of one namespace, in bytes: some 4,000 elections with three pods each.
pub const NAMESPACE_BYTES: usize = 48 * 1024 * 1024;

/// What each namespace takes, in bytes as [`Cost`] counts them.
#[derive(Debug)]
pub(super) struct Budget {
    limit: usize,
    used: HashMap<String, usize>,
}

/// How many bytes of memory are kept of an object, more or less.
pub(super) trait Cost {
    fn cost(&self) -> usize;
}

impl Budget {
    /// `limit` is what each namespace may take, in bytes.
    pub(super) fn new(limit: usize) -> Budget {
        Budget { limit, used: HashMap::new() }
    }

    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// Whether there is room for `cost` more.
    pub(super) fn has_room(&self, namespace: &str, cost: usize) -> bool {
        self.used(namespace) + cost <= self.limit
    }

    /// The same for what an election that is kept cannot do without, as its Lease: half as much again.
    pub(super) fn has_room_for_needed(&self, namespace: &str, cost: usize) -> bool {
        self.used(namespace) + cost <= self.limit + self.limit / 2
    }

    pub(super) fn used(&self, namespace: &str) -> usize {
        self.used.get(namespace).copied().unwrap_or_default()
    }

    /// Counts what is kept, whether there is room for it or not.
    pub(super) fn charge(&mut self, namespace: &str, cost: usize) {
        match self.used.get_mut(namespace) {
            Some(used) => *used += cost,
            None => {
                self.used.insert(namespace.to_owned(), cost);
            }
        }
    }

    /// Counts what is no longer kept.
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
