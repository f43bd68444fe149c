//! What the gate in front of HTTP has to know of the answers behind it: while one is made or sent, no request is awaited.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use crate::lifecycle::clock::Instant;

/// One connection's answers.
pub(super) struct Answering {
    under_way: Cell<bool>,
    /// When the last one ended.
    ended: Cell<Option<Instant>>,
    /// How long the client may take nothing of an answer.
    patience: Cell<Duration>,
}

/// An answer that is being made or sent.
pub(super) struct Turn(Rc<Answering>);

impl Answering {
    /// Nothing is being answered; a client may take nothing for so long.
    pub(super) fn new(patience: Duration) -> Rc<Self> {
        let (under_way, ended, patience) = (Cell::default(), Cell::default(), Cell::new(patience));
        Rc::new(Self { under_way, ended, patience })
    }

    /// An answer begins that takes its time, and the client may take its own.
    pub(super) fn begin(self: &Rc<Self>, patience: Duration) -> Turn {
        self.under_way.set(true);
        self.patience.set(patience);
        Turn(Rc::clone(self))
    }

    /// Until when the next head is awaited at least, if so long from the end of the last answer; `None` when there was none
    /// that took its time.
    pub(super) fn due(&self, timeout: Duration) -> Option<Instant> {
        let from = if self.is_under_way() { Some(Instant::now()) } else { self.ended.get() };
        Some(from? + timeout)
    }

    pub(super) fn is_under_way(&self) -> bool {
        self.under_way.get()
    }

    pub(super) fn patience(&self) -> Duration {
        self.patience.get()
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.under_way.set(false);
        self.0.ended.set(Some(Instant::now()));
    }
}
