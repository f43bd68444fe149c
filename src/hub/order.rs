//! Who gives each message its place in its room.

use std::fmt::Debug;
use std::sync::Arc;

use super::record::Draft;
use super::room::Room;

/// Gives messages their places: one order for each room, wherever its members are.
pub(crate) trait Order: Debug + Send + Sync {
    /// A message wants its place. At once or later, from any thread, [`Room::commit`] is called with it, once, and with
    /// ids that rise in each room. Must not wait; called without the room's lock.
    fn place(&self, room: &Arc<Room>, draft: Draft);
}

/// All members are on this gateway: whoever comes first is first.
#[derive(Debug)]
pub(crate) struct Alone;

impl Order for Alone {
    fn place(&self, room: &Arc<Room>, draft: Draft) {
        room.commit(draft, None);
    }
}
