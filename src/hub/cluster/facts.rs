//! What is counted of the cluster, by its thread alone, and read at each scrape.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that one thread writes and any reads.
#[derive(Debug, Default)]
pub(super) struct Tally(AtomicU64);

impl Tally {
    pub(super) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    pub(super) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// All that is counted.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// 1 while Redis is there.
    pub(super) up: Tally,
    /// Connections that were made after the first.
    pub(super) reconnects: Tally,
    /// Messages that were given to Redis.
    pub(super) published: Tally,
    /// Messages that came from Redis.
    pub(super) received: Tally,
    /// Those among them that were known already.
    pub(super) doubles: Tally,
    /// What came from Redis and was not sound.
    pub(super) bad: Tally,
    /// Messages that Redis does not have yet.
    pub(super) owed: Tally,
    /// Microseconds that the last word took to Redis and back through a channel.
    pub(super) lag: Tally,
}
