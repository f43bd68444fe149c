//! The places at a pool's backends: who has one, and who waits for one, in the order in which they came.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::balance::Chance;
use super::budget::Budget;
use super::member::Member;
use crate::lifecycle::clock::{self, Instant};

/// The places of one pool; the same before and after a reload.
#[derive(Debug)]
pub(super) struct Places {
    state: Mutex<State>,
    /// Clients that got no place.
    pub(super) refused: AtomicU64,
    /// Requests that were tried on another backend.
    pub(super) retries: AtomicU64,
    /// Retries that the budget did not allow.
    pub(super) retries_refused: AtomicU64,
}

#[derive(Debug)]
struct State {
    /// Connections to each member; `usize::MAX`: any number.
    cap: usize,
    /// How many may wait.
    queue: usize,
    waiting: VecDeque<Waiter>,
    next_ticket: u64,
    chance: Chance,
    budget: Budget,
}

#[derive(Debug)]
struct Waiter {
    ticket: u64,
    key: u64,
    /// A place is handed over whole: one that its waiter does not take any more comes back by itself.
    hand: oneshot::Sender<Lease>,
}

/// One of a backend's connections; counted until it is dropped.
#[derive(Debug)]
pub(crate) struct Lease(Arc<Member>);

/// A place in the queue, left when it is dropped.
pub(super) struct Waiting {
    places: Arc<Places>,
    ticket: u64,
    hand: oneshot::Receiver<Lease>,
}

/// What a client gets that wants a place.
pub(super) enum Entry {
    /// One is free.
    Place(Lease),
    /// One may become free.
    Queue(Waiting),
    /// None is free, and too many wait already.
    Full,
}

impl Lease {
    /// The backend, as the configuration names it.
    #[must_use]
    pub(crate) fn backend(&self) -> &str {
        &self.0.backend.url
    }

    pub(super) fn member(&self) -> &Arc<Member> {
        &self.0
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.places.release(&self.0);
    }
}

impl Waiting {
    /// The place, when it is handed over before this moment. Cancel safe.
    pub(super) async fn place_by(&mut self, moment: Instant) -> Option<Lease> {
        clock::timeout_at(moment, &mut self.hand).await.ok()?.ok()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut state = self.places.state.lock();
        // Tickets only grow.
        if let Ok(at) = state.waiting.binary_search_by_key(&self.ticket, |waiter| waiter.ticket) {
            state.waiting.remove(at);
        }
    }
}

impl Places {
    /// Without a limit until one is set; `seed` is for the chance that balances have.
    pub(super) fn new(seed: u64) -> Self {
        let state = State {
            cap: usize::MAX,
            queue: 0,
            waiting: VecDeque::new(),
            next_ticket: 0,
            chance: Chance::new(seed),
            budget: Budget::default(),
        };
        Self {
            state: Mutex::new(state),
            refused: AtomicU64::new(0),
            retries: AtomicU64::new(0),
            retries_refused: AtomicU64::new(0),
        }
    }

    /// From now on so many connections to each member, and so many who wait.
    pub(super) fn limit(&self, cap: usize, queue: usize) {
        let mut state = self.state.lock();
        (state.cap, state.queue) = (cap, queue);
    }

    /// Connections to each member.
    pub(super) fn cap(&self) -> usize {
        self.state.lock().cap
    }

    /// How many wait.
    pub(super) fn waiting(&self) -> usize {
        self.state.lock().waiting.len()
    }

    /// A request is counted for the budget of retries.
    pub(super) fn count_request(&self, now: Instant) {
        self.state.lock().budget.count_request(now);
    }

    /// Whether one more retry is within this share of the requests, in percent.
    pub(super) fn may_retry(&self, now: Instant, percent: usize) -> bool {
        let may = self.state.lock().budget.take_retry(now, percent);
        let count = if may { &self.retries } else { &self.retries_refused };
        count.fetch_add(1, Ordering::Relaxed);
        may
    }

    /// While nobody else takes or gives places, and nobody else is ejected.
    pub(super) fn alone<T>(&self, act: impl FnOnce() -> T) -> T {
        let _state = self.state.lock();
        act()
    }

    /// A place of the member that `choose` names, by the cap, the client's key and a chance. Whoever waits goes first.
    pub(super) fn enter(self: &Arc<Self>, key: u64, choose: impl Fn(usize, u64, &mut Chance) -> Choice) -> Entry {
        let mut back = Vec::new();
        let mut state = self.state.lock();
        state.serve(&choose, &mut back);
        let chosen = if state.waiting.is_empty() { state.choose(key, &choose) } else { None };
        let entry = match chosen {
            Some(lease) => Entry::Place(lease),
            None if state.waiting.len() >= state.queue => Entry::Full,
            None => {
                let (hand, taken) = oneshot::channel();
                let ticket = state.next_ticket;
                state.next_ticket += 1;
                state.waiting.push_back(Waiter { ticket, key, hand });
                Entry::Queue(Waiting { places: Arc::clone(self), ticket, hand: taken })
            }
        };
        drop(state);
        // Only without the lock: places that nobody took come back through it.
        drop(back);
        entry
    }

    /// A place for somebody who does not wait, and goes before those who do: one whose backend has failed, or a check.
    pub(super) fn take(&self, key: u64, choose: impl Fn(usize, u64, &mut Chance) -> Choice) -> Option<Lease> {
        self.state.lock().choose(key, &choose)
    }

    /// Gives what is free to those who wait: after a member has come back, or may have more.
    pub(super) fn serve(&self, choose: impl Fn(usize, u64, &mut Chance) -> Choice) {
        let mut back = Vec::new();
        self.state.lock().serve(&choose, &mut back);
        drop(back);
    }

    fn release(&self, member: &Arc<Member>) {
        let mut back = Vec::new();
        let mut state = self.state.lock();
        let open = member.open.fetch_sub(1, Ordering::Relaxed) - 1;
        if open.saturating_mul(10) < state.cap.saturating_mul(8) {
            member.crowded.store(false, Ordering::Relaxed);
        }
        if !state.waiting.is_empty() && member.is_usable(Instant::now()) {
            let free = |cap: usize, _: u64, _: &mut Chance| (member.open() < cap).then(|| Arc::clone(member));
            state.serve(&free, &mut back);
        }
        drop(state);
        drop(back);
    }
}

/// The member that somebody gets.
pub(super) type Choice = Option<Arc<Member>>;

impl State {
    fn choose(&mut self, key: u64, choose: &impl Fn(usize, u64, &mut Chance) -> Choice) -> Option<Lease> {
        let member = choose(self.cap, key, &mut self.chance)?;
        member.open.fetch_add(1, Ordering::Relaxed);
        Some(Lease(member))
    }

    /// Hands places to those who wait, for as long as there are some.
    fn serve(&mut self, choose: &impl Fn(usize, u64, &mut Chance) -> Choice, back: &mut Vec<Lease>) {
        while let Some(key) = self.waiting.front().map(|waiter| waiter.key) {
            let Some(lease) = self.choose(key, choose) else { return };
            let Some(waiter) = self.waiting.pop_front() else { return };
            if let Err(lease) = waiter.hand.send(lease) {
                back.push(lease);
            }
        }
    }
}

#[cfg(test)]
mod tests;
