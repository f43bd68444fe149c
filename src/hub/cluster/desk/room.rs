//! One room on the desk: what its ledger says is done, and the room is told.

use std::collections::HashMap;
use std::sync::Arc;

use super::Desk;
use super::channel::Channel;
use super::law;
use crate::hub::cluster::attend;
use crate::hub::cluster::chapter::Chapter;
use crate::hub::cluster::entry::{self, Entry, Said};
use crate::hub::cluster::facts::Facts;
use crate::hub::cluster::flight::{Address, Job};
use crate::hub::cluster::hall::{Hall, Others};
use crate::hub::cluster::ledger::{Arrived, Ledger, Show, State, Submitted};
use crate::hub::cluster::page::{Newest, Raw};

/// Owed messages that are added at once.
const FLUSH: usize = 64;

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
    pub(super) looking: bool,
    pub(super) look_again: bool,
    /// What has come of it, while the channel is behind it.
    pub(super) held: Option<(Vec<Entry>, u64)>,
    /// Whether that is under way, and whether others have changed meanwhile, so that it must be done once more.
    pub(super) attending: bool,
    pub(super) ask_others: bool,
    /// Whether an opening is under way, or has failed and is to be tried again.
    pub(super) opening: bool,
    /// Places of messages that were taken out here.
    pub(super) erased: Vec<u64>,
    /// Ticks for which messages have waited to be shown.
    pub(super) waited: u32,
    apart: bool,
}

