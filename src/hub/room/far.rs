//! A room's other parts, on other gateways: who is there, what was said before this one had the room, and whether they can
//! be reached.

mod seen;

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::Notify;

pub(crate) use self::seen::Origin;
use self::seen::Origins;
use super::{Found, Guest, Room, State, Wanted};
use crate::hub::cluster::is_local;
use crate::hub::fault::Fault;
use crate::hub::id::{self, MemberId, MessageId};
use crate::hub::language::v1::event::{Event, Person};
use crate::hub::mailbox::{Again, Letter, Word};
use crate::hub::name::Name;
use crate::hub::record::Record;

/// Milliseconds by which the clock of whoever gives out ids may be ahead of this gateway's: later ids are nobody's yet.
const AHEAD: u64 = 10_000;

/// What a room knows of its other parts.
#[derive(Debug)]
pub(super) struct Far {
    /// Whether there are no other parts.
    is_alone: bool,
    /// Whether it is known what was said before.
    is_ready: bool,
    /// Told when it is.
    ready: Arc<Notify>,
    /// Members who come in when it is, by worker and connection.
    waiting: Vec<(usize, u64, Again)>,
    /// Whether the others cannot be reached.
    apart: bool,
    /// Members elsewhere.
    count: usize,
    /// Those of them who are here as well: their sessions change places.
    both: usize,
    /// Those whose names are known, and where they are.
    members: HashMap<MemberId, (Name, Arc<str>)>,
    /// Their names, as far as they have chosen one.
    names: HashMap<Box<str>, MemberId>,
    /// Messages that have more than one id.
    origins: Origins,
}

impl Far {
    /// Of a room that is alone, or one that has to be told first what was said in it.
    pub(super) fn new(is_alone: bool) -> Self {
        Self {
            is_alone,
            is_ready: is_alone,
            ready: Arc::default(),
            waiting: Vec::new(),
            apart: false,
            count: 0,
            both: 0,
            members: HashMap::new(),
            names: HashMap::new(),
            origins: Origins::default(),
        }
    }

    /// Members elsewhere.
    pub(super) const fn count(&self) -> usize {
        self.count
    }

    /// Members who are known to be here and elsewhere.
    pub(super) const fn both(&self) -> usize {
        self.both
    }

    /// Somebody has come, and may not have been here before.
    pub(super) fn note_here(&mut self, id: MemberId, is_new: bool) {
        self.both += usize::from(is_new && self.members.contains_key(&id));
    }

    /// Somebody has gone from here.
    pub(super) fn note_gone(&mut self, id: MemberId) {
        self.both -= usize::from(self.both > 0 && self.members.contains_key(&id));
    }

    /// Whether the others cannot be reached.
    pub(super) const fn is_apart(&self) -> bool {
        self.apart
    }

    /// Whether it is known what was said before.
    pub(super) const fn is_ready(&self) -> bool {
        self.is_ready
    }

    /// Whether all members elsewhere are known.
    pub(super) fn knows_all(&self) -> bool {
        self.is_ready && self.count <= self.members.len()
    }

    /// The place that a message has for all gateways, by the id that it has here.
    pub(super) fn place(&self, id: MessageId) -> Option<MessageId> {
        self.origins.place_of(id)
    }

    /// Where the message that has this id here stands among all gateways; whoever knows a later place has seen it.
    pub(super) fn rank(&self, id: MessageId) -> Option<MessageId> {
        self.origins.rank(id)
    }

    /// And the other way round.
    pub(super) fn shown(&self, place: MessageId) -> MessageId {
        self.origins.shown(place)
    }

    /// Somebody wants to be called so.
    ///
    /// # Errors
    /// Somebody else elsewhere is.
    pub(super) fn allows(&self, id: MemberId, name: &Name) -> Result<(), Fault> {
        let taken = !name.vouched && self.names.get(&name.key()).is_some_and(|holder| *holder != id);
        if taken { Err(Fault::NameTaken) } else { Ok(()) }
    }

    pub(super) fn name(&self, id: MemberId) -> Option<&Name> {
        self.members.get(&id).map(|(name, _)| name)
    }

    /// Whether ids alone tell what somebody has seen who knows this one.
    #[cfg(test)]
    pub(super) fn seen_plainly(&self, since: MessageId) -> bool {
        self.origins.are_plain(since)
    }

    pub(super) fn list(&self) -> impl Iterator<Item = (MemberId, Arc<str>)> {
        self.members.iter().map(|(id, (name, _))| (*id, Arc::clone(&name.text)))
    }
}

impl Room {
    /// Whether it is known what was said before. If not, the member is to come in again when it is.
    pub(crate) fn is_ready(&self, guest: &Guest<'_>, again: impl FnOnce() -> Again) -> bool {
        let mut state = self.state.lock();
        if !state.far.is_ready {
            state.far.waiting.push((guest.worker, guest.user, again()));
        }
        state.far.is_ready
    }

    /// Waits until it is known what was said before. Cancel safe.
    pub(crate) async fn ready(&self) {
        let ready = Arc::clone(&self.state.lock().far.ready);
        loop {
            let notified = ready.notified();
            if self.state.lock().far.is_ready {
                return;
            }
            notified.await;
        }
    }

    /// What was said before this gateway had the room, oldest first: it goes before all that is known here. Whoever
    /// waited for it comes in.
    pub(crate) fn restore(&self, records: Vec<Record>) {
        let mut state = self.state.lock();
        let bounds = state.rules.history;
        state.history.precede(records, bounds);
        drop(state);
        self.let_in();
    }

