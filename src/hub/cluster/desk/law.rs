//! What moderators have decided, on the desk: written down in Redis, read from there, and carried out here.

use std::collections::HashMap;
use std::sync::Arc;

use super::Desk;
use super::channel::WORD;
use crate::hub::cluster::chapter::Chapter;
use crate::hub::cluster::decree::{Book, Decree, Matter};
use crate::hub::cluster::entry::read_json;
use crate::hub::cluster::flight::{Address, Job, Statutes};
use crate::hub::cluster::law::{Law, Verdict};
use crate::hub::cluster::page::Raw;
use crate::hub::cluster::{id, micros, now};
use crate::hub::id::MessageId;

/// One hub's law, and whether it is that of the other gateways.
#[derive(Default)]
pub(super) struct Lawful {
    law: Law,
    /// Whether what others decide is heard: from the first reading over this connection on.
    is_heard: bool,
    /// Whether Redis is being asked.
    asking: bool,
    /// Whether it must be asked once more, for all of it.
    missed: bool,
}

impl Desk {
    /// A hub is there that may not know what is known here of one under its prefix that was there before.
    pub(super) fn tell_law(&self, chapter: &Arc<Chapter>) {
        if let Some(lawful) = self.laws.get(chapter.prefix()) {
            lawful.law.all().for_each(|decree| carry_out(chapter, decree.clone()));
        }
        if self.link.is_down() {
            chapter.latch.open();
        }
    }

    /// Redis is asked what is new: all of it the first time, and where something was missed.
    pub(super) fn ask_law(&mut self, chapter: &Arc<Chapter>) {
        let lawful = self.laws.entry(Arc::clone(chapter.prefix())).or_default();
        if lawful.asking || !self.link.is_up() {
            return;
        }
        lawful.asking = true;
        let is_known = lawful.is_heard && !std::mem::take(&mut lawful.missed) && !lawful.law.owes();
        let known = is_known.then(|| lawful.law.counts());
        self.fly(Job::Law(Arc::clone(chapter), known));
    }

    /// All that was decided, or nothing if nothing is new.
    pub(super) fn read_law(&mut self, prefix: &Arc<str>, statutes: Option<Statutes>) {
        let Some(chapter) = self.chapters.get(prefix).cloned() else { return };
        let Some(lawful) = self.laws.get_mut(prefix) else { return };
        (lawful.asking, lawful.is_heard) = (false, true);
        let (now, mut news, mut bad) = (now(), Vec::new(), 0);
        if let Some(statutes) = statutes {
            lawful.law.count_from([0, 1, 2, 3].map(|at| statutes[at].0));
            for (book, (_, all)) in Book::ALL.into_iter().zip(statutes) {
                let read = |text: &Vec<u8>| read_json(text, WORD).and_then(|fields| Decree::read(&fields, now));
                let (good, wrong): (Vec<_>, Vec<_>) = all.iter().map(read).partition(Result::is_ok);
                let good = good.into_iter().flatten().filter(|decree| decree.matter.book() == book);
                bad += wrong.len() as u64;
                news.extend(lawful.law.read(book, good.collect(), chapter.most(book), now));
            }
        }
        let owed = lawful.law.owed();
        let again = lawful.missed;
        self.shared.facts.bad.add(bad);
        news.into_iter().for_each(|decree| carry_out(&chapter, decree));
        chapter.latch.open();
        owed.into_iter().for_each(|decree| self.fly(Job::Decree(Arc::clone(&chapter), decree)));
        if again {
            self.ask_law(&chapter);
        }
    }

    /// A moderator here has decided something.
    pub(super) fn decide(&mut self, chapter: &Arc<Chapter>, decree: Decree) {
        let lawful = self.laws.entry(Arc::clone(chapter.prefix())).or_default();
        match lawful.law.decide(decree.clone(), chapter.most(decree.matter.book()), now()) {
            // Apart it is owed.
            Verdict::Holds if lawful.is_heard => self.fly(Job::Decree(Arc::clone(chapter), decree)),
            Verdict::Holds | Verdict::Void => {}
            // It was carried out here before the later one was known.
            Verdict::Later(later) => carry_out(chapter, later),
        }
    }

    /// Redis has it, or something later.
    pub(super) fn decreed(&mut self, prefix: &Arc<str>, decree: &Decree) {
        if let Some(lawful) = self.laws.get_mut(prefix) {
            lawful.law.paid(decree);
        }
    }

    /// A moderator somewhere has decided something.
    pub(super) fn heard_law(&mut self, chapter: &Arc<Chapter>, text: &[u8]) {
        let now = now();
        let read = read_json(text, WORD).and_then(|fields| {
            let count = fields.get("count").and_then(|count| count.parse::<u64>().ok()).unwrap_or(0);
            Ok((count, Decree::read(&fields, now)?))
        });
        let Ok((count, decree)) = read else { return self.bad() };
        let Some(lawful) = self.laws.get_mut(chapter.prefix()) else { return };
        let book = decree.matter.book();
        lawful.missed |= lawful.law.counted(book, count);
        let (missed, verdict) = (lawful.missed, lawful.law.heard(decree.clone(), chapter.most(book), now));
        if verdict == Verdict::Holds {
            carry_out(chapter, decree);
        }
        if missed {
            self.ask_law(chapter);
        }
    }

    /// What was taken out here, and has a place that the others have not heard of in that, is taken out everywhere.
    pub(super) fn take_out(&mut self, address: &Address) {
        let Some(room) = self.rooms.get_mut(address).filter(|room| !room.erased.is_empty()) else { return };
        let (chapter, places) = (Arc::clone(&room.chapter), std::mem::take(&mut room.erased));
        let laws = &self.laws;
        let is_new = |place: &u64| laws.get(&address.0).is_none_or(|known| !known.law.has_deleted(&address.1, *place));
        let places: Vec<u64> = places.into_iter().filter(is_new).collect();
        for place in places {
            let now = now();
            let (at, key) = (chapter.decide(micros()), self.shared.next_key().into());
            let matter = Matter::Delete { room: (*address.1).into(), place: MessageId(place) };
            let (until, by) = (chapter.forgotten(now), Arc::clone(&self.shared.node));
            self.decide(&chapter, Decree { at, key, until, by, reason: None, matter });
        }
    }

    /// Redis refuses what this hub's moderators decide, or to tell of it.
    pub(super) fn without_law(&mut self, prefix: &Arc<str>) {
        if let Some(lawful) = self.laws.get_mut(prefix) {
            lawful.asking = false;
        }
        if let Some(chapter) = self.chapters.get(prefix) {
            chapter.latch.open();
        }
    }

    /// Redis is gone.
    pub(super) fn lawless(&mut self) {
        for lawful in self.laws.values_mut() {
            (lawful.asking, lawful.is_heard, lawful.missed) = (false, false, false);
            lawful.law.sweep(now());
        }
        self.chapters.values().for_each(|chapter| chapter.latch.open());
    }
}

fn carry_out(chapter: &Chapter, decree: Decree) {
    chapter.heard(decree.at);
    tracing::debug!(by = &*decree.by, about = decree.matter.about(), "moderated elsewhere");
    (chapter.obey)(decree);
}

/// What of a room's stream was not taken out.
pub(super) fn spared(laws: &HashMap<Arc<str>, Lawful>, (prefix, room): &Address, mut raw: Raw) -> Raw {
    if let Some(lawful) = laws.get(prefix) {
        raw.retain(|(name, _)| id::of_stream(name).is_none_or(|place| !lawful.law.has_deleted(room, place)));
    }
    raw
}
