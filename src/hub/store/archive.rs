//! A handle to a history in a file: hands over and asks, and never waits for the disk.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak, mpsc};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;

use super::Bounds;
use super::health::{Condition, Facts, Health};
use super::place::{self, OpenError};
use super::queue::{Queue, Write};
use super::tails::Tails;
use super::writer::{self, Writer};
use crate::hub::id::MessageId;
use crate::hub::record::Record;

/// One history. Dropped, it writes what it still has, on its own thread, and closes the file.
pub(crate) struct Archive {
    pub(super) inside: Arc<Inside>,
}

/// What the handle and the thread share.
pub(super) struct Inside {
    pub(super) path: PathBuf,
    pub(super) queue: Queue,
    pub(super) health: Health,
    pub(super) bounds: Mutex<Bounds>,
    /// Held while something is handed over, so that the file gets it in the same order.
    pub(super) tails: Mutex<Tails>,
}

/// The histories that are open, by their paths: a configuration that is read anew finds those of the one before.
#[derive(Debug, Default)]
pub(crate) struct Archives(Mutex<HashMap<PathBuf, Weak<Archive>>>);

impl Archives {
    /// The history in this file, which is opened unless it is open already; these bounds are its own from now on.
    ///
    /// # Errors
    /// As [`Archive::open`].
    pub(crate) fn open(&self, path: &Path, bounds: Bounds) -> Result<Arc<Archive>, OpenError> {
        let mut archives = self.0.lock();
        archives.retain(|_, archive| archive.strong_count() > 0);
        if let Some(archive) = archives.get(path).and_then(Weak::upgrade) {
            archive.go_by(bounds);
            return Ok(archive);
        }
        let archive = Arc::new(Archive::open(path, bounds)?);
        archives.insert(path.to_owned(), Arc::downgrade(&archive));
        Ok(archive)
    }

    /// Waits until everything is written, but not longer than this in all. Blocks: for the end of the process.
    pub(crate) fn settle(&self, patience: Duration) {
        let until = Instant::now() + patience;
        let open: Vec<Arc<Archive>> = self.0.lock().values().filter_map(Weak::upgrade).collect();
        for archive in open {
            if !archive.settle(until.saturating_duration_since(Instant::now())) {
                let (file, messages) = (archive.inside.path.display(), archive.inside.queue.waiting());
                tracing::error!(%file, messages, "chat history: ends with messages that could not be written");
            }
        }
    }
}

impl Inside {
    pub(super) fn new(path: &Path, bounds: Bounds, tails: Tails) -> Arc<Self> {
        Arc::new(Self {
            path: path.to_owned(),
            queue: Queue::default(),
            health: Health::default(),
            bounds: Mutex::new(bounds),
            tails: Mutex::new(tails),
        })
    }
}

impl Archive {
    /// Opens the file or begins it, and starts its thread. Reads the whole file once: at start, not on a worker.
    ///
    /// # Errors
    /// Whatever forbids to use it. A damaged file is none: it is put aside, and the log says so.
    pub(crate) fn open(path: &Path, bounds: Bounds) -> Result<Self, OpenError> {
        let database = writer::open(path)?;
        let tails = database.tails(&bounds)?;
        let inside = Inside::new(path, bounds, tails);
        let writer = Writer::new(Arc::clone(&inside), database);
        thread::Builder::new().name("wsgate-history".to_owned()).spawn(move || writer.run())?;
        Ok(Self { inside })
    }

    /// Hands a message over, to be kept. Does not wait; what has no room in the queue is counted, and
    /// written from memory when the disk takes it, as far as the room's history reaches.
    pub(crate) fn keep(&self, room: &str, record: &Record) {
        let bounds = *self.inside.bounds.lock();
        let mut tails = self.inside.tails.lock();
        if let Some(room) = tails.keep(room, record.clone(), &bounds) {
            self.hand_over(Write::Keep(room, record.clone()));
        }
    }

    /// Has a message forgotten. Does not wait.
    pub(crate) fn erase(&self, room: &str, id: MessageId) {
        let mut tails = self.inside.tails.lock();
        tails.erase(room, id);
        self.hand_over(Write::Erase(room.into(), id));
    }

    /// The newest messages of a room, oldest first. Does not wait.
    pub(crate) fn load(&self, room: &str, most: usize) -> Vec<Record> {
        let oldest = self.inside.bounds.lock().oldest(SystemTime::now());
        self.inside.tails.lock().newest(room, most, oldest)
    }

    /// A room that is there keeps so many messages and bytes of text; the file follows when it is trimmed.
    pub(crate) fn bound(&self, room: &str, own: (usize, usize)) {
        self.inside.tails.lock().bound(room, own);
    }

    /// A room is there: what it has is not given up for others. As often as [`Archive::release`] for it.
    pub(crate) fn hold(&self, room: &str) {
        self.inside.tails.lock().hold(room);
    }

    /// A room is not there any more.
    pub(crate) fn release(&self, room: &str) {
        self.inside.tails.lock().release(room);
    }

    /// Whether a room is not for everybody from now on; a mark beside what it has, which a restart finds. Does not wait.
    pub(crate) fn guard(&self, room: &str, is_guarded: bool) {
        let mut tails = self.inside.tails.lock();
        if tails.guard(room, is_guarded) {
            self.hand_over(Write::Guard(room.into(), is_guarded));
        }
    }

    /// Whether a room is marked so and has messages that are not too old. Does not wait.
    pub(crate) fn is_guarded(&self, room: &str) -> bool {
        let oldest = self.inside.bounds.lock().oldest(SystemTime::now());
        let tails = self.inside.tails.lock();
        tails.is_guarded(room) && !tails.newest(room, 1, oldest).is_empty()
    }

    fn hand_over(&self, write: Write) {
        if !self.inside.queue.write(write) {
            self.inside.health.dropped(&self.inside.path, 1);
        }
    }

    /// From now on these are its bounds.
    pub(crate) fn go_by(&self, bounds: Bounds) {
        *self.inside.bounds.lock() = bounds;
    }

    /// From now on this one is told when the condition changes, on the archive's thread; it must not wait for anything.
    pub(crate) fn listen(&self, listener: impl Fn(Condition) + Send + 'static) {
        self.inside.health.listen(Box::new(listener));
    }

    /// Whether messages are being kept now.
    pub(crate) fn condition(&self) -> Condition {
        self.inside.health.condition()
    }

    /// Figures for whoever counts.
    pub(crate) fn facts(&self) -> Facts {
        let health = &self.inside.health;
        let [kept, dropped, errors] =
            [&health.kept, &health.dropped, &health.errors].map(|number| number.load(Ordering::Relaxed));
        let file_bytes = place::size(&self.inside.path);
        Facts { condition: self.condition(), kept, dropped, errors, file_bytes, queue: self.inside.queue.waiting() }
    }

    /// Waits until everything that was handed over is committed, but not longer than this; whether it is. Blocks: for
    /// the end of the process.
    pub(crate) fn settle(&self, patience: Duration) -> bool {
        let (answer, settled) = mpsc::sync_channel(1);
        self.inside.queue.ask(answer);
        settled.recv_timeout(patience).unwrap_or(false)
    }
}

impl Drop for Archive {
    fn drop(&mut self) {
        self.inside.queue.close();
    }
}

impl fmt::Debug for Archive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Archive").field("path", &self.inside.path).finish_non_exhaustive()
    }
}
