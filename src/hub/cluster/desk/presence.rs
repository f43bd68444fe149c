//! Who is where: written down when somebody comes or goes here, and asked for when somebody does elsewhere.

use std::sync::Arc;

use super::Desk;
use crate::hub::cluster::attend;
use crate::hub::cluster::flight::{Address, Job};

impl Desk {
    /// Somebody has come or gone here.
    pub(super) fn peopled(&mut self, address: &Address) {
        if let Some(room) = self.rooms.get_mut(address) {
            room.changed = true;
            self.attend(address);
        }
    }

    /// Somebody has come or gone elsewhere.
    pub(super) fn others_changed(&mut self, address: &Address) {
        if let Some(room) = self.rooms.get_mut(address) {
            room.ask_others = true;
            self.attend(address);
        }
    }

    pub(super) fn attended(&mut self, address: &Address, others: &[(String, String)]) {
        let Some(room) = self.rooms.get_mut(address) else { return };
        room.attending = false;
        room.hall.others(attend::read(others));
        if room.changed || room.ask_others {
            self.attend(address);
        }
    }

    /// Writes down who is here; what changes while that is under way, when it is done.
    pub(super) fn attend(&mut self, address: &Address) {
        if !self.link.is_up() {
            return;
        }
        let Some(room) = self.rooms.get_mut(address).filter(|room| !room.attending && !room.opening) else { return };
        room.attending = true;
        let people = attend::written(room.hall.people(attend::NAMED));
        let tell = std::mem::take(&mut room.changed) && (!people.is_empty() || room.attended);
        room.ask_others = false;
        room.attended = !people.is_empty();
        let job = Job::Attend(Arc::clone(&room.chapter), address.clone(), people, tell);
        self.fly(job);
    }
}
