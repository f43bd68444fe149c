//! The living sessions of one worker: woken when they are due, asked how they are, and told when to go.

mod round;
mod words;

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::task::{Context, Waker};

use slab::Slab;

use self::round::Rounds;
pub(crate) use self::words::{Census, Order, Words};
use super::metrics::{Told, Traffic};
use super::report::{Report, State};

/// Room for so many sessions is kept when a crowd has left.
const SMALL: usize = 256;
/// Milliseconds that a survey waits for sessions whose tasks do not get their turn.
const PATIENCE: u64 = 1_000;

/// All sessions of a worker. One sweep over it stands for a timer in each session.
#[derive(Debug)]
pub(crate) struct Roster {
    /// The worker's place among so many.
    worker: (u64, u64),
    entries: RefCell<Slab<Entry>>,
    now: Cell<u64>,
    /// Sessions that have been numbered.
    numbered: Cell<u64>,
    /// How often anybody was told or asked anything: whoever has seen as many has nothing to look for.
    words: Cell<u32>,
    /// Orders that their sessions have not seen, by key.
    orders: RefCell<HashMap<u32, Order>>,
    /// An order for all who will come.
    arrivals: RefCell<Option<Order>>,
    surveys: RefCell<Vec<Survey>>,
    rounds: Rounds,
}

/// Whom to wake, and when at the latest. Without an `Option`, so that a slot of the slab takes no more than this.
#[derive(Debug)]
struct Entry {
    waker: Waker,
    look_at: u64,
    /// Nothing for one that only says goodbye.
    number: u64,
}

/// A question to all, until the last has answered.
struct Survey {
    waiting: HashSet<u32>,
    found: Vec<Report>,
    until: u64,
    done: Box<dyn FnOnce(Census)>,
}

/// A session's place in the roster, left when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    roster: Rc<Roster>,
    key: u32,
    /// Words that the session has seen.
    seen: Cell<u32>,
}

impl Roster {
    /// The roster of the worker with this place among so many: numbers of all workers' sessions differ.
    #[must_use]
    pub(crate) fn new(worker: usize, workers: usize) -> Self {
        Self {
            worker: (worker as u64, workers.max(1) as u64),
            entries: RefCell::default(),
            now: Cell::default(),
            numbered: Cell::default(),
            words: Cell::default(),
            orders: RefCell::default(),
            arrivals: RefCell::default(),
            surveys: RefCell::default(),
            rounds: Rounds::new(Traffic::default()),
        }
    }

    /// What passes is added there.
    #[must_use]
    pub(crate) fn with_traffic(self, traffic: Traffic) -> Self {
        Self { rounds: Rounds::new(traffic), ..self }
    }

    /// A new session's place. A worker has no more of them than a u32 can count.
    #[must_use]
    pub(crate) fn enter(self: &Rc<Self>) -> Place {
        let (worker, workers) = self.worker;
        self.numbered.set(self.numbered.get() + 1);
        let place = self.enter_as(self.numbered.get() * workers + worker);
        if let Some(order) = &*self.arrivals.borrow() {
            self.orders.borrow_mut().insert(place.key, order.clone());
            place.seen.set(self.words.get().wrapping_sub(1));
        }
        place
    }

    /// A place for one that only says goodbye: it is woken when it is due, and neither asked nor told anything.
    #[must_use]
    pub(crate) fn pass(self: &Rc<Self>) -> Place {
        self.enter_as(0)
    }

    fn enter_as(self: &Rc<Self>, number: u64) -> Place {
        let entry = Entry { waker: Waker::noop().clone(), look_at: 0, number };
        let key = self.entries.borrow_mut().insert(entry) as u32;
        Place { roster: Rc::clone(self), key, seen: Cell::new(self.words.get()) }
    }

