//! One hub's part of the cluster: its prefix, its bounds, and the names of its keys and channels.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::RwLock;

use super::decree::{Book, Decree};
use super::entry::Fields;
use super::latch::Latch;

const HOUR: u64 = 3_600_000;
/// A year, in milliseconds: longer is nothing decided for.
const LONGEST: u64 = 365 * 24 * HOUR;

/// Messages that a stream keeps at least, however short the history is: what is said during a break has to fit.
const LENGTH: usize = 100;

/// One hub among several gateways.
pub(crate) struct Chapter {
    /// What its keys and channels begin with.
    prefix: Arc<str>,
    /// Messages that newcomers get to see.
    history: AtomicUsize,
    /// How old a message may become, in milliseconds; 0: any age.
    age: AtomicU64,
    /// Bytes of one text.
    text: AtomicUsize,
    /// Whether there may be a room of this name.
    allows: RwLock<Arc<Allows>>,
    /// Another gateway tells this one something that concerns no room; whether it was sound.
    pub(super) hear: Box<dyn Fn(Fields) -> bool + Send + Sync>,
    /// Moderators elsewhere have decided something.
    pub(super) obey: Box<dyn Fn(Decree) + Send + Sync>,
    /// The latest moment of any decision that is known, in microseconds since 1970.
    clock: AtomicU64,
    /// Decisions of each kind that are remembered.
    most: [AtomicUsize; Book::ALL.len()],
    /// Open once it is known what was decided elsewhere, or that it cannot be known.
    pub(super) latch: Latch,
}

/// A rule for the names of rooms.
type Allows = dyn Fn(&str) -> bool + Send + Sync;

/// Deletions that are remembered: who was apart for longer may show some of the older ones to its members.
const DELETIONS: usize = 10_000;

impl fmt::Debug for Chapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chapter").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

impl Chapter {
    /// A hub under this prefix, with the bounds of its rooms.
    pub(crate) fn new(prefix: &str, (history, age, text): (usize, Duration, usize)) -> Self {
        Self {
            prefix: prefix.into(),
            history: AtomicUsize::new(history),
            age: AtomicU64::new(millis(age)),
            text: AtomicUsize::new(text),
            allows: RwLock::new(Arc::new(|_: &str| true)),
            hear: Box::new(|_| false),
            obey: Box::new(drop),
            clock: AtomicU64::new(0),
            most: [const { AtomicUsize::new(DELETIONS) }; Book::ALL.len()],
            latch: Latch::default(),
        }
    }

    /// From now on messages grow so old, and so many mutes, bans and slow rooms are remembered.
    pub(crate) fn go_by(&self, age: Duration, [mutes, bans, rooms]: [usize; 3]) {
        self.age.store(millis(age), Ordering::Relaxed);
        // What was lifted is remembered as well.
        for (book, most) in [(Book::Mute, 2 * mutes), (Book::Ban, 2 * bans), (Book::Slow, rooms)] {
            self.most[book as usize].store(most, Ordering::Relaxed);
        }
    }

    /// The least id that a message may have now (milliseconds since 1970).
    pub(super) fn oldest(&self, now: u64) -> u64 {
        match self.age.load(Ordering::Relaxed) {
            0 => 0,
            age => now.saturating_sub(age) << 16,
        }
    }

    /// For how many milliseconds Redis keeps a message; 0: for ever. A little longer than it may be seen, so that clocks
    /// need not agree to the millisecond on what it still must have.
    pub(super) fn kept(&self) -> u64 {
        let age = self.age.load(Ordering::Relaxed);
        age + (age / 10).min(HOUR)
    }

    /// Until when it has to be remembered that a message was taken out.
    pub(super) fn forgotten(&self, now: u64) -> u64 {
        let kept = self.kept();
        now.saturating_add(if kept == 0 { LONGEST } else { kept.min(LONGEST) })
    }

    /// Until when anything may hold that has no end of its own.
    pub(super) fn longest(&self, now: u64) -> u64 {
        now.saturating_add(LONGEST)
    }

