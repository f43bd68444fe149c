//! What all rooms of one hub stand on: the workers' mailboxes, who is connected, who orders and who keeps.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};

use super::filter::Filter;
use super::id::{self, MemberId, MessageId};
use super::mailbox::{Letter, Mailbox, Word};
use super::moderation::Moderation;
use super::order::Order;
use super::store::Store;
use super::vacant::Vacant;

static GROUNDS: AtomicU64 = AtomicU64::new(0);

/// Shared by all rooms of a hub, and by the hubs that follow it at a reload.
#[derive(Debug)]
pub(crate) struct Ground {
    /// Those of the workers, in their order.
    pub(crate) mailboxes: Arc<[Arc<Mailbox>]>,
    /// What ids of members without a session are made of.
    pub(crate) keys: RandomState,
    pub(crate) order: Box<dyn Order>,
    pub(crate) store: Box<dyn Store>,
    pub(crate) moderation: Moderation,
    pub(crate) vacant: Vacant,
    filter: RwLock<Option<Arc<dyn Filter>>>,
    /// Its own among all hubs that there were.
    number: u64,
    users: AtomicU64,
    /// The last message of those that are in no room.
    messages: AtomicU64,
    connected: Mutex<HashMap<MemberId, Connected>>,
}

/// Where a member of the newer language is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Connected {
    worker: usize,
    user: u64,
}

impl Ground {
    /// Nobody is here yet.
    #[must_use]
    pub(crate) fn new(mailboxes: Arc<[Arc<Mailbox>]>, order: Box<dyn Order>, store: Box<dyn Store>) -> Self {
        let (keys, connected) = (RandomState::new(), Mutex::default());
        // Numbers begin elsewhere on each gateway, so that few members of a room are the same "User #1".
        let first = if order.is_alone() { 0 } else { (keys.hash_one(0) % 9000 + 1000) * 1000 };
        let number = GROUNDS.fetch_add(1, Ordering::Relaxed);
        Self {
            mailboxes,
            keys,
            order,
            store,
            moderation: Moderation::default(),
            vacant: Vacant::default(),
            filter: RwLock::default(),
            number,
            users: AtomicU64::new(first),
            messages: AtomicU64::new(0),
            connected,
        }
    }

    /// A number that no other connection of this hub has.
    pub(crate) fn next_user(&self) -> u64 {
        self.users.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// An id for a message that is in no room.
    pub(crate) fn next_message(&self) -> MessageId {
        let now = id::now();
        let next = |last| MessageId::after(MessageId(last), now);
        let last = self.messages.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(next(last).0));
        next(last.unwrap_or_else(|last| last))
    }

    /// Somebody is connected; another connection of the same member is told this word, and is not found any more.
    pub(crate) fn connect(&self, id: MemberId, (worker, user): (usize, u64), word: Word) {
        let before = self.connected.lock().insert(id, Connected { worker, user });
        if let Some(before) = before {
            self.send(before, word);
        }
    }

    /// A connection has ended, or is somebody else's.
    pub(crate) fn disconnect(&self, id: MemberId, user: u64) {
        let mut connected = self.connected.lock();
        if connected.get(&id).is_some_and(|known| known.user == user) {
            connected.remove(&id);
        }
    }

    /// Tells a member something; `false` when it is not here.
    pub(crate) fn tell(&self, id: MemberId, word: Word) -> bool {
        let known = self.connected.lock().get(&id).copied();
        known.map(|known| self.send(known, word)).is_some()
    }

    /// Who is asked about each message from now on.
    pub(crate) fn set_filter(&self, filter: Option<Arc<dyn Filter>>) {
        *self.filter.write() = filter;
    }

    /// Who is asked about each message.
    #[must_use]
    pub(crate) fn filter(&self) -> Option<Arc<dyn Filter>> {
        self.filter.read().clone()
    }

    /// How letters name this hub.
    pub(crate) const fn number(&self) -> u64 {
        self.number
    }

    fn send(&self, to: Connected, word: Word) {
        if let Some(mailbox) = self.mailboxes.get(to.worker) {
            mailbox.post(Letter::Member { to: (self.number, to.user), word });
        }
    }
}
