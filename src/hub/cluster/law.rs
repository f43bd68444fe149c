//! One hub's account of what moderators have decided, here and elsewhere: of decisions about the same the later holds, on
//! every gateway alike, in whatever order they come. Pure: no clock, no connection.

use std::collections::HashMap;

use super::decree::{Book, Decree, Matter, about};
use crate::hub::id::MessageId;

/// What is known.
#[derive(Debug, Default)]
pub(super) struct Law {
    tables: [Table; Book::ALL.len()],
}

/// Decisions of one kind, by what they are about.
#[derive(Debug, Default)]
struct Table {
    known: HashMap<String, Known>,
    /// How often anything was written down in Redis, as far as that was heard of.
    count: u64,
}

#[derive(Debug)]
struct Known {
    decree: Decree,
    /// Whether Redis is not known to have it.
    is_owed: bool,
}

/// What becomes of a decision.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It holds from now on.
    Holds,
    /// It is known, over, or about somebody who was pardoned since.
    Void,
    /// This one is later, and goes on to hold.
    Later(Decree),
}

impl Law {
    /// Somebody here has decided something: it holds, and Redis is to have it, unless something later is known. `most` are
    /// remembered; `now` is in milliseconds since 1970.
    pub(super) fn decide(&mut self, decree: Decree, most: usize, now: u64) -> Verdict {
        self.enter(decree, true, (most, now))
    }

    /// Somebody elsewhere has, or this gateway's own has come back.
    pub(super) fn heard(&mut self, decree: Decree, most: usize, now: u64) -> Verdict {
        self.enter(decree, false, (most, now))
    }

    /// A decision was written down, the `count`th of its kind; whether one before it was missed.
    pub(super) fn counted(&mut self, book: Book, count: u64) -> bool {
        let known = std::mem::replace(&mut self.tables[book as usize].count, count);
        count != known.wrapping_add(1)
    }

    /// So often anything was, by kind, when all of it was read.
    pub(super) fn count_from(&mut self, counts: [u64; Book::ALL.len()]) {
        self.tables.iter_mut().zip(counts).for_each(|(table, count)| table.count = count);
    }

    /// How often anything was written down, by kind, as far as is known.
    pub(super) fn counts(&self) -> [u64; Book::ALL.len()] {
        [0, 1, 2, 3].map(|at| self.tables[at].count)
    }

    /// All that Redis has of one kind; what is new of it, to be carried out. What it does not have is owed from now on.
    pub(super) fn read(&mut self, book: Book, all: Vec<Decree>, most: usize, now: u64) -> Vec<Decree> {
        let table = &mut self.tables[book as usize];
        table.known.values_mut().for_each(|known| known.is_owed = true);
        let (of_others, asked): (Vec<_>, Vec<_>) = all.into_iter().partition(is_of_another);
        let mut news = Vec::new();
        // A pardon has to be known before what it is about.
        for decree in asked.into_iter().chain(of_others) {
            if self.enter(decree.clone(), false, (most, now)) == Verdict::Holds {
                news.push(decree);
            }
        }
        news
    }

    /// All that holds.
    pub(super) fn all(&self) -> impl Iterator<Item = &Decree> {
        self.tables.iter().flat_map(|table| table.known.values()).map(|known| &known.decree)
    }

    /// What Redis does not have, in the order in which it was decided.
    pub(super) fn owed(&self) -> Vec<Decree> {
        let known = self.tables.iter().flat_map(|table| table.known.values());
        let mut owed: Vec<Decree> = known.filter(|known| known.is_owed).map(|known| known.decree.clone()).collect();
        owed.sort_unstable_by(|a, b| a.moment().cmp(&b.moment()));
        owed
    }

    /// Whether Redis lacks anything.
    pub(super) fn owes(&self) -> bool {
        self.tables.iter().any(|table| table.known.values().any(|known| known.is_owed))
    }

    /// Redis has it, or something later.
    pub(super) fn paid(&mut self, decree: &Decree) {
        let table = &mut self.tables[decree.matter.book() as usize];
        if let Some(known) =
            table.known.get_mut(&decree.matter.about()).filter(|known| known.decree.moment() == decree.moment())
        {
            known.is_owed = false;
        }
    }

