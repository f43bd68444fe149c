//! One room: the order of what is said in it, what is remembered of it, and on which workers its members are.

mod far;
mod history;
mod moderate;
mod people;
mod rules;
mod say;
mod seats;
mod tell;

pub(crate) use far::{Origin, notice};
pub(crate) use history::{Found, Wanted};
pub(crate) use moderate::Facts;
pub(crate) use rules::{Fixed, Rules};
pub(crate) use say::Speech;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;

use self::far::Far;
use self::history::History;
use self::people::{Came, People};
use super::fault::Fault;
use super::ground::Ground;
use super::id::{self, MemberId, MessageId};
use super::language::Language;
use super::language::v1::event::{Event, Person};
use super::mailbox::Bounds;
use super::name::Name;
use crate::config::SayRate;

/// One room, shared by all workers.
#[derive(Debug)]
pub(crate) struct Room {
    name: Arc<str>,
    ground: Arc<Ground>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    rules: Rules,
    /// The number of the last letter.
    letters: u64,
    history: History,
    /// Members on each worker.
    present: Box<[Present]>,
    /// Seats that are taken or promised.
    seats: usize,
    people: People,
    far: Far,
    /// What moderators wish of `rules.slow`; it outlives reloads.
    slow: Option<Duration>,
    /// When members last said something; only where the room is slow.
    spoke: HashMap<MemberId, Instant>,
    made: Instant,
    empty_since: Option<Instant>,
}

/// Members on one worker, by what they speak.
#[derive(Clone, Copy, Debug, Default)]
struct Present {
    plain: u32,
    v1: u32,
}

/// Somebody who comes or goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Guest<'a> {
    pub(crate) id: MemberId,
    /// Its connection's number.
    pub(crate) user: u64,
    pub(crate) worker: usize,
    pub(crate) name: &'a Name,
}

/// From where on somebody hears what a room is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Since {
    /// The letter after which it is present.
    pub(crate) letter: u64,
    /// What has a place up to this one it has heard already, on another gateway: this one may be told of it later.
    pub(crate) place: MessageId,
}

impl Since {
    /// Whether what has this place is told to it by the letter of this number. Cheap: asked for each member and message.
    pub(crate) fn is_before(&self, number: u64, place: MessageId) -> bool {
        number > self.letter && place > self.place
    }
}

/// What somebody finds who enters.
#[derive(Debug)]
pub(crate) struct Welcome {
    pub(crate) since: Since,
    pub(crate) members: usize,
    pub(crate) last: Option<MessageId>,
    pub(crate) read_only: bool,
    pub(crate) slow: Duration,
    /// Messages that the room keeps.
    pub(crate) history: usize,
    /// Whether members on other gateways cannot be reached.
    pub(crate) apart: bool,
    pub(crate) found: Found,
}

impl Room {
    /// A room with what the store has of it.
    #[must_use]
    pub(crate) fn new(name: &str, rules: Rules, ground: &Arc<Ground>) -> Self {
        // What is said in this very millisecond is later than the room.
        let beginning = MessageId(MessageId::at(id::now()).0.saturating_sub(1));
        let mut history = History::new(beginning).alone(ground.order.is_alone());
        history.restore(ground.store.load(name, rules.history));
        history.trim(rules.history);
        let (name, now): (Arc<str>, _) = (name.into(), Instant::now());
        ground.vacant.add(&name, now);
        let state = State {
            rules,
            letters: 0,
            history,
            present: vec![Present::default(); ground.mailboxes.len()].into_boxed_slice(),
            seats: 0,
            people: People::default(),
            far: Far::new(ground.order.is_alone()),
            slow: None,
            spoke: HashMap::new(),
            made: now,
            empty_since: Some(now),
        };
        Self { name, ground: Arc::clone(ground), state: Mutex::new(state) }
    }

    /// What it is called.
    #[must_use]
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// What all rooms of its hub share.
    #[must_use]
    pub(crate) const fn ground(&self) -> &Arc<Ground> {
        &self.ground
    }

    /// Somebody of the plain language is present from now on: the letter after which it is, and the newest of the history
    /// that fits into `budget` bytes. Without a name of its own, or with one that somebody has, it is a number.
    pub(crate) fn arrive_plain(self: &Arc<Self>, guest: &Guest<'_>, budget: usize) -> (u64, Vec<Bytes>) {
        let mut state = self.state.lock();
        self.make_way(&mut state, guest);
        let came = guest.name.vouched.then(|| state.people.come(guest.id, guest.user, guest.name));
        match came {
            Some(Ok(came)) => state.far.note_here(guest.id, came == Came::Newly),
            Some(Err(_)) | None => state.people.come_numbered(guest.user),
        }
        let own = Name::of_user(guest.user);
        let name = state.people.name(guest.id).cloned().unwrap_or(own);
        self.tell_presence(&mut state, &Guest { name: &name, ..*guest }, true);
        state.present[guest.worker].plain += 1;
        let escape = state.rules.escape;
        (state.letters, state.history.frames(budget, escape))
    }

