//! The living sessions of one worker: woken when they are due, and told when to go.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Waker};

use slab::Slab;

/// What a session is told from outside: to close with this code and reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Order {
    /// The close code.
    pub code: u16,
    /// The reason, at most 123 bytes.
    pub reason: Cow<'static, str>,
}

/// Room for so many sessions is kept when a crowd has left.
const SMALL: usize = 256;

/// All sessions of a worker. One sweep over it stands for a timer in each session.
#[derive(Debug, Default)]
pub(crate) struct Roster {
    entries: RefCell<Slab<Entry>>,
    now: Cell<u64>,
    /// An order for all, which also meets those who come later; and how many there were.
    standing: RefCell<Option<Order>>,
    orders: Cell<u32>,
}

/// Whom to wake, and when at the latest. Without an `Option`, so that a slot of the slab takes no more than this.
#[derive(Debug)]
struct Entry {
    waker: Waker,
    look_at: u64,
}

/// A session's place in the roster, left when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    roster: Rc<Roster>,
    key: u32,
    /// Orders that the session has seen.
    seen: Cell<u32>,
}

impl Roster {
    /// A new session's place. A worker has no more of them than a u32 can count.
    #[must_use]
    pub(crate) fn enter(self: &Rc<Self>) -> Place {
        let entry = Entry { waker: Waker::noop().clone(), look_at: 0 };
        let key = self.entries.borrow_mut().insert(entry) as u32;
        Place { roster: Rc::clone(self), key, seen: Cell::new(0) }
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
        for (_, entry) in self.entries.borrow().iter() {
            if now >= entry.look_at {
                entry.waker.wake_by_ref();
            }
        }
        let mut entries = self.entries.borrow_mut();
        if entries.capacity() > 4 * entries.len().max(SMALL) {
            entries.shrink_to_fit();
        }
    }

    /// Gives the order to all who live and all who will come.
    pub(crate) fn order_all(&self, order: &Order) {
        *self.standing.borrow_mut() = Some(order.clone());
        self.orders.set(self.orders.get() + 1);
        for (_, entry) in self.entries.borrow().iter() {
            entry.waker.wake_by_ref();
        }
    }
}

impl Place {
    /// Milliseconds since the worker started.
    #[must_use]
    pub(crate) fn now(&self) -> u64 {
        self.roster.now()
    }

    /// The order that was given since the last look.
    #[must_use]
    pub(crate) fn take_order(&self) -> Option<Order> {
        let orders = self.roster.orders.get();
        if self.seen.replace(orders) == orders { None } else { self.roster.standing.borrow().clone() }
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
}

impl Drop for Place {
    fn drop(&mut self) {
        // The waker may be the last hold on a task, and a task holds a place: not dropped under the borrow.
        let entry = self.roster.entries.borrow_mut().try_remove(self.key as usize);
        drop(entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
        let (roster, count) = (Rc::new(Roster::default()), Arc::new(Count::default()));
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
        let (roster, count) = (Rc::new(Roster::default()), Arc::new(Count::default()));
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
    fn an_order_for_all_meets_late_comers_too() {
        let roster = Rc::new(Roster::default());
        let early = roster.enter();
        let order = Order { code: 1001, reason: "draining".into() };
        roster.order_all(&order);
        assert_eq!(early.take_order(), Some(order.clone()));
        assert_eq!(early.take_order(), None);
        assert_eq!(roster.enter().take_order(), Some(order));
    }
}
