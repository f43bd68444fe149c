//! Who gives each message its place in its room.

use std::fmt::Debug;
use std::sync::Arc;
use std::task::Context;

use super::cluster::{Latch, Matter};
use super::house::House;
use super::id::{MemberId, MessageId};
use super::language::v1::event::Person;
use super::record::Draft;
use super::room::Room;
use super::sentence::Who;
use crate::config;

/// Gives messages their places: one order for each room, wherever its members are.
pub(crate) trait Order: Debug + Send + Sync {
    /// A message wants its place. At once or later, from any thread, [`Room::commit`] is called with it, once, and with
    /// ids that rise in each room. Must not wait; called without the room's lock.
    fn place(&self, room: &Arc<Room>, draft: Draft);

    /// A hub with these rooms is there from now on.
    fn begin(&self, _: &Arc<House>) {}

    /// From now on these wishes hold.
    fn go_by(&self, _: &config::Hub) {}

    /// A room was made.
    fn opened(&self, _: &Arc<Room>) {}

    /// Somebody has come to a room, has left it, or is called otherwise.
    fn people(&self, _: &Arc<Room>) {}

    /// Members elsewhere may hear that somebody writes.
    fn typing(&self, _: &Arc<Room>, _: MemberId, _: &str) {}

    /// Somebody says something, under this id, to a member of another gateway alone.
    fn whisper(&self, _: &str, _: (MessageId, &str), _: Person<'_>, _: Person<'_>) {}

    /// A moderator has decided something that holds wherever the hub's members are.
    fn decree(&self, _: Decision) {}

    /// Somebody is put out of this room, wherever it is.
    fn kick(&self, _: &Arc<Room>, _: &Who, _: Option<&str>) {}

    /// A message that has this id here is forgotten here.
    fn erased(&self, _: &Arc<Room>, _: MessageId) {}

    /// Open once it is known what moderators elsewhere have decided, as far as it can be.
    fn latch(&self) -> Option<&Latch> {
        None
    }

    /// Whether members may go on to say something; if not, `cx` is woken when they may.
    fn has_room(&self, _: &mut Context<'_>) -> bool {
        true
    }

    /// Whether all members are on this gateway.
    fn is_alone(&self) -> bool {
        true
    }
}

/// What a moderator has decided.
#[derive(Debug)]
pub(crate) struct Decision {
    /// The moment and the key of the one that it belongs to; absent: it is one of its own, of this moment.
    pub(crate) part_of: Option<(u64, Arc<str>)>,
    /// Until when it holds, in milliseconds since 1970; absent: as long as anything does.
    pub(crate) until: Option<u64>,
    pub(crate) by: Arc<str>,
    pub(crate) reason: Option<Arc<str>>,
    /// All of it is one decision.
    pub(crate) matters: Vec<Matter>,
}

/// All members are on this gateway: whoever comes first is first.
#[derive(Debug)]
pub(crate) struct Alone;

impl Order for Alone {
    fn place(&self, room: &Arc<Room>, draft: Draft) {
        room.commit(draft, None);
    }
}