impl Desked {
    fn new(chapter: &Arc<Chapter>, hall: Arc<dyn Hall>, (now, tag): (u64, u64)) -> Self {
        Self {
            chapter: Arc::clone(chapter),
            hall,
            ledger: Ledger::new(chapter.length(), now, tag),
            speakers: HashMap::new(),
            changed: true,
            attended: false,
            looking: false,
            look_again: false,
            held: None,
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

    /// What has come of entries; whether something is missing.
    pub(super) fn took_all(&mut self, arrived: Vec<Arrived>, facts: &Facts) -> bool {
        let holes: Vec<bool> = arrived.into_iter().map(|arrived| self.took(arrived, facts)).collect();
        holes.contains(&true)
    }

    /// What has come of an entry; whether something is missing before it.
    pub(super) fn took(&mut self, arrived: Arrived, facts: &Facts) -> bool {
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

    /// Redis is gone; it is `now`.
    pub(super) fn lost(&mut self, now: u64) {
        (self.looking, self.look_again, self.opening, self.attending) = (false, false, false, false);
        self.go_on_alone(now);
    }

    /// Nothing waits for Redis any longer.
    fn go_on_alone(&mut self, now: u64) {
        (self.held, self.look_again) = (None, self.opening);
        if self.ledger.is_new() {
            self.hall.restore(Vec::new());
        }
        for show in self.ledger.lost(now) {
            self.show(show);
        }
        self.part(true);
    }

    /// Nobody can say who is where any more.
    pub(super) fn forget_others(&self) {
        self.hall.others(Others::default());
    }

    pub(super) fn entries(&self, raw: Raw, facts: &Facts) -> Vec<Entry> {
        let read = |(name, fields): (String, _)| Entry::of_stream(&name, fields, entry::TEXT);
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
        let now = self.shared.time.now();
        let mut room = Desked::new(chapter, hall, (now, self.shared.tag));
        // What was said in an earlier room of this name, and is not in the stream yet, is said in this one.
        room.ledger.inherit(known.map(|known| known.ledger.unsaid()).unwrap_or_default());
        if self.link.is_down() {
            room.lost(now);
        }
        self.channels.insert(chapter.said(&address.1), (address.clone(), Channel::Said));
        self.channels.insert(chapter.tell(&address.1), (address.clone(), Channel::Tell));
        self.rooms.insert(address.clone(), room);
        self.start(&address);
        address
    }

    /// Listens to its channels, and looks what is there.
    pub(super) fn start(&mut self, address: &Address) {
        let is_leaving = self.leaving.contains(address);
        let Some(room) = self.rooms.get_mut(address).filter(|room| !room.opening && !is_leaving) else { return };
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
        // One of that name that was made meanwhile is not listened to yet.
        if self.link.is_up() && self.leaving.insert(address.clone()) {
            self.fly(Job::Leave(room.chapter, address.clone()));
        }
    }

    /// Its channels are not listened to any more; unless one of its name has been made meanwhile.
    pub(super) fn left(&mut self, address: &Address) {
        self.leaving.remove(address);
        self.start(address);
    }

    pub(super) fn say(&mut self, chapter: &Arc<Chapter>, hall: Arc<dyn Hall>, said: Arc<Said>, user: u64) {
        let address = self.open(chapter, hall, false);
        let now = self.shared.time.now();
        let Some(room) = self.rooms.get_mut(&address) else { return };
        if !room.ledger.is_patient() {
            room.go_on_alone(now);
        }
        let key = Arc::clone(&said.key);
        room.speakers.insert(Arc::clone(&key), user);
        match room.ledger.submit(said, now) {
            Submitted::Wait => {}
            Submitted::Show(show) => room.show(show),
            Submitted::Double => {
                room.speakers.remove(&key);
                self.shared.facts.doubles.add(1);
            }
            Submitted::Ask(ask) => {
                self.shared.facts.published.add(1);
                self.fly(Job::Add(Arc::clone(chapter), address, ask));
            }
        }
    }

    pub(super) fn opened(&mut self, address: &Address, newest: Newest, others: &[(String, String)]) {
        let Newest { raw, gone } = newest;
        let shared = Arc::clone(&self.shared);
        let Some(room) = self.rooms.get_mut(address) else { return };
        room.opening = false;
        room.hall.others(attend::read(others));
        let raw = law::spared(&self.laws, address, raw);
        let mut entries = room.entries(raw, &shared.facts);
        if let Some(before) = room.ledger.learn(&mut entries) {
            room.hall.restore(before);
        }
        let arrived = room.ledger.returned(entries, gone, shared.time.now());
        room.look_again |= room.took_all(arrived, &shared.facts);
        let again = std::mem::take(&mut room.look_again);
        self.flush(address);
        if again {
            self.look(address);
        }
        self.attend(address);
    }

    pub(super) fn added(&mut self, address: &Address, key: &str, place: Option<u64>) {
        let shared = Arc::clone(&self.shared);
        let Some(room) = self.rooms.get_mut(address) else { return };
        match place.map(|place| room.ledger.placed(key, place, shared.time.now())) {
            None | Some(Arrived::Double) => {}
            Some(arrived) => {
                room.took(arrived, &shared.facts);
            }
        }
        if room.ledger.state == State::Apart || room.ledger.rests() {
            self.flush(address);
        }
    }

    /// What is owed is added; when nothing is, the room is together with the others again.
    pub(super) fn flush(&mut self, address: &Address) {
        let now = self.shared.time.now();
        let Some(room) = self.rooms.get_mut(address).filter(|room| !room.opening) else { return };
        if room.ledger.settle() || room.ledger.state == State::Together {
            room.part(false);
        }
        let asks = room.ledger.asks(FLUSH, now);
        let chapter = Arc::clone(&room.chapter);
        for ask in asks {
            self.shared.facts.published.add(1);
            self.fly(Job::Add(Arc::clone(&chapter), address.clone(), ask));
        }
    }

    /// Rooms that Redis is asked about anew: those that are apart though it is there.
    pub(super) fn stranded(&self) -> Vec<Address> {
        let stranded = |room: &&Desked| room.apart && !room.opening && !room.ledger.is_asking();
        self.rooms.iter().filter(|(_, room)| stranded(room)).map(|(address, _)| address.clone()).collect()
    }
}
