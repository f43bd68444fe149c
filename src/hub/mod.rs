//! Rooms where clients talk: who may enter, one order of messages in each room, and a shard of members on each worker.

mod bucket;
mod cluster;
mod fault;
mod ground;
mod house;
mod id;
mod language;
mod mailbox;
mod member;
mod name;
mod order;
pub(crate) mod page;
mod record;
mod room;
mod secret;
mod shard;
mod store;

pub(crate) use cluster::{Cluster, Way, Wishes as ClusterWishes};
pub(crate) use language::Language;
pub(crate) use mailbox::Mailbox;
pub(crate) use member::{Credentials, Seat, Sitting};
pub(crate) use shard::Shard;

use std::sync::Arc;
use std::time::{Duration, Instant};

use self::cluster::{Chapter, Together};
use self::fault::Fault;
use self::ground::Ground;
use self::house::House;
use self::order::{Alone, Order};
use self::room::Fixed;
use self::store::Memory;
use crate::config::{self, Problems};

/// One hub: the rooms below one route, shared by all workers, and what its owner wished when its members came in.
#[derive(Debug)]
pub(crate) struct Hub {
    wishes: Arc<config::Hub>,
    fixed: Arc<[Fixed]>,
    house: Arc<House>,
}

/// Why somebody cannot enter a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// There is no such room, and none is made.
    NoRoom,
    /// There is no place for another room, or for another member.
    Full,
    /// Not this client, or not in this way.
    Forbidden,
}

impl Hub {
    /// The hub of these wishes; `mailboxes` are those of the workers, in their order. The rooms of the one `before` live
    /// on in it, from [`Hub::take_over`] on by its wishes.
    ///
    /// # Errors
    /// Secrets of rooms that cannot be read; the key of these problems begins with `key`.
    pub(crate) fn build(
        wishes: &config::Hub,
        (mailboxes, cluster): (&Arc<[Arc<Mailbox>]>, Option<&Cluster>),
        key: &str,
        before: Option<&Self>,
    ) -> Result<Self, Problems> {
        let fixed: Arc<[Fixed]> = secret::read(&wishes.fixed, key)?.into();
        let wishes = Arc::new(wishes.clone());
        let make = || {
            let chapter = wishes.shared.as_deref().and_then(|prefix| Some((cluster?, chapter(prefix, &wishes))));
            let order: Box<dyn Order> = match chapter {
                Some((cluster, chapter)) => Box::new(Together::new(cluster, chapter)),
                None => Box::new(Alone),
            };
            let ground = Ground::new(Arc::clone(mailboxes), order, Box::new(Memory));
            Arc::new(House::new(&wishes, &fixed, ground))
        };
        // Rooms that are shared otherwise are other rooms: members of the old ones stay there until they leave.
        let before = before.filter(|before| before.wishes.shared == wishes.shared);
        let house = before.map_or_else(make, |before| Arc::clone(&before.house));
        Ok(Self { wishes, fixed, house })
    }

    /// It has been put into force: its rooms go by its wishes.
    pub(crate) fn take_over(&self) {
        self.house.adopt(&self.wishes, &self.fixed);
    }

    /// What the owner wished.
    #[must_use]
    pub(crate) fn wishes(&self) -> &config::Hub {
        &self.wishes
    }

    /// A seat for who comes to the path of this room. In the plain language it is one in the room; in the newer one it is
    /// one in the hub, from which rooms are entered.
    ///
    /// # Errors
    /// No such room, no place in it, or not for this client.
    pub(crate) fn enter(
        self: &Arc<Self>,
        path: &str,
        language: Language,
        credentials: Credentials,
    ) -> Result<Seat, Refused> {
        let name = if path.is_empty() { &self.wishes.room } else { path };
        let entered = match language {
            Language::V1 if self.wishes.room_names.allows(name) => Ok(Seat::in_hub(self, name, credentials)),
            Language::V1 => Err(Fault::BadRoom),
            Language::Plain if !credentials.admits(name) => Err(Fault::Forbidden),
            Language::Plain => {
                let chair = self.house.enter(name, None, None);
                chair.map(|chair| Seat::in_room(chair, &credentials, self.wishes.name_length))
            }
        };
        entered.map_err(Refused::from)
    }

    /// The rooms.
    pub(crate) const fn house(&self) -> &Arc<House> {
        &self.house
    }

    /// Forgets rooms that have been empty for long.
    pub(crate) fn sweep(&self, now: Instant) {
        self.house.sweep(now);
    }
}

/// For how long Redis keeps what was said in a room in which nothing is said any more.
const KEPT: Duration = Duration::from_secs(30 * 24 * 3600);

/// What a hub is among several gateways.
fn chapter(prefix: &str, wishes: &Arc<config::Hub>) -> Chapter {
    let longest = wishes.fixed.iter().filter_map(|fixed| fixed.history).fold(wishes.history, usize::max);
    let wishes = Arc::clone(wishes);
    let chapter = Chapter::new(prefix, (longest, KEPT, wishes.text));
    chapter.allowing(move |room| {
        let is_fixed = wishes.fixed.iter().any(|fixed| fixed.name == room);
        is_fixed || (wishes.create && wishes.room_names.allows(room))
    })
}

impl From<Fault> for Refused {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::RoomFull | Fault::RoomsFull | Fault::TooManyRooms => Self::Full,
            Fault::WrongSecret | Fault::Forbidden => Self::Forbidden,
            _ => Self::NoRoom,
        }
    }
}

#[cfg(test)]
mod tests;
