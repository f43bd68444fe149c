//! One member's stay in a room: from the promise before the 101 to the end of its WebSocket.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::Hub;
use super::event;
use super::room::Room;
use super::shard::{Member, Shard};
use crate::socket::Socket;
use crate::socket::conversation::{Conversation, Passed};
use crate::socket::endpoint::{Endpoint, Listener};
use crate::socket::vigil::Vigil;
use crate::telemetry::roster::Place;
use crate::wire::close::{Close, Code, Ending};
use crate::wire::frame::Opcode;

/// A seat in a room, free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    hub: Arc<Hub>,
    room: Arc<Room>,
}

impl Seat {
    /// The room was told to [`Room::expect`] somebody.
    pub(super) const fn new(hub: Arc<Hub>, room: Arc<Room>) -> Self {
        Self { hub, room }
    }

    /// Takes the seat: the member is present from now on, and has the history in its queue.
    #[must_use]
    pub(crate) fn take(self, socket: Socket, vigil: Vigil, place: Place, shard: &Rc<Shard>) -> Sitting {
        let user = self.hub.next_user();
        // Half of the queue for the history: a newcomer is not too slow before it has begun to read.
        let budget = vigil.limits().send_queue / 2;
        let mut endpoint = Endpoint::new(socket, vigil);
        let welcome = self.room.arrive(shard.worker(), budget);
        let (mut cx, now) = (Context::from_waker(Waker::noop()), place.now());
        for frame in &welcome.history {
            endpoint.deliver(&mut cx, now, frame);
        }
        let endpoint = RefCell::new(endpoint);
        let member = Rc::new(Member { endpoint, place, user, last: welcome.last, seat: self });
        let key = shard.join(Rc::clone(&member));
        Sitting { member, shard: Rc::clone(shard), key }
    }

    pub(super) const fn room(&self) -> &Arc<Room> {
        &self.room
    }

    /// Whether its own messages come back to a member.
    pub(super) fn hears_itself(&self) -> bool {
        self.hub.wishes().to_sender
    }
}

/// A member on its seat: history, then messages both ways until the WebSocket ends.
pub(crate) struct Sitting {
    member: Rc<Member>,
    shard: Rc<Shard>,
    key: usize,
}

impl Conversation for Sitting {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        let Member { endpoint, place, user, seat, .. } = &*self.member;
        let mut endpoint = endpoint.borrow_mut();
        let mut speaker = Speaker { seat, user: *user, limit: endpoint.send_queue(), has_said: false };
        endpoint.poll(cx, place, &mut speaker)
    }

    fn passed(&self) -> Passed {
        self.member.endpoint.borrow().passed()
    }
}

impl Drop for Sitting {
    /// The shard is left before the seat is.
    fn drop(&mut self) {
        self.shard.leave(self.member.seat.room(), self.key);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.room.forget_one();
    }
}

struct Speaker<'a> {
    seat: &'a Seat,
    user: u64,
    /// Bytes of one frame at most: more than a member may have queued could reach nobody.
    limit: usize,
    /// In this turn of the member's task.
    has_said: bool,
}

impl Listener for Speaker<'_> {
    fn message(&mut self, opcode: Opcode, payload: &[u8], _: &mut Vec<u8>) -> Result<(), Close> {
        let refusal = match (opcode, std::str::from_utf8(payload)) {
            (Opcode::Text, Ok("")) => return Ok(()),
            (Opcode::Text, Ok(text)) => {
                let hub = &self.seat.hub;
                let frame = event::said(self.user, text, hub.wishes.escape);
                if frame.len() > self.limit {
                    return Err(Close::new(Code::TOO_BIG, "message over what members may have queued"));
                }
                self.has_said = true;
                self.seat.room.say(self.user, &frame, &hub.mailboxes);
                return Ok(());
            }
            // Only reached where the limits say that text is not checked: the room is shared, so here it is.
            (Opcode::Text, Err(_)) => Close::new(Code::INVALID_PAYLOAD, "text is not UTF-8"),
            _ => Close::new(Code::UNSUPPORTED, "the chat takes text only"),
        };
        Err(refusal)
    }

    fn is_ready(&mut self, cx: &mut Context<'_>) -> bool {
        if self.has_said {
            // What one read has brought is one turn: now the others, and whoever hands it out.
            cx.waker().wake_by_ref();
            return false;
        }
        self.seat.hub.mailboxes.iter().all(|mailbox| mailbox.has_room(cx))
    }
}
