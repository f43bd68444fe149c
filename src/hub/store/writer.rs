//! The archive's own thread: commits what waits, tries again what failed, and keeps the bounds.

use std::collections::HashSet;
use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use super::Bounds;
use super::archive::Inside;
use super::damage::{Cure, cure};
use super::database::Database;
use super::place::{self, OpenError};
use super::queue::{Taken, Write};

/// The first wait after an error, and the longest: each is twice the one before.
const WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// Writes in one commit, about, while the file catches up.
const BATCH: usize = 2000;
/// How often it is looked for what has become too old.
const PRUNE: Duration = Duration::from_secs(60);

/// What the thread holds.
pub(super) struct Writer {
    inside: Arc<Inside>,
    /// Absent while it cannot be opened.
    database: Option<Database>,
    /// Taken and not committed yet, in order.
    pending: Vec<Write>,
    /// After an error: how long is waited, and until when.
    retry: Option<(Duration, Instant)>,
    prune: Instant,
    /// Whether there is more in memory than in the file.
    is_behind: bool,
}

impl Writer {
    pub(super) fn new(inside: Arc<Inside>, database: Database) -> Self {
        Self {
            inside,
            database: Some(database),
            pending: Vec::new(),
            retry: None,
            // Not before the rooms are there: what they have is spared.
            prune: Instant::now() + PRUNE,
            is_behind: false,
        }
    }

    /// Until the queue is closed and what was in it is committed, or has failed once more.
    pub(super) fn run(mut self) {
        loop {
            let until = self.retry.map_or(self.prune, |(_, until)| until);
            let Taken { writes, asked, closed } = self.inside.queue.take(until);
            self.pending.extend(writes);
            // Whoever asks waits for it: there is one more try.
            if closed || !asked.is_empty() || self.retry.is_none_or(|(_, until)| until <= Instant::now()) {
                self.write();
            }
            for answer in asked {
                // Whoever asked may have gone.
                let _ = answer.try_send(self.pending.is_empty());
            }
            if closed {
                let lost = self.pending.iter().filter(|write| matches!(write, Write::Keep(..))).count();
                self.give_up(lost);
                return;
            }
        }
    }

    /// One try at everything that is to be done.
    fn write(&mut self) {
        match self.try_to_write() {
            Err((error, cure)) => self.fail(&*error, cure),
            Ok(()) if self.retry.take().is_some() || !self.inside.health.is_quiet() => {
                self.inside.health.recovered(&self.inside.path);
            }
            Ok(()) => {}
        }
    }

    fn try_to_write(&mut self) -> Result<(), (Box<dyn Error>, Cure)> {
        let mut database = match self.database.take() {
            Some(database) => database,
            None => open(&self.inside.path).map_err(|error| (Box::from(error), Cure::Reopen))?,
        };
        let result = self.work(&mut database);
        self.database = Some(database);
        result.map_err(|error| {
            let cure = cure(&error);
            (Box::from(error), cure)
        })
    }

    /// Says so, does what can be done about it, and sets the time of the next try.
    fn fail(&mut self, error: &dyn Error, cure: Cure) {
        let wait = self.retry.map_or(WAIT, |(wait, _)| (2 * wait).min(LONGEST_WAIT));
        self.retry = Some((wait, Instant::now() + wait));
        self.inside.health.failed(&self.inside.path, error, wait);
        match cure {
            Cure::Wait => {}
            Cure::Reopen => self.database = None,
            Cure::Renew => self.renew(error),
            Cure::Drop => {
                let lost = std::mem::take(&mut self.pending);
                self.inside.queue.done(&lost);
                self.inside.health.dropped(&self.inside.path, lost.len() as u64);
            }
        }
    }

    /// The file is damaged: a new one takes its place, at once if it can be, and gets all that is in memory.
    fn renew(&mut self, error: &dyn Error) {
        self.database = None;
        match renew(&self.inside.path, &error.to_string()) {
            Ok(database) => {
                self.database = Some(database);
                self.is_behind = true;
                self.retry = self.retry.map(|(wait, _)| (wait, Instant::now()));
            }
            Err(error) => tracing::error!(file = %self.inside.path.display(), %error, "chat history: no new file"),
        }
    }

    fn work(&mut self, database: &mut Database) -> rusqlite::Result<()> {
        let bounds = *self.inside.bounds.lock();
        if !self.pending.is_empty() {
            database.commit(&self.pending)?;
            let kept = self.pending.iter().filter(|write| matches!(write, Write::Keep(..))).count();
            self.inside.health.kept.fetch_add(kept as u64, Ordering::Relaxed);
            self.inside.queue.done(&self.pending);
            let rooms = self.pending.drain(..).map(Write::into_room).collect();
            database.trim(&self.limits(rooms, &bounds))?;
        }
        if self.is_behind || self.inside.health.has_dropped() {
            self.catch_up(database)?;
            self.is_behind = false;
        }
        if self.prune <= Instant::now() {
            self.prune = Instant::now() + PRUNE;
            let oldest = bounds.oldest(SystemTime::now());
            let gone = self.inside.tails.lock().prune(oldest, bounds.rooms);
            database.prune(oldest, &gone)?;
            // Bounds may have become smaller.
            let rooms = database.rooms();
            database.trim(&self.limits(rooms, &bounds))?;
        }
        Ok(())
    }

    /// What each of these rooms keeps.
    fn limits(&self, rooms: HashSet<Arc<str>>, bounds: &Bounds) -> Vec<(Arc<str>, (usize, usize))> {
        let tails = self.inside.tails.lock();
        let limit = |room: Arc<str>| {
            let limit = tails.limit(&room, bounds);
            (room, limit)
        };
        rooms.into_iter().map(limit).collect()
    }

    /// What the file has not got is in memory, as far as the histories reach: all of it is written, some rooms at a time.
    /// What is handed over meanwhile comes after it.
    fn catch_up(&self, database: &mut Database) -> rusqlite::Result<()> {
        let (rooms, guarded) = {
            let tails = self.inside.tails.lock();
            (tails.rooms(), tails.guarded())
        };
        let mut batch = database.unguarded(&guarded);
        batch.extend(guarded.into_iter().map(|room| Write::Guard(room, true)));
        for room in &rooms {
            // Not held from room to room: who says something waits for it.
            batch.extend(self.inside.tails.lock().whole(room));
            if batch.len() >= BATCH {
                database.commit(&std::mem::take(&mut batch))?;
            }
        }
        database.commit(&batch)
    }

    fn give_up(&mut self, lost: usize) {
        if lost > 0 {
            let file = self.inside.path.display();
            tracing::error!(%file, messages = lost, "chat history: ends with messages that could not be written");
        }
        self.inside.health.dropped.fetch_add(lost as u64, Ordering::Relaxed);
    }
}

impl Drop for Writer {
    /// Nobody waits for a thread that has ended, however it did.
    fn drop(&mut self) {
        self.inside.queue.end();
    }
}

/// Opens the file; a damaged one is put aside first.
pub(super) fn open(path: &Path) -> Result<Database, OpenError> {
    match Database::open(path) {
        Err(OpenError::Damaged(how)) => renew(path, &how),
        opened => opened,
    }
}

fn renew(path: &Path, how: &str) -> Result<Database, OpenError> {
    let aside = place::put_aside(path)?;
    let (file, aside) = (path.display(), aside.display());
    tracing::error!(%file, %aside, damage = how, "chat history: the file is damaged and was put aside; a new one begins");
    Database::open(path)
}