    /// A moment for a decision, in microseconds since 1970: behind all that are known.
    pub(super) fn decide(&self, now: u64) -> u64 {
        let next = |last: u64| now.max(last.saturating_add(1));
        let last = self.clock.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(next(last)));
        next(last.unwrap_or_else(|last| last))
    }

    /// A decision of this moment is known.
    pub(super) fn heard(&self, at: u64) {
        self.clock.fetch_max(at, Ordering::Relaxed);
    }

    /// Decisions of this kind that are remembered.
    pub(super) fn most(&self, book: Book) -> usize {
        self.most[book as usize].load(Ordering::Relaxed).max(1)
    }

    /// From now on there may be rooms of these names, which keep so many messages, each of so many bytes.
    pub(crate) fn bound(&self, (history, text): (usize, usize), allows: impl Fn(&str) -> bool + Send + Sync + 'static) {
        self.history.store(history, Ordering::Relaxed);
        self.text.store(text, Ordering::Relaxed);
        *self.allows.write() = Arc::new(allows);
    }

    /// Bytes of what a script says.
    pub(super) fn text(&self) -> usize {
        self.text.load(Ordering::Relaxed)
    }

    /// Whether there may be a room of this name.
    pub(super) fn allows(&self, room: &str) -> bool {
        let allows = Arc::clone(&self.allows.read());
        allows(room)
    }

    /// With somebody who listens to other gateways.
    pub(crate) fn hearing(mut self, hear: impl Fn(Fields) -> bool + Send + Sync + 'static) -> Self {
        self.hear = Box::new(hear);
        self
    }

    /// With somebody who carries out what is decided elsewhere.
    pub(crate) fn obeying(mut self, obey: impl Fn(Decree) + Send + Sync + 'static) -> Self {
        self.obey = Box::new(obey);
        self
    }

    /// What its keys and channels begin with.
    pub(crate) const fn prefix(&self) -> &Arc<str> {
        &self.prefix
    }

    /// Messages that a stream keeps.
    pub(super) fn length(&self) -> usize {
        self.history.load(Ordering::Relaxed).max(LENGTH)
    }

    /// A room's stream.
    pub(super) fn stream(&self, room: &str) -> String {
        format!("{}:room:{room}", self.prefix)
    }

    /// Where a room's messages are told.
    pub(super) fn said(&self, room: &str) -> String {
        format!("{}:said:{room}", self.prefix)
    }

    /// Where gateways tell one another of a room.
    pub(super) fn tell(&self, room: &str) -> String {
        format!("{}:tell:{room}", self.prefix)
    }

    /// Who is in a room, by gateway.
    pub(super) fn who(&self, room: &str) -> String {
        format!("{}:who:{room}", self.prefix)
    }

    /// Where scripts say something, for all rooms: what the channels begin with.
    pub(super) fn say(&self) -> String {
        format!("{}:say:", self.prefix)
    }

    /// Where scripts leave what must be said.
    pub(super) fn inlet(&self) -> String {
        format!("{}:in", self.prefix)
    }

    /// Who takes in what scripts say.
    pub(super) fn lease(&self) -> String {
        format!("{}:lead", self.prefix)
    }

    /// Where gateways tell one another what moderators have decided.
    pub(super) fn law(&self) -> String {
        format!("{}:law", self.prefix)
    }

    /// What moderators have decided, when that ends, and how often anything was: in one slot of a Redis Cluster.
    pub(super) fn decided(&self, book: Book) -> [String; 3] {
        let (prefix, name) = (&self.prefix, book.name());
        [
            format!("{prefix}:{{moderation}}:{name}"),
            format!("{prefix}:{{moderation}}:{name}:ends"),
            format!("{prefix}:{{moderation}}:count"),
        ]
    }

    /// Where one gateway is told something.
    pub(super) fn node(&self, node: &str) -> String {
        format!("{}:node:{node}", self.prefix)
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX >> 20)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::hub::cluster) fn chapter() -> Arc<Chapter> {
        Arc::new(Chapter::new("t", (50, Duration::ZERO, 4096)))
    }

    #[test]
    fn names_begin_with_the_prefix() {
        let chapter = chapter();
        assert_eq!((chapter.said("a b"), chapter.inlet()), ("t:said:a b".to_owned(), "t:in".to_owned()));
        assert_eq!(chapter.length(), LENGTH);
    }

    #[test]
    fn bounds_may_change() {
        let chapter = chapter();
        assert_eq!((chapter.length(), chapter.text(), chapter.allows("a")), (LENGTH, 4096, true));
        chapter.bound((2 * LENGTH, 16), |room| room != "a");
        assert_eq!((chapter.length(), chapter.text()), (2 * LENGTH, 16));
        assert!(!chapter.allows("a") && chapter.allows("b"));
    }

    #[test]
    fn ages_and_moments() {
        let chapter = chapter();
        assert_eq!((chapter.oldest(5_000), chapter.kept(), chapter.forgotten(1)), (0, 0, LONGEST + 1));
        chapter.go_by(Duration::from_secs(2), [1, 2, 3]);
        assert_eq!((chapter.oldest(5_000), chapter.kept(), chapter.forgotten(1)), (3_000 << 16, 2_200, 2_201));
        assert_eq!(Book::ALL.map(|book| chapter.most(book)), [2, 4, 3, DELETIONS]);
        assert_eq!((chapter.decide(10), chapter.decide(10), chapter.decide(50)), (10, 11, 50));
        chapter.heard(70);
        chapter.heard(60);
        assert_eq!(chapter.decide(50), 71);
    }
}
