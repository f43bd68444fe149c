//! What is kept of a session so that another connection can take the place of its backend's: the wish for one, the
//! client's first messages, and what it says while there is none.

use std::collections::VecDeque;
use std::ops::Range;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use crate::config;
use crate::lifecycle::clock::Instant;
use crate::pool::{Again, Dialled, NotBack};
use crate::telemetry::metrics::Holds;

/// A backend that dies again before it has lived for so long was not back: waits go on growing, and the time that is
/// given to it goes on running out.
const SETTLED: Duration = Duration::from_secs(5);

/// The wait for another backend: how often it was tried in vain, and what came of it.
pub(super) type Return = Pin<Box<dyn Future<Output = (u32, Result<Dialled, NotBack>)>>>;

/// A session that may be held. There only where the route says so.
pub(crate) struct Hold {
    rules: config::Hold,
    again: Rc<Again>,
    counts: Holds,
    /// The client's first messages as frames; `None` when they were too large.
    first: Option<Vec<Box<[u8]>>>,
    /// Messages that were written to a backend, or are about to be.
    told: usize,
    /// Of `first`, what is still to be replayed.
    replay: Range<usize>,
    /// The last message that went to the backend was a replay.
    replays: bool,
    /// What has to wait for a backend, and what waits behind a replay.
    queue: VecDeque<Box<[u8]>>,
    queued: usize,
    /// More was said than may wait.
    is_full: bool,
    /// Attempts that have come to nothing since all was well.
    attempts: u32,
    /// When the hold is over that is under way, or was the last one.
    ends: Option<Instant>,
    /// When the backend came back.
    joined: Option<Instant>,
    /// The name of the backend that is gone.
    backend: String,
}

impl Hold {
    /// Of a session whose backend has just answered.
    #[must_use]
    pub(crate) fn new(rules: config::Hold, again: Again, counts: Holds) -> Box<Self> {
        Box::new(Self {
            rules,
            again: Rc::new(again),
            counts,
            first: Some(Vec::new()),
            told: 0,
            replay: 0..0,
            replays: false,
            queue: VecDeque::new(),
            queued: 0,
            is_full: false,
            attempts: 0,
            ends: None,
            joined: None,
            backend: String::new(),
        })
    }

    /// Whether the next backend can be told what this one was.
    pub(super) const fn is_possible(&self) -> bool {
        self.first.is_some()
    }

    /// Whether it is held whatever has become of the backend.
    pub(super) const fn at_any_end(&self) -> bool {
        self.rules.any_end
    }

    /// Whether more was said than may wait.
    pub(super) const fn is_full(&self) -> bool {
        self.is_full
    }

    /// The name of the backend that is gone.
    pub(super) fn backend(&self) -> &str {
        &self.backend
    }

    /// Whether the last message that went to the backend was a replay.
    pub(super) const fn replays(&self) -> bool {
        self.replays
    }

    /// A message goes to the backend.
    pub(super) fn note(&mut self, frame: &[u8]) {
        self.replays = false;
        let is_one = self.told < self.rules.replay_messages;
        self.told = self.told.saturating_add(1);
        let Some(first) = self.first.as_mut().filter(|_| is_one) else { return };
        let size = first.iter().map(|frame| frame.len()).sum::<usize>() + frame.len();
        if size <= self.rules.replay_size {
            first.push(frame.into());
        } else {
            self.first = None;
        }
    }

    /// The backend is gone before it has read these, the last ones that it was told.
    pub(super) fn take_back(&mut self, unread: impl DoubleEndedIterator<Item = Vec<u8>>) {
        if std::mem::take(&mut self.replays) {
            // A replay goes before everything else, and is to be said again anyway.
            return;
        }
        for frame in unread.rev() {
            self.told = self.told.saturating_sub(1);
            if let Some(first) = &mut self.first {
                first.truncate(self.told);
            }
            self.queued += frame.len() + config::Hold::FRAME;
            self.queue.push_front(frame.into());
        }
    }

    /// A message waits for a backend, if so much may.
    pub(super) fn keep(&mut self, frame: &[u8]) {
        if self.queued + frame.len() + config::Hold::FRAME > self.rules.queue {
            self.is_full = true;
        } else {
            self.push(frame);
        }
    }

    /// A message waits behind others for a backend that is there. What one read of the client brings is taken in any
    /// case (see [`Hold::has_room`]).
    pub(super) fn push(&mut self, frame: &[u8]) {
        self.queued += frame.len() + config::Hold::FRAME;
        self.queue.push_back(frame.into());
    }

    /// Whether the client may say more.
    pub(super) fn has_room(&self) -> bool {
        self.left() == 0 || self.queued < self.rules.queue
    }

    /// Messages that the backend is still to get.
    pub(super) fn left(&self) -> usize {
        self.replay.len() + self.queue.len()
    }

    /// The next of them.
    pub(super) fn next(&mut self) -> Option<Box<[u8]>> {
        if let Some(at) = self.replay.next() {
            self.replays = true;
            self.counts.replay(self.again.pool());
            return self.first.as_ref()?.get(at).cloned();
        }
        let frame = self.queue.pop_front()?;
        self.queued -= frame.len() + config::Hold::FRAME;
        self.note(&frame);
        Some(frame)
    }

    /// The wait for another backend begins; `gone` is the name of the one that was.
    pub(super) fn begin(&mut self, gone: &str) -> Return {
        let now = Instant::now();
        if self.joined.is_none_or(|joined| now.saturating_duration_since(joined) >= SETTLED) {
            (self.attempts, self.ends) = (0, None);
        }
        gone.clone_into(&mut self.backend);
        self.replay = 0..0;
        self.counts.begin(self.again.pool());
        let ends = *self.ends.get_or_insert(now + self.rules.time);
        Box::pin(Rc::clone(&self.again).back(self.attempts, ends))
    }

    /// A backend is back, after so many attempts since all was well.
    pub(super) fn rejoin(&mut self, attempts: u32) {
        self.attempts = attempts;
        self.joined = Some(Instant::now());
        self.replay = 0..self.first.as_ref().map_or(0, Vec::len);
        self.end("back");
    }

    /// The wait is over; how, in one word.
    pub(super) fn end(&self, how: &'static str) {
        self.counts.end(self.again.pool(), how);
    }

    /// Nothing is waited for any more.
    pub(super) fn forget(&mut self) {
        (self.replay, self.queued) = (0..0, 0);
        self.queue = VecDeque::new();
    }
}
