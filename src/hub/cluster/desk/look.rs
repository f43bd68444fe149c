//! What comes of a room through its channel and by looking at its stream: neither may hide what the other has still to
//! bring.

use std::sync::Arc;

use super::{Desk, law};
use crate::hub::cluster::entry::Entry;
use crate::hub::cluster::flight::{Address, Job};
use crate::hub::cluster::page::Page;

/// Ticks after which a message that waits to be shown is looked for, and what the channel is late with is not waited for.
const PATIENCE: u32 = 5;

impl Desk {
    /// Redis is asked what has come after what is known here.
    pub(super) fn look(&mut self, address: &Address) {
        let Some(room) = self.rooms.get_mut(address) else { return };
        if room.opening {
            return;
        }
        if room.looking {
            room.look_again = true;
            return;
        }
        room.looking = true;
        let job = Job::Look(Arc::clone(&room.chapter), address.clone(), room.ledger.place());
        self.fly(job);
    }

    /// What stands in the stream. While the channel is behind it, it waits for the channel: what the stream has let go of
    /// is on its way there.
    pub(super) fn looked(&mut self, address: &Address, page: Page) {
        let facts = Arc::clone(&self.shared.facts);
        let Some(room) = self.rooms.get_mut(address) else { return };
        room.look_again |= !page.is_last;
        let entries = room.entries(law::spared(&self.laws, address, page.raw), &facts);
        if room.ledger.is_ahead(page.upto) {
            (room.held, room.waited) = (Some((entries, page.upto)), 0);
        } else {
            self.take(address, entries, page.upto);
        }
    }

    fn take(&mut self, address: &Address, entries: Vec<Entry>, upto: u64) {
        let shared = Arc::clone(&self.shared);
        let Some(room) = self.rooms.get_mut(address) else { return };
        room.looking = false;
        let arrived = room.ledger.looked(entries, upto, shared.time.now());
        let hole = room.took_all(arrived, &shared.facts);
        if std::mem::take(&mut room.look_again) || hole {
            self.look(address);
        } else {
            self.flush(address);
        }
    }

    /// What came through a room's channel.
    pub(super) fn arrived(&mut self, address: &Address, entry: Entry) {
        let shared = Arc::clone(&self.shared);
        shared.facts.received.add(1);
        let Some(room) = self.rooms.get_mut(address) else { return };
        if room.opening {
            room.look_again |= !room.ledger.comes_early(entry);
            return;
        }
        let arrived = room.ledger.arrived(entry, shared.time.now());
        let hole = room.took(arrived, &shared.facts);
        let held = room.held.take_if(|(_, upto)| !room.ledger.is_ahead(*upto));
        if hole {
            self.look(address);
        }
        if let Some((entries, upto)) = held {
            self.take(address, entries, upto);
        }
    }

    /// What time brings: what waits for too long is looked for.
    pub(super) fn tend(&mut self, address: &Address) {
        self.take_out(address);
        let Some(room) = self.rooms.get_mut(address) else { return };
        room.ledger.bound(room.chapter.length());
        if !self.link.is_up() || room.opening {
            return;
        }
        let waits = room.ledger.waiting() > 0 || room.held.is_some();
        room.waited = if waits { room.waited + 1 } else { 0 };
        let is_late = room.waited >= PATIENCE;
        if is_late {
            room.waited = 0;
            room.ledger.doubt();
        }
        let held = room.held.take_if(|_| is_late);
        let look = std::mem::take(&mut room.look_again);
        if let Some((entries, upto)) = held {
            room.look_again = look;
            self.take(address, entries, upto);
        } else if is_late || look {
            self.look(address);
        }
    }
}
