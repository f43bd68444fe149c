//! One room's account with Redis: which messages have their place, which are owed, and what members see of each, once and
//! under ids that rise. Pure: no clock, no connection.
//!
//! Together, a message is asked for a place, and shown when the room's channel brings it. Apart, it is shown at once under
//! an id of this gateway's own, and owed. On return the newest of the stream are looked through: what is not known here
//! is shown, own messages that are not there are added, and once nothing is owed, the room is together again.

mod known;
mod own;
mod words;

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use self::known::Known;
use self::own::Own;
pub(in crate::hub) use self::words::Show;
pub(super) use self::words::{Arrived, Ask, State, Submitted};
use super::entry::{Entry, Said, Seen};
use super::id;

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

    /// Somebody here says something; `now` is in milliseconds since 1970.
    pub(super) fn submit(&mut self, said: Arc<Said>, now: u64) -> Submitted {
        if self.known.has(&said.key) || self.own.iter().any(|own| own.said.key == said.key) {
            return Submitted::Double;
        }
        self.waiting += 1;
        let together = self.state == State::Together;
        let (asked, flying) = (together, together);
        let said_here = Arc::clone(&said);
        self.own.push_back(Own {
            said: said_here,
            shown: None,
            after: 0,
            place: None,
            number: 0,
            asked,
            flying,
            erased: false,
        });
        if together {
            return Submitted::Ask(Ask { said, floor: self.shown, again: false, seen: None });
        }
        self.state = State::Apart;
        let show = self.show_own(self.own.len() - 1, now);
        self.forget_own();
        Submitted::Show(show)
    }

    /// An entry has come through the channel, or from a look at what comes after [`Ledger::place`].
    pub(super) fn arrived(&mut self, entry: Entry, now: u64) -> Arrived {
        if self.is_known(&entry.said.key) {
            self.place = self.place.max(entry.id);
            return self.placed(&entry.said.key, entry.id);
        }
        if entry.id <= self.place {
            return Arrived::Double;
        }
        if entry.prev.is_some_and(|prev| prev > self.place) {
            return Arrived::Hole;
        }
        Arrived::Show(self.show(entry, now))
    }

    /// Redis has given an own message this place. It is shown when it arrives.
    pub(super) fn placed(&mut self, key: &str, place: u64) -> Arrived {
        let Some(own) = self.own.iter_mut().find(|own| &*own.said.key == key) else { return Arrived::Double };
        own.flying = false;
        if own.erased {
            self.known.add(&Arc::clone(&own.said.key));
            self.own.retain(|own| &*own.said.key != key);
            return Arrived::Erased(place);
        }
        let Some(shown) = own.shown else { return Arrived::Double };
        let before = own.place.replace(place);
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
        self.own.iter_mut().for_each(|own| own.flying = false);
        let waiting = (0..self.own.len()).filter(|at| self.own[*at].shown.is_none());
        let waiting: Vec<usize> = waiting.collect();
        let shown = waiting.into_iter().map(|at| self.show_own(at, now)).collect();
        self.forget_own();
        shown
    }

    /// The first look at the stream: what was said before the room came to be here is no news. It is taken out of
    /// `entries`, and only ever returned once.
    pub(super) fn learn(&mut self, entries: &mut Vec<Entry>) -> Option<Vec<Show>> {
        if std::mem::replace(&mut self.is_learned, true) {
            return None;
        }
        let first = if self.state == State::New { u64::MAX } else { self.since << 16 };
        let before = entries.iter().take_while(|entry| entry.id < first).count();
        let learn = |entry: Entry| {
            let Entry { id, said, seen, .. } = entry;
            self.shown = self.shown.max(id);
            self.place = id;
            self.known.add(&said.key);
            Show { said, id, place: Some(id), seen, own: false }
        };
        Some(entries.drain(..before).map(learn).collect())
    }

    /// The newest [`Self::length`] entries of the stream that are not older than `oldest`, oldest first, looked at while its
    /// channel was listened to. What is new is to be shown; what the stream has lost is owed again.
    pub(super) fn returned(&mut self, entries: Vec<Entry>, oldest: u64, now: u64) -> Vec<Arrived> {
        if self.state == State::New {
            self.state = State::Together;
        }
        let trimmed = entries.len() >= self.length;
        let (first, last) = (entries.first().map_or(0, |entry| entry.id), entries.last().map_or(0, |entry| entry.id));
        let there: HashSet<&str> = entries.iter().map(|entry| &*entry.said.key).collect();
        for own in self.own.iter_mut().filter(|own| !there.contains(&*own.said.key)) {
            // The stream has let go of its oldest; what is not among the rest, it has lost.
            own.place = own.place.filter(|place| *place < oldest || (trimmed && *place < first));
        }
        let (known, news): (Vec<Entry>, Vec<Entry>) =
            entries.into_iter().partition(|entry| self.is_known(&entry.said.key));
        let mut arrived: Vec<Arrived> = known.iter().map(|entry| self.placed(&entry.said.key, entry.id)).collect();
        arrived.retain(|arrived| *arrived != Arrived::Double);
        // What is not there need not be taken out.
        self.own.retain(|own| !own.erased || own.flying);
        // From now on this is where the stream ends, even if it has come back shorter.
        self.place = 0;
        arrived.extend(news.into_iter().map(|entry| Arrived::Show(self.show(entry, now))));
        self.place = last;
        arrived
    }

    /// Up to `most` of what is owed and not asked for at the moment, to be added in this order.
    pub(super) fn asks(&mut self, most: usize) -> Vec<Ask> {
        let floor = self.shown;
        let owed = self.own.iter_mut().filter(|own| own.place.is_none() && !own.flying && !own.erased);
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

    /// Whether anything is to be asked for: what is owed, or what was asked for and has not come.
    pub(super) fn unasked(&self) -> bool {
        self.waiting > 0 || self.state != State::Together
    }

    /// Of what is owed, as much as Redis is not being asked for.
    pub(super) fn resting(&self) -> usize {
        self.own.iter().filter(|own| own.is_owed() && !own.flying).count()
    }

    /// A message that was shown under this id was taken out: it does not come back. One that Redis may have already is
    /// taken out when it is found there; the place of one that has its own is returned.
    pub(super) fn erase(&mut self, shown: u64) -> Option<u64> {
        let at = self.own.iter().position(|own| own.shown == Some(shown))?;
        if self.own[at].place.is_none() && self.own[at].asked {
            self.own[at].erased = true;
            return None;
        }
        self.own.remove(at).and_then(|own| own.place)
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
        while self.own.front().is_some_and(|own| own.place.is_some() && old(own)) || self.has_too_many() {
            self.own.pop_front();
        }
    }

    fn has_too_many(&self) -> bool {
        self.own.len() > self.length && self.own.front().is_some_and(|own| own.shown.is_some())
    }
}

#[cfg(test)]
mod tests;
