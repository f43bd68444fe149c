//! Counters whose guards give back what they took: one number, and one number for each address.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::address::AddressKey;

/// Locks that share the addresses among them, so that cores seldom wait for one another.
const SHARDS: usize = 64;

/// Room for so many addresses in a shard is kept.
const SMALL: usize = 16;

/// A number of things that are open now. A copy counts the same things.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gauge(Arc<AtomicUsize>);

/// One of the things that a [`Gauge`] counts; counted until it is dropped.
#[derive(Debug)]
pub(crate) struct Held(Gauge);

impl Gauge {
    /// Counts one more, unless there are `limit` already.
    #[must_use]
    pub(crate) fn take(&self, limit: usize) -> Option<Held> {
        // A counter publishes no other memory, so no order beyond its own is needed.
        let more = |open| (open < limit).then_some(open + 1);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok().then(|| Held(self.clone()))
    }

    /// How many there are now.
    pub(crate) fn now(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How many things each address has open now. A copy counts the same things.
#[derive(Clone, Debug)]
pub(crate) struct Tally(Arc<Table>);

#[derive(Debug)]
struct Table {
    /// Keyed at random, so that clients cannot choose addresses that fall into one shard.
    hasher: RandomState,
    /// No address stands here with 0.
    shards: [Mutex<HashMap<AddressKey, usize>>; SHARDS],
}

/// One of the things that a [`Tally`] counts for an address; counted until it is dropped.
#[derive(Debug)]
pub(crate) struct AddressHeld {
    tally: Tally,
    address: AddressKey,
}

impl Default for Tally {
    fn default() -> Self {
        let shards = std::array::from_fn(|_| Mutex::default());
        Self(Arc::new(Table { hasher: RandomState::new(), shards }))
    }
}

impl Tally {
    /// Counts one more for this address, unless it has `limit` already.
    #[must_use]
    pub(crate) fn take(&self, address: AddressKey, limit: usize) -> Option<AddressHeld> {
        if limit == 0 {
            return None;
        }
        let mut shard = self.shard(address).lock();
        let open = shard.entry(address).or_default();
        if *open >= limit {
            return None;
        }
        *open += 1;
        drop(shard);
        Some(AddressHeld { tally: self.clone(), address })
    }

    /// Addresses that have something open now.
    #[cfg(test)]
    pub(crate) fn addresses(&self) -> usize {
        self.0.shards.iter().map(|shard| shard.lock().len()).sum()
    }

    /// Gives back the room that a past crowd has left; entries themselves vanish when their count gets to 0.
    pub(crate) fn sweep(&self) {
        for shard in &self.0.shards {
            let mut shard = shard.lock();
            // Twice what is there, so that a crowd that comes and goes does not make the table grow each time.
            let room = SMALL.max(shard.len() * 2);
            shard.shrink_to(room);
        }
    }

    fn shard(&self, address: AddressKey) -> &Mutex<HashMap<AddressKey, usize>> {
        let hash = self.0.hasher.hash_one(address);
        &self.0.shards[(hash % SHARDS as u64) as usize]
    }
}

impl Drop for AddressHeld {
    fn drop(&mut self) {
        let mut shard = self.tally.shard(self.address).lock();
        match shard.get_mut(&self.address) {
            Some(open) if *open > 1 => *open -= 1,
            Some(_) | None => drop(shard.remove(&self.address)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    fn key(number: u32) -> AddressKey {
        IpAddr::V4(Ipv4Addr::from(number)).into()
    }

    fn room(tally: &Tally) -> usize {
        tally.0.shards.iter().map(|shard| shard.lock().capacity()).sum()
    }

    #[test]
    fn a_gauge_stops_at_its_limit_and_comes_back() {
        let gauge = Gauge::default();
        let held: Vec<_> = (0..5).map_while(|_| gauge.take(3)).collect();
        assert_eq!((held.len(), gauge.now()), (3, 3));
        // A limit that a reload has lowered refuses without forgetting anybody.
        assert!(gauge.take(1).is_none());
        drop(held);
        assert_eq!(gauge.now(), 0);
        assert!(gauge.take(0).is_none());
    }

    #[test]
    fn addresses_do_not_share() {
        let tally = Tally::default();
        let one = tally.take(key(1), 1).unwrap();
        assert!(tally.take(key(1), 1).is_none());
        let two = tally.take(key(2), 1).unwrap();
        assert_eq!(tally.addresses(), 2);
        drop(one);
        assert!(tally.take(key(1), 1).is_some());
        drop(two);
        assert_eq!(tally.addresses(), 0);
        assert!(tally.take(key(3), 0).is_none());
        assert_eq!(tally.addresses(), 0);
    }

    #[test]
    fn a_sweep_gives_the_memory_back() {
        let tally = Tally::default();
        let crowd: Vec<_> = (0..100_000).filter_map(|number| tally.take(key(number), 1)).collect();
        assert_eq!(tally.addresses(), 100_000);
        drop(crowd);
        let stayed: Vec<_> = (0..100).filter_map(|number| tally.take(key(number), 1)).collect();
        assert!(room(&tally) > 50_000, "{}", room(&tally));
        tally.sweep();
        assert!(room(&tally) <= SHARDS * SMALL * 2, "{}", room(&tally));
        assert_eq!((tally.addresses(), stayed.len()), (100, 100));
    }

    #[test]
    fn threads_never_pass_the_limit() {
        let (gauge, tally) = (Gauge::default(), Tally::default());
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for round in 0..5_000 {
                        let held = gauge.take(5);
                        let counted = tally.take(key(round % 3), 2);
                        assert!(gauge.now() <= 5);
                        drop((held, counted));
                    }
                });
            }
        });
        assert_eq!((gauge.now(), tally.addresses()), (0, 0));
    }
}
