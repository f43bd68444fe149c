//! The living sessions of one worker: woken when they are due, asked how they are, and told when to go.

mod lane;
mod place;
mod round;
mod words;

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

use slab::Slab;

use self::lane::Lanes;
pub(crate) use self::place::Place;
use self::round::Rounds;
pub(crate) use self::words::{Census, Order, Words};
use super::metrics::{Route, Traffic};
use super::report::Report;

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
    /// What is to be known better than a sweep knows it is counted from here.
    since: Instant,
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
    lanes: Lanes,
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

impl Roster {
    /// The roster of the worker with this place among so many: numbers of all workers' sessions differ.
    #[must_use]
    pub(crate) fn new(worker: usize, workers: usize) -> Self {
        Self {
            worker: (worker as u64, workers.max(1) as u64),
            entries: RefCell::default(),
            now: Cell::default(),
            since: Instant::now(),
            numbered: Cell::default(),
            words: Cell::default(),
            orders: RefCell::default(),
            arrivals: RefCell::default(),
            surveys: RefCell::default(),
            rounds: Rounds::new(Traffic::default()),
            lanes: Lanes::default(),
        }
    }

    /// What passes is added there.
    #[must_use]
    pub(crate) fn with_traffic(self, traffic: Traffic) -> Self {
        Self { rounds: Rounds::new(traffic), ..self }
    }

    /// The place of a new session on this route. A worker has no more of them than a u32 can count.
    #[must_use]
    pub(crate) fn enter(self: &Rc<Self>, route: &Arc<Route>) -> Place {
        let (worker, workers) = self.worker;
        self.numbered.set(self.numbered.get() + 1);
        let place = self.enter_as(self.numbered.get() * workers + worker, Some(route));
        self.rounds.begin(place.key as usize, &place.lane);
        if let Some(order) = &*self.arrivals.borrow() {
            self.orders.borrow_mut().insert(place.key, order.clone());
            place.seen.set(self.words.get().wrapping_sub(1));
        }
        place
    }

    /// A place for one that only says goodbye: it is woken when it is due, and neither asked nor told anything.
    #[must_use]
    pub(crate) fn pass(self: &Rc<Self>) -> Place {
        self.enter_as(0, None)
    }

