//! Who may not come in, or not speak, for a time: sentences with an end each, in a table that is bounded.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::id::MemberId;
use super::name;

/// Who speaks through the admin door.
pub(crate) const DOOR: &str = "admin door";
/// Characters of a name that is asked for; no member's has more.
const LONGEST: usize = 64;
/// In a full table one sentence in so many makes way at once, so that it is not looked through for each that comes.
const SHARE: usize = 64;

/// Whom something is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Who {
    /// A member, for as long as it has its session.
    Member(MemberId),
    /// Whoever is called so, in whatever case and spelling.
    Name(Box<str>),
    /// Whoever comes from there: an IPv4 address, or an IPv6 /64.
    Address(IpAddr),
}

impl Who {
    /// Whoever is called so.
    #[must_use]
    pub(crate) fn named(text: &str) -> Self {
        Self::Name(name::fold(text).into())
    }

    /// The same where somebody asks for it; nobody, when it is no name.
    #[must_use]
    pub(crate) fn called(text: &str) -> Option<Self> {
        let is_short = text.len() <= 4 * LONGEST && text.chars().count() <= LONGEST;
        Some(Self::named(text)).filter(|who| is_short && !matches!(who, Self::Name(name) if name.is_empty()))
    }

    /// Whoever comes from this address, or from one that is as good as the same.
    #[must_use]
    pub(crate) fn at(address: IpAddr) -> Self {
        Self::Address(match address.to_canonical() {
            IpAddr::V6(six) => Ipv6Addr::from_bits(six.to_bits() >> 64 << 64).into(),
            four @ IpAddr::V4(_) => four,
        })
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Member(id) => write!(f, "member {id}"),
            Self::Name(name) => write!(f, "name {name:?}"),
            Self::Address(address) => write!(f, "address {address}"),
        }
    }
}

/// For how long, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sentence {
    /// When it ends.
    pub(crate) until: Instant,
    /// Who has said so.
    pub(crate) by: Arc<str>,
    pub(crate) reason: Option<Arc<str>>,
    /// Whom it was asked for: a name that is meant also by a member's id has two sentences, which end as one.
    pub(crate) asked: Who,
}

/// In one room, or in all, and whom.
type Place = (Option<Box<str>>, Who);

/// Sentences of one kind. Times are handed in by whoever asks.
#[derive(Debug, Default)]
pub(crate) struct Sentences {
    all: Mutex<HashMap<Place, Sentence>>,
    /// How many there are: where there are none, as in most hubs, nobody waits for the lock.
    count: AtomicUsize,
    most: AtomicUsize,
}

impl Sentences {
    /// From now on there are so many at most; see [`thin`] for those that make way.
    pub(crate) fn bound(&self, most: usize) {
        self.most.store(most, Ordering::Relaxed);
        let mut all = self.all.lock();
        thin(&mut all, most);
        self.count.store(all.len(), Ordering::Relaxed);
    }

    /// Another one, or another end for one that there is. In a full table others make way; but not what holds in all rooms,
    /// or comes from the admin door, for what does not.
    pub(crate) fn pronounce(&self, room: Option<&str>, who: Who, sentence: Sentence, now: Instant) {
        let mut all = self.all.lock();
        let (place, most) = ((room.map(Box::from), who), self.most.load(Ordering::Relaxed));
        if !all.contains_key(&place) && all.len() >= most {
            all.retain(|_, sentence| sentence.until > now);
            let firm = if all.len() < most { 0 } else { all.iter().filter(|(place, one)| one.is_firm(place)).count() };
            if firm >= most && !sentence.is_firm(&place) {
                return self.count.store(all.len(), Ordering::Relaxed);
            }
            if all.len() >= most {
                let share = (most / SHARE).max(1);
                thin(&mut all, if firm >= most { most - 1 } else { firm.max(most - share) });
            }
        }
        all.insert(place, sentence);
        self.count.store(all.len(), Ordering::Relaxed);
    }

