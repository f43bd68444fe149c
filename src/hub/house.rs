//! The rooms of one hub by name: made when somebody enters, bounded, and forgotten when nobody is there.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use parking_lot::Mutex;

use super::fault::Fault;
use super::ground::Ground;
use super::id::MemberId;
use super::room::{Fixed, Room, Rules};
use super::store;
use crate::config;

/// All rooms of a hub. It outlives a reload.
#[derive(Debug)]
pub(crate) struct House {
    ground: Arc<Ground>,
    inside: Mutex<Inside>,
}

#[derive(Debug)]
struct Inside {
    rooms: HashMap<Box<str>, Arc<Room>>,
    /// By which new rooms are made.
    wishes: Arc<config::Hub>,
    fixed: Arc<[Fixed]>,
}

/// A seat in a room, free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Chair(Arc<Room>);

impl House {
    /// A house with its fixed rooms.
    #[must_use]
    pub(crate) fn new(wishes: &Arc<config::Hub>, fixed: &Arc<[Fixed]>, ground: Ground) -> Arc<Self> {
        let inside = Inside { rooms: HashMap::new(), wishes: Arc::clone(wishes), fixed: Arc::clone(fixed) };
        let house = Arc::new(Self { ground: Arc::new(ground), inside: Mutex::new(inside) });
        house.bound(wishes);
        house.ground.order.begin(&house);
        house.inside.lock().furnish(&house.ground);
        house
    }

    /// What its rooms stand on.
    #[must_use]
    pub(crate) const fn ground(&self) -> &Arc<Ground> {
        &self.ground
    }

    /// From now on the rooms go by these wishes; nobody is put out for them.
    pub(crate) fn adopt(&self, wishes: &Arc<config::Hub>, fixed: &Arc<[Fixed]>) {
        let mut inside = self.inside.lock();
        if Arc::ptr_eq(&inside.wishes, wishes) {
            return;
        }
        (inside.wishes, inside.fixed) = (Arc::clone(wishes), Arc::clone(fixed));
        inside.rooms.iter().for_each(|(name, room)| room.adopt(inside.rules(name)));
        inside.furnish(&self.ground);
        self.bound(wishes);
    }

    fn bound(&self, wishes: &config::Hub) {
        self.ground.moderation.bans.bound(wishes.bans);
        self.ground.moderation.mutes.bound(wishes.mutes);
        self.ground.order.go_by(wishes);
    }

    /// The room of this name, if it is there.
    #[must_use]
    pub(crate) fn find(&self, name: &str) -> Option<Arc<Room>> {
        self.inside.lock().find(name)
    }

    /// The same, made if it may be, without a seat in it.
    ///
    /// # Errors
    /// A name that no room may have, no such room, or no place for another.
    pub(crate) fn open(&self, name: &str) -> Result<Arc<Room>, Fault> {
        let mut inside = self.inside.lock();
        inside.find(name).map_or_else(|| inside.make(name, &self.ground), Ok)
    }

    /// All rooms that are there.
    #[must_use]
    pub(crate) fn all(&self) -> Vec<Arc<Room>> {
        self.inside.lock().rooms.values().map(Arc::clone).collect()
    }

    /// A seat in the room of this name, which is made if it may be.
    ///
    /// # Errors
    /// A name that no room may have, no such room, no place for another, the wrong secret, or no seat.
    pub(crate) fn enter(&self, name: &str, secret: Option<&str>, id: Option<MemberId>) -> Result<Chair, Fault> {
        let mut inside = self.inside.lock();
        let oldest = store::oldest(inside.wishes.history_age, SystemTime::now());
        inside.rooms.values().for_each(|room| room.forget_before(oldest));
        let room = inside.find(name).map_or_else(|| inside.make(name, &self.ground), Ok)?;
        // Under the lock, so that the room is not forgotten in between.
        room.expect(secret, id)?;
        Ok(Chair(room))
    }

    /// Forgets rooms that have been empty for long.
    pub(crate) fn sweep(&self, now: Instant) {
        let mut inside = self.inside.lock();
        let most = inside.wishes.forget_empty;
        inside.rooms.retain(|_, room| !room.is_forgotten(now, most));
        self.ground.moderation.bans.sweep(now);
        self.ground.moderation.mutes.sweep(now);
    }

    /// Tells all members of the newer language something about all rooms.
    pub(crate) fn announce(&self, code: &str, text: &str) {
        let rooms: Vec<_> = self.inside.lock().rooms.values().cloned().collect();
        rooms.iter().for_each(|room| room.notice(code, text));
    }

    /// Rooms at the moment.
    #[cfg(test)]
    pub(crate) fn rooms(&self) -> usize {
        self.inside.lock().rooms.len()
    }
}

impl Inside {
    fn rules(&self, name: &str) -> Rules {
        Rules::new(&self.wishes, self.fixed.iter().find(|fixed| fixed.wishes.name == name))
    }

    /// A room that nobody has swept away yet is forgotten all the same.
    fn find(&self, name: &str) -> Option<Arc<Room>> {
        let most = self.wishes.forget_empty;
        self.rooms.get(name).filter(|room| !room.is_forgotten(Instant::now(), most)).map(Arc::clone)
    }

    /// Makes the fixed rooms that are not there yet.
    fn furnish(&mut self, ground: &Arc<Ground>) {
        for fixed in Arc::clone(&self.fixed).iter() {
            let name = fixed.wishes.name.as_str();
            if !self.rooms.contains_key(name) {
                let room = Arc::new(Room::new(name, Rules::new(&self.wishes, Some(fixed)), ground));
                ground.order.opened(&room);
                self.rooms.insert(name.into(), room);
            }
        }
    }

    fn make(&mut self, name: &str, ground: &Arc<Ground>) -> Result<Arc<Room>, Fault> {
        self.rooms.remove(name);
        if !self.wishes.room_names.allows(name) {
            return Err(Fault::BadRoom);
        }
        if !self.wishes.create {
            return Err(Fault::NoSuchRoom);
        }
        if self.rooms.len() >= self.wishes.rooms && !self.forget_longest_empty() {
            return Err(Fault::RoomsFull);
        }
        let room = Arc::new(Room::new(name, self.rules(name), ground));
        ground.order.opened(&room);
        self.rooms.insert(name.into(), Arc::clone(&room));
        Ok(room)
    }

    fn forget_longest_empty(&mut self) -> bool {
        let empty = self.rooms.iter().filter_map(|(name, room)| Some((room.empty_since()?, name.clone())));
        let longest = empty.min();
        longest.is_some_and(|(_, name)| self.rooms.remove(&name).is_some())
    }
}

impl Chair {
    /// Where it stands.
    #[must_use]
    pub(crate) const fn room(&self) -> &Arc<Room> {
        &self.0
    }
}

impl Drop for Chair {
    fn drop(&mut self) {
        self.0.forget_one();
    }
}
