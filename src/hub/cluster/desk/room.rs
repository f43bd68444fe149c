//! One room on the desk: what its ledger says is done, and the room is told.

use std::collections::HashMap;
use std::sync::Arc;

use super::Desk;
use super::channel::Channel;
use super::law;
use crate::hub::cluster::attend;
use crate::hub::cluster::chapter::Chapter;
use crate::hub::cluster::entry::{Entry, Said};
use crate::hub::cluster::facts::Facts;
use crate::hub::cluster::flight::{Address, Job, Raw};
use crate::hub::cluster::hall::{Hall, Others};
use crate::hub::cluster::ledger::{Arrived, Ledger, Show, State, Submitted};
use crate::hub::cluster::now;

/// Owed messages that are added at once.
const FLUSH: usize = 64;
/// Ticks after which a message that waits to be shown is looked for.
const PATIENCE: u32 = 5;

/// A room, and what is known of it.
pub(super) struct Desked {
    pub(super) chapter: Arc<Chapter>,
    pub(super) hall: Arc<dyn Hall>,
    pub(super) ledger: Ledger,
    /// Connections that wait for a message of theirs, by its key.
    speakers: HashMap<Arc<str>, u64>,
    /// Whether somebody has come or gone since it was written down.
    pub(super) changed: bool,
    /// Whether anybody was here when it was.
    pub(super) attended: bool,
    /// Whether Redis is being asked what is new, and whether it must be asked once more.
    looking: bool,
    look_again: bool,
    /// Whether that is under way, and whether others have changed meanwhile, so that it must be done once more.
    pub(super) attending: bool,
    pub(super) ask_others: bool,
    /// Whether an opening is under way, or has failed and is to be tried again.
    pub(super) opening: bool,
    /// Places of messages that were taken out here.
    pub(super) erased: Vec<u64>,
    /// Ticks for which messages have waited to be shown.
    waited: u32,
    apart: bool,
}

impl Desked {
    fn new(chapter: &Arc<Chapter>, hall: Arc<dyn Hall>, tag: u64) -> Self {
        Self {
            chapter: Arc::clone(chapter),
            hall,
            ledger: Ledger::new(chapter.length(), now(), tag),
            speakers: HashMap::new(),
            changed: true,
            attended: false,
            looking: false,
            look_again: false,
            attending: false,
            ask_others: false,
            opening: false,
            erased: Vec::new(),
            waited: 0,
            apart: false,
        }
    }

    fn show(&mut self, show: Show) {
        let user = if show.own { self.speakers.remove(&show.said.key).unwrap_or(0) } else { 0 };
        self.hall.show(show, user);
    }

    /// What has come of an entry; whether something is missing before it.
    fn took(&mut self, arrived: Arrived, facts: &Facts) -> bool {
        match arrived {
            Arrived::Show(show) => {
                self.waited = 0;
                self.show(show);
            }
            Arrived::Placed(shown, place) => self.hall.placed(shown, place),
            Arrived::Erased(place) => self.erased.push(place),
            Arrived::Double => facts.doubles.add(1),
            Arrived::Hole => return true,
        }
        false
    }

    fn part(&mut self, apart: bool) {
        if std::mem::replace(&mut self.apart, apart) != apart {
            self.hall.part(apart);
        }
    }

    /// Redis is gone.
    pub(super) fn lost(&mut self) {
        (self.looking, self.look_again, self.opening, self.attending) = (false, false, false, false);
        if self.ledger.is_new() {
            self.hall.restore(Vec::new());
        }
        for show in self.ledger.lost(now()) {
            self.show(show);
        }
        self.part(true);
    }

    /// Nobody can say who is where any more.
    pub(super) fn forget_others(&self) {
        self.hall.others(Others::default());
    }

    fn entries(&self, raw: Raw, facts: &Facts) -> Vec<Entry> {
        let read = |(name, fields): (String, _)| Entry::of_stream(&name, fields, self.chapter.text);
        let (good, bad): (Vec<_>, Vec<_>) = raw.into_iter().map(read).partition(Result::is_ok);
        facts.bad.add(bad.len() as u64);
        good.into_iter().flatten().collect()
    }
}

impl Desk {
    /// The room has its place on the desk from now on.
    pub(super) fn open(&mut self, chapter: &Arc<Chapter>, hall: Arc<dyn Hall>, is_new: bool) -> Address {
        let address: Address = (Arc::clone(chapter.prefix()), hall.name().into());
        let known = self.rooms.get(&address);
        // One of that name may have been forgotten and made again before this desk noticed.
        if known.is_some_and(|known| !is_new || known.hall.number() == hall.number()) {
            return address;
        }
        let mut room = Desked::new(chapter, hall, self.shared.tag);
        if self.link.is_down() {
            room.lost();
        }
        self.channels.insert(chapter.said(&address.1), (address.clone(), Channel::Said));
        self.channels.insert(chapter.tell(&address.1), (address.clone(), Channel::Tell));
        self.rooms.insert(address.clone(), room);
        self.start(&address);
        address
    }

    /// Listens to its channels, and looks what is there.
    pub(super) fn start(&mut self, address: &Address) {
        let Some(room) = self.rooms.get_mut(address).filter(|room| !room.opening) else { return };
        if self.link.is_up() {
            (room.opening, room.changed) = (true, true);
            let job = Job::Open(Arc::clone(&room.chapter), address.clone());
            self.fly(job);
        }
    }

