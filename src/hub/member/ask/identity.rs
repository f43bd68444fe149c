//! Requests about oneself: to be called otherwise, and to be who one was.

use std::sync::Arc;
use std::task::Context;
use std::time::Instant;

use bytes::Bytes;

use super::super::talker::{self, Talker};
use super::{Desk, Done, Failure, Reference};
use crate::hub::fault::Fault;
use crate::hub::id::Session;
use crate::hub::language::v1::event::Event;
use crate::hub::language::v1::request::Resume;
use crate::hub::mailbox::Word;
use crate::hub::name::Name;
use crate::hub::sentence::Who;

impl Desk<'_> {
    /// In all its rooms or in none.
    pub(super) fn rename(&self, name: &str, reference: Reference<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
        let Talker { arrival, state, .. } = &**self.talker;
        let state = &mut *state.borrow_mut();
        if state.name.vouched {
            return Err(Fault::Forbidden);
        }
        let name = Name::chosen(name, arrival.hub.wishes().name_length)?;
        let (bans, whom) = (&arrival.hub.house().ground().moderation, [Who::named(&name.text)]);
        let rooms = state.rooms.iter().map(|room| Some(room.chair.room().name()));
        rooms.chain([None]).try_for_each(|room| bans.admits(room, &whom, Instant::now()))?;
        let was = std::mem::replace(&mut state.name, name);
        let guest = state.guest(self.talker.user(), self.shard.worker());
        let renamed = state.rooms.iter().position(|room| room.chair.room().rename(&guest).is_err());
        if let Some(taken) = renamed {
            state.name = was;
            let guest = state.guest(self.talker.user(), self.shard.worker());
            for room in &state.rooms[..taken] {
                // Its own name was free a moment ago; whoever took it since has it.
                let _ = room.chair.room().rename(&guest);
            }
            return Err(Fault::NameTaken);
        }
        let (house, now) = (arrival.hub.house(), Instant::now());
        state.rooms.iter().for_each(|room| house.bind(room.chair.room().name(), state.id, &state.name, now));
        let (id, name, was) = (state.id, &*state.name.text, &*was.text);
        let event = |room| Event::Name { reference, id, name, was, room };
        state.rooms.iter().for_each(|room| event(Some(room.chair.room().name())).append(out));
        if state.rooms.is_empty() {
            event(None).append(out);
        }
        Ok(())
    }

    /// It is who it was, if nothing has come between; the rooms follow, each with what was missed, or with an error.
    pub(super) fn resume(&mut self, resume: &Resume, reference: Reference<'_>, out: &mut Vec<u8>) -> Done {
        let id = Session::parse(&resume.session).ok_or(Fault::BadField("session"))?.member();
        let hub = Arc::clone(self.talker.hub());
        if resume.rooms.len() > hub.wishes().rooms_per_member {
            return Err(Fault::TooManyRooms.into());
        }
        let user = self.talker.user();
        {
            let mut state = self.talker.state.borrow_mut();
            if state.has_resumed || !state.rooms.is_empty() {
                return Err(Fault::TooLate.into());
            }
            if let Some(name) = resume.name.as_deref().filter(|_| !state.name.vouched) {
                state.name = self.resumed_name(name)?;
            }
            let ground = hub.house().ground();
            ground.disconnect(state.id, user);
            ground.connect(id, (self.shard.worker(), user), Word::Close(talker::superseded()));
            (state.id, state.has_resumed) = (id, true);
            Event::Resumed { reference, id, name: &state.name.text }.append(out);
        }
        let budget = self.queue / 2 / resume.rooms.len().max(1);
        for room in &resume.rooms {
            if let Err(failure) = self.join(room, reference, budget, out) {
                self.fail(&failure, reference, out).map_err(|_| Failure::from(failure.0))?;
            }
        }
        Ok(())
    }

    /// Whoever has chosen no name gets a new number.
    fn resumed_name(&self, name: &str) -> Result<Name, Fault> {
        if name.starts_with("User #") {
            return Ok(Name::of_user(self.talker.user()));
        }
        Name::chosen(name, self.talker.hub().wishes().name_length)
    }
}

impl Talker {
    /// Somebody whose token says so is called as this member was in a room: it is a number again, in all its rooms.
    pub(crate) fn displaced(&self, cx: &mut Context<'_>, worker: usize, was: &str) {
        let mut told = Vec::new();
        {
            let mut state = self.state.borrow_mut();
            if state.name.vouched || *state.name.text != *was {
                return;
            }
            state.name = Name::of_user(self.user());
            let (id, name, guest) = (state.id, &*state.name.text, state.guest(self.user(), worker));
            for room in state.rooms.iter().map(|room| room.chair.room()) {
                // Nobody else has its number.
                let _ = room.rename(&guest);
                Event::Name { reference: None, id, name, was, room: Some(room.name()) }.append(&mut told);
            }
        }
        self.deliver(cx, &Bytes::from(told));
    }
}
