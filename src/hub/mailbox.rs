//! What one worker has to hand out to its members: filled by any thread, emptied by the worker, and bounded.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Waker};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::id::{MemberId, MessageId};
use super::language::v1::request::Join;
use super::room::Room;
use crate::wire::close::Close;

/// Something on its way to members on one worker.
#[derive(Clone, Debug)]
pub(crate) enum Letter {
    /// To the members of a room who came before it.
    Room {
        room: Arc<Room>,
        /// Its place among all that the room hears of.
        number: u64,
        content: Content,
    },
    /// To one member that speaks `wsgate.chat.v1`.
    Member {
        /// Its hub, by its number, and its own number there.
        to: (u64, u64),
        word: Word,
    },
}

/// What a room hears of.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    /// Something was said.
    Said(Said),
    /// Something happened that only the newer language has words for; all but this member are told.
    Event { frame: Bytes, except: u64 },
    /// Some are put out.
    Out(Out),
}

/// What was said, in each language that has members in the room.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    /// The member who said it, by its number; 0 when it is not on this gateway.
    pub(super) user: u64,
    /// Where it stands among all gateways; the highest id there is while it has no place.
    pub(super) place: MessageId,
    pub(super) plain: Option<Bytes>,
    pub(super) v1: Option<Bytes>,
    /// For the member who said it, behind the message itself.
    pub(super) ack: Option<Bytes>,
    /// Whether it hears itself.
    pub(super) to_sender: bool,
}

/// Who is put out of a room, and how that is told.
#[derive(Clone, Debug)]
pub(crate) struct Out {
    pub(super) ids: Arc<[MemberId]>,
    pub(super) why: &'static str,
    pub(super) reason: Option<Arc<str>>,
    /// Whether its connection ends, though its language knows more than one room.
    pub(super) close: bool,
}

impl Out {
    /// For whoever is told by a Close.
    pub(super) fn line(&self) -> String {
        self.reason.as_ref().map_or_else(|| self.why.to_owned(), |reason| format!("{}: {reason}", self.why))
    }
}

/// What one member is told.
#[derive(Clone, Debug)]
pub(crate) enum Word {
    /// This, as a frame.
    Frame(Bytes),
    /// To go.
    Close(Close),
    /// To be called so no more: a token says that it is somebody else's name.
    Displaced(Arc<str>),
    /// To come into a room that was not ready when it asked.
    Again(Again),
}

/// A request that waited for its room.
#[derive(Clone, Debug)]
pub(crate) struct Again {
    pub(crate) join: Box<Join>,
    pub(crate) reference: Option<Box<str>>,
    /// Bytes that the answer may have.
    pub(crate) budget: usize,
}

impl Letter {
    fn size(&self) -> usize {
        let len = |frame: &Option<Bytes>| frame.as_ref().map_or(0, Bytes::len);
        match self {
            Self::Room { content: Content::Said(Said { plain, v1, ack, .. }), .. } => len(plain) + len(v1) + len(ack),
            Self::Room { content: Content::Event { frame, .. }, .. } => frame.len(),
            Self::Room { content: Content::Out(out), .. } => size_of_val(&*out.ids),
            Self::Member { word: Word::Frame(frame), .. } => frame.len(),
            Self::Member { word: Word::Close(close), .. } => close.reason.len(),
            Self::Member { word: Word::Displaced(_) | Word::Again(_), .. } => 0,
        }
    }
}

/// How much may wait in a mailbox before senders of one hub wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// Messages.
    pub(crate) letters: usize,
    /// Their bytes.
    pub(crate) bytes: usize,
}

/// One worker's mailbox, for all hubs.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    inside: Mutex<Inside>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct Inside {
    letters: VecDeque<Letter>,
    bytes: usize,
    /// Senders who wait until there is less than this.
    waiting: Vec<(Bounds, Waker)>,
}

impl Inside {
    fn is_full(&self, bounds: Bounds) -> bool {
        self.letters.len() >= bounds.letters || self.bytes >= bounds.bytes
    }

    /// Those who need not wait any more.
    fn freed(&mut self) -> Vec<Waker> {
        if self.waiting.is_empty() {
            return Vec::new();
        }
        let (wait, free) = std::mem::take(&mut self.waiting).into_iter().partition(|(bounds, _)| self.is_full(*bounds));
        self.waiting = wait;
        free.into_iter().map(|(_, waker): (Bounds, Waker)| waker).collect()
    }
}

impl Mailbox {
    /// Takes a letter even when full: senders ask before they read from their clients, and one read makes a bounded
    /// number of letters.
    pub(super) fn post(&self, letter: Letter) {
        let mut inside = self.inside.lock();
        inside.bytes += letter.size();
        inside.letters.push_back(letter);
        drop(inside);
        self.arrived.notify_one();
    }

    /// Whether senders may go on; if not, `cx` is woken when they may.
    pub(super) fn has_room(&self, cx: &mut Context<'_>, bounds: Bounds) -> bool {
        let mut inside = self.inside.lock();
        let full = inside.is_full(bounds);
        if full && !inside.waiting.iter().any(|(_, waker)| waker.will_wake(cx.waker())) {
            inside.waiting.push((bounds, cx.waker().clone()));
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

    pub(super) fn take(&self) -> Option<Letter> {
        let mut inside = self.inside.lock();
        let letter = inside.letters.pop_front()?;
        inside.bytes -= letter.size();
        let waiting = inside.freed();
        drop(inside);
        waiting.into_iter().for_each(Waker::wake);
        Some(letter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { letters: 16, bytes: 1000 };

    fn letter(size: usize) -> Letter {
        Letter::Member { to: (0, 1), word: Word::Frame(Bytes::from(vec![0; size])) }
    }

    #[test]
    fn a_full_mailbox_makes_senders_wait_and_wakes_them() {
        let mailbox = Mailbox::default();
        let mut cx = Context::from_waker(Waker::noop());
        for _ in 0..BOUNDS.letters {
            assert!(mailbox.has_room(&mut cx, BOUNDS));
            mailbox.post(letter(1));
        }
        assert!(!mailbox.has_room(&mut cx, BOUNDS) && mailbox.has_room(&mut cx, Bounds { letters: 17, ..BOUNDS }));
        assert_eq!(mailbox.inside.lock().waiting.len(), 1);
        assert!(mailbox.take().is_some());
        assert!(mailbox.has_room(&mut cx, BOUNDS) && mailbox.inside.lock().waiting.is_empty());
        mailbox.post(letter(1000));
        assert!(!mailbox.has_room(&mut cx, BOUNDS));
        while mailbox.take().is_some() {}
        assert_eq!(mailbox.inside.lock().bytes, 0);
    }
}
