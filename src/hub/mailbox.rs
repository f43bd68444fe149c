//! What one worker has to hand out to its members: filled by any thread, emptied by the worker, and bounded.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Waker};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::room::Room;

/// Messages in one mailbox, and their bytes, beyond which senders wait.
const MESSAGES: usize = 1024;
const BYTES: usize = 4 * 1024 * 1024;

/// A message on its way to the members of one room on one worker.
#[derive(Clone, Debug)]
pub(super) struct Letter {
    pub(super) room: Arc<Room>,
    /// Its place in the room's order.
    pub(super) number: u64,
    /// The user who said it.
    pub(super) from: u64,
    pub(super) frame: Bytes,
}

/// One worker's mailbox.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    inside: Mutex<Inside>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct Inside {
    letters: VecDeque<Letter>,
    bytes: usize,
    /// Senders who wait for room.
    waiting: Vec<Waker>,
}

impl Inside {
    fn is_full(&self) -> bool {
        self.letters.len() >= MESSAGES || self.bytes >= BYTES
    }
}

impl Mailbox {
    /// Takes a letter even when full: senders ask before they read from their clients, and one read makes a bounded
    /// number of letters.
    pub(super) fn post(&self, letter: Letter) {
        let mut inside = self.inside.lock();
        inside.bytes += letter.frame.len();
        inside.letters.push_back(letter);
        drop(inside);
        self.arrived.notify_one();
    }

    /// Whether senders may go on; if not, `cx` is woken when they may.
    pub(super) fn has_room(&self, cx: &mut Context<'_>) -> bool {
        let mut inside = self.inside.lock();
        let full = inside.is_full();
        if full && !inside.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            inside.waiting.push(cx.waker().clone());
        }
        !full
    }

    /// The next letter, waited for. Cancel safe.
    pub(super) async fn next(&self) -> Letter {
        loop {
            if let Some(letter) = self.take() {
                return letter;
            }
            self.arrived.notified().await;
        }
    }

    fn take(&self) -> Option<Letter> {
        let mut inside = self.inside.lock();
        let letter = inside.letters.pop_front()?;
        inside.bytes -= letter.frame.len();
        let waiting = if inside.is_full() { Vec::new() } else { std::mem::take(&mut inside.waiting) };
        drop(inside);
        waiting.into_iter().for_each(Waker::wake);
        Some(letter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    #[test]
    fn a_full_mailbox_makes_senders_wait_and_wakes_them() {
        let wishes = config::Hub { history: 0, history_size: 0, page: false, to_sender: true, escape: true, rooms: 1 };
        let room = Arc::new(Room::new(&wishes, 1));
        let mailbox = Mailbox::default();
        let mut cx = Context::from_waker(Waker::noop());
        for number in 0..MESSAGES as u64 {
            assert!(mailbox.has_room(&mut cx));
            mailbox.post(Letter { room: Arc::clone(&room), number, from: 1, frame: Bytes::from_static(b"x") });
        }
        assert!(!mailbox.has_room(&mut cx));
        assert_eq!(mailbox.inside.lock().waiting.len(), 1);
        assert_eq!(mailbox.take().map(|letter| letter.number), Some(0));
        assert!(mailbox.has_room(&mut cx) && mailbox.inside.lock().waiting.is_empty());
        mailbox.post(Letter { room, number: 0, from: 1, frame: Bytes::from(vec![0; BYTES]) });
        assert!(!mailbox.has_room(&mut cx));
    }
}
