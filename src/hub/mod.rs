//! Rooms where clients talk: who may enter, one order of messages in each room, and a shard of members on each worker.

mod cluster;
mod event;
mod mailbox;
pub(crate) mod page;
mod room;
mod seat;
mod shard;

pub(crate) use cluster::{Cluster, Way, Wishes as ClusterWishes};
pub(crate) use mailbox::Mailbox;
pub(crate) use seat::{Seat, Sitting};
pub(crate) use shard::Shard;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use self::room::Room;
use crate::config;

/// Bytes of a room's name at most: the path below the hub's.
pub(crate) const NAME_MAX: usize = 128;
/// An empty room is remembered, with its history, for so long.
const REMEMBERED: Duration = Duration::from_secs(600);

/// One hub: the rooms below one route, shared by all workers.
#[derive(Debug)]
pub(crate) struct Hub {
    wishes: config::Hub,
    rooms: Mutex<HashMap<String, Arc<Room>>>,
    mailboxes: Arc<[Arc<Mailbox>]>,
    users: AtomicU64,
}

/// Why somebody cannot enter a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The room's name is too long.
    Name,
    /// There are as many rooms as there may be, and none is empty.
    Rooms,
}

impl Hub {
    /// A hub without rooms; `mailboxes` are those of the workers, in their order.
    #[must_use]
    pub(crate) fn new(wishes: &config::Hub, mailboxes: Arc<[Arc<Mailbox>]>) -> Self {
        Self { wishes: wishes.clone(), rooms: Mutex::default(), mailboxes, users: AtomicU64::new(0) }
    }

    /// What the owner wished.
    #[must_use]
    pub(crate) const fn wishes(&self) -> &config::Hub {
        &self.wishes
    }

    /// A seat in the room of this name, which is made if need be.
    ///
    /// # Errors
    /// A name too long, or too many rooms.
    pub(crate) fn enter(self: &Arc<Self>, name: &str) -> Result<Seat, Refused> {
        if name.len() > NAME_MAX {
            return Err(Refused::Name);
        }
        let mut rooms = self.rooms.lock();
        let room = match rooms.get(name) {
            Some(room) => Arc::clone(room),
            None => {
                if rooms.len() >= self.wishes.rooms && !forget_longest_empty(&mut rooms) {
                    return Err(Refused::Rooms);
                }
                let room = Arc::new(Room::new(&self.wishes, self.mailboxes.len()));
                rooms.insert(name.to_owned(), Arc::clone(&room));
                room
            }
        };
        // Taken under the lock, so that the room is not forgotten in between.
        room.expect();
        Ok(Seat::new(Arc::clone(self), room))
    }

    /// Rooms at the moment.
    #[cfg(test)]
    pub(crate) fn rooms(&self) -> usize {
        self.rooms.lock().len()
    }

    /// Forgets rooms that have been empty for long.
    pub(crate) fn sweep(&self, now: Instant) {
        self.rooms
            .lock()
            .retain(|_, room| room.empty_since().is_none_or(|since| now.saturating_duration_since(since) < REMEMBERED));
    }

    fn next_user(&self) -> u64 {
        self.users.fetch_add(1, Ordering::Relaxed) + 1
    }
}

fn forget_longest_empty(rooms: &mut HashMap<String, Arc<Room>>) -> bool {
    let empty = rooms.iter().filter_map(|(name, room)| Some((room.empty_since()?, name.clone())));
    let longest = empty.min();
    longest.is_some_and(|(_, name)| rooms.remove(&name).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hub(rooms: usize) -> Arc<Hub> {
        let wishes =
            config::Hub { history: 5, history_size: 1 << 16, page: true, to_sender: true, escape: true, rooms };
        Arc::new(Hub::new(&wishes, Arc::new([Arc::new(Mailbox::default())])))
    }

    #[test]
    fn rooms_are_bounded_and_empty_ones_make_way() {
        let hub = hub(2);
        let (a, b) = (hub.enter("a"), hub.enter("b"));
        assert!(a.is_ok() && b.is_ok());
        assert_eq!(hub.enter("c").err(), Some(Refused::Rooms));
        drop(a);
        assert!(hub.enter("c").is_ok());
        assert_eq!(hub.rooms(), 2);
    }

    #[test]
    fn empty_rooms_are_forgotten_after_a_time() {
        let hub = hub(10);
        let seat = hub.enter("a");
        drop(hub.enter("b"));
        hub.sweep(Instant::now());
        assert_eq!(hub.rooms(), 2);
        hub.sweep(Instant::now() + REMEMBERED);
        assert_eq!(hub.rooms(), 1);
        drop(seat);
    }

    #[test]
    fn names_are_bounded() {
        assert_eq!(hub(2).enter(&"x".repeat(NAME_MAX + 1)).err(), Some(Refused::Name));
    }
}
