//! Saying something, in two steps: it is judged, and wants a place; it has its place, and reaches everybody.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Room, State};
use crate::hub::fault::Fault;
use crate::hub::id::{self, MemberId, MessageId};
use crate::hub::language::v1::event::{Event, Message};
use crate::hub::language::{plain, v1};
use crate::hub::mailbox::{Content, Said};
use crate::hub::name::Name;
use crate::hub::record::Draft;

/// What JSON puts around a text and a name at most, with a room's name of 64 characters, and a frame's head around it.
const AROUND: usize = 1024;
/// Members who have spoken in a slow room that are remembered without a look for those who need not be.
const SPOKE: usize = 1000;

/// How something is said.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Speech {
    /// When.
    pub(crate) now: Instant,
    /// Bytes of one frame at most: more than a member may have queued could reach nobody.
    pub(crate) queue: usize,
    /// Whether the speaker may where others may not.
    pub(crate) moderates: bool,
}

impl Room {
    /// Somebody of the plain language says something.
    ///
    /// # Errors
    /// Why it may not.
    pub(crate) fn submit_plain(self: &Arc<Self>, user: u64, text: &str, speech: Speech) -> Result<(), Fault> {
        self.submit(self.draft_plain(user, text), speech).map(drop)
    }

    /// Whether it may be said as far as can be told before others are asked; what is known already has its place.
    ///
    /// # Errors
    /// Why it may not.
    pub(crate) fn consider(&self, draft: &Draft, speech: Speech) -> Result<Option<MessageId>, Fault> {
        if !speech.moderates {
            self.ground.moderation.hears(&self.name, draft.from, &draft.name, speech.now)?;
        }
        let state = self.state.lock();
        if let Some(id) = state.history.said(draft.from, draft.reference.as_ref()) {
            return Ok(Some(id));
        }
        state.look(draft, speech).map(|()| None)
    }

    /// What somebody of the plain language says.
    pub(crate) fn draft_plain(&self, user: u64, text: &str) -> Draft {
        let from = MemberId::without_session(&self.ground.keys, user);
        let known = self.state.lock().people.name(from).map(|name| Arc::clone(&name.text));
        let name = known.unwrap_or_else(|| Name::of_user(user).text);
        Draft { from, user, name, text: text.into(), reference: None }
    }

    /// The first step: whether this may be said here. If so it gets its place, now or later, and [`Room::commit`] tells
    /// everybody. What was said before with the same word of its speaker's has its place already: that is returned.
    ///
    /// # Errors
    /// Why it may not.
    pub(crate) fn submit(self: &Arc<Self>, draft: Draft, speech: Speech) -> Result<Option<MessageId>, Fault> {
        let mut state = self.state.lock();
        if let Some(id) = state.history.said(draft.from, draft.reference.as_ref()) {
            return Ok(Some(id));
        }
        if !speech.moderates {
            self.ground.moderation.hears(&self.name, draft.from, &draft.name, speech.now)?;
        }
        state.judge(&draft, speech)?;
        drop(state);
        self.ground.order.place(self, draft);
        Ok(None)
    }

    /// The second step: it has its place. Kept, put into the mailboxes of all workers with members, and acknowledged to its
    /// speaker, in one order for all. Without an id it gets the next one; one that is not behind the last is old news.
    pub(crate) fn commit(self: &Arc<Self>, draft: Draft, id: Option<MessageId>) {
        let mut state = self.state.lock();
        let known = state.history.said(draft.from, draft.reference.as_ref());
        if let Some(known) = known {
            // It was sent twice before it had its place.
            let ack = self.ack(&draft, known);
            let user = draft.user;
            return self.post(&mut state, |_| Some(said((user, known), (None, None), ack.clone(), true)));
        }
        let id = id.unwrap_or_else(|| MessageId::after(state.history.end(), id::now()));
        if id <= state.history.end() {
            return;
        }
        let ack = self.ack(&draft, id);
        let whose = (draft.user, state.far.rank(id).unwrap_or(MessageId(u64::MAX)));
        let record = Arc::new(draft.placed(id));
        let (escape, to_sender) = (state.rules.escape, state.rules.to_sender);
        let speaks = |state: &State, v1: bool| {
            state.present.iter().any(|present| if v1 { present.v1 > 0 } else { present.plain > 0 })
        };
        let plain = speaks(&state, false).then(|| plain::said(&record.name, &record.text, escape));
        let event = || Event::Say { room: &self.name, message: Message::from(&*record) };
        let v1 = speaks(&state, true).then(|| event().frame());
        let bounds = state.rules.history;
        self.ground.store.keep(&self.name, &record);
        state.history.keep(record, plain.clone(), bounds);
        state.forget_origins();
        self.post(&mut state, |present| {
            let frames = (plain.clone().filter(|_| present.plain > 0), v1.clone().filter(|_| present.v1 > 0));
            let anybody = present.plain > 0 || present.v1 > 0;
            anybody.then(|| said(whose, frames, ack.clone(), to_sender))
        });
    }

    fn ack(&self, draft: &Draft, id: MessageId) -> Option<bytes::Bytes> {
        let reference = draft.reference.as_deref().filter(|_| draft.user > 0);
        let event = |reference| Event::Ack { reference: Some(reference), id, time: id.time(), room: Some(&self.name) };
        reference.map(|reference| event(reference).frame())
    }
}

type Frames = (Option<bytes::Bytes>, Option<bytes::Bytes>);

fn said((user, place): (u64, MessageId), (plain, v1): Frames, ack: Option<bytes::Bytes>, to_sender: bool) -> Content {
    Content::Said(Said { user, place, plain, v1, ack, to_sender })
}

impl State {
    fn judge(&mut self, draft: &Draft, speech: Speech) -> Result<(), Fault> {
        self.look(draft, speech)?;
        let slow = self.rules.slow;
        if !slow.is_zero() && !speech.moderates { self.slow_down(draft.from, speech.now, slow) } else { Ok(()) }
    }

    fn look(&self, draft: &Draft, speech: Speech) -> Result<(), Fault> {
        let text = &draft.text;
        if text.len() > self.rules.text {
            return Err(Fault::TooLong(self.rules.text));
        }
        // Texts of people are far from it: only what could be too long is counted.
        if text.len() * 6 + AROUND > speech.queue && self.longest(draft) > speech.queue {
            return Err(Fault::TooLong(speech.queue));
        }
        if self.rules.read_only && !speech.moderates {
            return Err(Fault::ReadOnly);
        }
        Ok(())
    }

    /// Bytes of the longest frame that a message becomes, in the languages of those who are here.
    fn longest(&self, draft: &Draft) -> usize {
        let (name, text) = (&*draft.name, &*draft.text);
        let length = if self.rules.escape { plain::escaped } else { str::len };
        let plain = plain::line(length(name), length(text));
        let spoken = self.present.iter().any(|present| present.v1 > 0);
        let json = spoken.then(|| v1::longest(name) + v1::longest(text) + AROUND);
        plain.max(json.unwrap_or_default())
    }

    fn slow_down(&mut self, from: MemberId, now: Instant, slow: Duration) -> Result<(), Fault> {
        let left =
            |spoke: &Instant| slow.checked_sub(now.saturating_duration_since(*spoke)).filter(|left| !left.is_zero());
        if let Some(wait) = self.spoke.get(&from).and_then(left) {
            return Err(Fault::SlowMode(wait));
        }
        if self.spoke.len() >= SPOKE && self.spoke.len() == self.spoke.capacity() {
            self.spoke.retain(|_, spoke| left(spoke).is_some());
        }
        self.spoke.insert(from, now);
        Ok(())
    }
}
