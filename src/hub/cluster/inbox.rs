//! What the rooms of all workers have for Redis: filled by any thread, emptied by one, and bounded by those who ask first.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Waker};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::chapter::Chapter;
use super::decree::Decree;
use super::entry::Said;
use super::hall::Hall;

/// What a room wants.
#[derive(Clone, Debug)]
pub(in crate::hub) enum Note {
    /// It is there from now on, and wants its history.
    Open(Arc<Chapter>, Arc<dyn Hall>),
    /// Somebody says something in it; the connection that waits for its place, by its number.
    Say(Arc<Chapter>, Arc<dyn Hall>, Arc<Said>, u64),
    /// Somebody has come, gone, or is called otherwise.
    People(Arc<Chapter>, Arc<dyn Hall>),
    /// Its other parts are to hear something, as the inside of a JSON object.
    Tell(Arc<Chapter>, Arc<dyn Hall>, String),
    /// The message that was shown under this id is taken out.
    Erase(Arc<Chapter>, Arc<dyn Hall>, u64),
    /// A moderator has decided something.
    Decree(Arc<Chapter>, Decree),
    /// Another gateway is to hear something, as the inside of a JSON object.
    Send(Arc<Chapter>, Arc<str>, String),
    /// A hub is there from now on.
    Begin(Arc<Chapter>),
}

/// Notes on their way.
#[derive(Debug)]
pub(super) struct Inbox {
    inside: Mutex<Inside>,
    arrived: Notify,
    /// Notes beyond which senders wait.
    most: usize,
}

#[derive(Debug, Default)]
struct Inside {
    notes: VecDeque<Note>,
    waiting: Vec<Waker>,
}

impl Inbox {
    pub(super) fn new(most: usize) -> Self {
        Self { inside: Mutex::default(), arrived: Notify::new(), most }
    }

    /// Takes a note even when full: senders ask before they read from their clients.
    pub(super) fn post(&self, note: Note) {
        self.inside.lock().notes.push_back(note);
        self.arrived.notify_one();
    }

    /// Whether senders may go on; if not, `cx` is woken when they may.
    pub(super) fn has_room(&self, cx: &mut Context<'_>) -> bool {
        let mut inside = self.inside.lock();
        let full = inside.notes.len() >= self.most;
        if full && !inside.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            inside.waiting.push(cx.waker().clone());
        }
        !full
    }

    /// Notes that wait.
    pub(super) fn len(&self) -> usize {
        self.inside.lock().notes.len()
    }

    /// The next note, waited for. Cancel safe.
    pub(super) async fn next(&self) -> Note {
        loop {
            if let Some(note) = self.take() {
                return note;
            }
            self.arrived.notified().await;
        }
    }

    fn take(&self) -> Option<Note> {
        let mut inside = self.inside.lock();
        let note = inside.notes.pop_front()?;
        let waiting = if inside.notes.len() >= self.most { Vec::new() } else { std::mem::take(&mut inside.waiting) };
        drop(inside);
        waiting.into_iter().for_each(Waker::wake);
        Some(note)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::cluster::chapter::tests::chapter;

    #[test]
    fn a_full_inbox_makes_senders_wait_and_wakes_them() {
        let (inbox, mut cx) = (Inbox::new(2), Context::from_waker(Waker::noop()));
        for _ in 0..2 {
            assert!(inbox.has_room(&mut cx));
            inbox.post(Note::Begin(chapter()));
        }
        assert!(!inbox.has_room(&mut cx));
        assert_eq!((inbox.len(), inbox.inside.lock().waiting.len()), (2, 1));
        assert!(inbox.take().is_some() && inbox.has_room(&mut cx) && inbox.inside.lock().waiting.is_empty());
    }
}