    fn enter_as(self: &Rc<Self>, number: u64, route: Option<&Arc<Route>>) -> Place {
        let entry = Entry { waker: Waker::noop().clone(), look_at: 0, number };
        let key = self.entries.borrow_mut().insert(entry) as u32;
        Place { lane: self.lanes.enter(self, route), key, seen: Cell::new(self.words.get()) }
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
        self.lanes.sweep(now);
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

#[cfg(test)]
mod tests {
    use super::round::{ROUND, SHARE};
    use super::*;
    use crate::telemetry::metrics::Metrics;
    use crate::telemetry::report::State;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Wake};
    use std::time::Duration;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn route() -> Arc<Route> {
        Arc::new(Route { route: "/".to_owned() })
    }

    #[test]
    fn the_sweep_wakes_who_is_due_and_nobody_else() {
        let (roster, count) = (Rc::new(Roster::new(1, 4)), Arc::new(Count::default()));
        let waker = Waker::from(Arc::clone(&count));
        let place = roster.enter(&route());
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
        let mut places: Vec<_> = (0..10 * SMALL).map(|_| roster.enter(&route())).collect();
        places.truncate(3);
        roster.sweep(1);
        assert!(roster.entries.borrow().capacity() < 10 * SMALL);
        // The next one takes a slot that is free, and nothing of who had it.
        drop(places.remove(1));
        let newcomer = roster.enter(&route());
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
        let places: Vec<_> = (0..3 * SHARE).map(|_| roster.enter(&route())).collect();
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
        let (first, second) = (roster.enter(&route()), roster.enter(&route()));
        first.tell(((2, 1), (20, 10)), State { queued: 7, is_held: true, ..State::default() });
        second.tell(((0, 4), (0, 40)), State::default());
        assert_eq!(line("wsgate_data_bytes_total{direction=\"in\"}"), 20);
        assert_eq!(line("wsgate_data_frames_total{direction=\"out\"}"), 5);
        assert_eq!(line("wsgate_send_queue_bytes"), 7);
        assert_eq!(line("wsgate_websockets_in_state{state=\"queued\"}"), 1);
        assert_eq!(line("wsgate_websockets_in_state{state=\"held\"}"), 1);
        assert_eq!(line("wsgate_route_connections{route=\"/\",state=\"held\"}"), 1);
        assert_eq!(line("wsgate_route_connections{route=\"/\",state=\"open\"}"), 1);
        first.tell(((3, 1), (25, 10)), State { queued: 2, is_ending: true, ..State::default() });
        assert_eq!(line("wsgate_data_bytes_total{direction=\"in\"}"), 25);
        assert_eq!(line("wsgate_send_queue_bytes"), 2);
        assert_eq!(line("wsgate_websockets_in_state{state=\"held\"}"), 0);
        drop(first);
        assert_eq!(line("wsgate_send_queue_bytes"), 0);
        assert_eq!(line("wsgate_websockets_in_state{state=\"ending\"}"), 0);
        assert_eq!(line("wsgate_route_connections{route=\"/\",state=\"ending\"}"), 0);
        assert_eq!(line("wsgate_route_connections{route=\"/\",state=\"open\"}"), 1);
        // Its heir begins anew.
        roster.enter(&route()).tell(((1, 0), (1, 0)), State::default());
        assert_eq!(line("wsgate_data_bytes_total{direction=\"in\"}"), 26);
        assert_eq!(line("wsgate_data_frames_total{direction=\"in\"}"), 4);
    }

    #[test]
    fn messages_of_a_route_are_added_up_once_a_second_and_when_the_last_has_left() {
        let metrics = Metrics::default();
        let roster = Rc::new(Roster::new(0, 1).with_traffic(metrics.traffic.clone()));
        let counted = |way: &str| {
            let name = format!("wsgate_message_size_bytes_count{{route=\"/\",direction=\"{way}\"}} ");
            let text = metrics.text();
            text.lines().find_map(|line| line.strip_prefix(&name)?.parse::<u64>().ok())
        };
        let (first, second) = (roster.enter(&route()), roster.enter(&route()));
        first.received(1);
        second.received(2);
        second.sent(3);
        assert_eq!((counted("in"), counted("out")), (Some(0), Some(0)));
        roster.sweep(ROUND);
        assert_eq!((counted("in"), counted("out")), (Some(2), Some(1)));
        first.received(1);
        roster.sweep(2 * ROUND - 1);
        drop(second);
        assert_eq!(counted("in"), Some(2));
        drop(first);
        assert_eq!(counted("in"), Some(3));
        roster.enter(&route()).received(1);
        assert_eq!(counted("in"), Some(4));
    }

    #[test]
    fn the_first_ping_that_is_not_answered_yet_is_the_one_whose_answer_is_timed() {
        let metrics = Metrics::default();
        let roster = Rc::new(Roster::new(0, 1).with_traffic(metrics.traffic.clone()));
        let place = roster.enter(&route());
        let (rounds, lane) = (&roster.rounds, &place.lane);
        let key = place.key as usize;
        rounds.answer(key, 5, lane);
        assert_eq!(place.round_trip(), None, "nobody has asked");
        for (asked, now) in [(7, 100), (90, 200)] {
            rounds.ask(key, asked);
            rounds.ask(key, asked + 1);
            rounds.answer(key, now, lane);
            assert_eq!(place.round_trip(), Some(Duration::from_micros(now - asked)));
        }
        rounds.answer(key, 999, lane);
        assert_eq!(place.round_trip(), Some(Duration::from_micros(110)));
        let text = metrics.text();
        assert!(text.contains("wsgate_ping_round_trip_seconds_count{route=\"/\"} 2\n"), "{text}");
        drop(place);
        let heir = roster.enter(&route());
        assert_eq!((heir.key as usize, heir.round_trip()), (key, None));
        heir.asked();
        heir.answered();
        assert!(heir.round_trip() > Some(Duration::ZERO));
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
        let early = roster.enter(&route());
        assert!(!early.has_words());
        roster.order_all(&order());
        assert!(early.has_words());
        assert_eq!(early.take_words().close, Some(order()));
        assert!(!early.has_words());
        let late = roster.enter(&route());
        assert!(late.has_words());
        assert_eq!(late.take_words().close, Some(order()));
        assert!(!roster.pass().has_words());
    }

    #[test]
    fn an_order_meets_those_who_are_meant_and_no_heir_of_theirs() {
        let roster = Rc::new(Roster::new(1, 4));
        let places: Vec<_> = (0..3).map(|_| roster.enter(&route())).collect();
        let numbers: Vec<_> = places.iter().map(Place::number).collect();
        assert_eq!(numbers, [5, 9, 13]);
        assert_eq!(roster.order(&HashSet::from([9, 13, 4711]), &order()), 2);
        let [first, second, third] = <[Place; 3]>::try_from(places).expect("three");
        assert_eq!(first.take_words(), Words::default());
        assert_eq!(second.take_words().close, Some(order()));
        let key = third.key;
        drop(third);
        let heir = roster.enter(&route());
        assert_eq!((heir.key, heir.has_words()), (key, false));
        roster.order(&HashSet::from([5]), &order());
        assert_eq!(heir.take_words(), Words::default());
    }

    #[test]
    fn a_survey_waits_for_the_last_who_lives() {
        let roster = Rc::new(Roster::new(0, 1));
        let (first, second, third) = (roster.enter(&route()), roster.enter(&route()), roster.enter(&route()));
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
        let silent = roster.enter(&route());
        let all = asked(&roster, None);
        roster.sweep(PATIENCE - 1);
        assert!(all.borrow().is_none());
        roster.sweep(PATIENCE);
        assert_eq!(all.borrow().as_ref().map(|census| census.missing), Some(1));
        assert!(!silent.take_words().report);
    }
}