    /// Whether the message that has this place was taken out.
    pub(super) fn has_deleted(&self, room: &str, place: u64) -> bool {
        let table = &self.tables[Book::Delete as usize].known;
        !table.is_empty() && table.contains_key(&Matter::Delete { room: room.into(), place: MessageId(place) }.about())
    }

    /// Forgets what is over.
    pub(super) fn sweep(&mut self, now: u64) {
        self.tables.iter_mut().for_each(|table| table.known.retain(|_, known| known.decree.until > now));
    }

    fn enter(&mut self, decree: Decree, is_owed: bool, (most, now): (usize, u64)) -> Verdict {
        let table = &mut self.tables[decree.matter.book() as usize];
        let about = decree.matter.about();
        if let Some(known) = table.known.get_mut(&about) {
            if known.decree.moment() == decree.moment() {
                known.is_owed &= is_owed;
                return Verdict::Void;
            }
            if known.decree.moment() > decree.moment() {
                return Verdict::Later(known.decree.clone());
            }
        }
        if decree.until <= now || table.is_pardoned(&decree) {
            return Verdict::Void;
        }
        table.pardon(&decree);
        if !table.known.contains_key(&about) && table.known.len() >= most {
            table.make_way(now);
        }
        table.known.insert(about, Known { decree, is_owed });
        Verdict::Holds
    }
}

impl Table {
    /// Whether whoever this was asked for was pardoned since.
    fn is_pardoned(&self, decree: &Decree) -> bool {
        let Matter::Sentence { room, asked, .. } = &decree.matter else { return false };
        if !is_of_another(decree) {
            return false;
        }
        let known = self.known.get(&about(room.as_deref(), asked)).map(|known| &known.decree);
        known
            .is_some_and(|known| matches!(known.matter, Matter::Sentence { lifted: true, .. }) && known.at >= decree.at)
    }

    /// A pardon is also about all that was asked for the same.
    fn pardon(&mut self, decree: &Decree) {
        let Matter::Sentence { room, who, lifted: true, .. } = &decree.matter else { return };
        let meant = |known: &Decree| match &known.matter {
            Matter::Sentence { room: place, asked, .. } => place == room && asked == who && known.at <= decree.at,
            Matter::Slow { .. } | Matter::Delete { .. } => false,
        };
        self.known.retain(|_, known| !meant(&known.decree));
    }

    /// What is over goes, and if there is nothing, what ends first.
    fn make_way(&mut self, now: u64) {
        let before = self.known.len();
        self.known.retain(|_, known| known.decree.until > now);
        if self.known.len() == before {
            let first = self.known.iter().min_by_key(|(_, known)| known.decree.until).map(|(about, _)| about.clone());
            first.map(|about| self.known.remove(&about));
        }
    }
}

