//! What has come through a room's channel before what goes before it: kept, because the stream may have let go of it by the
//! time it is looked at.

use std::collections::BTreeMap;

use crate::hub::cluster::entry::Entry;

/// Messages of one room at most; more are looked for in the stream.
const MOST: usize = 256;

/// Messages that have come too early, by their places.
#[derive(Debug, Default)]
pub(super) struct Early(BTreeMap<u64, Entry>);

impl Early {
    /// Keeps one; `false`: there is no room.
    pub(super) fn add(&mut self, entry: Entry) -> bool {
        let has_room = self.0.len() < MOST;
        if has_room {
            self.0.insert(entry.id, entry);
        }
        has_room
    }

    /// All up to this place together with what the stream has, in their order.
    pub(super) fn among(&mut self, page: Vec<Entry>, upto: u64) -> Vec<Entry> {
        let rest = self.0.split_off(&upto.saturating_add(1));
        let mut all = std::mem::replace(&mut self.0, rest);
        all.extend(page.into_iter().map(|entry| (entry.id, entry)));
        all.into_values().collect()
    }

    /// Takes the first out.
    pub(super) fn pop(&mut self) -> Option<Entry> {
        self.0.pop_first().map(|(_, entry)| entry)
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}
