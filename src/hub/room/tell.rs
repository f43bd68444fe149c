//! Telling the members of a room: letters into the mailboxes of their workers, in one order for all.

use std::sync::Arc;

use super::{Guest, Present, Room, State};
use crate::hub::id;
use crate::hub::language::v1::event::Event;
use crate::hub::mailbox::{Content, Letter};

impl Room {
    /// Tells the others who comes or goes.
    pub(super) fn tell_presence(self: &Arc<Self>, state: &mut State, guest: &Guest<'_>, comes: bool) {
        let (room, id, name, time) = (&*self.name, guest.id, &*guest.name.text, id::now());
        let event = match comes {
            true => Event::Join { room, id, name, time },
            false => Event::Leave { room, id, name, time },
        };
        self.tell(state, &event, guest.user);
    }

    /// Tells everybody but one who speaks the newer language, in rooms that are not too large for it.
    pub(super) fn tell(self: &Arc<Self>, state: &mut State, event: &Event<'_>, except: u64) {
        if state.people.count() > state.rules.presence || state.present.iter().all(|present| present.v1 == 0) {
            return;
        }
        self.send(state, event, except);
    }

    /// Tells everybody who speaks the newer language, however many they are.
    pub(super) fn tell_all(self: &Arc<Self>, state: &mut State, event: &Event<'_>) {
        // Nobody has this number.
        self.send(state, event, 0);
    }

    fn send(self: &Arc<Self>, state: &mut State, event: &Event<'_>, except: u64) {
        let frame = event.frame();
        let content = || Content::Event { frame: frame.clone(), except };
        self.post(state, |present| (present.v1 > 0).then(content));
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
