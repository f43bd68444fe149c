//! Rounds in which all sessions of a worker tell what has passed in them, few at a time.

use std::cell::{Cell, RefCell};
use std::num::NonZeroU64;
use std::ops::Range;
use std::time::Duration;

use super::lane::Lane;
use crate::telemetry::metrics::{Stand, Told, Traffic};
use crate::telemetry::report::State;

/// Milliseconds from the beginning of a round to the next at least.
pub(super) const ROUND: u64 = 1_000;
/// Sessions that are woken for it in one sweep: more are spread over several, so that a crowd that is idle costs little,
/// and nobody's message waits for it.
pub(super) const SHARE: usize = 256;

/// Whose turn it is, and what was told so far.
#[derive(Debug)]
pub(super) struct Rounds {
    traffic: Traffic,
    /// By key: beside the roster's entries, which are walked in every sweep.
    known: RefCell<Vec<Known>>,
    /// The next key of the round under way, or nothing between two.
    key: Cell<usize>,
    /// When the next round begins.
    next: Cell<u64>,
}

/// What is known of one session beside what it knows itself: there is one for each, so it is small.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    told: Told,
    /// When it was sent the first ping that it has not answered, in microseconds since the worker's start.
    asked: Option<NonZeroU64>,
    /// How long the last answer took, in microseconds, or all that a u32 can tell; nothing before the first.
    answer: u32,
}

impl Rounds {
    /// The first begins after [`ROUND`].
    pub(super) fn new(traffic: Traffic) -> Self {
        Self { traffic, known: RefCell::default(), key: Cell::new(0), next: Cell::new(ROUND) }
    }

    /// What is added to.
    pub(super) const fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// The keys, all below `end`, whose turn it is; and whether a round begins, in which whoever is awake for another
    /// reason tells too.
    pub(super) fn share(&self, now: u64, end: usize) -> (Range<usize>, bool) {
        let from = self.key.get();
        let begins = from == 0;
        if begins {
            if now < self.next.get() {
                return (0..0, false);
            }
            self.next.set(now + ROUND);
        }
        let to = from + SHARE;
        self.key.set(if to >= end { 0 } else { to });
        (from..to, begins)
    }

    /// A session begins under this key.
    pub(super) fn begin(&self, key: usize, lane: &Lane) {
        let mut known = self.known.borrow_mut();
        if known.len() <= key {
            known.resize(key + 1, Known::default());
        }
        drop(known);
        self.count(key, Told::new(Default::default(), State::default()), lane);
    }

    /// Adds what is new in what the session of this key tells.
    pub(super) fn count(&self, key: usize, now: Told, lane: &Lane) {
        let mut all = self.known.borrow_mut();
        let Some(known) = all.get_mut(key) else { return };
        let before = std::mem::replace(&mut known.told, now);
        self.traffic.add(before, now);
        lane.shared.step(before.stand(), now.stand());
    }

    /// The session of this key is sent a ping, at this time in microseconds. One that is asked again has as long for its
    /// answer as it was first asked ago.
    pub(super) fn ask(&self, key: usize, now: u64) {
        if let Some(known) = self.known.borrow_mut().get_mut(key) {
            known.asked = known.asked.or(NonZeroU64::new(now.max(1)));
        }
    }

    /// It has answered; what nobody has asked is no answer.
    pub(super) fn answer(&self, key: usize, now: u64, lane: &Lane) {
        let mut all = self.known.borrow_mut();
        let Some(known) = all.get_mut(key) else { return };
        if let Some(asked) = known.asked.take() {
            let took = now.saturating_sub(asked.get());
            known.answer = u32::try_from(took).unwrap_or(u32::MAX).max(1);
            lane.shared.answered(Duration::from_micros(took));
        }
    }

    /// How long its last answer took.
    pub(super) fn round_trip(&self, key: usize) -> Option<Duration> {
        let answer = self.known.borrow().get(key)?.answer;
        (answer > 0).then(|| Duration::from_micros(answer.into()))
    }

    /// The session of this key is over: the next one of its key begins anew.
    pub(super) fn leave(&self, key: usize, lane: &Lane) {
        if let Some(known) = self.known.borrow_mut().get_mut(key) {
            let before = std::mem::take(known).told;
            self.traffic.add(before, before.gone());
            lane.shared.step(before.stand(), Stand::Gone);
        }
    }

    /// No key from `end` on is in use.
    pub(super) fn shrink(&self, end: usize) {
        let mut known = self.known.borrow_mut();
        known.truncate(end);
        known.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// There is one for each open WebSocket, whatever it is.
    #[test]
    fn what_is_known_of_a_session_takes_no_more_than_this() {
        assert!(size_of::<Known>() <= 48, "{}", size_of::<Known>());
    }
}
