//! Where a room's history is kept beyond the room's own memory of it.

use std::fmt::Debug;

use super::id::MessageId;
use super::record::Record;

/// Keeps histories of rooms. A room has its history in memory while it is there; a store is what is left of it when it
/// is made again.
pub(crate) trait Store: Debug + Send + Sync {
    /// A message has its place. Called under the room's lock, in the room's order: it must not wait for anything.
    fn keep(&self, room: &str, record: &Record);

    /// A message is to be forgotten. Called like [`Store::keep`].
    #[allow(dead_code)] // messages are deleted by moderators
    fn erase(&self, room: &str, id: MessageId);

    /// The newest messages of a room, oldest first: called once, when the room is made.
    fn load(&self, room: &str, most: usize) -> Vec<Record>;
}

/// Nothing is kept: all is gone with the room.
#[derive(Debug)]
pub(crate) struct Memory;

impl Store for Memory {
    fn keep(&self, _: &str, _: &Record) {}

    fn erase(&self, _: &str, _: MessageId) {}

    fn load(&self, _: &str, _: usize) -> Vec<Record> {
        Vec::new()
    }
}
