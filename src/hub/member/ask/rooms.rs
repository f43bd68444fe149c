//! Requests about rooms: to come in and go, and to be told what was said and who is there.

use std::time::Instant;

use super::super::talker::{InRoom, Talker};
use super::{Desk, Done, Failure, Reference};
use crate::hub::fault::Fault;
use crate::hub::language::v1::event::{Event, Message, Person};
use crate::hub::language::v1::request::{History, Join};
use crate::hub::mailbox::Again;
use crate::hub::room::{Found, Wanted, Welcome, notice};
use crate::hub::sentence::Who;

/// Members that are named in one answer.
const WHO: usize = 500;
/// Bytes that a member takes in it at most: an id, a name of 64 characters, and what stands around them.
const WHO_SIZE: usize = 320;
/// How often others hear that somebody writes, in milliseconds.
const TYPING: u64 = 1000;

impl Desk<'_> {
    pub(super) fn join(&self, join: &Join, reference: Reference<'_>, budget: usize, out: &mut Vec<u8>) -> Done {
        let name = self.named(join.room.clone());
        let most = join.history.unwrap_or(usize::MAX);
        let wanted = Wanted { since: join.since, before: None, most, budget };
        let again = || Again { join: Box::new(join.clone()), reference: reference.map(Box::from), budget };
        let welcome = self.enter(&name, join.secret.as_deref(), (&wanted, again));
        let Some(welcome) = welcome.map_err(|fault| Failure(fault, Some(name.clone())))? else { return Ok(()) };
        let Welcome { members, last, read_only, slow, history, apart, found, .. } = welcome;
        let (room, slow) = (&*name, slow.as_secs());
        Event::Joined { reference, room, members, last, read_only, slow, history }.append(out);
        tell_found(room, None, &found, out);
        if apart {
            notice(room, true).append(out);
        }
        Ok(())
    }

    /// The room was not ready when this was asked for.
    pub(in crate::hub::member) fn again(&self, Again { join, reference, budget }: &Again, out: &mut Vec<u8>) {
        let reference = reference.as_deref();
        if let Err(failure) = self.join(join, reference, *budget, out) {
            // No fault of this kind is misconduct.
            let _ = self.fail(&failure, reference, out);
        }
    }

    /// What the member finds in a room; nothing yet, when the room is not ready.
    fn enter(
        &self,
        name: &str,
        secret: Option<&str>,
        (wanted, again): (&Wanted, impl FnOnce() -> Again),
    ) -> Result<Option<Welcome>, Fault> {
        let Talker { arrival, state, .. } = &**self.talker;
        let mut state = state.borrow_mut();
        if let Some(room) = state.room(name) {
            return Ok(Some(room.welcome(wanted)));
        }
        let waited = state.waited(name);
        if !arrival.credentials.admits(name) {
            return Err(Fault::Forbidden);
        }
        if state.rooms.len() + state.joining.len() >= arrival.hub.wishes().rooms_per_member {
            return Err(Fault::TooManyRooms);
        }
        let ground = arrival.hub.house().ground();
        let whom = [Who::Member(state.id), Who::named(&state.name.text)];
        ground.moderation.admits(Some(name), &whom, Instant::now())?;
        let chair = waited.map_or_else(|| arrival.hub.house().enter(name, secret, Some(state.id)), Ok)?;
        let guest = state.guest(self.talker.user(), self.shard.worker());
        if !chair.room().is_ready(&guest, again) {
            state.joining.push(chair);
            return Ok(None);
        }
        let welcome = chair.room().arrive(&guest, wanted)?;
        arrival.hub.house().bind(name, state.id, &state.name, Instant::now());
        let key = self.shard.listen(chair.room(), self.talker, welcome.since);
        state.rooms.push(InRoom { chair, key, typed: None });
        Ok(Some(welcome))
    }

    pub(super) fn leave(&self, room: Option<String>, reference: Reference<'_>, out: &mut Vec<u8>) -> Done {
        let name = self.named(room);
        let mut state = self.talker.state.borrow_mut();
        let at = state.rooms.iter().position(|room| room.chair.room().name() == name);
        let Some(at) = at else { return Err(Failure(Fault::NotJoined, Some(name))) };
        let (room, id) = (state.rooms.swap_remove(at), state.id);
        drop(state);
        self.talker.leave(self.shard, room, id);
        Event::Left { reference, room: &name, why: None, text: None }.append(out);
        Ok(())
    }

    pub(super) fn who(&self, room: Option<String>, reference: Reference<'_>, out: &mut Vec<u8>) -> Done {
        let room = self.joined(room)?;
        let most = WHO.min(self.budget(out)? / WHO_SIZE);
        let (count, list) = room.who(most);
        let members: Vec<Person<'_>> = list.iter().map(|(id, name)| Person { id: *id, name }).collect();
        let more = members.len() < count;
        Event::Who { reference, room: room.name(), count, members, more }.append(out);
        Ok(())
    }

    pub(super) fn history(&self, asked: History, reference: Reference<'_>, out: &mut Vec<u8>) -> Done {
        let room = self.joined(asked.room)?;
        let most = asked.limit.unwrap_or(self.talker.hub().wishes().history);
        let wanted = Wanted { since: asked.since, before: asked.before, most, budget: self.budget(out)? };
        tell_found(room.name(), reference, &room.find(&wanted), out);
        Ok(())
    }

    pub(super) fn typing(&self, room: Option<String>) -> Done {
        let name = self.named(room);
        let (state, now) = (&mut *self.talker.state.borrow_mut(), self.talker.place.now());
        let at = state.rooms.iter().position(|room| room.chair.room().name() == name);
        let Some(at) = at else { return Err(Failure(Fault::NotJoined, Some(name))) };
        let typed = &mut state.rooms[at].typed;
        if typed.is_none_or(|typed| now.saturating_sub(typed) >= TYPING) {
            *typed = Some(now);
            state.rooms[at].chair.room().typing(&state.guest(self.talker.user(), self.shard.worker()));
        }
        Ok(())
    }
}

/// A gap, and what is there behind it.
fn tell_found(room: &str, reference: Reference<'_>, found: &Found, out: &mut Vec<u8>) {
    if let Some((after, before)) = found.gap {
        Event::Gap { room, after, before }.append(out);
    }
    let messages = found.records.iter().map(|record| Message::from(&**record)).collect();
    Event::History { reference, room, messages, more: found.more }.append(out);
}
