//! Rooms where clients talk: who may enter, one order of messages in each room, and a shard of members on each worker.

mod bucket;
mod fault;
pub(crate) mod filter;
mod ground;
mod house;
mod id;
mod language;
mod mailbox;
mod member;
pub(crate) mod moderation;
mod name;
mod order;
pub(crate) mod page;
mod record;
mod room;
mod secret;
pub(crate) mod sentence;
mod shard;
mod store;

pub(crate) use fault::Fault;
pub(crate) use id::{MemberId, MessageId};
pub(crate) use language::Language;
pub(crate) use mailbox::Mailbox;
pub(crate) use member::{Credentials, Seat, Sitting};
pub(crate) use room::{Facts, Room, Wanted};
pub(crate) use shard::Shard;

use std::sync::Arc;
use std::time::Instant;

use self::filter::Filter;
use self::ground::Ground;
use self::house::House;
use self::order::Alone;
use self::record::Draft;
use self::room::{Fixed, Speech};
use self::sentence::Who;
use self::store::Memory;
use crate::config::{self, Problems};

/// One hub: the rooms below one route, shared by all workers, and what its owner wished when its members came in.
#[derive(Debug)]
pub(crate) struct Hub {
    wishes: Arc<config::Hub>,
    fixed: Arc<[Fixed]>,
    house: Arc<House>,
    filter: Option<Arc<dyn Filter>>,
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
    /// Not this client, for a time.
    Banned,
}

/// What became of something that the server says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Posted {
    /// It has its place.
    Placed(MessageId),
    /// It will have one, or is not kept where its place could be looked up.
    Underway,
}

impl Hub {
    /// The hub of these wishes; `mailboxes` are those of the workers, in their order. The rooms of the one `before` live
    /// on in it, from [`Hub::take_over`] on by its wishes.
    ///
    /// # Errors
    /// Secrets of rooms that cannot be read; the key of these problems begins with `key`.
    pub(crate) fn build(
        wishes: &config::Hub,
        mailboxes: &Arc<[Arc<Mailbox>]>,
        key: &str,
        before: Option<&Self>,
    ) -> Result<Self, Problems> {
        let fixed: Arc<[Fixed]> = secret::read(&wishes.fixed, key)?.into();
        let wishes = Arc::new(wishes.clone());
        let make = || {
            let ground = Ground::new(Arc::clone(mailboxes), Box::new(Alone), Box::new(Memory));
            Arc::new(House::new(&wishes, &fixed, ground))
        };
        let house = before.map_or_else(make, |before| Arc::clone(&before.house));
        Ok(Self { wishes, fixed, house, filter: None })
    }

    /// Each message is put to this one first, once the hub is in force.
    #[must_use]
    pub(crate) fn filtered_by(self, filter: Option<Arc<dyn Filter>>) -> Self {
        Self { filter, ..self }
    }

    /// It has been put into force: its rooms go by its wishes.
    pub(crate) fn take_over(&self) {
        self.house.adopt(&self.wishes, &self.fixed);
        self.house.ground().set_filter(self.filter.clone());
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
        self.admit(name, language, &credentials)?;
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

    /// Whether nobody has banned this client from the hub, or from the one room where it cannot go elsewhere.
    fn admit(&self, room: &str, language: Language, credentials: &Credentials) -> Result<(), Fault> {
        let address = credentials.address.map(Who::at);
        let name = credentials.name.as_deref().map(Who::named);
        let room = (language == Language::Plain).then_some(room);
        let whom: Vec<Who> = address.into_iter().chain(name).collect();
        self.house.ground().moderation.admits(room, &whom, Instant::now())
    }

    /// The server says something under this name, in a room that is made where members could make it. With a `reference`
    /// it is said once, however often it is asked for; `queue` is what a member may have queued, in bytes.
    ///
    /// # Errors
    /// No such room, or a text that is too long.
    pub(crate) fn post(
        &self,
        room: &str,
        (name, text): (&str, &str),
        reference: Option<&str>,
        queue: usize,
    ) -> Result<Posted, Fault> {
        let room = self.house.open(room)?;
        let reference = reference.map(Arc::from);
        let draft = Draft { from: MemberId(0), user: 0, name: name.into(), text: text.into(), reference };
        let speech = Speech { now: Instant::now(), queue, moderates: true };
        Ok(room.post_once(draft, speech)?.map_or(Posted::Underway, Posted::Placed))
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

impl From<Fault> for Refused {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::RoomFull | Fault::RoomsFull | Fault::TooManyRooms => Self::Full,
            Fault::WrongSecret | Fault::Forbidden => Self::Forbidden,
            Fault::Banned(_) => Self::Banned,
            _ => Self::NoRoom,
        }
    }
}

#[cfg(test)]
mod tests;
