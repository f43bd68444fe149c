//! Where a room's history is kept beyond the room's own memory of it: nowhere, or in a file that survives a restart.
//!
//! # What a file promises
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

pub(crate) use archive::{Archive, Archives};
pub(crate) use health::{Condition, Facts};
pub(crate) use place::inspect;

use std::fmt::Debug;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::id::MessageId;
use super::record::Record;
use crate::config;

/// How long the archive's thread waits for more before it commits.
const GATHER: Duration = Duration::from_millis(50);
/// Messages (and other wishes) that may wait for the disk.
const JOBS: usize = 8192;
/// Bytes of messages that may wait for the disk.
const BYTES: usize = 16 << 20;

/// Keeps histories of rooms. A room has its history in memory while it is there; a store is what is left of it when it
/// is made again.
pub(crate) trait Store: Debug + Send + Sync {
    /// A message has its place. Called under the room's lock, in the room's order: it must not wait for anything.
    fn keep(&self, room: &str, record: &Record);

    /// A message is to be forgotten. Called like [`Store::keep`].
    #[allow(dead_code)] // messages are deleted by moderators
    fn erase(&self, room: &str, id: MessageId);

    /// The newest messages of a room, oldest first: called once, when the room is made, which is there from now on and
    /// keeps so many messages and bytes of text.
    fn load(&self, room: &str, bounds: (usize, usize)) -> Vec<Record>;

    /// From now on it keeps so many.
    fn bound(&self, room: &str, bounds: (usize, usize));

    /// A room is not there any more. Until then, others make way before it does.
    fn close(&self, room: &str);

    /// Whether a room is not for everybody from now on. It is remembered as long as what was said in it.
    fn guard(&self, room: &str, is_guarded: bool);

    /// Whether there is something of a room that was not for everybody when it was said.
    fn is_guarded(&self, room: &str) -> bool;
}

/// Nothing is kept: all is gone with the room.
#[derive(Debug)]
pub(crate) struct Memory;

impl Store for Memory {
    fn keep(&self, _: &str, _: &Record) {}

    fn erase(&self, _: &str, _: MessageId) {}

    fn load(&self, _: &str, _: (usize, usize)) -> Vec<Record> {
        Vec::new()
    }

    fn bound(&self, _: &str, _: (usize, usize)) {}

    fn close(&self, _: &str) {}

    fn guard(&self, _: &str, _: bool) {}

    fn is_guarded(&self, _: &str) -> bool {
        false
    }
}

impl Store for Arc<Archive> {
    fn keep(&self, room: &str, record: &Record) {
        Archive::keep(self, room, record);
    }

    fn erase(&self, room: &str, id: MessageId) {
        Archive::erase(self, room, id);
    }

    fn load(&self, room: &str, bounds: (usize, usize)) -> Vec<Record> {
        Archive::hold(self, room);
        Archive::bound(self, room, bounds);
        Archive::load(self, room, bounds.0)
    }

    fn bound(&self, room: &str, bounds: (usize, usize)) {
        Archive::bound(self, room, bounds);
    }

    fn close(&self, room: &str) {
        Archive::release(self, room);
    }

    fn guard(&self, room: &str, is_guarded: bool) {
        Archive::guard(self, room, is_guarded);
    }

    fn is_guarded(&self, room: &str) -> bool {
        Archive::is_guarded(self, room)
    }
}

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// Messages of one room, unless it keeps fewer.
    pub(crate) messages: usize,
    /// Bytes of one room's texts, unless it keeps fewer.
    pub(crate) bytes: usize,
    /// Rooms; beyond it those go that have been silent longest, of those that are not there.
    pub(crate) rooms: usize,
    /// How old a message may become; absent: any age.
    pub(crate) age: Option<Duration>,
}

impl Bounds {
    /// What a hub's owner wishes. A room may have a longer history of its own: the longest is the bound here of each room
    /// that has not told its own since the file was opened.
    #[must_use]
    pub(crate) fn of(wishes: &config::Hub) -> Self {
        let own = wishes.fixed.iter().filter_map(|room| room.history);
        let messages = own.chain([wishes.history]).max().unwrap_or(0);
        Self { messages, bytes: wishes.history_size, rooms: wishes.rooms, age: wishes.history_age }
    }

    /// The least id that a message may have now.
    fn oldest(&self, now: SystemTime) -> MessageId {
        oldest(self.age, now)
    }
}

/// The least id that a message of this age may have.
#[must_use]
pub(crate) fn oldest(age: Option<Duration>, now: SystemTime) -> MessageId {
    let then = age.and_then(|age| now.checked_sub(age)?.duration_since(UNIX_EPOCH).ok());
    MessageId::at(then.and_then(|then| u64::try_from(then.as_millis()).ok()).unwrap_or(0))
}

#[cfg(test)]
mod tests;