    /// Whether no session lives.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.borrow().is_empty()
    }

    /// Milliseconds since the worker started, as of the last sweep.
    #[must_use]
    pub(crate) fn now(&self) -> u64 {
        self.now.get()
    }

    /// Time has passed: wakes the sessions that are due, and gives back the room of those who have left.
    pub(crate) fn sweep(&self, now: u64) {
        self.now.set(now);
        let (share, begins) = self.rounds.share(now, self.entries.borrow().capacity());
        self.words.set(self.words.get().wrapping_add(u32::from(begins)));
        for (key, entry) in self.entries.borrow().iter() {
            if now >= entry.look_at || share.contains(&key) {
                entry.waker.wake_by_ref();
            }
        }
        let mut entries = self.entries.borrow_mut();
        if entries.capacity() > 4 * entries.len().max(SMALL) {
            entries.shrink_to_fit();
            self.rounds.shrink(entries.capacity());
        }
        drop(entries);
        self.conclude();
    }

    /// Gives the order to all who live, and to all who will come.
    pub(crate) fn order_all(&self, order: &Order) {
        self.order_arrivals(order);
        self.order_where(order, |_| true);
    }

    /// Gives the order to all who will come.
    pub(crate) fn order_arrivals(&self, order: &Order) {
        *self.arrivals.borrow_mut() = Some(order.clone());
    }

    /// Gives the order to the sessions of these numbers; how many of them live.
    pub(crate) fn order(&self, numbers: &HashSet<u64>, order: &Order) -> usize {
        self.order_where(order, |number| numbers.contains(&number))
    }

    fn order_where(&self, order: &Order, is_meant: impl Fn(u64) -> bool) -> usize {
        self.words.set(self.words.get().wrapping_add(1));
        let (entries, mut orders) = (self.entries.borrow(), self.orders.borrow_mut());
        let meant = entries.iter().filter(|(_, entry)| entry.number != 0 && is_meant(entry.number));
        let told = meant.map(|(key, entry)| {
            orders.insert(key as u32, order.clone());
            entry.waker.wake_by_ref();
        });
        told.count()
    }

    /// Asks all who live, or the one of this number, to tell of themselves. `done` is called when the last has
    /// answered, or after [`PATIENCE`].
    pub(crate) fn survey(&self, only: Option<u64>, done: impl FnOnce(Census) + 'static) {
        self.words.set(self.words.get().wrapping_add(1));
        let mut waiting = HashSet::new();
        for (key, entry) in self.entries.borrow().iter() {
            if entry.number != 0 && only.is_none_or(|only| only == entry.number) {
                waiting.insert(key as u32);
                entry.waker.wake_by_ref();
            }
        }
        let until = self.now().saturating_add(PATIENCE);
        self.surveys.borrow_mut().push(Survey { waiting, found: Vec::new(), until, done: Box::new(done) });
        self.conclude();
    }

    /// Ends the surveys that wait for nobody, or have waited for too long.
    fn conclude(&self) {
        let now = self.now();
        let over = |survey: &mut Survey| survey.waiting.is_empty() || now >= survey.until;
        let over: Vec<_> = self.surveys.borrow_mut().extract_if(.., over).collect();
        for Survey { waiting, found, done, .. } in over {
            done(Census { sessions: found, missing: waiting.len() });
        }
    }
}

impl std::fmt::Debug for Survey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Survey").field("waiting", &self.waiting.len()).finish_non_exhaustive()
    }
}

impl Place {
    /// Milliseconds since the worker started.
    #[must_use]
    pub(crate) fn now(&self) -> u64 {
        self.roster.now()
    }

    /// Whether something was said since the last look: be it to others.
    #[must_use]
    #[inline]
    pub(crate) fn has_words(&self) -> bool {
        self.roster.words.get() != self.seen.get()
    }

    /// What was said to this session since the last look.
    #[must_use]
    #[cold]
    pub(crate) fn take_words(&self) -> Words {
        self.seen.set(self.roster.words.get());
        let close = self.roster.orders.borrow_mut().remove(&self.key);
        let report = self.roster.surveys.borrow().iter().any(|survey| survey.waiting.contains(&self.key));
        Words { close, report }
    }

    /// The number that no other session of this process has had.
    #[must_use]
    pub(crate) fn number(&self) -> u64 {
        self.roster.entries.borrow().get(self.key as usize).map_or(0, |entry| entry.number)
    }

    /// Answers those who ask.
    pub(crate) fn report(&self, report: &Report) {
        for survey in self.roster.surveys.borrow_mut().iter_mut() {
            if survey.waiting.remove(&self.key) {
                survey.found.push(report.clone());
            }
        }
        self.roster.conclude();
    }

    /// Adds what has passed, from the client and to it, since it was told last.
    pub(crate) fn tell(&self, passed: ((u64, u64), (u64, u64)), state: State) {
        self.roster.rounds.count(self.key as usize, Told::new(passed, state));
    }

    /// What the session's own task has to add to, and is not counted by what passes.
    #[must_use]
    pub(crate) fn traffic(&self) -> &Traffic {
        self.roster.rounds.traffic()
    }