    /// Whoever is meant by a name, in this room or in all, is so by this id, too; what is new of it, and where.
    pub(crate) fn bind(&self, room: &str, name: &Who, id: &Who, now: Instant) -> Vec<(Option<Box<str>>, Sentence)> {
        let mut bound = Vec::new();
        if self.is_empty() {
            return bound;
        }
        for place in [None, Some(Box::from(room))] {
            let (of_name, of_id) = {
                let all = self.all.lock();
                let of = |who: &Who| all.get(&(place.clone(), who.clone())).filter(|one| one.until > now).cloned();
                (of(name), of(id))
            };
            let longer = of_name.filter(|one| of_id.is_none_or(|known| known.until < one.until));
            if let Some(sentence) = longer {
                self.pronounce(place.as_deref(), id.clone(), sentence.clone(), now);
                bound.push((place, sentence));
            }
        }
        bound
    }

    /// Ends what was said about somebody, under whatever name, and all that was said with it. If there was anything: when it
    /// would have ended, and whom it was asked for.
    pub(crate) fn lift(&self, room: Option<&str>, who: &Who, now: Instant) -> Option<(Instant, Who)> {
        let mut all = self.all.lock();
        all.retain(|_, sentence| sentence.until > now);
        // Whoever was asked for by id may be let go by name: it was one sentence.
        let with = all.get(&(room.map(Box::from), who.clone())).map(|sentence| sentence.asked.clone());
        let with = with.unwrap_or_else(|| who.clone());
        let mut end = None;
        all.retain(|(place, whom), sentence| {
            let is_asked = sentence.asked == *who || sentence.asked == with;
            let meant = place.as_deref() == room && (whom == who || is_asked);
            end = end.max(Some(sentence.until).filter(|_| meant));
            !meant
        });
        self.count.store(all.len(), Ordering::Relaxed);
        end.map(|end| (end, with))
    }

    /// Whether there are none.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.count.load(Ordering::Relaxed) == 0
    }

    /// How long any of these is still meant here, by a sentence for this room or for all; `None`: not at all.
    #[must_use]
    pub(crate) fn left(&self, room: Option<&str>, whom: &[Who], now: Instant) -> Option<Duration> {
        if self.is_empty() {
            return None;
        }
        let all = self.all.lock();
        let left = |place: Place| all.get(&place)?.until.checked_duration_since(now).filter(|left| !left.is_zero());
        let everywhere = whom.iter().filter_map(|who| left((None, who.clone())));
        let here = room.into_iter().flat_map(|room| whom.iter().map(move |who| (Some(Box::from(room)), who.clone())));
        everywhere.chain(here.filter_map(left)).max()
    }

    /// How many there are, and some of them by their end.
    #[must_use]
    pub(crate) fn list(&self, (skip, most): (usize, usize), now: Instant) -> (usize, Vec<(Place, Sentence)>) {
        let mut all = self.all.lock();
        all.retain(|_, sentence| sentence.until > now);
        self.count.store(all.len(), Ordering::Relaxed);
        let mut list: Vec<_> = all.iter().collect();
        list.sort_unstable_by_key(|(_, sentence)| sentence.until);
        let some = list.into_iter().skip(skip).take(most);
        (all.len(), some.map(|(place, sentence)| (place.clone(), sentence.clone())).collect())
    }

    /// Forgets those that are over.
    pub(crate) fn sweep(&self, now: Instant) {
        let mut all = self.all.lock();
        all.retain(|_, sentence| sentence.until > now);
        if all.capacity() > 4 * all.len().max(16) {
            all.shrink_to_fit();
        }
        self.count.store(all.len(), Ordering::Relaxed);
    }
}

impl Sentence {
    /// Whether it is not one room's moderators' alone.
    fn is_firm(&self, (room, _): &Place) -> bool {
        room.is_none() || *self.by == *DOOR
    }
}

