//! What a look at the stream brings: the first one, each one on return, and those for what is missing.

use std::collections::HashSet;
use std::sync::Arc;

use super::own::Own;
use super::{Arrived, Ledger, Show, State};
use crate::hub::cluster::entry::Entry;

impl Ledger {
    /// The first look at the stream: what was said before the room came to be here is no news. It is taken out of
    /// `entries`, and only ever returned once.
    pub(in crate::hub::cluster) fn learn(&mut self, entries: &mut Vec<Entry>) -> Option<Vec<Show>> {
        if std::mem::replace(&mut self.is_learned, true) {
            return None;
        }
        let first = if self.state == State::New { u64::MAX } else { self.since << 16 };
        let before = entries.iter().take_while(|entry| entry.id < first).count();
        let learn = |entry: Entry| {
            let Entry { id, said, seen, .. } = entry;
            self.shown = self.shown.max(id);
            self.place = id;
            self.take_own(&said.key, id, id);
            self.known.add(&said.key);
            Show { said, id, place: Some(id), seen, own: false }
        };
        Some(entries.drain(..before).map(learn).collect())
    }

    /// The newest entries of the stream, oldest first, looked at while its channel was listened to; it has let go of what
    /// has a place below `gone`. What is new is to be shown; what the stream has lost is owed again.
    pub(in crate::hub::cluster) fn returned(&mut self, entries: Vec<Entry>, gone: u64, now: u64) -> Vec<Arrived> {
        // What the first look has taken out of them is there as well.
        let learned = if self.state == State::New { self.place } else { 0 };
        if self.state == State::New {
            self.state = State::Together;
        }
        let last = entries.last().map_or(learned, |entry| entry.id);
        let there: HashSet<&str> = entries.iter().map(|entry| &*entry.said.key).collect();
        for own in self.own.iter_mut().filter(|own| !there.contains(&*own.said.key)) {
            own.place = own.place.filter(|place| *place < gone || *place <= learned);
        }
        let (known, news): (Vec<Entry>, Vec<Entry>) =
            entries.into_iter().partition(|entry| self.is_known(&entry.said.key));
        let mut arrived: Vec<Arrived> = known.iter().map(|entry| self.placed(&entry.said.key, entry.id, now)).collect();
        arrived.retain(|arrived| *arrived != Arrived::Double);
        // What is not there need not be taken out.
        self.own.retain(|own| !own.erased || own.flying);
        // From now on this is where the stream ends, even if it has come back shorter.
        self.place = 0;
        arrived.extend(news.into_iter().map(|entry| Arrived::Show(self.show(entry, now))));
        self.place = last;
        self.early.among(Vec::new(), last);
        arrived.extend(self.overtaken(now));
        arrived
    }

    /// An entry has come through the channel while the room is being opened: it waits for [`Ledger::returned`].
    /// `false`: there is no room, and it is to be looked for.
    pub(in crate::hub::cluster) fn comes_early(&mut self, entry: Entry) -> bool {
        self.heard = self.heard.max(entry.id);
        self.early.add(entry)
    }

    /// Whether the channel is still to tell something up to this place: a look at the stream may be ahead of it, and the
    /// stream may have let go of what is on its way.
    pub(in crate::hub::cluster) const fn is_ahead(&self, upto: u64) -> bool {
        upto > self.heard && upto > self.place
    }

    /// What stands in the stream behind [`Ledger::place`], oldest first, looked at while the channel was listened to; up
    /// to `upto` nothing else does.
    pub(in crate::hub::cluster) fn looked(&mut self, page: Vec<Entry>, upto: u64, now: u64) -> Vec<Arrived> {
        let all = self.early.among(page, upto);
        let mut arrived: Vec<Arrived> = all.into_iter().map(|entry| self.take(entry, now)).collect();
        self.place = self.place.max(upto);
        arrived.extend(self.skipped(now));
        arrived.extend(self.overtaken(now));
        arrived
    }

    /// What came too early, as far as nothing is missing before it any more.
    fn overtaken(&mut self, now: u64) -> Vec<Arrived> {
        let mut arrived = Vec::new();
        while let Some(entry) = self.early.pop() {
            arrived.push(self.arrived(entry, now));
            if arrived.last() == Some(&Arrived::Hole) {
                break;
            }
        }
        arrived
    }

    /// Own messages that have a place among what was shown, and were not: the stream has let go of them already.
    fn skipped(&mut self, now: u64) -> Vec<Arrived> {
        if self.waiting == 0 {
            return Vec::new();
        }
        let is_skipped = |own: &&Own| own.shown.is_none() && own.place.is_some_and(|place| place <= self.place);
        let entry = |own: &Own| Some(Entry { id: own.place?, prev: None, said: Arc::clone(&own.said), seen: None });
        let entries: Vec<Entry> = self.own.iter().filter(is_skipped).filter_map(entry).collect();
        entries.into_iter().map(|entry| Arrived::Show(self.show(entry, now))).collect()
    }
}
