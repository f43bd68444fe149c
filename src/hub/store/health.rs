//! How an archive is: figures for the metrics, word for the rooms, and log lines that do not repeat themselves.

use std::error::Error;
use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// While trouble lasts, a line in the log so often at most.
const REMIND: Duration = Duration::from_secs(60);

/// Whether what is said is being kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    /// It is.
    Well,
    /// It is not: the disk does not take it.
    Failing,
}

impl Condition {
    /// In words, for the members.
    #[must_use]
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Well => "what is said is kept again",
            Self::Failing => "what is said cannot be kept at the moment, and may be gone after a restart",
        }
    }
}

/// What there is to tell of an archive now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    /// Whether messages are being kept now.
    pub(crate) condition: Condition,
    /// Messages that were committed.
    pub(crate) kept: u64,
    /// Messages that found no room in the queue. They are in memory, and are written from there when the disk takes them.
    pub(crate) dropped: u64,
    /// Errors of the disk or the database.
    pub(crate) errors: u64,
    /// Bytes of the file and its journal.
    pub(crate) file_bytes: u64,
    /// What waits to be written.
    pub(crate) queue: usize,
}

/// Who is told when the condition changes.
type Listener = Box<dyn Fn(Condition) + Send>;

/// Shared by whoever hands something in and the archive's thread.
#[derive(Default)]
pub(super) struct Health {
    pub(super) kept: AtomicU64,
    pub(super) dropped: AtomicU64,
    pub(super) errors: AtomicU64,
    listener: Mutex<Option<Listener>>,
    spells: Mutex<Spells>,
}

/// Stretches of time in which something goes wrong: their beginning is logged, and their end.
#[derive(Debug, Default)]
struct Spells {
    /// Since when nothing can be written, and when that was last logged.
    failing: Option<(Instant, Instant)>,
    /// Messages that were dropped in this spell.
    dropped: u64,
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Health").field("spells", &self.spells).finish_non_exhaustive()
    }
}

impl Health {
    /// From now on this one is told of changes, by the archive's thread; it must not wait for anything.
    pub(super) fn listen(&self, listener: Listener) {
        *self.listener.lock() = Some(listener);
    }

    /// A message was not taken.
    pub(super) fn dropped(&self, path: &Path, messages: u64) {
        self.dropped.fetch_add(messages, Ordering::Relaxed);
        let mut spells = self.spells.lock();
        spells.dropped += messages;
        let is_first = spells.dropped == messages;
        drop(spells);
        if is_first {
            tracing::warn!(file = %path.display(), "chat history: too much waits for the disk; for now what is said is in memory alone");
        }
    }

    /// Something could not be written; tried again after `wait`.
    pub(super) fn failed(&self, path: &Path, error: &dyn Error, wait: Duration) {
        self.errors.fetch_add(1, Ordering::Relaxed);
        let now = Instant::now();
        let mut spells = self.spells.lock();
        let is_new = spells.failing.is_none();
        let is_due = spells.failing.is_none_or(|(_, told)| now.saturating_duration_since(told) >= REMIND);
        let since = spells.failing.map_or(now, |(since, _)| since);
        if is_due {
            spells.failing = Some((since, now));
        }
        drop(spells);
        if is_due {
            let (file, seconds) = (path.display(), now.saturating_duration_since(since).as_secs());
            let again = wait.as_secs_f64();
            tracing::error!(%file, %error, seconds, again, "chat history: cannot write; the chat goes on");
        }
        if is_new {
            self.tell(Condition::Failing);
        }
    }

    /// Everything that waited is written.
    pub(super) fn recovered(&self, path: &Path) {
        let spells = std::mem::take(&mut *self.spells.lock());
        if spells.dropped > 0 || spells.failing.is_some() {
            let seconds = spells.failing.map_or(0, |(since, _)| since.elapsed().as_secs());
            let (file, dropped) = (path.display(), spells.dropped);
            tracing::warn!(%file, seconds, dropped, "chat history: all is written again");
        }
        if spells.failing.is_some() {
            self.tell(Condition::Well);
        }
    }

    /// Whether something found no room in the queue since all was well.
    pub(super) fn has_dropped(&self) -> bool {
        self.spells.lock().dropped > 0
    }

    /// Whether nothing has gone wrong since all was well.
    pub(super) fn is_quiet(&self) -> bool {
        let spells = self.spells.lock();
        spells.failing.is_none() && spells.dropped == 0
    }

    pub(super) fn condition(&self) -> Condition {
        if self.spells.lock().failing.is_some() { Condition::Failing } else { Condition::Well }
    }

    fn tell(&self, condition: Condition) {
        if let Some(listener) = &*self.listener.lock() {
            listener(condition);
        }
    }
}