    /// Whoever waited to know what was said before comes in.
    pub(super) fn let_in(&self) {
        let mut state = self.state.lock();
        state.far.is_ready = true;
        let waiting = std::mem::take(&mut state.far.waiting);
        let ready = Arc::clone(&state.far.ready);
        drop(state);
        for (worker, user, again) in waiting {
            if let Some(mailbox) = self.ground.mailboxes.get(worker) {
                mailbox.post(Letter::Member { to: (self.ground.number(), user), word: Word::Again(again) });
            }
        }
        ready.notify_waiters();
    }

    /// A message is about to be shown here under an id that is not its only one.
    pub(crate) fn remember(&self, id: MessageId, origin: Origin) {
        self.state.lock().far.origins.add(id, origin);
    }

    /// A message that was shown here under this id has its place for all gateways.
    pub(crate) fn placed(&self, id: MessageId, place: MessageId) {
        self.state.lock().far.origins.place(id, place);
    }

    /// Whether the others can be reached; members of the newer language hear of it.
    pub(crate) fn part(self: &Arc<Self>, apart: bool) {
        let mut state = self.state.lock();
        if state.far.apart != apart {
            state.far.apart = apart;
            self.tell_any(&mut state, &notice(&self.name, apart), 0);
        }
    }

    /// Who is here, of those on this gateway: how many, and so many of them at most.
    pub(crate) fn near(&self, most: usize) -> (usize, Vec<(MemberId, Arc<str>)>) {
        let state = self.state.lock();
        (state.people.count(), state.people.list(most, &self.ground.keys))
    }

    /// On which gateway somebody is, unless it is this one, or cannot be reached.
    pub(crate) fn node_of(&self, id: MemberId) -> Option<Arc<str>> {
        let state = self.state.lock();
        let is_elsewhere = !state.far.apart && !state.people.has(id);
        state.far.members.get(&id).map(|(_, node)| Arc::clone(node)).filter(|_| is_elsewhere)
    }

    /// Who is on other gateways from now on; those here hear who has come, gone, or is called otherwise.
    pub(crate) fn others(self: &Arc<Self>, count: usize, members: HashMap<MemberId, (Name, Arc<str>)>) {
        let mut state = self.state.lock();
        let before = std::mem::take(&mut state.far.members);
        let chosen = members.iter().filter(|(_, (name, _))| !name.text.starts_with("User #"));
        state.far.names = chosen.map(|(id, (name, _))| (name.key(), *id)).collect();
        state.far.both = members.keys().filter(|id| state.people.has(**id)).count();
        (state.far.count, state.far.members) = (count, members);
        let (room, time) = (&*self.name, id::now());
        let gone: Vec<_> = before.iter().filter(|(id, _)| !state.is_here(**id)).collect();
        for (id, (name, _)) in gone {
            self.tell(&mut state, &Event::Leave { room, id: *id, name: &name.text, time }, 0);
        }
        let now: Vec<(MemberId, Arc<str>)> = state.far.list().filter(|(id, _)| !state.people.has(*id)).collect();
        for (id, name) in now {
            match before.get(&id) {
                None => self.tell(&mut state, &Event::Join { room, id, name: &name, time }, 0),
                Some((was, _)) if was.text != name => {
                    let (was, room) = (&*was.text, Some(room));
                    self.tell(&mut state, &Event::Name { reference: None, id, name: &name, was, room }, 0);
                }
                Some(_) => {}
            }
        }
    }

    /// Somebody elsewhere writes.
    pub(crate) fn typing_elsewhere(self: &Arc<Self>, id: MemberId, name: &str) {
        let from = Person { id, name };
        self.tell(&mut self.state.lock(), &Event::Typing { room: &self.name, from }, 0);
    }
}

impl State {
    /// Looks for messages; what somebody has seen who knows an id is not what is smaller, where gateways were apart.
    pub(super) fn find(&self, wanted: &Wanted) -> Found {
        let origins = &self.far.origins;
        match wanted.since.filter(|since| !self.far.is_alone && !origins.are_plain(*since)) {
            Some(since) => {
                let seen = origins.seen(since);
                let is_whole = seen.whole() >= origins.gone(self.history.floor());
                self.history.find_unseen(wanted, is_whole, |id| origins.has_seen(id, seen))
            }
            None => self.history.find(wanted),
        }
    }

    /// Up to which place somebody has heard everything who knows this id. It may come from a gateway that was told sooner,
    /// and know what is still on its way to this one: that must not come again. An id that nobody can have given out yet,
    /// as after a clock was set back, says nothing; neither does one that a gateway gave out alone.
    pub(super) fn heard(&self, since: Option<MessageId>) -> MessageId {
        let latest = self.history.end().time().max(id::now()).saturating_add(AHEAD);
        let says = |since: &MessageId| !self.far.is_alone && !is_local(since.0) && since.time() <= latest;
        since.filter(says).unwrap_or_default()
    }

    /// What is not kept any more need not be known any more.
    pub(super) fn forget_origins(&mut self) {
        self.far.origins.forget(self.history.floor());
    }

    fn is_here(&self, id: MemberId) -> bool {
        self.people.has(id) || self.far.members.contains_key(&id)
    }
}

/// What members hear of it.
pub(crate) fn notice(room: &str, apart: bool) -> Event<'_> {
    let (code, text) = match apart {
        true => ("apart", "members on other gateways cannot be reached"),
        false => ("together", "members on other gateways are back"),
    };
    Event::Notice { room: Some(room), code, text, seconds: None }
}
