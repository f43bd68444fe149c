//! What was said, kept in a file, so that it survives a restart: whoever says something never waits for the disk.
//!
//! # What is promised
//!
//! - [`Archive::keep`] hands a message to a thread of the archive's own and comes back at once. The thread gathers for up
//!   to [`GATHER`] and commits what it has with one sync of the file: `kill -9` and a power cut alike lose what was said
//!   since the last commit, and nothing before it. What is there afterwards has no gaps: messages are committed in the
//!   order in which they were handed over.
//! - The newest messages of each room are in memory too, and share their texts with the rooms that are open: reading
//!   never waits for the disk, and goes on when the disk does not.
//! - When the disk is full or fails, the chat goes on. What could not be written is held, up to [`JOBS`] messages and
//!   [`BYTES`] bytes, and tried again, at longer and longer intervals. What comes beyond is counted, and is in memory alone
//!   until the disk takes something: then all that is in memory is written.
//! - A file that turns out to be damaged is put aside under another name, never deleted, and a new one is begun: at
//!   start an empty one, while it is in use one with all that is in memory.

mod archive;
mod damage;
mod database;
mod health;
mod place;
mod queue;
mod tails;
mod writer;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub(crate) use self::archive::{Archive, Archives};
pub(crate) use self::health::{Condition, Facts};
pub(crate) use self::place::{OpenError, inspect};

/// How long the archive's thread waits for more before it commits.
const GATHER: Duration = Duration::from_millis(50);
/// Messages (and other wishes) that may wait for the disk.
const JOBS: usize = 8192;
/// Bytes of messages that may wait for the disk.
const BYTES: usize = 16 << 20;

/// One message of a room's history, whatever language it is told in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// Its place in the room's order: milliseconds since 1970, shifted by 16 bits, and a number.
    pub(crate) id: u64,
    /// Who said it.
    pub(crate) from: u64,
    /// What that member was called.
    pub(crate) name: Arc<str>,
    /// What was said.
    pub(crate) text: Arc<str>,
    /// What the member called it.
    pub(crate) reference: Option<Arc<str>>,
}

impl Record {
    /// Bytes that it takes, near enough.
    fn size(&self) -> usize {
        size_of::<Self>() + self.name.len() + self.text.len() + self.reference.as_deref().map_or(0, str::len)
    }
}

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// Messages of one room.
    pub(crate) messages: usize,
    /// Bytes of one room's texts.
    pub(crate) bytes: usize,
    /// Rooms; beyond it those go that have been silent longest.
    pub(crate) rooms: usize,
    /// How old a message may become; absent: any age.
    pub(crate) age: Option<Duration>,
}

impl Bounds {
    /// The least id that a message may have now. An id begins with milliseconds since 1970.
    fn oldest(&self, now: SystemTime) -> u64 {
        let then = self.age.and_then(|age| now.checked_sub(age)?.duration_since(UNIX_EPOCH).ok());
        then.and_then(|then| u64::try_from(then.as_millis()).ok()).map_or(0, |then| then << 16)
    }
}

#[cfg(test)]
mod tests;
