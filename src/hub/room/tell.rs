//! Telling the members of a room: letters into the mailboxes of their workers, in one order for all.

use std::sync::Arc;

use super::{Guest, Present, Room, State};
use crate::hub::id;
use crate::hub::language::v1::event::Event;
use crate::hub::mailbox::{Content, Letter};

impl Room {
    /// Tells the others who comes or goes. Who is at the same time on another gateway only moves: at most it is called
    /// otherwise from now on.
    pub(super) fn tell_presence(self: &Arc<Self>, state: &mut State, guest: &Guest<'_>, comes: bool) {
        let (room, id, name, time) = (&*self.name, guest.id, &*guest.name.text, id::now());
        let elsewhere = state.far.name(id).map(|name| Arc::clone(&name.text));
        let renamed = |was, name| Event::Name { reference: None, id, name, was, room: Some(room) };
        let event = match (&elsewhere, comes) {
            (None, true) => Some(Event::Join { room, id, name, time }),
            (None, false) => Some(Event::Leave { room, id, name, time }),
            (Some(far), _) if **far == *name => None,
            (Some(far), true) => Some(renamed(far, name)),
            (Some(far), false) => Some(renamed(name, far)),
        };
        if let Some(event) = event {
            self.tell(state, &event, guest.user);
        }
        self.ground.order.people(self);
    }

    /// Tells everybody but one who speaks the newer language, in rooms that are not too large for it.
    pub(super) fn tell(self: &Arc<Self>, state: &mut State, event: &Event<'_>, except: u64) {
        if state.count() <= state.rules.presence {
            self.tell_any(state, event, except);
        }
    }

    /// The same, however large the room is.
    pub(super) fn tell_any(self: &Arc<Self>, state: &mut State, event: &Event<'_>, except: u64) {
        if state.present.iter().any(|present| present.v1 > 0) {
            let frame = event.frame();
            let content = || Content::Event { frame: frame.clone(), except };
            self.post(state, |present| (present.v1 > 0).then(content));
        }
    }

    /// Tells everybody who speaks the newer language, however many they are.
    pub(super) fn tell_all(self: &Arc<Self>, state: &mut State, event: &Event<'_>) {
        // Nobody has this number.
        self.tell_any(state, event, 0);
    }

    /// Everybody who speaks the newer language hears about the room.
    pub(crate) fn notice(self: &Arc<Self>, code: &str, text: &str) {
        let event = Event::Notice { room: Some(&self.name), code, text, seconds: None };
        self.tell_all(&mut self.state.lock(), &event);
    }

    /// Puts one letter into the mailbox of each worker that has members for it, in one step: all have one order.
    pub(super) fn post(self: &Arc<Self>, state: &mut State, content: impl Fn(&Present) -> Option<Content>) {
        state.letters += 1;
        let number = state.letters;
        for (mailbox, present) in self.ground.mailboxes.iter().zip(&state.present) {
            if let Some(content) = content(present) {
                mailbox.post(Letter::Room { room: Arc::clone(self), number, content });
            }
        }
    }
}
