//! What a member of `wsgate.chat.v1` asks for, and what it gets.

mod identity;
mod moderate;
mod rooms;

use std::num::NonZeroU32;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Context;
use std::time::{Duration, Instant};

use super::talker::Talker;
use crate::config::{Rate, SayRate};
use crate::hub::fault::Fault;
use crate::hub::filter::{self, Waiting};
use crate::hub::id::MemberId;
use crate::hub::language::v1::event::{Event, Person};
use crate::hub::language::v1::request::{self, Request, Say, To};
use crate::hub::mailbox::{Bounds, Word};
use crate::hub::record::Draft;
use crate::hub::room::{Room, Speech};
use crate::hub::shard::Shard;
use crate::socket::endpoint::Listener;
use crate::wire::close::{Close, Code};
use crate::wire::frame::Opcode;

/// Where many answers wait already, the next request is to come later.
const LATER: Duration = Duration::from_millis(100);
/// Requests other than to say something: so many a second.
const ASKS: u32 = 10;
/// And so many at once, besides one for each room and another to see who is there.
const ASKS_AT_ONCE: u32 = 60;

/// One turn of a member's task.
pub(super) struct Desk<'a> {
    talker: &'a Rc<Talker>,
    shard: &'a Rc<Shard>,
    /// Bytes that the member may have queued.
    queue: usize,
    has_said: bool,
}

/// Why a request was not done, and where.
struct Failure(Fault, Option<String>);

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self(fault, None)
    }
}

type Done = Result<(), Failure>;
type Reference<'r> = Option<&'r str>;

impl Listener for Desk<'_> {
    fn message(&mut self, opcode: Opcode, payload: &[u8], reply: &mut Vec<u8>) -> Result<(), Close> {
        match (opcode, std::str::from_utf8(payload)) {
            (Opcode::Text, Ok(text)) => self.answer(text, reply),
            (Opcode::Text, Err(_)) => Err(Close::new(Code::INVALID_PAYLOAD, "text is not UTF-8")),
            _ => Err(Close::new(Code::UNSUPPORTED, "the chat takes text only")),
        }
    }

    fn is_ready(&mut self, cx: &mut Context<'_>) -> bool {
        if self.has_said {
            // What one read has brought is one turn: now the others, and whoever hands it out.
            cx.waker().wake_by_ref();
            return false;
        }
        if self.shard.is_waiting(self.talker.key()) {
            return false;
        }
        let mut state = self.talker.state.borrow_mut();
        if !state.joining.is_empty() {
            // What comes next may be for the room that is not ready yet.
            state.waker = Some(cx.waker().clone());
            return false;
        }
        let (wishes, ground) = (self.talker.hub().wishes(), self.talker.hub().house().ground());
        let bounds = Bounds { letters: wishes.mailbox, bytes: wishes.mailbox_size };
        ground.order.has_room(cx) && ground.mailboxes.iter().all(|mailbox| mailbox.has_room(cx, bounds))
    }
}

impl<'a> Desk<'a> {
    pub(super) fn new(talker: &'a Rc<Talker>, shard: &'a Rc<Shard>, queue: usize) -> Self {
        Self { talker, shard, queue, has_said: false }
    }

    fn answer(&mut self, text: &str, out: &mut Vec<u8>) -> Result<(), Close> {
        let asked = request::parse(text);
        let reference = asked.reference.as_deref();
        let request = match asked.request {
            Ok(request) => request,
            Err(fault) => return self.fail(&fault.into(), reference, out),
        };
        if let Err(fault) = self.pace(&request) {
            self.fail(&fault.into(), reference, out)?;
            return self.excess();
        }
        self.serve(request, reference, out).or_else(|failure| self.fail(&failure, reference, out))
    }

