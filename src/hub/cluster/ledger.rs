//! One room's account with Redis: which messages have their place, which are owed, and what members see of each, once and
//! under ids that rise. Pure: no clock, no connection.
//!
//! Together, a message is asked for a place, and shown when the room's channel brings it. Apart, it is shown at once under
//! an id of this gateway's own, and owed. On return the newest of the stream are looked through: what is not known here
//! is shown, own messages that are not there are added, and once nothing is owed, the room is together again.

mod early;
mod known;
mod look;
mod own;
mod words;

use std::collections::VecDeque;
use std::sync::Arc;

use self::early::Early;
use self::known::Known;
use self::own::Own;
pub(in crate::hub) use self::words::Show;
pub(super) use self::words::{Arrived, Ask, State, Submitted};
use super::entry::{Entry, Said, Seen};
use super::id;

/// Milliseconds by which ids may be ahead of the time that Redis has, for others to follow them.
const AHEAD: u64 = 60_000;

/// One room's account.
#[derive(Debug)]
pub(super) struct Ledger {
    /// Messages that the stream keeps; so many own ones are remembered, and twice as many keys.
    length: usize,
    /// When the room came to be here, in milliseconds since 1970.
    since: u64,
    /// By which its ids are told from those of others.
    tag: u64,
    pub(super) state: State,
    /// Whether it is known what was said before.
    is_learned: bool,
    /// The id that was shown last.
    shown: u64,
    /// Up to where the stream is known.
    place: u64,
    /// The latest place that the channel has told since it is listened to.
    heard: u64,
    /// What the channel has told before what goes before it.
    early: Early,
    /// What was shown and has its place: twice as much as the stream keeps.
    known: Known,
    /// Own messages, oldest first.
    own: VecDeque<Own>,
    /// Those of them that nobody has seen yet.
    waiting: usize,
}

impl Ledger {
    /// Of a room whose stream keeps `length` messages, at least 1, and which is there since `now`; `tag` is the gateway's.
    pub(super) fn new(length: usize, now: u64, tag: u64) -> Self {
        Self {
            length: length.max(1),
            since: now,
            tag,
            state: State::New,
            is_learned: false,
            shown: 0,
            place: 0,
            heard: 0,
            early: Early::default(),
            known: Known::new(2 * length.max(1)),
            own: VecDeque::new(),
            waiting: 0,
        }
    }

    /// Up to where the stream is known.
    pub(super) const fn place(&self) -> u64 {
        self.place
    }

    /// Whether Redis has neither been looked at nor been missed.
    pub(super) fn is_new(&self) -> bool {
        self.state == State::New
    }

    /// Own messages that the stream does not have.
    pub(super) fn owed(&self) -> usize {
        self.own.iter().filter(|own| own.is_owed()).count()
    }

    /// Own messages that nobody has seen yet.
    pub(super) const fn waiting(&self) -> usize {
        self.waiting
    }

    /// Somebody here says something; `now` is in milliseconds since 1970. A room that was not looked at yet has it wait
    /// for that: see [`Ledger::is_patient`].
    pub(super) fn submit(&mut self, said: Arc<Said>, now: u64) -> Submitted {
        if self.known.has(&said.key) || self.own.iter().any(|own| own.said.key == said.key) {
            return Submitted::Double;
        }
        self.waiting += 1;
        self.own.push_back(Own::new(Arc::clone(&said), self.state == State::Together));
        match self.state {
            State::New => Submitted::Wait,
            State::Together => Submitted::Ask(Ask { said, floor: self.floor(now), again: false, seen: None }),
            State::Apart => {
                let show = self.show_own(self.own.len() - 1, now);
                self.forget_own();
                Submitted::Show(show)
            }
        }
    }

    /// Whether another message may wait for the first look at the stream.
    pub(super) fn is_patient(&self) -> bool {
        self.state != State::New || self.waiting < self.length
    }

    /// An entry has come through the channel. What is known here is no exception: it must not hide what is missing before
    /// it, which may be on its way.
    pub(super) fn arrived(&mut self, entry: Entry, now: u64) -> Arrived {
        self.heard = self.heard.max(entry.id);
        if entry.prev.is_some_and(|prev| prev > self.place) {
            self.early.add(entry);
            return Arrived::Hole;
        }
        self.take(entry, now)
    }

    /// Redis has given an own message this place. It is shown when it arrives, or now, if what follows it has arrived.
    pub(super) fn placed(&mut self, key: &str, place: u64, now: u64) -> Arrived {
        let Some(own) = self.own.iter_mut().find(|own| &*own.said.key == key) else { return Arrived::Double };
        own.flying = false;
        if own.erased {
            self.known.add(&Arc::clone(&own.said.key));
            self.own.retain(|own| &*own.said.key != key);
            return Arrived::Erased(place);
        }
        let before = own.place.replace(place);
        let Some(shown) = own.shown else {
            let entry = Entry { id: place, prev: None, said: Arc::clone(&own.said), seen: None };
            return if place <= self.place { Arrived::Show(self.show(entry, now)) } else { Arrived::Double };
        };
        if before == Some(place) {
            return Arrived::Double;
        }
        if before.is_none() {
            own.number = self.known.count;
            self.known.add(&own.said.key);
        }
        Arrived::Placed(shown, place)
    }