/// Whether it was asked for another name of the same.
fn is_of_another(decree: &Decree) -> bool {
    matches!(&decree.matter, Matter::Sentence { who, asked, .. } if who != asked)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::decree::Kind;
    use super::super::decree::tests::decree;
    use super::*;
    use crate::hub::id::MemberId;
    use crate::hub::sentence::Who;

    const NOW: u64 = 1000;

    fn ban(at: u64, who: &Who, asked: &Who, lifted: bool) -> Decree {
        let (who, asked) = (who.clone(), asked.clone());
        decree(at, "k", 5000, Matter::Sentence { kind: Kind::Ban, room: None, who, asked, lifted })
    }

    fn ann() -> Who {
        Who::named("Ann")
    }

    const ID: Who = Who::Member(MemberId(7));

    fn texts(law: &Law) -> Vec<String> {
        let known = law.tables.iter().flat_map(|table| table.known.values());
        let mut all: Vec<String> = known.map(|known| known.decree.text()).collect();
        all.sort_unstable();
        all
    }

    #[test]
    fn the_later_decision_holds() {
        let (mut law, first, pardon) = (Law::default(), ban(5, &ann(), &ann(), false), ban(6, &ann(), &ann(), true));
        assert_eq!(law.decide(first.clone(), 9, NOW), Verdict::Holds);
        assert_eq!((law.heard(first.clone(), 9, NOW), law.owed()), (Verdict::Void, Vec::new()), "it came back");
        assert_eq!(law.heard(pardon.clone(), 9, NOW), Verdict::Holds);
        assert_eq!(law.decide(first.clone(), 9, NOW), Verdict::Later(pardon.clone()));
        assert_eq!(law.heard(ban(7, &ann(), &ann(), false), 9, 5000), Verdict::Void, "it is over");
        law.sweep(5000);
        assert!(texts(&law).is_empty());
    }

    #[test]
    fn a_pardon_is_one_for_all_names_of_the_same_whenever_they_are_heard_of() {
        let (name, id, pardon) =
            (ban(5, &ann(), &ann(), false), ban(5, &ID, &ann(), false), ban(6, &ann(), &ann(), true));
        for order in [[&name, &id, &pardon], [&name, &pardon, &id], [&pardon, &name, &id], [&id, &pardon, &name]] {
            let mut law = Law::default();
            order.into_iter().for_each(|decree| drop(law.heard(decree.clone(), 9, NOW)));
            assert_eq!(texts(&law), [pardon.text()]);
        }
        let mut law = Law::default();
        assert_eq!(law.read(Book::Ban, vec![id.clone(), pardon.clone()], 9, NOW), std::slice::from_ref(&pardon));
        assert_eq!(law.heard(ban(6, &ID, &ID, false), 9, NOW), Verdict::Holds, "that was asked for itself");
    }

    #[test]
    fn what_redis_has_forgotten_is_owed_again() {
        let mut law = Law::default();
        let (own, other) = (ban(5, &ann(), &ann(), false), ban(6, &ID, &ID, false));
        law.decide(own.clone(), 9, NOW);
        assert!(law.owes());
        law.paid(&own);
        assert_eq!(
            (law.read(Book::Ban, vec![own.clone(), other.clone()], 9, NOW), law.owes()),
            (vec![other.clone()], false)
        );
        assert_eq!((law.read(Book::Ban, Vec::new(), 9, NOW), law.owed()), (Vec::new(), vec![own, other]));
        assert!(!law.counted(Book::Ban, 1) && law.counted(Book::Ban, 3) && !law.counted(Book::Ban, 4));
        assert_eq!(law.counts(), [0, 4, 0, 0]);
    }

    #[test]
    fn it_is_bounded_and_what_ends_first_makes_way() {
        let mut law = Law::default();
        for place in 1..1000 {
            let matter = Matter::Delete { room: "a".into(), place: MessageId(place << 16) };
            law.decide(decree(place, "k", 2000 + place, matter), 3, NOW);
        }
        assert_eq!(texts(&law).len(), 3);
        assert!(law.has_deleted("a", 999 << 16) && !law.has_deleted("a", 1 << 16) && !law.has_deleted("b", 999 << 16));
    }

    proptest! {
        #[test]
        fn all_gateways_come_to_the_same(
            all in prop::collection::vec((1u64..6, 0u64..3, any::<bool>()), 0..12),
            order in prop::collection::vec(any::<prop::sample::Index>(), 0..40),
        ) {
            let of = |(at, who, lifted): &(u64, u64, bool)| {
                let who = Who::Member(MemberId(*who));
                Decree { key: format!("{at}{lifted}").into(), ..ban(*at, &who, &who, *lifted) }
            };
            let (mut one, mut two) = (Law::default(), Law::default());
            all.iter().for_each(|decree| drop(one.heard(of(decree), 99, NOW)));
            if !all.is_empty() {
                order.iter().for_each(|at| drop(two.heard(of(at.get(&all)), 99, NOW)));
            }
            all.iter().rev().for_each(|decree| drop(two.decide(of(decree), 99, NOW)));
            prop_assert_eq!(texts(&one), texts(&two));
        }
    }
}