    /// Says what went wrong; ends the session of a client whose requests make no sense.
    fn fail(&self, Failure(fault, room): &Failure, reference: Reference<'_>, out: &mut Vec<u8>) -> Result<(), Close> {
        let retry = fault.retry().map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1));
        let (code, text, room) = (fault.code(), fault.text(), room.as_deref());
        Event::Error { reference, code, text: &text, room, retry }.append(out);
        let is_over = fault.is_misconduct() && self.talker.state.borrow_mut().misconduct.add(self.talker.place.now());
        if is_over { Err(Close::new(Code::POLICY, "too many bad requests")) } else { Ok(()) }
    }

    /// Another request that came too fast; ends the session of a client that goes on like this.
    fn excess(&self) -> Result<(), Close> {
        let say = self.talker.hub().wishes().say;
        // Where one may say what one likes, one may still not ask without end.
        let rate = if say.rate.is_some() { say } else { SayRate::default() };
        let taken = self.talker.state.borrow_mut().excess.take(self.talker.place.now(), rate);
        taken.map_err(|_| Close::new(Code::POLICY, "too many messages"))
    }

    /// Takes a token out of the bucket that the request belongs to.
    fn pace(&self, request: &Request<'_>) -> Result<(), Fault> {
        let (mut state, now) = (self.talker.state.borrow_mut(), self.talker.place.now());
        let wishes = self.talker.hub().wishes();
        let rooms = u32::try_from(wishes.rooms_per_member).unwrap_or(u32::MAX);
        let per = Duration::from_secs(1);
        let rate = NonZeroU32::new(ASKS).map(|count| Rate { count, per });
        let asks = SayRate { rate, burst: ASKS_AT_ONCE.saturating_add(rooms.saturating_mul(2)) };
        let taken = match request {
            Request::Say(_) | Request::To(_) => state.says.take(now, wishes.say),
            _ => state.asks.take(now, asks),
        };
        taken.map_err(Fault::RateLimited)
    }

    fn serve(&mut self, request: Request<'_>, reference: Reference<'_>, out: &mut Vec<u8>) -> Done {
        match request {
            Request::Join(join) => {
                let budget = self.budget(out)?;
                self.join(&join, reference, budget, out)
            }
            Request::Leave(place) => self.leave(place.room, reference, out),
            Request::Say(say) => self.say(say, reference, out),
            Request::To(to) => Ok(self.to(&to, reference, out)?),
            Request::Name(name) => Ok(self.rename(&name.name, reference, out)?),
            Request::Who(place) => self.who(place.room, reference, out),
            Request::History(history) => self.history(history, reference, out),
            Request::Typing(place) => self.typing(place.room),
            Request::Resume(resume) => self.resume(&resume, reference, out),
            Request::Moderate(wish, about) => self.moderate(wish, about, reference, out),
        }
    }

    /// Bytes that an answer may have: those of one turn together no more than half of the queue.
    fn budget(&self, out: &[u8]) -> Result<usize, Fault> {
        let left = (self.queue / 2).saturating_sub(out.len());
        if left >= self.queue / 8 { Ok(left) } else { Err(Fault::RateLimited(LATER)) }
    }

    fn named(&self, room: Option<String>) -> String {
        room.unwrap_or_else(|| self.talker.arrival.room.clone().into())
    }

    /// A room that the member is in.
    fn joined(&self, room: Option<String>) -> Result<Arc<Room>, Failure> {
        let name = self.named(room);
        let room = self.talker.state.borrow().room(&name).cloned();
        room.ok_or(Failure(Fault::NotJoined, Some(name)))
    }

    fn say(&mut self, Say { room, text }: Say<'_>, reference: Reference<'_>, out: &mut Vec<u8>) -> Done {
        let room = self.joined(room)?;
        let failed = |fault| Failure(fault, Some(room.name().to_owned()));
        if text.is_empty() {
            return Err(failed(Fault::BadField("text")));
        }
        let state = self.talker.state.borrow();
        let draft = Draft {
            from: state.id,
            user: self.talker.user(),
            name: Arc::clone(&state.name.text),
            text: text.into(),
            reference: reference.map(Arc::from),
        };
        drop(state);
        self.has_said = true;
        let moderates = self.talker.arrival.credentials.moderator;
        let speech = Speech { now: Instant::now(), queue: self.queue, moderates };
        let known = match self.talker.hub().house().ground().filter() {
            None => room.submit(draft, speech),
            Some(filter) => {
                let known = room.consider(&draft, speech);
                if let Ok(None) = known {
                    let speaker = filter::Speaker::V1(Rc::downgrade(self.talker));
                    self.shard.put_to(filter, Waiting { room: Arc::clone(&room), draft, speech, speaker });
                }
                known
            }
        };
        if let Some(id) = known.map_err(failed)? {
            Event::Ack { reference, id, time: id.time(), room: Some(room.name()) }.append(out);
        }
        Ok(())
    }

    /// To somebody with whom the member shares a room: strangers are not found by their ids alone.
    fn to(&mut self, to: &To<'_>, reference: Reference<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
        let member = MemberId::parse(&to.member).ok_or(Fault::BadField("member"))?;
        let (state, hub) = (self.talker.state.borrow(), self.talker.hub());
        let most = hub.wishes().text.min(self.queue / 8);
        match to.text.len() {
            0 => return Err(Fault::BadField("text")),
            size if size > most => return Err(Fault::TooLong(most)),
            _ => {}
        }
        let rooms = || state.rooms.iter().map(|room| room.chair.room());
        let (room, name) = rooms().find_map(|room| Some((room, room.name_of(member)?))).ok_or(Fault::NoSuchMember)?;
        if !self.talker.arrival.credentials.moderator {
            hub.house().ground().moderation.hears(room.name(), state.id, &state.name.text, Instant::now())?;
        }
        let ground = hub.house().ground();
        let id = ground.next_message();
        let from = Person { id: state.id, name: &state.name.text };
        let receiver = Person { id: member, name: &name };
        let event = Event::To { id, time: id.time(), from, to: receiver, text: &to.text };
        self.has_said = true;
        if !ground.tell(member, Word::Frame(event.frame())) {
            let node = state.rooms.iter().find_map(|room| room.chair.room().node_of(member));
            ground.order.whisper(&node.ok_or(Fault::NoSuchMember)?, (id, &to.text), from, receiver);
        }
        if reference.is_some() {
            Event::Ack { reference, id, time: id.time(), room: None }.append(out);
        }
        Ok(())
    }
}