    /// Redis is gone: what waits for a place is shown now, in the order in which it was said.
    pub(super) fn lost(&mut self, now: u64) -> Vec<Show> {
        self.state = State::Apart;
        self.heard = 0;
        self.early.clear();
        for own in &mut self.own {
            own.flying = false;
            own.place = own.place.filter(|_| own.shown.is_some());
        }
        let waiting: Vec<usize> = (0..self.own.len()).filter(|at| self.own[*at].shown.is_none()).collect();
        let shown = waiting.into_iter().map(|at| self.show_own(at, now)).collect();
        self.forget_own();
        shown
    }

    /// Up to `most` of what is owed and not asked for at the moment, to be added in this order.
    pub(super) fn asks(&mut self, most: usize, now: u64) -> Vec<Ask> {
        let floor = self.floor(now);
        let owed = self.own.iter_mut().filter(|own| own.rests());
        let ask = |own: &mut Own| {
            own.flying = true;
            let again = std::mem::replace(&mut own.asked, true);
            let seen = own.shown.map(|shown| Seen { id: shown, after: own.after });
            Ask { said: Arc::clone(&own.said), floor, again, seen }
        };
        owed.take(most).map(ask).collect()
    }

    /// Together again, if nothing is owed.
    pub(super) fn settle(&mut self) -> bool {
        let settled = self.state == State::Apart && self.owed() == 0;
        if settled {
            self.state = State::Together;
        }
        settled
    }

    /// Whether anything is to be asked for.
    pub(super) fn rests(&self) -> bool {
        self.own.iter().any(Own::rests)
    }

    /// Whether Redis is being asked for something.
    pub(super) fn is_asking(&self) -> bool {
        self.own.iter().any(|own| own.flying)
    }

    /// Above which a place should be, so that members here see the same id as all others; unless ids here have run ahead,
    /// by a clock that was wrong: others need not follow them.
    fn floor(&self, now: u64) -> u64 {
        if self.shown >> 16 <= now.saturating_add(AHEAD) { self.shown } else { 0 }
    }

    fn show_own(&mut self, at: usize, now: u64) -> Show {
        let id = id::next_local(self.shown, now, self.tag);
        self.shown = id;
        self.waiting -= 1;
        let own = &mut self.own[at];
        (own.shown, own.after) = (Some(id), self.place);
        let said = Arc::clone(&own.said);
        Show { said, id, place: None, seen: None, own: true }
    }

    /// An entry of which it is known that nothing is missing before it.
    fn take(&mut self, entry: Entry, now: u64) -> Arrived {
        if self.is_known(&entry.said.key) {
            self.place = self.place.max(entry.id);
            return self.placed(&entry.said.key, entry.id, now);
        }
        if entry.id <= self.place {
            return Arrived::Double;
        }
        Arrived::Show(self.show(entry, now))
    }

    fn show(&mut self, entry: Entry, now: u64) -> Show {
        let Entry { id: place, said, seen, .. } = entry;
        // While something is owed, a true id would say that its owner has seen all before it, here and elsewhere.
        let whole = self.state == State::Together || self.owed() == 0;
        let id = if place > self.shown && whole { place } else { id::next_local(self.shown, now, self.tag) };
        self.shown = id;
        self.place = self.place.max(place);
        let own = self.take_own(&said.key, id, place);
        self.known.add(&said.key);
        self.forget_own();
        Show { said, id, place: Some(place), seen, own }
    }

    /// Whether it is an own message that waits: not any more.
    fn take_own(&mut self, key: &str, id: u64, place: u64) -> bool {
        if self.waiting == 0 {
            return false;
        }
        let mut waiting = self.own.iter_mut().rev().filter(|own| own.shown.is_none());
        let Some(own) = waiting.find(|own| &*own.said.key == key) else { return false };
        (own.shown, own.place, own.number, own.flying) = (Some(id), Some(place), self.known.count, false);
        self.waiting -= 1;
        true
    }

    /// Whether it was shown here.
    fn is_known(&self, key: &str) -> bool {
        let owed = |own: &Own| (own.is_owed() || own.erased) && &*own.said.key == key;
        let may_owe = self.state != State::Together || self.own.iter().any(|own| own.erased);
        self.known.has(key) || (may_owe && self.own.iter().any(owed))
    }

    /// Own messages beyond the length of the history are given up: those that are owed, and those that have had their
    /// place for so long; but none that waits to be shown.
    fn forget_own(&mut self) {
        let old = |own: &Own| self.known.count.saturating_sub(own.number) > self.length as u64;
        let is_done = |own: &Own| own.shown.is_some() && own.place.is_some() && old(own);
        while self.own.front().is_some_and(is_done) || self.has_too_many() {
            self.own.pop_front();
        }
    }

    fn has_too_many(&self) -> bool {
        self.own.len() > self.length && self.own.front().is_some_and(|own| own.shown.is_some())
    }
}

#[cfg(test)]
mod tests;
