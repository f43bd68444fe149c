//! The members of all rooms on one worker: one walk hands a message to each of them, and never waits for any.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Waker};

use slab::Slab;

use super::mailbox::{Letter, Mailbox};
use super::room::Room;
use super::seat::Seat;
use crate::socket::endpoint::Endpoint;
use crate::telemetry::roster::Place;

/// Members that are served before others on this worker get their turn.
///
/// Below the budget of 128 operations that tokio gives a task for one turn: beyond it every write would have to wait.
const STRIDE: usize = 96;

/// One worker's members.
#[derive(Debug)]
pub(crate) struct Shard {
    worker: usize,
    mailbox: Arc<Mailbox>,
    /// By the room's address, which is its own as long as a member holds it.
    rooms: RefCell<HashMap<*const Room, Slab<Rc<Member>>>>,
}

/// One member.
pub(super) struct Member {
    pub(super) endpoint: RefCell<Endpoint>,
    pub(super) place: Place,
    pub(super) user: u64,
    /// The message after which it came.
    pub(super) last: u64,
    pub(super) seat: Seat,
}

impl std::fmt::Debug for Member {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Member").field("user", &self.user).finish_non_exhaustive()
    }
}

impl Shard {
    /// A worker's shard; `worker` is its place among the mailboxes.
    #[must_use]
    pub(crate) fn new(worker: usize, mailbox: Arc<Mailbox>) -> Self {
        Self { worker, mailbox, rooms: RefCell::default() }
    }

    pub(super) const fn worker(&self) -> usize {
        self.worker
    }

    /// Somebody has come; what is returned is to be shown when it leaves.
    pub(super) fn join(&self, member: Rc<Member>) -> usize {
        let room = Arc::as_ptr(member.seat.room());
        self.rooms.borrow_mut().entry(room).or_default().insert(member)
    }

    /// Somebody has left; the room is held by it until then.
    pub(super) fn leave(&self, room: &Arc<Room>, key: usize) {
        let mut rooms = self.rooms.borrow_mut();
        let address = Arc::as_ptr(room);
        if let Some(members) = rooms.get_mut(&address) {
            members.remove(key);
            if members.is_empty() {
                rooms.remove(&address);
            } else if members.capacity() > 4 * members.len().max(STRIDE) {
                // The walk goes over all slots: those of a crowd that has left are given back.
                members.shrink_to_fit();
            }
        }
        drop(rooms);
        room.depart(self.worker);
    }

    /// Hands out what arrives, for as long as the worker lives.
    pub(crate) async fn run(self: Rc<Self>) {
        loop {
            let letter = self.mailbox.next().await;
            self.deliver(&letter).await;
            // Members flush and answer between two letters, however many wait.
            tokio::task::yield_now().await;
        }
    }

    async fn deliver(&self, letter: &Letter) {
        let mut at = 0;
        while self.deliver_some(letter, at) {
            at += STRIDE;
            tokio::task::yield_now().await;
        }
    }

    /// Serves the members in the slots from `at`; whether there are more. Nobody is forgotten or served twice when
    /// members come and go meanwhile: slots do not move, and newcomers came after this message.
    fn deliver_some(&self, letter: &Letter, at: usize) -> bool {
        let rooms = self.rooms.borrow();
        let Some(members) = rooms.get(&Arc::as_ptr(&letter.room)) else { return false };
        // Nobody's task is polled here: a member that has more to send than its socket takes is woken for it.
        let mut cx = Context::from_waker(Waker::noop());
        let end = members.capacity().min(at + STRIDE);
        for member in (at..end).filter_map(|slot| members.get(slot)) {
            if letter.number > member.last && (letter.from != member.user || member.seat.hears_itself()) {
                member.deliver(&mut cx, letter);
            }
        }
        end < members.capacity()
    }
}

impl Member {
    fn deliver(&self, cx: &mut Context<'_>, letter: &Letter) {
        let mut endpoint = self.endpoint.borrow_mut();
        let kept = endpoint.deliver(cx, self.place.now(), &letter.frame);
        if !kept || endpoint.has_backlog() {
            self.place.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With the two counts of its [`Rc`], 16 bytes, it fills one of the allocator's blocks of 384; its socket is 16 bytes
    /// larger here than in a release.
    #[test]
    fn a_member_takes_no_more_than_this() {
        assert!(size_of::<Member>() <= 384, "{}", size_of::<Member>());
    }
}
