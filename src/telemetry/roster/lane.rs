//! What the sessions of one route count together on one worker: nothing of it is in a session, and nothing is atomic
//! until it is added up.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::Arc;

use super::Roster;
use super::round::ROUND;
use crate::telemetry::metrics::{Lanes as Shared, Route, Sizes};

/// All lanes of a worker that somebody is in.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    all: RefCell<Vec<Weak<Lane>>>,
    /// When they are added up next.
    next: Cell<u64>,
}

/// One route's sessions on one worker.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) roster: Rc<Roster>,
    /// None for those who only say goodbye.
    route: Option<Arc<Route>>,
    pub(super) from_client: Sizes,
    pub(super) to_client: Sizes,
    pub(super) shared: Shared,
}

impl Lanes {
    /// The lane of this route, which is there as long as somebody is in it.
    pub(super) fn enter(&self, roster: &Rc<Roster>, route: Option<&Arc<Route>>) -> Rc<Lane> {
        let mut all = self.all.borrow_mut();
        all.retain(|lane| lane.strong_count() > 0);
        let known = all.iter().filter_map(Weak::upgrade).find(|lane| lane.route.as_ref() == route);
        known.unwrap_or_else(|| {
            let shared = route.map(|route| roster.rounds.traffic().lanes(route)).unwrap_or_default();
            let (from_client, to_client) = (Sizes::default(), Sizes::default());
            let lane = Lane { roster: Rc::clone(roster), route: route.cloned(), from_client, to_client, shared };
            let lane = Rc::new(lane);
            all.push(Rc::downgrade(&lane));
            lane
        })
    }

    /// Adds them up when it is time.
    pub(super) fn sweep(&self, now: u64) {
        if now >= self.next.get() {
            self.next.set(now + ROUND);
            self.all.borrow().iter().filter_map(Weak::upgrade).for_each(|lane| lane.add_up());
        }
    }
}

impl Lane {
    fn add_up(&self) {
        self.shared.add(&self.from_client, &self.to_client);
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.add_up();
    }
}
