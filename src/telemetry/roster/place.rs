//! A session's place in its worker's roster: what it is told there, and what it tells.

use std::cell::Cell;
use std::rc::Rc;
use std::task::Context;
use std::time::Duration;

use super::lane::Lane;
use super::{Roster, Words};
use crate::telemetry::metrics::{Told, Traffic};
use crate::telemetry::report::{Report, State};

/// A session's place in the roster, left when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    /// The way to the roster, too: a session has no room for both.
    pub(super) lane: Rc<Lane>,
    pub(super) key: u32,
    /// Words that the session has seen.
    pub(super) seen: Cell<u32>,
}

impl Place {
    #[inline]
    fn roster(&self) -> &Roster {
        &self.lane.roster
    }

    /// Milliseconds since the worker started.
    #[must_use]
    pub(crate) fn now(&self) -> u64 {
        self.roster().now()
    }

    /// Whether something was said since the last look: be it to others.
    #[must_use]
    #[inline]
    pub(crate) fn has_words(&self) -> bool {
        self.roster().words.get() != self.seen.get()
    }

    /// What was said to this session since the last look.
    #[must_use]
    #[cold]
    pub(crate) fn take_words(&self) -> Words {
        self.seen.set(self.roster().words.get());
        let close = self.roster().orders.borrow_mut().remove(&self.key);
        let report = self.roster().surveys.borrow().iter().any(|survey| survey.waiting.contains(&self.key));
        Words { close, report }
    }

    /// The number that no other session of this process has had.
    #[must_use]
    pub(crate) fn number(&self) -> u64 {
        self.roster().entries.borrow().get(self.key as usize).map_or(0, |entry| entry.number)
    }

    /// Answers those who ask.
    pub(crate) fn report(&self, report: &Report) {
        for survey in self.roster().surveys.borrow_mut().iter_mut() {
            if survey.waiting.remove(&self.key) {
                survey.found.push(report.clone());
            }
        }
        self.roster().conclude();
    }

    /// Adds what has passed, from the client and to it, since it was told last.
    pub(crate) fn tell(&self, passed: ((u64, u64), (u64, u64)), state: State) {
        self.roster().rounds.count(self.key as usize, Told::new(passed, state), &self.lane);
    }

    /// A message of so many bytes has come from its client.
    #[inline]
    pub(crate) fn received(&self, size: u64) {
        self.lane.from_client.note(size);
    }

    /// The same for one that goes to it.
    #[inline]
    pub(crate) fn sent(&self, size: u64) {
        self.lane.to_client.note(size);
    }

    /// A ping of the gateway's own is on its way.
    #[cold]
    pub(crate) fn asked(&self) {
        self.roster().rounds.ask(self.key as usize, self.micros());
    }

    /// Its client has answered one.
    #[cold]
    pub(crate) fn answered(&self) {
        self.roster().rounds.answer(self.key as usize, self.micros(), &self.lane);
    }

    /// How long its client took to answer the last ping that it has answered.
    #[must_use]
    pub(crate) fn round_trip(&self) -> Option<Duration> {
        self.roster().rounds.round_trip(self.key as usize)
    }

    fn micros(&self) -> u64 {
        u64::try_from(self.roster().since.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// What the session's own task has to add to, and is not counted by what passes.
    #[must_use]
    pub(crate) fn traffic(&self) -> &Traffic {
        self.roster().rounds.traffic()
    }

    /// The session goes to sleep: whom to wake, and when at the latest.
    pub(crate) fn settle(&self, cx: &Context<'_>, look_at: u64) {
        let mut entries = self.roster().entries.borrow_mut();
        let Some(entry) = entries.get_mut(self.key as usize) else { return };
        entry.look_at = look_at;
        entry.waker.clone_from(cx.waker());
    }

    /// Wakes the session, as one that has something to do for another does.
    pub(crate) fn wake(&self) {
        if let Some(entry) = self.roster().entries.borrow().get(self.key as usize) {
            entry.waker.wake_by_ref();
        }
    }

    /// What waits for this session is nothing for the next one of its key.
    #[cold]
    fn leave_nothing(&self) {
        self.roster().orders.borrow_mut().remove(&self.key);
        for survey in self.roster().surveys.borrow_mut().iter_mut() {
            survey.waiting.remove(&self.key);
        }
        self.roster().conclude();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // The waker may be the last hold on a task, and a task holds a place: not dropped under the borrow.
        let entry = self.roster().entries.borrow_mut().try_remove(self.key as usize);
        drop(entry);
        self.roster().rounds.leave(self.key as usize, &self.lane);
        if self.has_words() {
            self.leave_nothing();
        }
    }
}
