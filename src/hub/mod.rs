//! Rooms where clients talk: who may enter, one order of messages in each room, and a shard of members on each worker.

mod bucket;
mod cluster;
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
mod vacant;

pub(crate) use cluster::{Cluster, Login, Way, Wishes as ClusterWishes};
pub(crate) use fault::Fault;
pub(crate) use id::{MemberId, MessageId};
pub(crate) use language::Language;
#[cfg(feature = "fuzzing")]
pub use language::v1::trial::try_requests;
pub(crate) use mailbox::Mailbox;
pub(crate) use member::{Credentials, Seat, Sitting};
pub(crate) use room::{Facts, Room, Wanted};
pub(crate) use shard::Shard;
pub(crate) use store::{Archives, Condition, Facts as ArchiveFacts};

use std::sync::Arc;
use std::time::Instant;

use self::cluster::{Chapter, Together};
use self::filter::Filter;
use self::ground::Ground;
use self::house::House;
use self::name::Name;
use self::order::{Alone, Order};
use self::record::Draft;
use self::room::{Fixed, Speech};
use self::sentence::Who;
use self::store::{Archive, Bounds, Memory, Store, inspect};
use crate::config::{self, Problem, Problems};

/// One hub: the rooms below one route, shared by all workers, and what its owner wished when its members came in.
#[derive(Debug)]
pub(crate) struct Hub {
    wishes: Arc<config::Hub>,
    fixed: Arc<[Fixed]>,
    house: Arc<House>,
    /// The history in a file, where there is one.
    archive: Option<Arc<Archive>>,
    /// Who is asked about each message.
    filter: Option<Arc<dyn Filter>>,
}

/// What a hub stands on: the gateway's own, and the same for all hubs.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    /// Those of the workers, in their order.
    pub(crate) mailboxes: Arc<[Arc<Mailbox>]>,
    /// The histories that are open; absent where files are only looked at.
    pub(crate) archives: Option<Arc<Archives>>,
    /// What hubs share with other gateways, if they do.
    pub(crate) cluster: Option<Cluster>,
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
    /// Not under the name that its token gives.
    Nameless,
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
    /// The hub of these wishes. The rooms of the one `before` live on in it, from [`Hub::take_over`] on by its wishes; where
    /// their history is stays as it is.
    ///
    /// # Errors
    /// Secrets of rooms that cannot be read, a history that cannot be used; the key of these problems begins with `key`.
    pub(crate) fn build(wishes: &config::Hub, site: &Site, key: &str, before: Option<&Self>) -> Result<Self, Problems> {
        let fixed: Arc<[Fixed]> = secret::read(&wishes.fixed, key)?.into();
        let wishes = Arc::new(wishes.clone());
        // Rooms that are shared otherwise are other rooms: members of the old ones stay there until they leave.
        if let Some(before) = before.filter(|before| before.wishes.shared == wishes.shared) {
            let (house, archive) = (Arc::clone(&before.house), before.archive.clone());
            return Ok(Self { wishes, fixed, house, archive, filter: None });
        }
        let archive = open_archive(&wishes, site, key)?;
        let store: Box<dyn Store> = match &archive {
            Some(archive) => Box::new(Arc::clone(archive)),
            None => Box::new(Memory),
        };
        let chapter =
            wishes.shared.as_deref().and_then(|prefix| Some((site.cluster.as_ref()?, chapter(prefix, &wishes))));
        let order: Box<dyn Order> = match chapter {
            Some((cluster, chapter)) => Box::new(Together::new(cluster, chapter)),
            None => Box::new(Alone),
        };
        let ground = Ground::new(Arc::clone(&site.mailboxes), order, store);
        let house = House::new(&wishes, &fixed, ground);
        if let Some(archive) = &archive {
            let house = Arc::downgrade(&house);
            archive.listen(move |condition| {
                if let Some(house) = house.upgrade() {
                    house.announce("store", condition.text());
                }
            });
        }
        Ok(Self { wishes, fixed, house, archive, filter: None })
    }

    /// Each message is put to this one first, once the hub is in force.
    #[must_use]
    pub(crate) fn filtered_by(self, filter: Option<Arc<dyn Filter>>) -> Self {
        Self { filter, ..self }
    }

    /// It has been put into force: its rooms go by its wishes.
    pub(crate) fn take_over(&self) {
        self.house.adopt(&self.wishes, &self.fixed);
        if let Some(archive) = &self.archive {
            archive.go_by(Bounds::of(&self.wishes));
        }
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
        let vouched = |text: &str| Name::vouched(text, self.wishes.name_length).ok_or(Fault::BadName);
        let called = credentials.name.as_deref().map(vouched).transpose()?;
        self.admit(name, language, (&credentials, called.as_ref()))?;
        let entered = match language {
            Language::V1 if self.wishes.room_names.allows(name) => Ok(Seat::in_hub(self, name, (credentials, called))),
            Language::V1 => Err(Fault::BadRoom),
            Language::Plain if !credentials.admits(name) => Err(Fault::Forbidden),
            Language::Plain => self.house.enter(name, None, None).map(|chair| Seat::Room(chair, called)),
        };
        entered.map_err(Refused::from)
    }

    /// Waits until it is known what moderators have decided on gateways that it shares its rooms with. Cancel safe.
    pub(crate) async fn settled(&self) {
        if let Some(latch) = self.house.ground().order.latch() {
            latch.wait().await;
        }
    }

    /// How its history is, where it is in a file.
    #[must_use]
    pub(crate) fn history(&self) -> Option<ArchiveFacts> {
        self.archive.as_ref().map(|archive| archive.facts())
    }

    /// Whether nobody has banned this client from the hub, or from the one room where it cannot go elsewhere.
    fn admit(&self, room: &str, language: Language, whom: (&Credentials, Option<&Name>)) -> Result<(), Fault> {
        let (credentials, name) = whom;
        let address = credentials.address.map(Who::at);
        let name = name.map(|name| Who::Name(name.key()));
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

/// Opens the file of the history, or looks whether it could be opened, where the histories are in one.
fn open_archive(wishes: &config::Hub, site: &Site, key: &str) -> Result<Option<Arc<Archive>>, Problems> {
    let config::HistoryStore::File(path) = &wishes.history_store else { return Ok(None) };
    let opened = match &site.archives {
        Some(archives) => archives.open(path, Bounds::of(wishes)).map(Some),
        None => inspect(path).map(|()| None),
    };
    opened.map_err(|error| {
        let because = std::error::Error::source(&error).map_or_else(String::new, |cause| format!(": {cause}"));
        let wrong = format!("{error}{because}");
        let problem = Problem::new(path.display().to_string(), format!("{key}.history_file"), wrong);
        problem.allowing("a file that this gateway alone reads and writes, in a folder that is there").into()
    })
}

/// What a hub is among several gateways.
fn chapter(prefix: &str, wishes: &config::Hub) -> Chapter {
    let longest = wishes.fixed.iter().filter_map(|fixed| fixed.history).fold(wishes.history, usize::max);
    Chapter::new(prefix, (longest, wishes.history_age.unwrap_or_default(), wishes.text))
}

impl From<Fault> for Refused {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::RoomFull | Fault::RoomsFull | Fault::TooManyRooms => Self::Full,
            Fault::WrongSecret | Fault::Forbidden => Self::Forbidden,
            Fault::Banned(_) => Self::Banned,
            Fault::BadName => Self::Nameless,
            _ => Self::NoRoom,
        }
    }
}

#[cfg(test)]
mod tests;
