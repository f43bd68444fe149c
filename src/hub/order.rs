//! Who gives each message its place in its room.

use std::fmt::Debug;
use std::sync::Arc;
use std::task::Context;

use super::ground::Ground;
use super::id::{MemberId, MessageId};
use super::language::v1::event::Person;
use super::record::Draft;
use super::room::Room;

/// Gives messages their places: one order for each room, wherever its members are.
pub(crate) trait Order: Debug + Send + Sync {
    /// A message wants its place. At once or later, from any thread, [`Room::commit`] is called with it, once, and with
    /// ids that rise in each room. Must not wait; called without the room's lock.
    fn place(&self, room: &Arc<Room>, draft: Draft);

    /// A hub stands on this ground from now on.
    fn begin(&self, _: &Arc<Ground>) {}

    /// A room was made.
    fn opened(&self, _: &Arc<Room>) {}

    /// Somebody has come to a room, has left it, or is called otherwise.
    fn people(&self, _: &Arc<Room>) {}

    /// Members elsewhere may hear that somebody writes.
    fn typing(&self, _: &Arc<Room>, _: MemberId, _: &str) {}

    /// Somebody says something, under this id, to a member of another gateway alone.
    fn whisper(&self, _: &str, _: (MessageId, &str), _: Person<'_>, _: Person<'_>) {}

    /// Whether members may go on to say something; if not, `cx` is woken when they may.
    fn has_room(&self, _: &mut Context<'_>) -> bool {
        true
    }

    /// Whether all members are on this gateway.
    fn is_alone(&self) -> bool {
        true
    }
}

/// All members are on this gateway: whoever comes first is first.
#[derive(Debug)]
pub(crate) struct Alone;

impl Order for Alone {
    fn place(&self, room: &Arc<Room>, draft: Draft) {
        room.commit(draft, None);
    }
}