/// Leaves so many of them. First the room that has most makes way, with what ends first there, until it has as many as the
/// next; so nobody can fill the table at the cost of others. What is firm goes last.
fn thin(all: &mut HashMap<Place, Sentence>, keep: usize) {
    let gone = all.len().saturating_sub(keep);
    if gone == 0 {
        return;
    }
    let mut list: Vec<_> = all.iter().collect();
    list.sort_unstable_by_key(|(_, sentence)| Reverse(sentence.until));
    let mut later: HashMap<Option<&str>, usize> = HashMap::new();
    let mut list: Vec<_> = list
        .into_iter()
        .map(|(place, sentence)| {
            let later = later.entry(place.0.as_deref()).or_default();
            let is_firm = sentence.is_firm(place);
            *later += usize::from(!is_firm);
            ((is_firm, Reverse(if is_firm { 0 } else { *later }), sentence.until), place)
        })
        .collect();
    list.sort_unstable_by_key(|(rank, _)| *rank);
    let gone: Vec<Place> = list.into_iter().take(gone).map(|(_, place)| place.clone()).collect();
    gone.iter().for_each(|place| drop(all.remove(place)));
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn sentence(until: Instant, asked: &Who) -> Sentence {
        Sentence { until, by: "test".into(), reason: None, asked: asked.clone() }
    }

    fn table(most: usize) -> Sentences {
        let table = Sentences::default();
        table.bound(most);
        table
    }

    fn pronounce(table: &Sentences, room: Option<&str>, who: &Who, now: Instant, seconds: u32) {
        table.pronounce(room, who.clone(), sentence(now + seconds * SECOND, who), now);
    }

    fn member(id: u64) -> Who {
        Who::Member(MemberId(id))
    }

    #[tokio::test(start_paused = true)]
    async fn each_ends_in_its_time() {
        let now = || tokio::time::Instant::now().into_std();
        let (table, ann) = (table(9), Who::named(" ANN "));
        pronounce(&table, Some("a"), &ann, now(), 10);
        pronounce(&table, None, &member(1), now(), 5);
        let left = |room, whom: &[Who]| table.left(Some(room), whom, now());
        assert_eq!(left("a", &[Who::named("ann")]), Some(10 * SECOND));
        assert_eq!((left("b", std::slice::from_ref(&ann)), left("b", &[member(1)])), (None, Some(5 * SECOND)));
        assert_eq!(left("a", &[member(1), ann.clone()]), Some(10 * SECOND), "the later end");
        tokio::time::advance(5 * SECOND).await;
        assert_eq!((left("b", &[member(1)]), left("a", std::slice::from_ref(&ann))), (None, Some(5 * SECOND)));
        assert_eq!(table.list((0, 9), now()).0, 1);
        tokio::time::advance(5 * SECOND).await;
        table.sweep(now());
        assert_eq!((left("a", &[ann]), table.count.load(Ordering::Relaxed)), (None, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_table_drops_what_is_over_and_then_what_ends_first() {
        let now = || tokio::time::Instant::now().into_std();
        let table = table(3);
        for (id, seconds) in [(1, 1), (2, 30), (3, 20)] {
            pronounce(&table, None, &member(id), now(), seconds);
        }
        let there = |id| table.left(None, &[member(id)], now()).is_some();
        tokio::time::advance(SECOND).await;
        pronounce(&table, None, &member(4), now(), 40);
        assert_eq!([2, 3, 4].map(there), [true; 3], "one was over");
        pronounce(&table, None, &member(5), now(), 40);
        assert_eq!([2, 3, 4, 5].map(there), [true, false, true, true]);
        pronounce(&table, None, &member(2), now(), 50);
        assert_eq!([2, 4, 5].map(there), [true; 3], "another end is no other sentence");
        table.bound(1);
        assert_eq!(([2, 4, 5].map(there), table.list((0, 9), now()).0), ([true, false, false], 1));
        for id in 10..1000 {
            pronounce(&table, None, &member(id), now(), 60);
        }
        assert_eq!(table.all.lock().len(), 1);
    }

    #[test]
    fn who_was_meant_by_two_names_is_free_at_once() {
        let (table, ann, now) = (table(9), Who::named("Ann"), Instant::now());
        pronounce(&table, None, &ann, now, 10);
        table.pronounce(None, member(1), sentence(now + SECOND, &ann), now);
        pronounce(&table, Some("a"), &ann, now, 10);
        let lift = |room| table.lift(room, &ann, now);
        assert_eq!((lift(Some("b")), lift(None), lift(None)), (None, Some((now + 10 * SECOND, ann.clone())), None));
        assert_eq!(table.left(None, &[member(1)], now), None);
        assert!(table.left(Some("a"), std::slice::from_ref(&ann), now).is_some());
        // And the other way round.
        pronounce(&table, None, &member(1), now, 10);
        table.pronounce(None, ann.clone(), sentence(now + SECOND, &member(1)), now);
        assert_eq!(table.lift(None, &ann, now), Some((now + 10 * SECOND, member(1))));
        assert_eq!(table.left(None, &[member(1), ann], now), None);
    }

    #[test]
    fn one_room_takes_nothing_from_others() {
        let (table, now) = (table(200), Instant::now());
        pronounce(&table, None, &member(1), now, 10);
        pronounce(&table, Some("b"), &member(2), now, 10);
        let of_door = Sentence { by: DOOR.into(), ..sentence(now + SECOND, &member(3)) };
        table.pronounce(Some("a"), member(3), of_door, now);
        let there = |room, id| table.left(Some(room), &[member(id)], now).is_some();
        for id in 1000..2000 {
            pronounce(&table, Some("a"), &member(id), now, 1000);
            assert!(table.all.lock().len() <= 200 && there("a", id));
        }
        assert!(there("a", 1) && there("b", 2) && there("a", 3));
        table.bound(4);
        assert!(there("a", 1) && there("b", 2) && there("a", 3), "what is firm, and one of the smallest room");
        table.bound(2);
        assert!(there("a", 1) && !there("b", 2) && there("a", 3));
        pronounce(&table, Some("b"), &member(2), now, 1000);
        assert!(there("a", 1) && !there("b", 2) && there("a", 3), "nothing makes way for it");
        pronounce(&table, None, &member(4), now, 1000);
        assert!(there("a", 1) && there("a", 4) && !there("a", 3));
    }

    #[test]
    fn who_is_meant_by_name_is_bound_by_id() {
        let (table, now) = (table(9), Instant::now());
        let (ann, id) = (Who::named("Ann"), member(1));
        pronounce(&table, Some("a"), &ann, now, 10);
        assert_eq!(table.bind("b", &ann, &id, now), []);
        assert_eq!(table.bind("a", &ann, &id, now).len(), 1);
        assert_eq!(table.bind("a", &ann, &id, now), [], "that is nothing new");
        assert_eq!(table.left(Some("a"), std::slice::from_ref(&id), now), Some(10 * SECOND));
        pronounce(&table, None, &ann, now, 5);
        assert_eq!(table.bind("b", &ann, &id, now).len(), 1);
        assert_eq!(table.left(Some("b"), std::slice::from_ref(&id), now), Some(5 * SECOND));
        assert!(table.lift(None, &ann, now).is_some() && table.lift(Some("a"), &ann, now).is_some());
        assert_eq!(table.left(Some("a"), &[id], now), None, "they end as one");
    }

    #[test]
    fn what_is_no_name_is_nobody() {
        let long = "x".repeat(LONGEST + 1);
        for text in ["", " ", "\u{200b}\u{3000}", &long] {
            assert_eq!(Who::called(text), None, "{text:?}");
        }
        assert_eq!(Who::called(&long[1..]), Some(Who::named(&long[1..])));
    }

    #[test]
    fn an_ipv6_network_is_one_address() {
        let at = |text: &str| Who::at(text.parse().expect("address"));
        assert_eq!(at("2001:db8::1"), at("2001:db8::ffff:1"));
        assert_ne!(at("2001:db8::1"), at("2001:db8:0:1::1"));
        assert_eq!(at("::ffff:192.0.2.1"), at("192.0.2.1"));
        assert_ne!(at("192.0.2.1"), at("192.0.2.2"));
        assert_eq!(at("2001:db8::1").to_string(), "address 2001:db8::");
    }
}