    /// Somebody of the newer language is present from now on.
    ///
    /// # Errors
    /// Somebody else has its name.
    pub(crate) fn arrive(self: &Arc<Self>, guest: &Guest<'_>, wanted: &Wanted) -> Result<Welcome, Fault> {
        let mut state = self.state.lock();
        state.far.allows(guest.id, guest.name)?;
        self.make_way(&mut state, guest);
        if state.people.come(guest.id, guest.user, guest.name)? == Came::Newly {
            state.far.note_here(guest.id, true);
            self.tell_presence(&mut state, guest, true);
        }
        state.present[guest.worker].v1 += 1;
        Ok(state.welcome(wanted))
    }

    /// What somebody would find who is here already.
    pub(crate) fn welcome(&self, wanted: &Wanted) -> Welcome {
        self.state.lock().welcome(wanted)
    }

    /// Somebody is not present any more.
    pub(crate) fn depart(self: &Arc<Self>, id: MemberId, user: u64, worker: usize, language: Language) {
        let mut state = self.state.lock();
        let present = &mut state.present[worker];
        match language {
            Language::Plain => present.plain -= 1,
            Language::V1 => present.v1 -= 1,
        }
        if let Some(name) = state.people.go(id, user) {
            state.far.note_gone(id);
            self.tell_presence(&mut state, &Guest { id, user, worker, name: &name }, false);
        }
    }

    /// Somebody is to be called otherwise; the others hear of it.
    ///
    /// # Errors
    /// Somebody else has the name.
    pub(crate) fn rename(self: &Arc<Self>, guest: &Guest<'_>) -> Result<Option<Name>, Fault> {
        let mut state = self.state.lock();
        state.far.allows(guest.id, guest.name)?;
        let was = state.people.rename(guest.id, guest.name)?;
        self.ground.order.people(self);
        if let Some(was) = was.as_ref().filter(|was| was.text != guest.name.text) {
            let (name, was) = (&*guest.name.text, &*was.text);
            let event = Event::Name { reference: None, id: guest.id, name, was, room: Some(&self.name) };
            self.tell(&mut state, &event, guest.user);
        }
        Ok(was)
    }

    /// The others hear that somebody writes.
    pub(crate) fn typing(self: &Arc<Self>, guest: &Guest<'_>) {
        let from = Person { id: guest.id, name: &guest.name.text };
        self.tell(&mut self.state.lock(), &Event::Typing { room: &self.name, from }, guest.user);
        self.ground.order.typing(self, guest.id, &guest.name.text);
    }

    /// What is older than this is forgotten.
    pub(crate) fn forget_before(&self, oldest: MessageId) {
        self.state.lock().history.forget_before(oldest);
    }

    /// How many are here, and so many of them at most.
    pub(crate) fn who(&self, most: usize) -> (usize, Vec<(MemberId, Arc<str>)>) {
        let state = self.state.lock();
        let near = state.people.list(most, &self.ground.keys);
        let left = most - near.len();
        let far: Vec<_> = state.far.list().filter(|(id, _)| !state.people.has(*id)).take(left).collect();
        (state.count(), [near, far].concat())
    }

    /// What somebody is called who can be told something alone.
    pub(crate) fn name_of(&self, id: MemberId) -> Option<Arc<str>> {
        let state = self.state.lock();
        let name = state.people.name(id).or_else(|| state.far.name(id));
        name.map(|name| Arc::clone(&name.text))
    }

    /// What was said.
    pub(crate) fn find(&self, wanted: &Wanted) -> Found {
        self.state.lock().find(wanted)
    }

    /// How much may wait before its members are not read any more.
    pub(crate) fn bounds(&self) -> Bounds {
        self.state.lock().rules.bounds
    }

    /// How often its members of the plain language may say something.
    pub(crate) fn pace(&self) -> SayRate {
        self.state.lock().rules.say
    }
}

impl State {
    /// How many are here or elsewhere; who is known to be both is one.
    fn count(&self) -> usize {
        (self.people.count() + self.far.count()).saturating_sub(self.far.both())
    }

    fn welcome(&self, wanted: &Wanted) -> Welcome {
        Welcome {
            since: Since { letter: self.letters, place: self.heard(wanted.since) },
            members: self.count(),
            apart: self.far.is_apart(),
            last: self.history.last(),
            read_only: self.rules.read_only,
            slow: self.rules.slow,
            history: self.rules.history.0,
            found: self.find(wanted),
        }
    }
}

#[cfg(test)]
mod law;
#[cfg(test)]
mod moves;
#[cfg(test)]
mod tests;
