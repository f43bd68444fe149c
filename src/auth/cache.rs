//! Answers that are remembered for a while, by a hash of what was asked: no credential is kept.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// SHA-256 of a question.
pub(super) type Digest = [u8; 32];

/// A bounded memory. All entries live equally long, so that the oldest is always the first to go.
pub(super) struct Cache<T> {
    time: Duration,
    entries: usize,
    inner: Mutex<Inner<T>>,
}

struct Inner<T> {
    known: HashMap<Digest, (T, Instant)>,
    /// In the order of their ends; one that was learnt anew stands here twice.
    order: VecDeque<(Digest, Instant)>,
}

impl<T: Clone> Cache<T> {
    /// Remembers so many answers for so long.
    pub(super) fn new(time: Duration, entries: usize) -> Self {
        Self { time, entries, inner: Mutex::new(Inner { known: HashMap::new(), order: VecDeque::new() }) }
    }

    /// The answer, while it is good.
    pub(super) fn get(&self, digest: &Digest, now: Instant) -> Option<T> {
        let inner = self.inner.lock();
        let (answer, end) = inner.known.get(digest)?;
        (now < *end).then(|| answer.clone())
    }

    /// Remembers an answer, and forgets those that are over, or the oldest where there is no room.
    pub(super) fn put(&self, digest: Digest, answer: T, now: Instant) {
        let end = now + self.time;
        let mut inner = self.inner.lock();
        while let Some((old, over)) = inner.order.front().copied() {
            if over > now && inner.order.len() < self.entries {
                break;
            }
            inner.order.pop_front();
            // One that was learnt anew goes when its own turn comes.
            if inner.known.get(&old).is_some_and(|(_, end)| *end == over) {
                inner.known.remove(&old);
            }
        }
        inner.known.insert(digest, (answer, end));
        inner.order.push_back((digest, end));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: Duration = Duration::from_secs(10);

    #[test]
    fn answers_are_good_for_their_time() {
        let (cache, start) = (Cache::new(TIME, 10), Instant::now());
        cache.put([1; 32], "one", start);
        assert_eq!(cache.get(&[1; 32], start + TIME - Duration::from_nanos(1)), Some("one"));
        assert_eq!(cache.get(&[1; 32], start + TIME), None);
        assert_eq!(cache.get(&[2; 32], start), None);
        // Learnt anew before its end, it lives on beyond it.
        cache.put([1; 32], "uno", start + TIME / 2);
        cache.put([2; 32], "two", start + TIME);
        assert_eq!(cache.get(&[1; 32], start + TIME), Some("uno"));
        cache.put([3; 32], "three", start + 2 * TIME);
        let inner = cache.inner.lock();
        assert_eq!((inner.known.len(), inner.order.len()), (1, 1));
    }

    #[test]
    fn the_oldest_makes_room() {
        let (cache, start) = (Cache::new(TIME, 3), Instant::now());
        for at in 0..100 {
            cache.put([at; 32], at, start + Duration::from_millis(u64::from(at)));
            let inner = cache.inner.lock();
            assert!(inner.known.len() <= 3 && inner.order.len() <= 3);
        }
        let now = start + Duration::from_millis(100);
        assert_eq!(
            (96..100).map(|at| cache.get(&[at; 32], now)).collect::<Vec<_>>(),
            [None, Some(97), Some(98), Some(99)]
        );
    }
}
