//! Keys of messages that were shown and have their place, the latest: by them doubles are known.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

/// So many keys at most. What is owed is not among them, so that much talk apart does not push out what is needed on
/// return.
#[derive(Debug)]
pub(super) struct Known {
    keys: HashSet<Arc<str>>,
    order: VecDeque<Arc<str>>,
    most: usize,
    /// How many there have been.
    pub(super) count: u64,
}

impl Known {
    pub(super) fn new(most: usize) -> Self {
        Self { keys: HashSet::new(), order: VecDeque::new(), most, count: 0 }
    }

    /// So many from now on.
    pub(super) fn bound(&mut self, most: usize) {
        self.most = most;
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.keys.contains(key)
    }

    pub(super) fn add(&mut self, key: &Arc<str>) {
        self.count += 1;
        if self.keys.insert(Arc::clone(key)) {
            self.order.push_back(Arc::clone(key));
        }
        while self.order.len() > self.most {
            if let Some(oldest) = self.order.pop_front() {
                self.keys.remove(&oldest);
            }
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        assert_eq!(self.order.len(), self.keys.len());
        self.order.len()
    }
}
