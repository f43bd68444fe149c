//! A member of the plain language: text in, `NAME: text` out, in the one room of its path.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use bytes::Bytes;

use crate::hub::bucket::Bucket;
use crate::hub::fault::Fault;
use crate::hub::filter::{self, Waiting};
use crate::hub::house::Chair;
use crate::hub::id::MemberId;
use crate::hub::language::Language;
use crate::hub::name::Name;
use crate::hub::room::{Guest, Room, Speech};
use crate::hub::shard::Shard;
use crate::socket::Socket;
use crate::socket::conversation::{Conversation, Passed};
use crate::socket::endpoint::{Endpoint, Listener};
use crate::socket::vigil::Vigil;
use crate::telemetry::report::State;
use crate::telemetry::roster::{Order, Place};
use crate::wire::close::{Close, Code, Ending};
use crate::wire::frame::Opcode;

/// One member. There are as many of it as clients: a test below keeps it small.
pub(crate) struct Member {
    endpoint: RefCell<Endpoint>,
    place: Place,
    /// Its number.
    pub(crate) user: u64,
    /// The letter after which it came.
    pub(crate) last: u64,
    chair: Chair,
    says: Cell<Bucket>,
}

impl std::fmt::Debug for Member {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Member").field("user", &self.user).finish_non_exhaustive()
    }
}

impl Member {
    /// Where it is.
    pub(crate) const fn room(&self) -> &Arc<Room> {
        self.chair.room()
    }

    /// Hands it a frame that many share.
    #[inline]
    pub(crate) fn deliver(&self, cx: &mut Context<'_>, frame: &Bytes) {
        let mut endpoint = self.endpoint.borrow_mut();
        let kept = endpoint.deliver(cx, &self.place, frame);
        if !kept || endpoint.has_backlog() {
            self.place.wake();
        }
    }

    /// Sends it away.
    pub(crate) fn dismiss(&self, cx: &mut Context<'_>, close: Close) {
        self.endpoint.borrow_mut().dismiss(cx, close);
        self.place.wake();
    }

    /// What it has said is not said, for this reason. Without words for it, a message that is only not wanted is left
    /// out: whoever is sent away would come back as another number, and be heard. Whoever was put out is told so by others.
    pub(crate) fn refuse(&self, fault: Fault) {
        let is_told = |fault| matches!(fault, Fault::NotJoined | Fault::Banned(_));
        if !is_told(fault) && !matches!(fault, Fault::Filtered | Fault::FilterDown | Fault::Muted(_)) {
            let queue = self.endpoint.borrow().send_queue();
            self.dismiss(&mut Context::from_waker(Waker::noop()), told(fault, queue));
        }
    }

    /// Whether it has been told to go, or is lost.
    pub(crate) fn is_ending(&self) -> bool {
        self.endpoint.borrow().is_ending()
    }

    /// It is read on.
    pub(crate) fn wake(&self) {
        self.place.wake();
    }

    /// Who it is.
    pub(crate) fn id(&self) -> MemberId {
        MemberId::without_session(&self.room().ground().keys, self.user)
    }
}

/// A member on its seat: history, then messages both ways until the WebSocket ends.
pub(crate) struct Sitting {
    member: Rc<Member>,
    shard: Rc<Shard>,
    key: usize,
}

impl Sitting {
    /// The member is present from now on, and has the history in its queue.
    pub(super) fn new(
        (chair, name): (Chair, Option<Name>),
        socket: Socket,
        (vigil, place): (Vigil, Place),
        shard: &Rc<Shard>,
    ) -> Self {
        let user = chair.room().ground().next_user();
        // Half of the queue for the history: a newcomer is not too slow before it has begun to read.
        let budget = vigil.limits().send_queue / 2;
        let mut endpoint = Endpoint::new(socket, vigil);
        let id = MemberId::without_session(&chair.room().ground().keys, user);
        let name = name.unwrap_or_else(|| Name::of_user(user));
        let guest = Guest { id, user, worker: shard.worker(), name: &name };
        let (last, history) = chair.room().arrive_plain(&guest, budget);
        let mut cx = Context::from_waker(Waker::noop());
        for frame in &history {
            endpoint.deliver(&mut cx, &place, frame);
        }
        let endpoint = RefCell::new(endpoint);
        let member = Rc::new(Member { endpoint, place, user, last, chair, says: Cell::default() });
        let key = shard.join(Rc::clone(&member));
        Self { member, shard: Rc::clone(shard), key }
    }
}

