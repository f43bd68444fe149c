//! What moderators do to a room: somebody is put out, a message is forgotten, all have to wait.

use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::Duration;

use super::{Room, Speech};
use crate::hub::fault::Fault;
use crate::hub::id::{MemberId, MessageId};
use crate::hub::language::v1::event::Event;
use crate::hub::mailbox::{Content, Out};
use crate::hub::record::Draft;
use crate::hub::sentence::Who;

/// What there is to tell of a room.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts {
    pub(crate) members: usize,
    /// Messages in its memory.
    pub(crate) messages: usize,
    pub(crate) last: Option<MessageId>,
    pub(crate) read_only: bool,
    pub(crate) slow: Duration,
    pub(crate) is_fixed: bool,
}

impl Room {
    /// What there is to tell of it.
    #[must_use]
    pub(crate) fn facts(&self) -> Facts {
        let state = self.state.lock();
        Facts {
            members: state.people.count(),
            messages: state.history.len(),
            last: state.history.last(),
            read_only: state.rules.read_only,
            slow: state.rules.slow,
            is_fixed: state.rules.is_fixed,
        }
    }

    /// Says something for the server, and tells its place if it has one at once.
    ///
    /// # Errors
    /// Why it may not be said.
    pub(crate) fn post_once(self: &Arc<Self>, mut draft: Draft, speech: Speech) -> Result<Option<MessageId>, Fault> {
        // By a word of its own it is found again: one that no other gateway makes, though it be the same moment there.
        let word = || {
            let id = self.ground.next_message();
            format!("#{id}{:016x}", self.ground.keys.hash_one(id.0)).into()
        };
        let word = draft.reference.get_or_insert_with(word);
        let (from, word) = (draft.from, Arc::clone(word));
        if let Some(known) = self.submit(draft, speech)? {
            return Ok(Some(known));
        }
        Ok(self.state.lock().history.said(from, Some(&word)))
    }

    /// Who is here and meant; nobody by an address, which a room does not know.
    #[must_use]
    pub(crate) fn like(&self, who: &Who) -> Vec<(MemberId, Arc<str>)> {
        let state = self.state.lock();
        match who {
            Who::Address(_) => Vec::new(),
            Who::Member(id) => match state.people.name(*id) {
                Some(name) => vec![(*id, Arc::clone(&name.text))],
                None => state.people.numbered(*id, &self.ground.keys).into_iter().collect(),
            },
            Who::Name(key) => state.people.called(key, &self.ground.keys),
        }
    }

    /// Puts out who is here and meant, wherever its connections are; how many that are.
    pub(crate) fn put_out(self: &Arc<Self>, who: &Who, out: &Out) -> usize {
        let ids: Arc<[MemberId]> = self.like(who).into_iter().map(|(id, _)| id).collect();
        if !ids.is_empty() {
            let content = || Content::Out(Out { ids: Arc::clone(&ids), ..out.clone() });
            self.post(&mut self.state.lock(), |present| (present.plain + present.v1 > 0).then(content));
        }
        ids.len()
    }

    /// How many members on other gateways are meant; `None` when there may be some that are not known here.
    pub(crate) fn elsewhere(&self, who: &Who) -> Option<usize> {
        let state = self.state.lock();
        if state.far.is_apart() {
            return Some(0);
        }
        let far = state.far.list().filter(|(id, name)| match who {
            Who::Address(_) => false,
            Who::Member(member) => member == id,
            Who::Name(_) => Who::named(name) == *who,
        });
        match far.count() {
            0 if !state.far.knows_all() => None,
            count => Some(count),
        }
    }

    /// From now on, without a word, in a room that is new here.
    pub(crate) fn begin_slow(&self, every: Duration) {
        let mut state = self.state.lock();
        (state.slow, state.rules.slow) = (Some(every), every);
    }

    /// From now on, and over reloads, one member waits so long between two messages; how many are told.
    pub(crate) fn slow_down(self: &Arc<Self>, every: Duration) -> usize {
        let mut state = self.state.lock();
        (state.slow, state.rules.slow) = (Some(every), every);
        let text = if every.is_zero() { "this room is not slow any more" } else { "this room is slow now" };
        let event = Event::Notice { room: Some(&self.name), code: "slow", text, seconds: Some(every.as_secs()) };
        self.tell_all(&mut state, &event);
        state.people.count()
    }

    /// A message is forgotten, here and in the store; the members are told to forget it, too. How many that are, and the
    /// message's place for all gateways, if it has one.
    ///
    /// # Errors
    /// There is no such message.
    pub(crate) fn erase(self: &Arc<Self>, id: MessageId) -> Result<(usize, Option<MessageId>), Fault> {
        let mut state = self.state.lock();
        let place = state.far.place(id);
        if !state.history.erase(id) {
            // What was said before this gateway had the room may still be on its way here.
            return place.filter(|_| !state.far.is_ready()).map(|id| (0, Some(id))).ok_or(Fault::NoSuchMessage);
        }
        self.ground.store.erase(&self.name, id);
        self.tell_all(&mut state, &Event::Delete { room: &self.name, id });
        let count = state.people.count();
        drop(state);
        self.ground.order.erased(self, id);
        Ok((count, place))
    }

    /// The same for the message that has this place for all gateways, under whatever id it is known here.
    pub(crate) fn erase_place(self: &Arc<Self>, place: MessageId) {
        let id = self.state.lock().far.shown(place);
        // Whoever does not have it has nothing to forget.
        let _ = self.erase(id);
    }
}
