//! Rounds in which all sessions of a worker tell what has passed in them, few at a time.

use std::cell::{Cell, RefCell};
use std::ops::Range;

use crate::telemetry::metrics::{Told, Traffic};

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
    told: RefCell<Vec<Told>>,
    /// The next key of the round under way, or nothing between two.
    key: Cell<usize>,
    /// When the next round begins.
    next: Cell<u64>,
}

impl Rounds {
    /// The first begins after [`ROUND`].
    pub(super) fn new(traffic: Traffic) -> Self {
        Self { traffic, told: RefCell::default(), key: Cell::new(0), next: Cell::new(ROUND) }
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

    /// Adds what is new in what the session of this key tells.
    pub(super) fn count(&self, key: usize, now: Told) {
        let mut told = self.told.borrow_mut();
        if told.len() <= key {
            told.resize(key + 1, Told::default());
        }
        let before = std::mem::replace(&mut told[key], now);
        self.traffic.add(before, now);
    }

    /// The session of this key is over: the next one of its key begins anew.
    pub(super) fn leave(&self, key: usize) {
        if let Some(told) = self.told.borrow_mut().get_mut(key) {
            let before = std::mem::take(told);
            self.traffic.add(before, before.gone());
        }
    }

    /// No key from `end` on is in use.
    pub(super) fn shrink(&self, end: usize) {
        let mut told = self.told.borrow_mut();
        told.truncate(end);
        told.shrink_to_fit();
    }
}
