//! The rooms of one hub by name: made when somebody enters, bounded, and forgotten when nobody is there.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;

use super::fault::Fault;
use super::ground::Ground;
use super::id::MemberId;
use super::room::{Fixed, Room, Rules};
use super::store;
use crate::config;

/// How long somebody waits for a room to know what was said in it before, and until the next sweep.
const PATIENCE: Duration = Duration::from_secs(10);

/// Entries of rooms that are not empty any more, besides two for each room, that nobody looks for.
const VACANT: usize = 1000;

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
    /// Rooms that were not for everybody and are fixed no more, where others keep what was said in them: until they are
    /// fixed again. As many as the owner has taken out since the start.
    closed: HashSet<Box<str>>,
}

/// A seat in a room, free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Chair(Arc<Room>);

impl House {
    /// A house with its fixed rooms.
    #[must_use]
    pub(crate) fn new(wishes: &Arc<config::Hub>, fixed: &Arc<[Fixed]>, ground: Ground) -> Arc<Self> {
        let (by, fixed) = (Arc::clone(wishes), Arc::clone(fixed));
        let inside = Inside { rooms: HashMap::new(), wishes: by, fixed, closed: HashSet::new() };
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

    /// The rooms are in force, and go by these wishes; nobody is put out for them.
    pub(crate) fn adopt(&self, wishes: &Arc<config::Hub>, fixed: &Arc<[Fixed]>) {
        let mut inside = self.inside.lock();
        fixed.iter().for_each(|fixed| self.ground.store.guard(&fixed.wishes.name, fixed.is_guarded()));
        if Arc::ptr_eq(&inside.wishes, wishes) {
            return;
        }
        (inside.wishes, inside.fixed) = (Arc::clone(wishes), Arc::clone(fixed));
        inside.close(&self.ground);
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

    /// Whether there is a room of this name, or could be one.
    #[must_use]
    pub(crate) fn could_be(&self, name: &str) -> bool {
        let inside = self.inside.lock();
        inside.rooms.contains_key(name) || inside.wishes.room_names.allows(name)
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
        let room = inside.find(name).map_or_else(|| inside.make(name, &self.ground), Ok)?;
        // Under the lock, so that the room is not forgotten in between.
        room.expect(secret, id)?;
        inside.thin(&self.ground);
        let age = inside.wishes.history_age;
        drop(inside);
        room.forget_before(store::oldest(age, SystemTime::now()));
        Ok(Chair(room))
    }

    /// Forgets rooms that have been empty for long and what has become too old in the others, and lets in who waits there
    /// for nothing.
    pub(crate) fn sweep(&self, now: Instant) {
        let (rooms, oldest) = {
            let mut inside = self.inside.lock();
            let most = inside.wishes.forget_empty;
            inside.rooms.retain(|_, room| !room.is_forgotten(now, most));
            let rooms: Vec<_> = inside.rooms.values().map(Arc::clone).collect();
            (rooms, store::oldest(inside.wishes.history_age, SystemTime::now()))
        };
        // Without the lock: whoever enters waits for one room at most.
        for room in rooms {
            room.forget_before(oldest);
            room.hurry(now, PATIENCE);
        }
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

    /// Has the rooms go by its wishes; those that this closes stay closed while others know what was said in them.
    fn close(&mut self, ground: &Ground) {
        self.closed.retain(|name| self.fixed.iter().all(|fixed| fixed.wishes.name != **name));
        let adopted = self.rooms.iter().filter(|(name, room)| room.adopt(self.rules(name)));
        let closed: Vec<_> = adopted.map(|(name, _)| name.clone()).collect();
        if !ground.order.is_alone() {
            self.closed.extend(closed);
        }
        // Those that are fixed no more may make way from now on.
        let mut empty: Vec<_> =
            self.rooms.iter().filter_map(|(name, room)| Some((room.empty_since()?, name))).collect();
        empty.sort_unstable();
        ground.vacant.retain(|_, _| false);
        empty.into_iter().for_each(|(since, name)| ground.vacant.add(&(&**name).into(), since));
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
        if !self.wishes.create || self.closed.contains(name) || ground.store.is_guarded(name) {
            return Err(Fault::NoSuchRoom);
        }
        if self.rooms.len() >= self.wishes.rooms && !self.forget_longest_empty(ground) {
            return Err(Fault::RoomsFull);
        }
        // Of what it was marked for, nothing is left.
        ground.store.guard(name, false);
        let room = Arc::new(Room::new(name, self.rules(name), ground));
        ground.order.opened(&room);
        self.rooms.insert(name.into(), Arc::clone(&room));
        Ok(room)
    }

    fn forget_longest_empty(&mut self, ground: &Ground) -> bool {
        while let Some((since, name)) = ground.vacant.take() {
            if self.is_empty_since(&name, since) {
                return self.rooms.remove(&*name).is_some();
            }
        }
        false
    }

    fn is_empty_since(&self, name: &str, since: Instant) -> bool {
        self.rooms.get(name).is_some_and(|room| room.empty_since() == Some(since))
    }

    /// Rooms that were entered again and again do not fill the list of those that are empty.
    fn thin(&self, ground: &Ground) {
        if ground.vacant.len() > 2 * self.rooms.len() + VACANT {
            ground.vacant.retain(|name, since| self.is_empty_since(name, since));
        }
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
