//! One room: the order of what is said in it, what newcomers get to see, and on which workers its members are.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use parking_lot::Mutex;

use super::mailbox::{Letter, Mailbox};
use crate::config;

/// One room, shared by all workers.
#[derive(Debug)]
pub(super) struct Room {
    state: Mutex<State>,
    history: usize,
    history_size: usize,
}

#[derive(Debug)]
struct State {
    /// The number of the last message.
    last: u64,
    said: VecDeque<Bytes>,
    said_bytes: usize,
    /// Members on each worker.
    present: Box<[u32]>,
    /// Seats that are taken or promised.
    seats: usize,
    empty_since: Option<Instant>,
}

/// What somebody finds who enters.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Welcome {
    /// The message after which it is present.
    pub(super) last: u64,
    /// What was said before, oldest first.
    pub(super) history: Vec<Bytes>,
}

impl Room {
    pub(super) fn new(wishes: &config::Hub, workers: usize) -> Self {
        let state = State {
            last: 0,
            said: VecDeque::new(),
            said_bytes: 0,
            present: vec![0; workers].into_boxed_slice(),
            seats: 0,
            empty_since: Some(Instant::now()),
        };
        Self { state: Mutex::new(state), history: wishes.history, history_size: wishes.history_size }
    }

    /// Somebody is promised a seat.
    pub(super) fn expect(&self) {
        let mut state = self.state.lock();
        state.seats += 1;
        state.empty_since = None;
    }

    /// A seat that was promised or taken is free.
    pub(super) fn forget_one(&self) {
        let mut state = self.state.lock();
        state.seats -= 1;
        if state.seats == 0 {
            state.empty_since = Some(Instant::now());
        }
    }

    /// Somebody is present on this worker from now on; the newest of the history that fits into `budget` bytes.
    pub(super) fn arrive(&self, worker: usize, budget: usize) -> Welcome {
        let mut state = self.state.lock();
        state.present[worker] += 1;
        let mut left = budget;
        let newest = state.said.iter().rev().take_while(|frame| {
            let fits = frame.len() <= left;
            left = left.saturating_sub(frame.len());
            fits
        });
        let mut history: Vec<Bytes> = newest.cloned().collect();
        history.reverse();
        Welcome { last: state.last, history }
    }

    /// Somebody is not present on this worker any more.
    pub(super) fn depart(&self, worker: usize) {
        self.state.lock().present[worker] -= 1;
    }

    /// Says something: it gets its number and reaches the mailbox of each worker with members, in one step, so that
    /// all of them have one order.
    pub(super) fn say(self: &Arc<Self>, from: u64, frame: &Bytes, mailboxes: &[Arc<Mailbox>]) {
        let mut state = self.state.lock();
        state.last += 1;
        let number = state.last;
        self.remember(&mut state, frame);
        for (mailbox, present) in mailboxes.iter().zip(&state.present) {
            if *present > 0 {
                mailbox.post(Letter { room: Arc::clone(self), number, from, frame: frame.clone() });
            }
        }
    }

    pub(super) fn empty_since(&self) -> Option<Instant> {
        self.state.lock().empty_since
    }

    fn remember(&self, state: &mut State, frame: &Bytes) {
        if self.history == 0 || frame.len() > self.history_size {
            return;
        }
        state.said.push_back(frame.clone());
        state.said_bytes += frame.len();
        while state.said.len() > self.history || state.said_bytes > self.history_size {
            if let Some(oldest) = state.said.pop_front() {
                state.said_bytes -= oldest.len();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(history: usize, history_size: usize) -> Arc<Room> {
        let wishes = config::Hub { history, history_size, page: false, to_sender: true, escape: true, rooms: 1 };
        Arc::new(Room::new(&wishes, 2))
    }

    #[test]
    fn history_is_bounded_in_count_and_bytes() {
        let room = room(3, 10);
        for frame in [&b"aaaa"[..], b"bbbb", b"cccc", b"dd", b"ee", b"far too long"] {
            room.say(1, &Bytes::copy_from_slice(frame), &[]);
        }
        let welcome = room.arrive(0, 1000);
        assert_eq!(welcome.last, 6);
        assert_eq!(welcome.history, ["cccc", "dd", "ee"]);
        assert_eq!(room.arrive(0, 4).history, ["dd", "ee"]);
        assert_eq!(room.arrive(0, 3).history, ["ee"]);
    }

    #[test]
    fn only_workers_with_members_get_letters() {
        let (room, boxes) = (room(0, 0), [Arc::new(Mailbox::default()), Arc::new(Mailbox::default())]);
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        room.arrive(1, 0);
        room.say(1, &Bytes::from_static(b"x"), &boxes);
        let next = std::pin::pin!(boxes[0].next());
        assert!(next.poll(&mut cx).is_pending());
        let next = std::pin::pin!(boxes[1].next());
        assert!(next.poll(&mut cx).is_ready());
    }
}