    /// The session goes to sleep: whom to wake, and when at the latest.
    pub(crate) fn settle(&self, cx: &Context<'_>, look_at: u64) {
        let mut entries = self.roster.entries.borrow_mut();
        let Some(entry) = entries.get_mut(self.key as usize) else { return };
        entry.look_at = look_at;
        entry.waker.clone_from(cx.waker());
    }

    /// Wakes the session, as one that has something to do for another does.
    pub(crate) fn wake(&self) {
        if let Some(entry) = self.roster.entries.borrow().get(self.key as usize) {
            entry.waker.wake_by_ref();
        }
    }

    /// What waits for this session is nothing for the next one of its key.
    #[cold]
    fn leave_nothing(&self) {
        self.roster.orders.borrow_mut().remove(&self.key);
        for survey in self.roster.surveys.borrow_mut().iter_mut() {
            survey.waiting.remove(&self.key);
        }
        self.roster.conclude();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // The waker may be the last hold on a task, and a task holds a place: not dropped under the borrow.
        let entry = self.roster.entries.borrow_mut().try_remove(self.key as usize);
        drop(entry);
        self.roster.rounds.leave(self.key as usize);
        if self.has_words() {
            self.leave_nothing();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::round::{ROUND, SHARE};
    use super::*;
    use crate::telemetry::metrics::Metrics;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn the_sweep_wakes_who_is_due_and_nobody_else() {
        let (roster, count) = (Rc::new(Roster::new(1, 4)), Arc::new(Count::default()));
        let waker = Waker::from(Arc::clone(&count));
        let place = roster.enter();
        place.settle(&Context::from_waker(&waker), 500);
        roster.sweep(499);
        assert_eq!(count.0.load(Ordering::Relaxed), 0);
        roster.sweep(500);
        assert_eq!((count.0.load(Ordering::Relaxed), place.now()), (1, 500));
        drop(place);
        assert!(roster.is_empty());
    }

    #[test]
    fn a_crowd_that_has_left_leaves_no_room_behind() {
        let (roster, count) = (Rc::new(Roster::new(1, 4)), Arc::new(Count::default()));
        let mut places: Vec<_> = (0..10 * SMALL).map(|_| roster.enter()).collect();
        places.truncate(3);
        roster.sweep(1);
        assert!(roster.entries.borrow().capacity() < 10 * SMALL);
        // The next one takes a slot that is free, and nothing of who had it.
        drop(places.remove(1));
        let newcomer = roster.enter();
        let waker = Waker::from(Arc::clone(&count));
        newcomer.settle(&Context::from_waker(&waker), 7);
        drop(places);
        roster.sweep(7);
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_round_wakes_everybody_few_at_a_time_and_no_more_often_than_it_may() {
        let (roster, count) = (Rc::new(Roster::new(0, 1)), Arc::new(Count::default()));
        let waker = Waker::from(Arc::clone(&count));
        let places: Vec<_> = (0..3 * SHARE).map(|_| roster.enter()).collect();
        places.iter().for_each(|place| place.settle(&Context::from_waker(&waker), u64::MAX));
        let woken = |now| {
            roster.sweep(now);
            count.0.swap(0, Ordering::Relaxed)
        };
        assert_eq!(woken(ROUND - 1), 0);
        assert!(!places[0].has_words());
        assert_eq!([woken(ROUND), woken(ROUND + 100), woken(ROUND + 200)], [SHARE; 3]);
        assert!(places.iter().all(Place::has_words));
        // Room that a slab has beyond its sessions is walked too, which takes no more than a sweep or two.
        assert_eq!(woken(2 * ROUND - 1), 0);
        let more: usize = (0..10).map(|at| woken(2 * ROUND + at)).sum();
        assert_eq!(more, 3 * SHARE);
    }

    #[test]
    fn what_passes_is_added_while_it_does_and_once() {
        let metrics = Metrics::default();
        let roster = Rc::new(Roster::new(0, 1).with_traffic(metrics.traffic.clone()));
        let line = |name: &str| {
            let text = metrics.text();
            let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            value.unwrap_or_else(|| panic!("{name}: {text}")).parse::<u64>().expect("a number")
        };
        let (first, second) = (roster.enter(), roster.enter());
        first.tell(((2, 1), (20, 10)), State { queued: 7, is_held: true, ..State::default() });
        second.tell(((0, 4), (0, 40)), State::default());
        assert_eq!(line("wsgate_data_bytes_total{direction=\"in\"}"), 20);
        assert_eq!(line("wsgate_data_frames_total{direction=\"out\"}"), 5);
        assert_eq!(line("wsgate_send_queue_bytes"), 7);
        assert_eq!(line("wsgate_websockets_in_state{state=\"queued\"}"), 1);
        assert_eq!(line("wsgate_websockets_in_state{state=\"held\"}"), 1);
        first.tell(((3, 1), (25, 10)), State { queued: 2, is_ending: true, ..State::default() });
        assert_eq!(line("wsgate_data_bytes_total{direction=\"in\"}"), 25);
        assert_eq!(line("wsgate_send_queue_bytes"), 2);
        assert_eq!(line("wsgate_websockets_in_state{state=\"held\"}"), 0);
        drop(first);
        assert_eq!(line("wsgate_send_queue_bytes"), 0);
        assert_eq!(line("wsgate_websockets_in_state{state=\"ending\"}"), 0);
        // Its heir begins anew.
        roster.enter().tell(((1, 0), (1, 0)), State::default());
        assert_eq!(line("wsgate_data_bytes_total{direction=\"in\"}"), 26);
        assert_eq!(line("wsgate_data_frames_total{direction=\"in\"}"), 4);
    }

    fn order() -> Order {
        Order { code: 1001, reason: "draining".into() }
    }

    fn report() -> Report {
        Report::of_nobody()
    }

    /// What a survey comes to, once it does.
    fn asked(roster: &Rc<Roster>, only: Option<u64>) -> Rc<RefCell<Option<Census>>> {
        let told = Rc::new(RefCell::new(None));
        let to = Rc::clone(&told);
        roster.survey(only, move |census| *to.borrow_mut() = Some(census));
        told
    }

    #[test]
    fn an_order_for_all_meets_late_comers_too() {
        let roster = Rc::new(Roster::new(0, 1));
        let early = roster.enter();
        assert!(!early.has_words());
        roster.order_all(&order());
        assert!(early.has_words());
        assert_eq!(early.take_words().close, Some(order()));
        assert!(!early.has_words());
        let late = roster.enter();
        assert!(late.has_words());
        assert_eq!(late.take_words().close, Some(order()));
        assert!(!roster.pass().has_words());
    }

    #[test]
    fn an_order_meets_those_who_are_meant_and_no_heir_of_theirs() {
        let roster = Rc::new(Roster::new(1, 4));
        let places: Vec<_> = (0..3).map(|_| roster.enter()).collect();
        let numbers: Vec<_> = places.iter().map(Place::number).collect();
        assert_eq!(numbers, [5, 9, 13]);
        assert_eq!(roster.order(&HashSet::from([9, 13, 4711]), &order()), 2);
        let [first, second, third] = <[Place; 3]>::try_from(places).expect("three");
        assert_eq!(first.take_words(), Words::default());
        assert_eq!(second.take_words().close, Some(order()));
        let key = third.key;
        drop(third);
        let heir = roster.enter();
        assert_eq!((heir.key, heir.has_words()), (key, false));
        roster.order(&HashSet::from([5]), &order());
        assert_eq!(heir.take_words(), Words::default());
    }

    #[test]
    fn a_survey_waits_for_the_last_who_lives() {
        let roster = Rc::new(Roster::new(0, 1));
        let (first, second, third) = (roster.enter(), roster.enter(), roster.enter());
        let _passing = roster.pass();
        let (all, one) = (asked(&roster, None), asked(&roster, Some(second.number())));
        assert!(first.take_words().report);
        first.report(&report());
        assert!(one.borrow().is_none() && all.borrow().is_none());
        assert!(second.take_words().report);
        second.report(&report());
        assert_eq!(one.borrow().as_ref().map(|census| census.sessions.len()), Some(1));
        assert!(all.borrow().is_none());
        drop(third);
        let census = all.borrow_mut().take().expect("nobody is waited for any more");
        assert_eq!((census.sessions.len(), census.missing), (2, 0));
        assert!(!first.take_words().report);
    }

    #[test]
    fn a_survey_does_not_wait_for_ever() {
        let roster = Rc::new(Roster::new(0, 1));
        assert_eq!(asked(&roster, None).borrow().as_ref().map(|census| census.missing), Some(0), "nobody is there");
        let silent = roster.enter();
        let all = asked(&roster, None);
        roster.sweep(PATIENCE - 1);
        assert!(all.borrow().is_none());
        roster.sweep(PATIENCE);
        assert_eq!(all.borrow().as_ref().map(|census| census.missing), Some(1));
        assert!(!silent.take_words().report);
    }
}