    /// Nobody will come back to it.
    pub(super) fn close(&mut self, address: &Address) {
        let Some(room) = self.rooms.remove(address) else { return };
        self.channels.remove(&room.chapter.said(&address.1));
        self.channels.remove(&room.chapter.tell(&address.1));
        self.fly(Job::Leave(room.chapter, address.clone()));
    }

    pub(super) fn say(&mut self, chapter: &Arc<Chapter>, hall: Arc<dyn Hall>, said: Arc<Said>, user: u64) {
        let address = self.open(chapter, hall, false);
        let Some(room) = self.rooms.get_mut(&address) else { return };
        room.speakers.insert(Arc::clone(&said.key), user);
        match room.ledger.submit(said, now()) {
            Submitted::Show(show) => room.show(show),
            Submitted::Double => self.shared.facts.doubles.add(1),
            Submitted::Ask(ask) => {
                self.shared.facts.published.add(1);
                self.fly(Job::Add(Arc::clone(chapter), address, ask));
            }
        }
    }

    pub(super) fn opened(&mut self, address: &Address, raw: Raw, others: &[(String, String)]) {
        let shared = Arc::clone(&self.shared);
        let Some(room) = self.rooms.get_mut(address) else { return };
        room.opening = false;
        room.hall.others(attend::read(others));
        let raw = law::spared(&self.laws, address, raw);
        let mut entries = room.entries(raw, &shared.facts);
        let is_new = room.ledger.is_new();
        let before = room.ledger.learn(&mut entries);
        if let Some(before) = before.filter(|before| is_new || !before.is_empty()) {
            room.hall.restore(before);
        }
        for arrived in room.ledger.returned(entries, room.chapter.oldest(now()), now()) {
            room.took(arrived, &shared.facts);
        }
        let again = std::mem::take(&mut room.look_again);
        self.flush(address);
        if again {
            self.look(address);
        }
        self.attend(address);
    }

    pub(super) fn looked(&mut self, address: &Address, raw: Raw) {
        let shared = Arc::clone(&self.shared);
        let Some(room) = self.rooms.get_mut(address) else { return };
        room.looking = false;
        let raw = law::spared(&self.laws, address, raw);
        for entry in room.entries(raw, &shared.facts) {
            let arrived = room.ledger.arrived(entry, now());
            room.took(arrived, &shared.facts);
        }
        if std::mem::take(&mut room.look_again) {
            self.look(address);
        } else {
            self.flush(address);
        }
    }

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

    pub(super) fn added(&mut self, address: &Address, key: &str, place: Option<u64>) {
        let Some(room) = self.rooms.get_mut(address) else { return };
        match place.map(|place| room.ledger.placed(key, place)) {
            Some(Arrived::Placed(shown, place)) => room.hall.placed(shown, place),
            Some(Arrived::Erased(place)) => room.erased.push(place),
            Some(Arrived::Show(_) | Arrived::Double | Arrived::Hole) | None => {}
        }
        if room.ledger.state == State::Apart {
            self.flush(address);
        }
    }

    /// What is owed is added; when nothing is, the room is together with the others again.
    fn flush(&mut self, address: &Address) {
        let Some(room) = self.rooms.get_mut(address).filter(|room| !room.opening) else { return };
        if room.ledger.settle() || room.ledger.state == State::Together {
            room.part(false);
        }
        let asks = if room.ledger.unasked() { room.ledger.asks(FLUSH) } else { Vec::new() };
        let chapter = Arc::clone(&room.chapter);
        for ask in asks {
            self.shared.facts.published.add(1);
            self.fly(Job::Add(Arc::clone(&chapter), address.clone(), ask));
        }
    }

    /// What came through a room's channel.
    pub(super) fn arrived(&mut self, address: &Address, entry: Entry) {
        let shared = Arc::clone(&self.shared);
        shared.facts.received.add(1);
        let Some(room) = self.rooms.get_mut(address) else { return };
        // What is there already comes with the opening.
        if room.opening {
            room.look_again = true;
            return;
        }
        let arrived = room.ledger.arrived(entry, now());
        if room.took(arrived, &shared.facts) {
            self.look(address);
        }
    }

    /// What time brings: who has come and gone is written down, and what waits for too long is looked for.
    pub(super) fn tend(&mut self, address: &Address) {
        self.take_out(address);
        let Some(room) = self.rooms.get_mut(address) else { return };
        if !self.link.is_up() {
            return;
        }
        room.waited = if room.ledger.waiting() > 0 { room.waited + 1 } else { 0 };
        let look = std::mem::take(&mut room.look_again) && !room.looking && !room.opening;
        if room.waited >= PATIENCE || look {
            room.waited = 0;
            self.look(address);
        }
    }

    /// Rooms that Redis is asked about anew: those that are apart though it is there.
    pub(super) fn stranded(&self) -> Vec<Address> {
        let stranded = |room: &&Desked| room.apart && !room.opening && room.ledger.owed() == room.ledger.resting();
        self.rooms.iter().filter(|(_, room)| stranded(room)).map(|(address, _)| address.clone()).collect()
    }
}