impl Conversation for Sitting {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        let member = &self.member;
        let mut endpoint = member.endpoint.borrow_mut();
        let mut speaker = Speaker { member, shard: &self.shard, queue: endpoint.send_queue(), has_said: false };
        endpoint.poll(cx, &member.place, &mut speaker)
    }

    fn order(&mut self, cx: &mut Context<'_>, order: Order) {
        self.member.endpoint.borrow_mut().order(cx, order);
    }

    fn place(&self) -> &Place {
        &self.member.place
    }

    fn passed(&self) -> Passed {
        self.member.endpoint.borrow().passed()
    }

    fn state(&self) -> State {
        self.member.endpoint.borrow().state(self.member.place.now())
    }
}

impl Drop for Sitting {
    /// The shard is left before the seat is.
    fn drop(&mut self) {
        let member = &self.member;
        self.shard.leave(member.room(), self.key);
        self.shard.silence((member.room().ground().number(), member.user));
        member.room().depart(member.id(), member.user, self.shard.worker(), Language::Plain);
    }
}

struct Speaker<'a> {
    member: &'a Rc<Member>,
    shard: &'a Rc<Shard>,
    /// Bytes that it may have queued at most.
    queue: usize,
    /// In this turn of the member's task.
    has_said: bool,
}

impl Listener for Speaker<'_> {
    fn message(&mut self, opcode: Opcode, payload: &[u8], _: &mut Vec<u8>) -> Result<(), Close> {
        match (opcode, std::str::from_utf8(payload)) {
            (Opcode::Text, Ok("")) => Ok(()),
            (Opcode::Text, Ok(text)) => self.say(text).map_err(|fault| told(fault, self.queue)),
            // Only reached where the limits say that text is not checked: the room is shared, so here it is.
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
        let room = self.member.room();
        if self.shard.is_waiting((room.ground().number(), self.member.user)) {
            return false;
        }
        let bounds = room.bounds();
        let ground = room.ground();
        ground.order.has_room(cx) && ground.mailboxes.iter().all(|mailbox| mailbox.has_room(cx, bounds))
    }
}

impl Speaker<'_> {
    fn say(&mut self, text: &str) -> Result<(), Fault> {
        let Member { says, place, user, .. } = &**self.member;
        let room = self.member.room();
        let mut bucket = says.get();
        let taken = bucket.take(place.now(), room.pace());
        says.set(bucket);
        taken.map_err(Fault::RateLimited)?;
        self.has_said = true;
        let speech = Speech { now: Instant::now(), queue: self.queue, moderates: false };
        let said = match room.ground().filter() {
            None => room.submit_plain(*user, text, speech),
            Some(filter) => {
                let draft = room.draft_plain(*user, text);
                let speaker = filter::Speaker::Plain(Rc::downgrade(self.member));
                room.consider(&draft, speech).map(|_| {
                    self.shard.put_to(filter, Waiting { room: Arc::clone(room), draft, speech, speaker });
                })
            }
        };
        // Whoever is muted and sent away would come back as another number, and be heard.
        if matches!(said, Err(Fault::Muted(_))) { Ok(()) } else { said }
    }
}

/// The plain language has no words for what went wrong: the Close says it.
fn told(fault: Fault, queue: usize) -> Close {
    match fault {
        Fault::TooLong(most) if most == queue => Close::new(Code::TOO_BIG, "message over what members may have queued"),
        Fault::TooLong(most) => Close::new(Code::TOO_BIG, format!("text over {most} bytes")),
        fault => Close::new(Code::POLICY, fault.text()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With the two counts of its [`Rc`], 16 bytes, it fills one of the allocator's blocks of 384; its socket is 16 bytes
    /// larger here than in a release.
    #[test]
    fn a_member_takes_no_more_than_this() {
        assert!(size_of::<Member>() <= 384, "{}", size_of::<Member>());
    }
}
