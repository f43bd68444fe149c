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

/// All sessions of a worker. One sweep over it stands for a timer in each session.
#[derive(Debug, Default)]
pub(crate) struct Roster {
    entries: RefCell<Slab<Rc<Entry>>>,
    now: Cell<u64>,
    /// An order for all, which also meets those who come later.
    standing: RefCell<Option<Order>>,
}

#[derive(Debug, Default)]
struct Entry {
    waker: RefCell<Option<Waker>>,
    look_at: Cell<u64>,
    order: RefCell<Option<Order>>,
}

/// A session's place in the roster, left when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    roster: Rc<Roster>,
    entry: Rc<Entry>,
    key: usize,
}

impl Roster {
    /// A new session's place.
    #[must_use]
    pub(crate) fn enter(self: &Rc<Self>) -> Place {
        let entry = Rc::new(Entry::default());
        *entry.order.borrow_mut() = self.standing.borrow().clone();
        let key = self.entries.borrow_mut().insert(Rc::clone(&entry));
        Place { roster: Rc::clone(self), entry, key }
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

    /// Time has passed: wakes the sessions that are due.
    pub(crate) fn sweep(&self, now: u64) {
        self.now.set(now);
        for (_, entry) in self.entries.borrow().iter() {
            if now >= entry.look_at.get() {
                entry.wake();
            }
        }
    }

    /// Gives the order to all who live and all who will come.
    pub(crate) fn order_all(&self, order: &Order) {
        *self.standing.borrow_mut() = Some(order.clone());
        for (_, entry) in self.entries.borrow().iter() {
            *entry.order.borrow_mut() = Some(order.clone());
            entry.wake();
        }
    }
}

impl Entry {
    fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
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
        self.entry.order.borrow_mut().take()
    }

    /// The session goes to sleep: whom to wake, and when at the latest.
    pub(crate) fn settle(&self, cx: &Context<'_>, look_at: u64) {
        self.entry.look_at.set(look_at);
        let mut waker = self.entry.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
    }

    /// Wakes the session, as one that has something to do for another does.
    pub(crate) fn wake(&self) {
        self.entry.wake();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.roster.entries.borrow_mut().remove(self.key);
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
